// Where the parameters are: a squarified treemap (Bruls, Huizing, van Wijk 2000) on a canvas.

function squarify(items, x, y, w, h, place) {
  // items: [{size}] in falling order of size; place(item, x, y, w, h) is called for each.
  let total = items.reduce((s, item) => s + item.size, 0);
  let i = 0;
  while (i < items.length && w > 0 && h > 0 && total > 0) {
    const side = Math.min(w, h);
    const scale = (w * h) / total;
    let row = 0;
    let best = Infinity;
    let end = i;
    // A row grows as long as its worst proportion gets no worse.
    while (end < items.length) {
      const next = row + items[end].size;
      const thick = (next * scale) / side;
      const ratio = (size) => {
        const long = (size * scale) / thick;
        return Math.max(long / thick, thick / long);
      };
      const worst = Math.max(ratio(items[i].size), ratio(items[end].size));
      if (worst > best) break;
      best = worst;
      row = next;
      end++;
    }
    const thick = (row * scale) / side;
    let along = 0;
    for (; i < end; i++) {
      const long = (items[i].size * scale) / thick;
      if (w >= h) place(items[i], x, y + along, thick, long);
      else place(items[i], x + along, y, long, thick);
      along += long;
    }
    if (w >= h) {
      x += thick;
      w -= thick;
    } else {
      y += thick;
      h -= thick;
    }
    total -= row;
  }
}

