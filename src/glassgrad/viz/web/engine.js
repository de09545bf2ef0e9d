/* The engine in the browser: a graph read from JSON, recomputed from its leaves, and differentiated.

   What holds here:
   - A damaged graph is refused with the reason, as graph.py does, before anything of its size is made.
   - Values, local derivatives and gradients are those that Python computes, by the same steps (rules.js) in
     the same order, nan and infinity included; the functions of libm.js may differ in the last place.
   - Every pass is linear in the graph, and nothing recurses. A graph is plain data: a worker may be sent it.

   An operation that is not in RULES (written by hand, a primitive, a checkpoint), or that touches a tensor,
   is opaque: it keeps the value and the local derivatives that the snapshot has. A local derivative that is
   undefined, unknown or wanted by nobody is nan here, and null in the JSON. */

import { RULES } from "./rules.js";

const NON_FINITE = { __proto__: null, nan: NaN, inf: Infinity, "-inf": -Infinity };

// ---- reading ---------------------------------------------------------------------------------------------

function refuseGraph(reason) {
  throw new Error(reason);
}

/** What was found instead, on few words. */
function found(item) {
  if (Array.isArray(item)) return "a list";
  return typeof item === "object" && item ? "an object" : JSON.stringify(String(item).slice(0, 60));
}

function readList(raw, name) {
  if (!Object.hasOwn(raw, name)) refuseGraph(`the graph JSON has no "${name}"`);
  if (!Array.isArray(raw[name])) refuseGraph(`"${name}" must be a list, not ${found(raw[name])}`);
  return raw[name];
}

function readColumn(raw, name) {
  const list = readList(raw, name);
  if (list.length !== raw.nodes) refuseGraph(`"${name}" has ${list.length} entries for ${raw.nodes} nodes`);
  return list;
}

function readRows(raw, name) {
  const rows = readColumn(raw, name);
  const i = rows.findIndex((row) => !Array.isArray(row));
  if (i >= 0) refuseGraph(`"${name}"[${i}] must be a list, not ${found(rows[i])}`);
  return rows;
}

/** A whole number from 0 on, and below the limit. */
function readIndex(item, name, limit) {
  if (!Number.isSafeInteger(item) || item < 0) {
    refuseGraph(`"${name}" must hold whole numbers from 0 to 2**53, not ${found(item)}`);
  }
  if (item >= limit) refuseGraph(`"${name}" points at entry ${item} of ${limit}`);
  return item;
}

function readNumber(item, name) {
  const x = typeof item === "string" ? NON_FINITE[item] : item;
  if (typeof x !== "number") {
    refuseGraph(`"${name}" must hold numbers or "nan", "inf", "-inf", not ${found(item)}`);
  }
  if (x === item && !Number.isFinite(x)) refuseGraph(`"${name}" holds a number too large for a float`);
  return x;
}

function readText(item, name) {
  if (typeof item !== "string") refuseGraph(`"${name}" must hold text, not ${found(item)}`);
  return item;
}

function readObject(raw, name) {
  const item = raw[name];
  if (found(item) !== "an object") refuseGraph(`"${name}" must be an object, not ${found(item)}`);
  return Object.entries(item);
}

/** What some nodes have: an object from ids, as text, to something, as [id, something]. */
function readSparse(raw, name, read) {
  return readObject(raw, name).map(([key, item]) => {
    if (!/^\d+$/.test(key)) refuseGraph(`"${name}" has the key ${found(key)}, which is not a node id`);
    return [readIndex(Number(key), name, raw.nodes), read(item, name)];
  });
}

function readShape(item, name) {
  if (!Array.isArray(item)) refuseGraph(`"${name}" must hold lists of sizes, not ${found(item)}`);
  return item.map((size) => readIndex(size, name, Infinity));
}

function readFormulas(raw, name) {
  const formulas = new Map();
  for (const [op, item] of readObject(raw, name)) {
    if (!Array.isArray(item) || item.length !== 2 || !Array.isArray(item[1])) {
      refuseGraph(`"${name}" must hold pairs [value, [derivatives]], not ${found(item)}`);
    }
    const derivatives = item[1].map((text) => readText(text, name));
    formulas.set(op, { formula: readText(item[0], name), derivatives });
  }
  return formulas;
}

/** The entries of a table that a column refers to, as [table, column]. */
function readTable(raw, table, column, read) {
  const entries = readList(raw, table).map((item) => read(item, table));
  return readColumn(raw, column).map((k) => entries[readIndex(k, column, entries.length)]);
}

function readKind(item, name) {
  if (!Array.isArray(item) || item.length !== 2) {
    refuseGraph(`"${name}" must hold pairs [operation, symbol], not ${found(item)}`);
  }
  return [readText(item[0], name), readText(item[1], name)];
}

