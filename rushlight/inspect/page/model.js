"use strict";
// The tree of modules and tensors, from the list of names that the page holds.

const DATA = JSON.parse(document.getElementById("data").textContent);
const DIFF = DATA.kind === "diff";
const STATES = { added: "+", removed: "−", changed: "~", renamed: "→", same: "" };

function makeNode(name, path, parent) {
  return {
    name, path, parent, kids: [], open: false, tensor: null, kind: "", extra: "", output: null, macs: null,
    elements: 0, bytes: 0, tensors: 0, alarms: 0, differing: 0, depth: parent ? parent.depth + 1 : 0,
  };
}

function buildTree() {
  const root = makeNode("", "", null);
  const nodes = new Map([["", root]]);
  // A tensor and a module may have the same path; tensors are kept apart by a mark that no name holds.
  const ensure = (path) => {
    let node = nodes.get(path);
    if (node) return node;
    const cut = path.lastIndexOf(".");
    const parent = ensure(cut < 0 ? "" : path.slice(0, cut));
    node = makeNode(path.slice(cut + 1), path, parent);
    parent.kids.push(node);
    nodes.set(path, node);
    return node;
  };
  for (const [path, kind, extra, output, macs] of DATA.modules) {
    const node = ensure(path);
    node.kind = kind;
    node.extra = extra;
    node.output = output === undefined ? null : output;
    node.macs = macs === undefined ? null : macs;
  }
  for (const tensor of DATA.tensors) {
    const cut = tensor.name.lastIndexOf(".");
    const parent = ensure(cut < 0 ? "" : tensor.name.slice(0, cut));
    const node = makeNode(tensor.name.slice(cut + 1), tensor.name, parent);
    node.tensor = tensor;
    parent.kids.push(node);
    // A removed tensor is listed, but is no part of what there is now; a tied one counts where it comes first.
    const counted = !tensor.tied && tensor.state !== "removed";
    node.elements = counted ? tensor.count : 0;
    node.bytes = counted ? tensor.bytes : 0;
    node.tensors = 1;
    node.alarms = tensor.stats && tensor.stats[5] + tensor.stats[6] > 0 ? 1 : 0;
    node.differing = tensor.state && tensor.state !== "same" ? 1 : 0;
  }
  sum(root);
  root.open = true;
  let only = root;
  while (only.kids.length === 1 && !only.kids[0].tensor) {
    only = only.kids[0];
    only.open = true;
  }
  return root;
}

function sum(root) {
  // Depth first without recursion: a model may be nested deeper than a call stack likes.
  const order = [];
  const stack = [root];
  while (stack.length) {
    const node = stack.pop();
    order.push(node);
    for (const kid of node.kids) {
      kid.depth = node.depth + 1;
      stack.push(kid);
    }
  }
  for (let i = order.length - 1; i > 0; i--) {
    const node = order[i];
    const parent = node.parent;
    for (const key of ["elements", "bytes", "tensors", "alarms", "differing"]) parent[key] += node[key];
  }
}

function* everyNode(root) {
  const stack = [root];
  while (stack.length) {
    const node = stack.pop();
    yield node;
    for (let i = node.kids.length - 1; i >= 0; i--) stack.push(node.kids[i]);
  }
}

function counted(n, word) {
  return n.toLocaleString("en") + " " + word + (n === 1 ? "" : "s");
}

function shortCount(n) {
  if (n == null) return "–";
  let unit = 0;
  while (n >= 999.5 && unit < 5) {
    n /= 1000;
    unit++;
  }
  if (!unit) return String(n);
  return (n >= 99.95 ? n.toFixed(0) : n >= 9.995 ? n.toFixed(1) : n.toFixed(2)) + "kMGTP"[unit - 1];
}

function shortBytes(n) {
  return (n < 999.5 ? n + " " : shortCount(n).replace(/([a-zA-Z])$/, " $1")) + "B";
}

function shortNumber(x) {
  if (x == null) return "–";
  return Number.isInteger(x) && Math.abs(x) < 1e6 ? String(x) : String(Number(x.toPrecision(4)));
}

function percent(part, whole) {
  if (!whole) return "–";
  const value = (100 * part) / whole;
  return (value >= 10 || value === 0 ? value.toFixed(0) : value >= 0.1 ? value.toFixed(1) : value.toPrecision(1)) + "%";
}

function bytesOf(text) {
  const raw = atob(text);
  const made = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) made[i] = raw.charCodeAt(i);
  return made;
}

function element(tag, attributes, ...inside) {
  // Text goes in as text only: names come from files that nobody has to trust.
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value != null && value !== false) made.setAttribute(key, value);
  }
  for (const item of inside) if (item != null) made.append(item);
  return made;
}
