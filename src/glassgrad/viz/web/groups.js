// Which boxes are there to open: the tree of scopes, and what of a graph is in sight when some of them are open.
// Guarantees: every node has one place in the tree; no group shows more than 400 boxes when it is opened, since longer
// lists are cut into parts, nodes along the topological order; nothing recurses along the graph.

const PART = 200; // boxes of one kind in a group; twice as many where the other kind is missing
const ALL_OPEN = 150; // values: up to here a graph opens with everything in sight
const AT_FIRST = 80; // boxes and cards that a larger one opens with, at most

/** The scope each node is drawn in: a leaf made outside all scopes stands with its users, if they share one. */
function regions(graph) {
  const found = graph.scopes.slice();
  const around = new Array(graph.size); // the users' common scope; null where they differ
  for (let i = graph.size - 1; i >= 0; i--) {
    if (graph.ops[i] === "leaf" && !found[i] && around[i]) found[i] = around[i];
    for (let e = graph.start[i]; e < graph.start[i + 1]; e++) {
      const operand = graph.operand[e];
      around[operand] = around[operand] === undefined || around[operand] === found[i] ? found[i] : null;
    }
  }
  return found;
}

/** The tree of groups, and `home`: the group every node lies in directly. */
export function buildGroups(graph) {
  const root = { path: "", name: "", depth: 0, parent: null, groups: [], nodes: [], size: 0 };
  const byPath = new Map([["", root]]);
  const scopes = regions(graph);
  for (let i = 0; i < graph.size; i++) groupAt(byPath, scopes[i]).nodes.push(i);
  const home = new Array(graph.size);
  const all = [root];
  for (const group of all) {
    // grows while it is read; a group's depth is final when its turn comes
    if (group.parent) group.depth = group.parent.depth + 1;
    const both = group.nodes.length && group.groups.length;
    const limit = both ? PART : 2 * PART;
    const { nodes, groups } = group;
    if (groups.length > limit)
      group.groups = pieces(groups.length).map(([a, b]) => part(group, [], groups.slice(a, b)));
    if (nodes.length > limit) {
      group.nodes = [];
      group.groups.push(...pieces(nodes.length).map(([a, b]) => part(group, nodes.slice(a, b), [])));
    }
    for (const i of group.nodes) home[i] = group;
    all.push(...group.groups);
  }
  for (let k = all.length - 1; k >= 0; k--) {
    const group = all[k];
    group.size = group.nodes.length + group.groups.reduce((sum, inner) => sum + inner.size, 0);
  }
  return { root, home, all: all.slice(1) };
}

function groupAt(byPath, path) {
  let end = path;
  const missing = [];
  while (!byPath.has(end)) {
    missing.push(end);
    end = end.includes("/") ? end.slice(0, end.lastIndexOf("/")) : "";
  }
  let group = byPath.get(end);
  for (const full of missing.reverse()) {
    const name = full.slice(full.lastIndexOf("/") + 1);
    const inner = { path: full, name, depth: group.depth + 1, parent: group, groups: [], nodes: [], size: 0 };
    group.groups.push(inner);
    byPath.set(full, inner);
    group = inner;
  }
  return group;
}

/** Ranges that cut a list so that neither they nor their number grow too large. */
function pieces(count) {
  const size = Math.max(PART, Math.ceil(count / PART));
  return Array.from({ length: Math.ceil(count / size) }, (_, k) => [k * size, Math.min(count, (k + 1) * size)]);
}

/** A group that the page makes because there are too many boxes side by side. */
function part(parent, nodes, groups) {
  const names = nodes.length ? nodes.map((i) => `n${i}`) : groups.map((group) => group.name);
  const name = `${names[0]} … ${names[names.length - 1]}`;
  const made = { path: parent.path, name, depth: parent.depth + 1, parent, groups, nodes, size: 0, part: true };
  groups.forEach((group) => Object.assign(group, { parent: made }));
  return made;
}

/** All nodes in a group and in the groups inside it. */
export function membersOf(group) {
  const members = [];
  for (const found = [group]; found.length;) {
    const inner = found.pop();
    members.push(...inner.nodes);
    found.push(...inner.groups);
  }
  return members;
}

/** The groups that are open at first: all of them if the graph is small, else level by level while there is room. */
export function firstOpen(tree, size) {
  if (size <= ALL_OPEN) return new Set(tree.all);
  const open = new Set();
  let level = tree.root.groups;
  let seen = tree.root.nodes.length + level.length;
  while (level.length) {
    const inside = level.reduce((sum, group) => sum + group.nodes.length + group.groups.length - 1, 0);
    if (seen + inside > AT_FIRST) break;
    level.forEach((group) => open.add(group));
    seen += inside;
    level = level.flatMap((group) => group.groups);
  }
  return open;
}

/** The nodes that have no card of their own, and the node that stands for each: -1 where none does. */
export function standIns(graph, { hideConstants, foldSums }) {
  const standIn = Int32Array.from({ length: graph.size }, (_, i) => i);
  const uses = new Int32Array(graph.size);
  const user = new Int32Array(graph.size);
  const said = new Uint8Array(graph.size).fill(1); // exponents that the badge `**2` says already
  for (let i = 0; i < graph.size; i++) {
    for (let e = graph.start[i]; e < graph.start[i + 1]; e++) {
      const operand = graph.operand[e];
      uses[operand] += 1;
      user[operand] = i;
      const exponent = graph.ops[i] === "pow" && e === graph.start[i] + 1;
      if (!exponent || graph.symbols[i] === "**") said[operand] = 0;
    }
  }
  const roots = new Set(graph.roots);
  for (let i = graph.size - 1; i >= 0; i--) {
    if (roots.has(i)) continue;
    const constant = graph.ops[i] === "leaf" && !graph.wanted[i];
    if (constant && uses[i] && (hideConstants || (said[i] && !graph.labels[i]))) standIn[i] = -1;
    else if (foldSums && uses[i] === 1 && isSum(graph, i) && isSum(graph, user[i]) && !graph.labels[i]) {
      standIn[i] = standIn[user[i]];
    }
  }
  return standIn;
}

function isSum(graph, i) {
  return graph.ops[i] === "add" || graph.ops[i] === "sum";
}