/** Write numbers or null into `numbers` from a place on, nan for null, and into `known` which there were. */
function readOptional(items, name, numbers, known, place) {
  for (const item of items) {
    known[place] = item === null ? 0 : 1;
    numbers[place++] = item === null ? NaN : readNumber(item, name);
  }
}

/**
 * The graph of a parsed Graph JSON (docs/graph-json.md). Throws an Error with the reason for anything else.
 *
 * Besides the columns it has `shapes` (id to list of sizes), `notes` (id to text) and `formulas` (the name of
 * an operation outside of RULES to `{ formula, derivatives }`), each a Map.
 */
export function readGraph(raw) {
  if (!raw || typeof raw !== "object" || raw.format !== "glassgrad.graph") {
    refuseGraph('this is not a glassgrad graph: it needs "format": "glassgrad.graph" at the top');
  }
  if (raw.version !== 1) {
    refuseGraph(`graph JSON version ${found(raw.version)} cannot be read; this viewer reads version 1`);
  }
  const size = readIndex(raw.nodes, "nodes", Infinity);
  const kinds = readTable(raw, "kinds", "kind", readKind);
  const rows = readRows(raw, "operands");
  const slopes = readRows(raw, "partials");
  const roots = readList(raw, "roots").map((item) => readIndex(item, "roots", size));
  if (!roots.length) refuseGraph("a graph needs at least one root");
  const start = new Int32Array(size + 1);
  for (let i = 0; i < size; i++) {
    if (rows[i].length && kinds[i][0] === "leaf") refuseGraph(`node ${i} is a leaf and cannot have operands`);
    if (slopes[i].length !== rows[i].length) {
      refuseGraph(`node ${i} has ${rows[i].length} operands but ${slopes[i].length} local derivatives`);
    }
    start[i + 1] = start[i] + rows[i].length;
  }
  const graph = {
    size,
    roots,
    start,
    ops: kinds.map((kind) => kind[0]),
    symbols: kinds.map((kind) => kind[1]),
    operand: new Int32Array(start[size]),
    values: Float64Array.from(readColumn(raw, "values"), (item) => readNumber(item, "values")),
    grads: new Float64Array(size),
    known: new Uint8Array(size),
    partials: new Float64Array(start[size]),
    partialKnown: new Uint8Array(start[size]),
    labels: new Array(size).fill(""),
    scopes: readTable(raw, "scopes", "scope", readText),
    wanted: new Uint8Array(size).fill(1),
    shapes: new Map(readSparse({ shapes: {}, ...raw }, "shapes", readShape)),
    notes: new Map(readSparse({ notes: {}, ...raw }, "notes", readText)),
    formulas: readFormulas({ formulas: {}, ...raw }, "formulas"),
  };
  readOptional(readColumn(raw, "grads"), "grads", graph.grads, graph.known, 0);
  for (let i = 0; i < size; i++) {
    readOptional(slopes[i], "partials", graph.partials, graph.partialKnown, start[i]);
    rows[i].forEach((item, k) => {
      const below = readIndex(item, "operands", Infinity);
      if (below >= i) refuseGraph(`node ${i} has operand ${below}: operands come before what they make`);
      graph.operand[start[i] + k] = below;
    });
  }
  for (const [i, label] of readSparse(raw, "labels", readText)) graph.labels[i] = label;
  for (const item of readList(raw, "constants")) graph.wanted[readIndex(item, "constants", size)] = 0;
  return graph;
}

// ---- forward ---------------------------------------------------------------------------------------------

const plans = new WeakMap();

/** For each node its row of RULES; null for leaves and for what is opaque. */
function planOf(graph) {
  let plan = plans.get(graph);
  if (!plan) {
    plan = graph.ops.map((op, i) => {
      const n = graph.start[i + 1] - graph.start[i];
      const rule = n ? RULES[op] : null;
      const fits = rule && (rule.operands.length ? rule.operands.length === n : op !== "dot" || n % 2 === 0);
      return fits && !touchesTensor(graph, i) ? rule : null;
    });
    plans.set(graph, plan);
  }
  return plan;
}

function touchesTensor(graph, i) {
  if (!graph.shapes.size) return false;
  const operands = graph.operand.subarray(graph.start[i], graph.start[i + 1]);
  return graph.shapes.has(i) || operands.some((below) => graph.shapes.has(below));
}

/** Mark the operations that cannot be recomputed: a Uint8Array. */
export function opaque(graph) {
  const plan = planOf(graph);
  return Uint8Array.from(graph.ops, (op, i) => (op === "leaf" || plan[i] ? 0 : 1));
}

