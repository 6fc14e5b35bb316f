// The tree as rows, of which only those in sight exist; the keyboard works as in a file manager.

const ROW = 26;

class TreeView {
  constructor(root, host, rows, onSelect) {
    this.root = root;
    this.host = host;
    this.rows = rows;
    this.onSelect = onSelect;
    this.selected = root;
    this.kept = null; // while searching: the nodes that stay
    this.hits = [];
    this.pattern = null;
    this.list = [];
    this.pending = false;
    host.addEventListener("scroll", () => this.later());
    host.addEventListener("keydown", (event) => this.key(event));
    rows.addEventListener("click", (event) => this.click(event));
    new ResizeObserver(() => this.later()).observe(host);
    this.flatten();
  }

  // -- which rows there are

  isOpen(node) {
    return this.kept ? node.kids.some((kid) => this.kept.has(kid)) && !this.shut.has(node) : node.open;
  }

  flatten() {
    this.list = [];
    const stack = this.root.kids.slice().reverse();
    if (this.root.kind || !this.root.kids.length) {
      stack.push(this.root); // the model itself is a row where it has a name
    }
    while (stack.length) {
      const node = stack.pop();
      if (this.kept && node !== this.root && !this.kept.has(node)) continue;
      node.place = this.list.length;
      this.list.push(node);
      if (node !== this.root && node.kids.length && this.isOpen(node)) {
        for (let i = node.kids.length - 1; i >= 0; i--) stack.push(node.kids[i]);
      }
    }
    this.rows.style.height = this.list.length * ROW + "px";
    this.draw();
  }

  search(test) {
    this.shut = new Set();
    this.hits = [];
    this.kept = null;
    if (test) {
      this.kept = new Set();
      for (const node of everyNode(this.root)) {
        if (node === this.root || !test(node)) continue;
        this.hits.push(node);
        for (let up = node; up && !this.kept.has(up); up = up.parent) this.kept.add(up);
      }
    }
    this.host.scrollTop = 0;
    this.flatten();
  }

  // -- drawing

