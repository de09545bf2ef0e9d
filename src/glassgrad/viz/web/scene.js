// Where everything in sight stands: a card for a value or a closed group, a frame for an open one, lines between them.
// Guarantees: what is inside an open group is laid out by itself and then is one box of the layout around it, so a frame
// never covers what does not belong to it, and opening or closing a group leaves the order of everything else alone.
// A line from one group into another enters and leaves frames at ports. `solve` needs no DOM: it runs in a worker too.

import { acyclic } from "./order.js";
import { layoutGraph } from "./layout.js";
import { clip, nameOf, short, symbolOf } from "./format.js";

const HEAD = 26; // of a frame, for its name
const PAD = 16;
const PORT = { width: 2, height: 10 };
export const CARD = { height: 46, constant: 28, group: 54 };

/** What is in sight, as layout problems (one for each open group, inner ones first) and lines between places. */
export async function arrange(graph, tree, open, standIn, breath) {
  const shownAs = new Map([[tree.root, null]]); // the outermost closed group around
  for (const group of tree.all) shownAs.set(group, shownAs.get(group.parent) ?? (open.has(group) ? null : group));
  const containers = [tree.root, ...tree.all.filter((group) => !shownAs.get(group))];
  // Lines are told apart by where they come from: an item's index, or what follows those, a frame's number.
  const rooms = new Map(containers.map((group, k) => [group, newRoom(group, graph.size + tree.all.length + k)]));
  const items = [];
  const groupItems = new Map();
  const itemOf = new Array(graph.size).fill(null);
  const newItem = (node, group, container) => {
    const item = { index: items.length, node, group, container, ...sizeOf(graph, node, group) };
    items.push(item);
    item.place = addPlace(rooms.get(container), item.width, item.height, 0);
    return item;
  };
  for (let i = 0; i < graph.size; i++) {
    const closed = shownAs.get(tree.home[i]);
    if (closed) {
      if (!groupItems.has(closed)) groupItems.set(closed, newItem(-1, closed, closed.parent));
      itemOf[i] = groupItems.get(closed);
    } else if (standIn[i] === i) itemOf[i] = newItem(i, null, tree.home[i]);
  }
  for (const group of containers) {
    if (group.parent) rooms.get(group).place = addPlace(rooms.get(group.parent), 0, 0, 0, rooms.get(group));
  }
  const resolved = (i) => (itemOf[i] || standIn[i] < 0 ? itemOf[i] : itemOf[standIn[i]]);
  const lastUser = new Int32Array(graph.size).fill(-1);
  const repeats = new Int32Array(graph.size);
  for (let v = 0; v < graph.size; v++) {
    if (v % 200 === 199) await breath(); // a long task would freeze the page
    const target = resolved(v);
    for (let e = graph.start[v]; e < graph.start[v + 1]; e++) {
      const u = graph.operand[e];
      repeats[u] = lastUser[u] === v ? repeats[u] + 1 : 0;
      lastUser[u] = v;
      const source = resolved(u);
      if (source && target && source !== target) {
        connect(rooms, source, target, e, source.group || target.group ? 0 : repeats[u]);
      }
    }
  }
  const deepest = containers
    .slice()
    .reverse()
    .sort((a, b) => b.depth - a.depth);
  return { items, itemOf: (i) => resolved(i), rooms: deepest.map((group) => rooms.get(group)) };
}

/** A problem of its own: places with sizes, lines between places. */
function newRoom(group, key) {
  return {
    group,
    key,
    widths: [],
    heights: [],
    pins: [],
    inner: [],
    lines: [],
    keys: new Map(),
    entries: new Map(),
    exits: new Map(),
  };
}

function addPlace(room, width, height, pin, inner = null) {
  room.widths.push(width);
  room.heights.push(height);
  room.pins.push(pin);
  room.inner.push(inner);
  return room.widths.length - 1;
}

function port(ports, room, key, pin) {
  if (!ports.has(key)) ports.set(key, addPlace(room, PORT.width, PORT.height, pin));
  return ports.get(key);
}

/**
 * Adds edge `e` to the lines it runs along: out of the frames around its source, across, into those of its target. Each
 * source has a line of its own into a frame, but what goes to a closed group is one line for each frame it comes from.
 */