/** Recompute, in place, the values of all operations from those of the leaves. Opaque ones keep theirs. */
export function evaluate(graph, values) {
  const { size, start, operand } = graph;
  const plan = planOf(graph);
  for (let i = 0; i < size; i++) {
    const rule = plan[i];
    if (!rule) continue;
    const e = start[i];
    const a = values[operand[e]];
    const count = rule.operands.length;
    if (count === 1) values[i] = rule.value(a);
    else if (count === 2) values[i] = rule.value(a, values[operand[e + 1]]);
    else if (count === 3) values[i] = rule.value(a, values[operand[e + 1]], values[operand[e + 2]]);
    else values[i] = rule.value(operandsOf(graph, values, i));
  }
}

/** The values of a node's operands, as a new Float64Array. */
function operandsOf(graph, values, i) {
  const below = graph.operand.subarray(graph.start[i], graph.start[i + 1]);
  return Float64Array.from(below, (k) => values[k]);
}

/**
 * Compute, in place, all local derivatives at these values. Those of opaque operations stay as they are, and
 * so does nan where nobody wants one: by a constant that has none in the snapshot.
 */
export function differentiate(graph, values, partials) {
  const { size, start, operand, wanted, partialKnown } = graph;
  const plan = planOf(graph);
  for (let i = 0; i < size; i++) {
    const rule = plan[i];
    if (!rule) continue;
    const first = start[i];
    const y = values[i];
    const count = rule.operands.length;
    if (!count) {
      rule.partials(operandsOf(graph, values, i), y, partials.subarray(first, start[i + 1]));
      continue;
    }
    const a = values[operand[first]];
    const b = count > 1 ? values[operand[first + 1]] : 0;
    for (let k = 0; k < count; k++) {
      const e = first + k;
      if (!wanted[operand[e]] && !partialKnown[e]) continue;
      const slope = rule.partials[k];
      if (count === 1) partials[e] = slope(a, y);
      else if (count === 2) partials[e] = slope(a, b, y);
      else partials[e] = slope(a, b, values[operand[first + 2]], y);
    }
  }
}

// ---- back ------------------------------------------------------------------------------------------------

/**
 * The derivative of the root by every node, from one sweep back: a Float64Array.
 *
 * As in sweep.py: a node that requires no gradient gets none, and a gradient of exactly 0 is passed on as 0
 * even through an infinite or undefined derivative. Through an opaque operation whose local derivative is
 * unknown it is nan, that is, unknown.
 */
export function sweep(graph, partials, root) {
  const { size, start, operand, wanted } = graph;
  const grads = new Float64Array(size);
  grads[root] = wanted[root];
  for (let i = root; i >= 0; i--) {
    const g = grads[i];
    if (g === 0) continue;
    for (let e = start[i]; e < start[i + 1]; e++) {
      if (wanted[operand[e]]) grads[operand[e]] += g * partials[e];
    }
  }
  return grads;
}

/** Mark the nodes for which a sweep from the root computes a gradient, 0 or not: a Uint8Array. */
export function reached(graph, root) {
  const { size, start, operand, wanted } = graph;
  const marks = new Uint8Array(size);
  marks[root] = wanted[root];
  for (let i = root; i >= 0; i--) {
    if (!marks[i]) continue;
    for (let e = start[i]; e < start[i + 1]; e++) marks[operand[e]] |= wanted[operand[e]];
  }
  return marks;
}

/** All three passes from the leaves among these values: new arrays `{ values, partials, grads }`. */
export function recompute(graph, leaves, root) {
  const values = leaves.slice();
  const partials = graph.partials.slice();
  evaluate(graph, values);
  differentiate(graph, values, partials);
  return { values, partials, grads: sweep(graph, partials, root) };
}

/**
 * The derivative of the root by a leaf from values alone, `{ derivative, step }`: what the root changes by
 * from leaf - step to leaf + step. The step is the cube root of 2**-53, times the leaf's size where that is
 * above 1: there the errors of the difference and of rounding are alike. A leaf below 1 from which it leads
 * out of a function's domain is given a step in proportion to its size.
 */
export function centralDifference(graph, values, leaf, root) {
  const work = values.slice();
  const x = values[leaf];
  const at = (moved) => {
    work[leaf] = moved;
    evaluate(graph, work);
    return work[root];
  };
  const size = Math.abs(x);
  let result = { derivative: NaN, step: NaN };
  for (const scale of size > 0 && size < 1 ? [1, size] : [Math.max(1, size)]) {
    const up = x + 4.8e-6 * scale;
    const down = x - 4.8e-6 * scale;
    result = { derivative: (at(up) - at(down)) / (up - down), step: (up - down) / 2 };
    if (Number.isFinite(result.derivative)) break;
  }
  return result;
}
