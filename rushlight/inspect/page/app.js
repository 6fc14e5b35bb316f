// The page: header, search, what is selected, and its details.

const ROOT = buildTree();
const $ = (id) => document.getElementById(id);
const treemap = new Treemap($("treemap"), $("tip"), (node) => tree.select(node));
const tree = new TreeView(ROOT, $("tree"), $("rows"), show);

function header() {
  $("title").textContent = DATA.title;
  const parts = [];
  for (const file of DATA.files) parts.push(`${file.format}, ${shortBytes(file.bytes)}`);
  if (DATA.kind === "module") parts.push(counted(DATA.modules.length, "module"));
  parts.push(counted(DATA.tensors.filter((t) => t.state !== "removed").length, "tensor"));
  parts.push(counted(ROOT.elements, "element"));
  if (DIFF) {
    const count = {};
    for (const tensor of DATA.tensors) count[tensor.state] = (count[tensor.state] || 0) + 1;
    parts.push(["changed", "renamed", "added", "removed", "same"].filter((s) => count[s]).map((s) => `${count[s]} ${s}`).join(", "));
    $("only").hidden = false;
  }
  if (ROOT.alarms) parts.push(`NaN or Inf in ${counted(ROOT.alarms, "tensor")}`);
  $("totals").textContent = parts.join(" · ");
}

// -- search

function search() {
  const text = $("search").value.trim();
  const changed = $("only-changed").checked;
  let test = null;
  $("search").classList.remove("wrong");
  tree.pattern = null;
  if (text.length > 2 && text.startsWith("/") && text.endsWith("/")) {
    try {
      const pattern = new RegExp(text.slice(1, -1), "i");
      test = (node) => pattern.test(node.path);
    } catch {
      $("search").classList.add("wrong");
    }
  } else if (text) {
    const low = text.toLowerCase();
    tree.pattern = low;
    test = (node) => node.path.toLowerCase().includes(low) || node.kind.toLowerCase().includes(low);
  }
  const both = changed ? (node) => node.tensor && node.tensor.state !== "same" && (!test || test(node)) : test;
  tree.search(both);
  $("matches").textContent = both ? `${tree.hits.length.toLocaleString("en")} found` : "";
}

// -- details

function crumbs(node) {
  const path = [];
  for (let up = node; up; up = up.parent) path.unshift(up);
  const made = document.createDocumentFragment();
  path.forEach((part, i) => {
    if (i) made.append(" › ");
    const text = part.name || part.kind || "all";
    if (i === path.length - 1) made.append(element("b", {}, text));
    else {
      const button = element("button", { type: "button" }, text);
      button.addEventListener("click", () => {
        treemap.zoom(part);
        tree.select(part);
      });
      made.append(button);
    }
  });
  $("crumbs").replaceChildren(made);
}

function facts(rows) {
  const table = element("table");
  for (const [name, ...values] of rows) {
    const line = element("tr", {}, element("th", { scope: "row" }, name));
    for (const value of values) line.append(element("td", {}, String(value)));
    table.append(line);
  }
  return table;
}