function connect(rooms, source, target, e, repeat) {
  let a = source.container;
  let b = target.container;
  let from = source.place;
  let key = source.index;
  const inward = [];
  const out = () => {
    const room = rooms.get(a);
    line(room, source.index, from, port(room.exits, room, source.index, 1), e, 0, false);
    from = room.place;
    if (target.group) key = room.key;
    a = a.parent;
  };
  while (a.depth > b.depth) out();
  while (b.depth > a.depth || b !== a) {
    if (a.depth === b.depth) out();
    inward.push(b);
    b = b.parent;
  }
  for (let room = rooms.get(a); ;) {
    const next = inward.pop();
    const to = next ? rooms.get(next).place : target.place;
    line(room, key, from, to, e, next ? 0 : repeat, !next);
    if (!next) return;
    room = rooms.get(next);
    from = port(room.entries, room, key, -1);
  }
}

function line(room, key, from, to, e, repeat, last) {
  const whole = (key * 4194304 + to) * 64 + Math.min(repeat, 63);
  const found = room.keys.get(whole);
  if (found) found.edges.push(e);
  else {
    const made = { key, from, to, last, edges: [e] };
    room.keys.set(whole, made);
    room.lines.push(made);
  }
}

const NUMBER = 82; // the widest number on a card, −1.235e+05, in the widest of the usual fonts
const WORD = 34; // and the words beside numbers

/** A card's size depends on words alone, and has room for any number: it stays where it is when numbers change. */
function sizeOf(graph, node, group) {
  if (group) {
    const width = Math.max(132, 58 + textWidth(clip(group.name, 24)));
    return { kind: "group", width, height: CARD.group, badge: 0 };
  }
  const leaf = graph.ops[node] === "leaf";
  const label = graph.labels[node].trim() ? textWidth(clip(nameOf(graph, node), 18)) : 0;
  if (leaf && !graph.wanted[node] && !graph.roots.includes(node)) {
    const number = graph.shapes.has(node) ? NUMBER : textWidth(short(graph.values[node]));
    return {
      kind: "const",
      width: Math.max(64, 22 + number + (label ? label + 10 : 0)),
      height: CARD.constant,
      badge: 0,
    };
  }
  const badge = leaf ? 5 : Math.max(28, 14 + textWidth(symbolOf(graph, node)));
  const kind = graph.roots.includes(node) ? "root" : leaf ? "leaf" : "op";
  return { kind, width: badge + 22 + Math.max(WORD + NUMBER, label + 8 + NUMBER), height: CARD.height, badge };
}

const FONT = '600 12.5px system-ui, -apple-system, "Segoe UI", Roboto, Inter, "Noto Sans", sans-serif';
const measured = new Map();
let ruler = null;

/** How wide a line of bold type on a card is, in the font that the reader's system has. */
export function textWidth(text) {
  if (!measured.has(text)) {
    if (!ruler) ruler = document.createElement("canvas").getContext("2d");
    ruler.font = FONT;
    measured.set(text, Math.ceil(ruler.measureText(text).width));
  }
  return measured.get(text);
}

/** The rooms as plain data that can be sent to a worker. */
export function problems(rooms) {
  const number = new Map(rooms.map((room, k) => [room, k]));
  return rooms.map((room) => ({
    widths: Float64Array.from(room.widths),
    heights: Float64Array.from(room.heights),
    pins: Int8Array.from(room.pins),
    inner: Int32Array.from(room.inner, (inner) => (inner ? number.get(inner) : -1)),
    edges: Int32Array.from(room.lines.flatMap((made) => [made.from, made.to])),
    framed: room.group.parent !== null,
    ports: Math.max(room.entries.size, room.exits.size),
  }));
}

/** Solves all rooms, inner ones first: places, and routes as flat arrays. `report(fraction)` may be given. */
export function solve(rooms, deadline = Infinity, report = () => {}) {
  const total = rooms.reduce((sum, room) => sum + room.widths.length + 1, 0);
  let done = 0;
  const plans = [];
  for (const room of rooms) {
    const count = room.widths.length;
    const sizes = new Float64Array(2 * count);
    for (let i = 0; i < count; i++) {
      const inner = room.inner[i] < 0 ? null : plans[room.inner[i]];
      sizes[2 * i] = inner ? inner.width : room.widths[i];
      sizes[2 * i + 1] = inner ? inner.height : room.heights[i];
    }
    const straight = acyclic(count, room.edges);
    const plan = layoutGraph(sizes, straight.edges, { gap: 14, rankGap: 34, arrival: 10, pins: room.pins, deadline });
    const side = room.framed ? PAD + Math.min(64, 2 * room.ports) : 0;
    plans.push({
      ...flat(plan, straight.edges, straight.reversed),
      x: Float64Array.from(plan.x),
      y: Float64Array.from(plan.y),
      sizes,
      left: side,
      top: room.framed ? HEAD : 0,
      width: plan.width + 2 * side,
      height: plan.height + (room.framed ? HEAD + PAD : 0),
    });
    done += count + 1;
    report(done / total);
  }
  return plans;
}