class Treemap {
  constructor(canvas, tip, onSelect) {
    this.canvas = canvas;
    this.tip = tip;
    this.onSelect = onSelect;
    this.boxes = [];
    this.root = null;
    this.chosen = null;
    canvas.addEventListener("mousemove", (event) => this.hover(event));
    canvas.addEventListener("mouseleave", () => (tip.hidden = true));
    canvas.addEventListener("click", (event) => {
      const box = this.at(event);
      if (box) onSelect(box.node);
    });
    canvas.addEventListener("dblclick", (event) => {
      const box = this.at(event);
      if (box) this.zoom(box.node.tensor ? box.node.parent : box.node);
    });
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  choose(node) {
    // The picture stays where it is as long as what is chosen can be seen in it.
    this.chosen = node;
    const box = this.boxes.find((b) => b.node === node);
    let up = node;
    while (up && up !== this.root) up = up.parent;
    if (this.root && up && (node === this.root || !node.elements || (box && box.w * box.h > 150))) this.outline();
    else this.zoom(node.kids.length && node.elements ? node : node.parent || node);
  }

  zoom(node) {
    while (node.parent && !node.kids.some((kid) => kid.elements)) node = node.parent;
    this.root = node;
    this.draw();
  }

  draw() {
    if (!this.root) return;
    const box = this.canvas.parentElement.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(box.width * ratio));
    this.canvas.height = Math.max(1, Math.round(box.height * ratio));
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, box.width, box.height);
    const style = getComputedStyle(document.documentElement);
    this.look = { dark: matchMedia("(prefers-color-scheme: dark)").matches, paper: style.getPropertyValue("--paper") };
    this.boxes = [];
    this.place(pen, this.root, 0, 0, box.width, box.height, 0, 0);
    const parts = this.root.kids.length;
    this.base = document.createElement("canvas");
    this.base.width = this.canvas.width;
    this.base.height = this.canvas.height;
    this.base.getContext("2d").drawImage(this.canvas, 0, 0);
    const words = `${this.root.path || "everything"}: ${shortCount(this.root.elements)} elements in ${parts} parts`;
    this.canvas.setAttribute("aria-label", "Treemap of parameter counts. " + words + ". The tree lists the same.");
    this.outline();
  }

  outline() {
    // The picture itself is kept: with thousands of boxes only the frame around the chosen one is drawn anew.
    const pen = this.canvas.getContext("2d");
    pen.save();
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.drawImage(this.base, 0, 0);
    pen.restore();
    const box = this.chosen !== this.root && this.boxes.find((b) => b.node === this.chosen);
    if (!box) return;
    pen.lineWidth = 2.5;
    pen.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--ink");
    pen.strokeRect(box.x + 1, box.y + 1, Math.max(0, box.w - 2), Math.max(0, box.h - 2));
  }

  place(pen, node, x, y, w, h, depth, hue) {
    let label = node.name;
    let inside = node.kids.filter((kid) => kid.elements > 0);
    // What has one part is drawn as that part, under both names.
    while (depth > 0 && inside.length === 1) {
      this.boxes.push({ node, x, y, w, h });
      node = inside[0];
      label += "." + node.name;
      inside = node.kids.filter((kid) => kid.elements > 0);
    }
    this.boxes.push({ node, x, y, w, h });
    const titled = depth > 0 && node.kids.length && h > 34 && w > 46;
    if (depth > 0) {
      pen.fillStyle = this.color(node, depth, hue);
      pen.fillRect(x, y, Math.max(0.5, w - 1), Math.max(0.5, h - 1));
    }
    if (inside.length && w * h > 90 && depth < 7) {
      const pad = depth > 0 ? 2 : 0;
      const top = titled ? 16 : pad;
      if (titled) this.write(pen, label, node, x, y, w, 16);
      const items = inside.map((kid, i) => ({ kid, size: kid.elements, hue: depth ? hue : this.hue(i, inside.length) }));
      items.sort((a, b) => b.size - a.size);
      squarify(items, x + pad, y + top, w - 2 * pad - (pad ? 1 : 0), h - top - pad - (pad ? 1 : 0), (item, ...where) =>
        this.place(pen, item.kid, ...where, depth + 1, item.hue),
      );
    } else if (depth > 0) this.write(pen, label, node, x, y, w, h);
  }

  hue(i, count) {
    return count < 8 ? 215 + i * 47 : 215 + (i * 222.5) % 360;
  }

  color(node, depth, hue) {
    if (DIFF) {
      const state = node.tensor ? node.tensor.state : node.differing ? "changed" : "same";
      const hues = { added: 145, removed: 4, changed: 38, renamed: 262 };
      if (!(state in hues)) return this.look.dark ? `hsl(220 8% ${22 + 4 * depth}%)` : `hsl(220 10% ${90 - 4 * depth}%)`;
      const relative = node.tensor && node.tensor.change ? node.tensor.change.relative : null;
      const strong = relative == null ? 55 : 25 + 60 * Math.min(1, Math.sqrt(relative));
      const amount = node.tensor ? strong : 18;
      return this.look.dark ? `hsl(${hues[state]} ${amount}% ${24 + 5 * depth}%)` : `hsl(${hues[state]} ${amount}% ${88 - 5 * depth}%)`;
    }
    return this.look.dark ? `hsl(${hue} 32% ${21 + 5 * Math.min(depth, 5)}%)` : `hsl(${hue} 55% ${92 - 5 * Math.min(depth, 5)}%)`;
  }

  write(pen, label, node, x, y, w, h) {
    if (w < 34 || h < 13) return;
    pen.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    pen.fillStyle = this.look.dark ? "#e4e6ea" : "#1d2129";
    const fit = (text, y) => {
      while (text.length > 2 && pen.measureText(text).width > w - 8) text = text.slice(0, -2) + "…";
      if (text.length > 1 || pen.measureText(text).width <= w - 8) pen.fillText(text, x + 4, y);
    };
    fit(label, y + 12);
    if (h > 28) fit(shortCount(node.elements), y + 25);
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left;
    const y = event.clientY - box.top;
    for (let i = this.boxes.length - 1; i >= 0; i--) {
      const b = this.boxes[i];
      if (x >= b.x && x < b.x + b.w && y >= b.y && y < b.y + b.h) return b;
    }
    return null;
  }

  hover(event) {
    const box = this.at(event);
    this.tip.hidden = !box || box.node === this.root;
    if (this.tip.hidden) return;
    const node = box.node;
    this.tip.textContent = `${node.path}  ${shortCount(node.elements)}  ${percent(node.elements, this.root.elements)}`;
    const area = this.canvas.getBoundingClientRect();
    const left = Math.min(event.clientX - area.left + 12, area.width - this.tip.offsetWidth - 4);
    this.tip.style.left = Math.max(0, left) + "px";
    this.tip.style.top = Math.max(0, event.clientY - area.top - 28) + "px";
  }
}