function tensorDetails(node) {
  const t = node.tensor;
  const made = [element("h2", {}, t.name)];
  const about = [t.dtype, "[" + t.shape.join(", ") + "]", counted(t.count, "element"), shortBytes(t.bytes)];
  if (t.buffer) about.push("buffer");
  else if (t.trained === false) about.push("frozen");
  if (t.state) about.push(t.state);
  made.push(element("p", {}, about.join(" · ")));
  if (t.tied) made.push(element("p", {}, "The same tensor as " + t.tied));
  if (t.from) made.push(element("p", {}, "Was named " + t.from));
  const pictures = element("div", { class: "pictures" });
  for (const picture of [histogram(t), heatMap(t, t.heat, "root mean square of blocks; rows are dimension 0"),
    heatMap(t, t.delta, "difference: root mean square of blocks")]) if (picture) pictures.append(picture);
  if (pictures.children.length) made.push(pictures);
  if (t.stats) {
    const names = ["min", "max", "mean", "std", "norm", "NaN", "Inf", "zeros"];
    const before = t.before && t.before.stats;
    made.push(facts([
      ...(before ? [["", "after", "before"]] : []),
      ...names.map((name, i) => [name, shortNumber(t.stats[i]), ...(before ? [shortNumber(before[i])] : [])]),
    ]));
  }
  if (t.change) {
    const c = t.change;
    const rows = [];
    if (c.dtype) rows.push(["dtype", c.dtype.join(" → ")]);
    if (c.shape) rows.push(["shape", c.shape.map((s) => "[" + s.join(", ") + "]").join(" → ")]);
    if (c.norm) rows.push(["norm of the difference", shortNumber(c.difference)]);
    if (c.norm) rows.push(["relative to before", c.relative == null ? "–" : percent(c.relative, 1)]);
    if (c.norm) rows.push(["largest difference", c.max == null ? "not finite" : shortNumber(c.max)]);
    made.push(facts(rows));
  }
  return made;
}

function moduleDetails(node) {
  const made = [element("h2", {}, node.path || node.kind || DATA.title)];
  const about = [];
  if (node.kind && node.path) about.push(node.kind + (node.extra ? "(" + node.extra + ")" : ""));
  about.push(counted(node.tensors, "tensor"), counted(node.elements, "element") + (ROOT.elements ? ` (${percent(node.elements, ROOT.elements)})` : ""),
    shortBytes(node.bytes));
  if (node.output) about.push("output " + JSON.stringify(node.output).replaceAll(",", ", "));
  if (node.macs) about.push(shortCount(node.macs) + " multiply-adds");
  made.push(element("p", {}, about.join(" · ")));
  if (node === ROOT) {
    for (const file of DATA.files) {
      made.push(element("p", {}, file.path));
      for (const note of file.notes) made.push(element("p", { class: "changed" }, note));
    }
    for (const note of DATA.notes || []) made.push(element("p", { class: "changed" }, note));
    if (DATA.values.length) made.push(facts(DATA.values));
  }
  const kids = node.kids.slice().sort((a, b) => b.elements - a.elements).slice(0, 60);
  if (kids.length) {
    const table = element("table");
    for (const kid of kids) {
      const button = element("button", { type: "button" }, kid.name);
      button.addEventListener("click", () => tree.select(kid));
      table.append(element("tr", {}, element("td", {}, button), element("td", { class: "n" }, shortCount(kid.elements)),
        element("td", { class: "n" }, percent(kid.elements, node.elements)), element("td", {}, describe(kid))));
    }
    made.push(table);
    if (node.kids.length > kids.length) made.push(element("p", {}, `and ${node.kids.length - kids.length} more`));
  }
  return made;
}

function show(node) {
  crumbs(node);
  treemap.choose(node);
  $("details").replaceChildren(...(node.tensor ? tensorDetails(node) : moduleDetails(node)));
  $("details").scrollTop = 0;
}

// -- the keyboard beside the tree

function help(open) {
  $("help").hidden = !open;
  $("keys").setAttribute("aria-expanded", String(open));
}

document.addEventListener("keydown", (event) => {
  const typing = event.target === $("search");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && !typing) {
    event.preventDefault();
    $("search").focus();
    $("search").select();
  } else if (event.key === "?" && !typing) help($("help").hidden);
  else if (event.key === "z" && !typing) treemap.zoom(tree.selected);
  else if (event.key === "x" && !typing) treemap.zoom(treemap.root.parent || treemap.root);
  else if (typing && event.key === "Escape") {
    $("search").value = "";
    search();
    $("tree").focus();
  } else if (typing && (event.key === "ArrowDown" || event.key === "Enter")) {
    event.preventDefault();
    $("tree").focus();
    tree.hit(1);
  }
});
$("keys").addEventListener("click", () => help($("help").hidden));
$("search").addEventListener("input", search);
$("only-changed").addEventListener("change", search);

header();
tree.select(ROOT);