  later() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.draw();
    });
  }

  draw() {
    const first = Math.max(0, Math.floor(this.host.scrollTop / ROW) - 4);
    const last = Math.min(this.list.length, Math.ceil((this.host.scrollTop + this.host.clientHeight) / ROW) + 4);
    const made = document.createDocumentFragment();
    for (let i = first; i < last; i++) made.append(this.row(this.list[i], i));
    this.rows.replaceChildren(made);
    const here = this.list[this.selected.place] === this.selected;
    if (here) this.host.setAttribute("aria-activedescendant", "row-" + this.selected.place);
    else this.host.removeAttribute("aria-activedescendant");
  }

  row(node, i) {
    const branch = !node.tensor;
    const level = Math.max(1, node.depth + (this.root.kind ? 1 : 0));
    const open = node === this.root || (node.kids.length > 0 && this.isOpen(node));
    const made = element("div", {
      class: "row " + (branch ? "branch" : "leaf"), id: "row-" + i, role: "treeitem", "aria-level": level,
      "aria-selected": String(node === this.selected), "aria-setsize": node.parent ? node.parent.kids.length : 1,
      "aria-posinset": node.parent ? node.parent.kids.indexOf(node) + 1 : 1,
      "aria-expanded": node.kids.length && node !== this.root ? String(open) : null,
    });
    made.style.top = i * ROW + "px";
    made.style.paddingLeft = 4 + 16 * Math.min(level - 1, 24) + "px";
    const twist = node.kids.length && node !== this.root ? (open ? "▼" : "▶") : "";
    made.append(element("span", { class: "twist", "aria-hidden": "true" }, twist));
    if (DIFF) {
      const state = node.tensor ? node.tensor.state : node.differing ? "changed" : "same";
      const sign = node.tensor ? STATES[state] : node.differing ? "•" : "";
      made.append(element("span", { class: "mark " + state, title: state }, sign));
    }
    made.append(this.label(node));
    made.append(element("span", { class: "kind" }, describe(node)));
    if (node.alarms) made.append(element("span", { class: "alarm", title: "NaN or infinite values" }, "NaN"));
    made.append(element("span", { class: "count" }, node.elements ? shortCount(node.elements) : ""));
    const bar = element("i");
    bar.style.width = (100 * node.elements) / (this.root.elements || 1) + "%";
    made.append(element("span", { class: "share", "aria-hidden": "true" }, bar));
    return made;
  }

  label(node) {
    const text = node.name || node.kind || "(all)";
    const made = element("span", { class: "label", title: node.path || text });
    const found = this.pattern && node !== this.root ? text.toLowerCase().indexOf(this.pattern) : -1;
    if (found < 0) made.append(text);
    else {
      const end = found + this.pattern.length;
      made.append(text.slice(0, found), element("mark", {}, text.slice(found, end)), text.slice(end));
    }
    return made;
  }

  // -- moving about

  toggle(node, open) {
    if (!node.kids.length || node === this.root) return;
    if (this.kept) {
      if (open) this.shut.delete(node);
      else this.shut.add(node);
    } else node.open = open;
    this.flatten();
  }

  select(node, focus) {
    this.selected = node;
    if (this.list[node.place] !== node) this.reveal(node);
    const top = node.place * ROW;
    const height = this.host.clientHeight;
    if (top < this.host.scrollTop) this.host.scrollTop = top;
    else if (top + ROW > this.host.scrollTop + height) this.host.scrollTop = top + ROW - height;
    this.draw();
    if (focus) this.host.focus();
    this.onSelect(node);
  }

  reveal(node) {
    if (this.kept && !this.kept.has(node)) return;
    for (let up = node.parent; up; up = up.parent) {
      up.open = true;
      if (this.shut) this.shut.delete(up);
    }
    this.flatten();
  }

  all(open) {
    for (const node of everyNode(this.root)) if (node.kids.length && node !== this.root) node.open = open;
    if (this.kept) this.shut = new Set(open ? [] : this.kept);
    let node = this.selected;
    if (!open) while (node.parent && node.parent !== this.root) node = node.parent;
    this.flatten();
    this.select(node);
  }

  click(event) {
    const row = event.target.closest(".row");
    if (!row) return;
    const node = this.list[Number(row.id.slice(4))];
    if (event.target.classList.contains("twist") || event.detail === 2) this.toggle(node, !this.isOpen(node));
    this.select(node, true);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const node = this.selected;
    const at = this.list[node.place] === node ? node.place : -1;
    const page = Math.max(1, Math.floor(this.host.clientHeight / ROW) - 1);
    const go = (place) => {
      if (this.list.length) this.select(this.list[Math.max(0, Math.min(this.list.length - 1, place))]);
    };
    const opened = node.kids.length > 0 && node !== this.root && this.isOpen(node);
    const actions = {
      ArrowDown: () => go(at + 1),
      ArrowUp: () => go(at - 1),
      Home: () => go(0),
      End: () => go(this.list.length - 1),
      PageDown: () => go(at + page),
      PageUp: () => go(at - page),
      ArrowRight: () => (opened ? go(at + 1) : this.toggle(node, true)),
      ArrowLeft: () => {
        if (opened) this.toggle(node, false);
        else if (node.parent && (node.parent !== this.root || this.root.kind)) this.select(node.parent);
      },
      Enter: () => this.toggle(node, !opened),
      " ": () => this.toggle(node, !opened),
      e: () => this.all(true),
      c: () => this.all(false),
      n: () => this.hit(1),
      p: () => this.hit(-1),
      "*": () => {
        for (const kid of node.parent ? node.parent.kids : []) kid.open = true;
        this.flatten();
      },
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  hit(step) {
    if (!this.hits.length) return;
    const at = this.hits.indexOf(this.selected);
    const next = at < 0 ? (step > 0 ? 0 : this.hits.length - 1) : (at + step + this.hits.length) % this.hits.length;
    this.select(this.hits[next]);
  }
}

function describe(node) {
  if (!node.tensor) return node.kind ? (node.name ? node.kind : "") + (node.extra ? "(" + node.extra + ")" : "") : "";
  const tensor = node.tensor;
  const tied = tensor.tied ? " = " + tensor.tied : tensor.state === "renamed" ? " from " + tensor.from : "";
  return tensor.dtype + " [" + tensor.shape.join(", ") + "]" + tied;
}