/** Routes and trunks (what the long lines of one source share), each list in one array: cheap to send from a worker. */
function flat(plan, edges, reversed) {
  const ways = [[], [0]];
  const trunks = [[], [0]];
  const add = ([points, at], way) => {
    for (const [x, y] of way) points.push(x, y);
    at.push(points.length);
  };
  const number = new Map();
  for (const [source, way] of plan.trunks) {
    number.set(source, number.size);
    add(trunks, way);
  }
  const trunkOf = plan.routes.map((way, k) => {
    add(ways, way);
    return plan.ordering.joints[k] >= plan.x.length ? number.get(edges[2 * k]) : -1;
  });
  return {
    points: Float64Array.from(ways[0]),
    at: Int32Array.from(ways[1]),
    trunkPoints: Float64Array.from(trunks[0]),
    trunkAt: Int32Array.from(trunks[1]),
    trunkOf: Int32Array.from(trunkOf),
    reversed,
  };
}

/** Puts the rooms' plans into each other: items, frames and lines with coordinates in the whole picture. */
export async function place(arranged, plans, breath) {
  const { items, rooms } = arranged;
  const origin = rooms.map(() => null);
  const number = new Map(rooms.map((room, k) => [room.group, k]));
  const frames = [];
  for (let k = rooms.length - 1; k >= 0; k--) {
    // outer rooms first
    const { group } = rooms[k];
    const plan = plans[k];
    if (!group.parent) {
      origin[k] = [0, 0];
      continue;
    }
    const outer = number.get(group.parent);
    const i = rooms[k].place;
    const x = origin[outer][0] + plans[outer].x[i] - plan.width / 2;
    const y = origin[outer][1] + plans[outer].y[i] - plan.height / 2;
    origin[k] = [x + plan.left, y + plan.top];
    frames.push({ group, x, y, width: plan.width, height: plan.height });
  }
  for (const item of items) {
    const k = number.get(item.container);
    item.x = origin[k][0] + plans[k].x[item.place] - item.width / 2;
    item.y = origin[k][1] + plans[k].y[item.place] - item.height / 2;
  }
  const spot = (k, i) => [origin[k][0] + plans[k].x[i], origin[k][1] + plans[k].y[i]];
  const leaves = (k) => [
    origin[k][0] - plans[k].left + plans[k].width,
    origin[k][1] - plans[k].top + plans[k].height / 2,
  ];
  const lines = [];
  const trunks = [];
  for (const [k, room] of rooms.entries()) {
    await breath();
    const plan = plans[k];
    const way = (points, from, to) => {
      const found = [];
      for (let p = from; p < to; p += 2) found.push([points[p] + origin[k][0], points[p + 1] + origin[k][1]]);
      return found;
    };
    const first = trunks.length;
    for (let t = 0; t + 1 < plan.trunkAt.length; t++) {
      trunks.push({ way: way(plan.trunkPoints, plan.trunkAt[t], plan.trunkAt[t + 1]), edges: [] });
    }
    room.lines.forEach((made, j) => {
      const points = way(plan.points, plan.at[j], plan.at[j + 1]);
      const into = room.inner[made.to]; // from where the line enters a frame to the port inside
      const after = into ? [spot(number.get(into.group), into.entries.get(made.key))] : [];
      if (room.pins[made.to] > 0) after.push(leaves(k)); // from a port inside to where all lines leave the frame
      const back = plan.reversed[j] === 1;
      const trunk = plan.trunkOf[j] < 0 ? null : trunks[first + plan.trunkOf[j]];
      if (trunk) for (const e of made.edges) trunk.edges.push(e);
      lines.push({ way: points, trunk, back, after, last: made.last, edges: made.edges });
    });
  }
  const whole = plans[plans.length - 1];
  return { ...arranged, frames, lines, trunks, width: whole.width, height: whole.height };
}

/** All points of a line, the part that it shares with others of its source included. */
export function wholeWay(made) {
  const begin = made.trunk ? made.trunk.way.filter(([x]) => x < made.way[0][0] - 0.01) : [];
  const middle = [...begin, ...made.way];
  return [...(made.back ? middle.reverse() : middle), ...made.after];
}

/** What is drawn of a line besides its trunk, which is drawn once for all that share it. */
export function ownWay(made) {
  if (!made.trunk) return wholeWay(made);
  return made.back ? made.way : [...made.way, ...made.after];
}

/** The lines that an edge runs along, as an index from edge to positions in `scene.lines`. */
export function linesByEdge(scene, count) {
  const found = Array.from({ length: count }, () => []);
  scene.lines.forEach((made, k) => made.edges.forEach((e) => found[e].push(k)));
  return found;
}
