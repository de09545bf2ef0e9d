// Which numbers the page shows: those of the snapshot, of edited leaves, of a step of training, or of a step of the chain rule.
// Guarantees: the snapshot itself is never changed, so a reset is exact; where nothing was edited the numbers are Python's
// own; a gradient that nobody computed is unknown, never 0.

import { opaque, reached, recompute, sweep } from "./engine.js";
import { makeSteps, stepAt } from "./steps.js";

/** A document: the snapshot and what the reader did to it. */
export function openDocument(graph, training) {
  const root = graph.roots[0];
  const steps = makeSteps(graph, root);
  const stepOf = new Int32Array(graph.operand.length).fill(-1); // when an edge's contribution arrives
  for (let k = 0; 2 * k < steps.backward.length; k++) stepOf[steps.backward[2 * k + 1]] = steps.seedAt + 1 + k;
  const doc = {
    graph,
    root,
    steps,
    stepOf,
    training,
    edits: new Map(),
    epoch: training ? training.steps.length - 1 : null,
    step: null,
  };
  doc.fixed = opaque(graph);
  doc.below = reached(graph, root);
  doc.computable = computable(doc);
  refresh(doc);
  return doc;
}

/** Nodes below the root whose gradient the page can compute: not through an operation that hides its derivatives. */
function computable({ graph, root, below, fixed }) {
  const found = below.slice();
  for (let i = root; i >= 0; i--) {
    if (!below[i]) continue;
    for (let e = graph.start[i]; e < graph.start[i + 1]; e++) {
      if (!found[i] || (fixed[i] && !graph.partialKnown[e])) found[graph.operand[e]] = 0;
    }
  }
  return found;
}

/** Computes values, local derivatives and gradients anew after an edit, or a move along the training. */
export function refresh(doc) {
  const { graph, training } = doc;
  doc.pristine = !doc.edits.size && doc.epoch === null;
  const values = graph.values.slice();
  if (doc.epoch !== null) training.ids.forEach((id, k) => (values[id] = training.values[doc.epoch][k]));
  for (const [leaf, x] of doc.edits) values[leaf] = x;
  const { partials } = graph;
  const fresh = doc.pristine
    ? { values, partials, grads: sweep(graph, partials, doc.root) }
    : recompute(graph, values, doc.root);
  doc.values = fresh.values;
  doc.partials = fresh.partials;
  doc.pass = fresh.grads;
}

/** What the cards and lines show now. `flow(e)` is what edge `e` adds to its operand's gradient, or null. */
export function numbersOf(doc) {
  const { graph, partials, stepOf } = doc;
  const usable = (e, i) => graph.wanted[graph.operand[e]] && (graph.partialKnown[e] || !doc.fixed[i]);
  if (doc.step !== null) {
    const state = stepAt(graph, doc.steps, doc.values, partials, doc.step);
    const flow = (e, i) =>
      stepOf[e] >= 0 && stepOf[e] <= doc.step && usable(e, i) ? product(state.grads[i], partials[e]) : null;
    return { values: doc.values, grads: state.grads, known: state.known, shown: state.shown, flow, state };
  }
  const grads = doc.pristine ? graph.grads : doc.pass;
  const known = doc.pristine ? graph.known : doc.computable;
  const flow = (e, i) => (known[i] && doc.below[i] && usable(e, i) ? product(grads[i], partials[e]) : null);
  return { values: doc.values, grads, known, shown: null, flow, state: null };
}

/** A gradient of exactly zero is passed on as zero, even through an infinite derivative. */
function product(gradient, partial) {
  return gradient === 0 ? 0 : gradient * partial;
}

/** Largest size of the gradients and of the contributions in sight, which bars and line widths are relative to. */
export function scales(doc, numbers) {
  let topGrad = 0;
  let topFlow = 0;
  const { graph } = doc;
  for (let i = 0; i < graph.size; i++) {
    if (numbers.known[i] && i !== doc.root) topGrad = Math.max(topGrad, size(numbers.grads[i]));
    for (let e = graph.start[i]; e < graph.start[i + 1]; e++) {
      const flow = numbers.flow(e, i);
      if (flow !== null) topFlow = Math.max(topFlow, size(flow));
    }
  }
  return { topGrad: topGrad || 1, topFlow: topFlow || 1 };
}

function size(x) {
  return Number.isFinite(x) ? Math.abs(x) : 0;
}

/** Whether a leaf's number can be edited: every operation that depends on it is one that the page can compute. */
export function editable(doc, leaf) {
  const { graph, fixed } = doc;
  if (graph.ops[leaf] !== "leaf" || graph.shapes.get(leaf)) return false;
  const depends = new Uint8Array(graph.size);
  depends[leaf] = 1;
  for (let i = leaf + 1; i < graph.size; i++) {
    for (let e = graph.start[i]; e < graph.start[i + 1] && !depends[i]; e++) depends[i] = depends[graph.operand[e]];
    if (depends[i] && fixed[i]) return false;
  }
  return true;
}
