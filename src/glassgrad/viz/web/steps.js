// Forward and backward one step at a time, as viz/steps.py: what is known after so many steps, and a
// sentence.
//
// The state is a function of the graph, its numbers and the number of steps alone. Every backward step
// changes one gradient, and the steps add in the order of a sweep, so the last one leaves the very
// bits of a sweep. At step 0 only leaves have values; then one operation below the root appears in
// each; then the root's gradient becomes 1; then one contribution grad[operand] += grad[node] *
// partial in each, nodes descending, operands in order, wherever both require a gradient.

import { short } from "./format.js";

/**
 * The steps for one root, from 0 to `total`: `forward` has the operations below it in ascending order,
 * `backward` the pairs (node, edge) of its contributions one after the other, `below` tells what takes part.
 */
export function makeSteps(graph, root = graph.roots[0]) {
  const { size, start, operand, wanted } = graph;
  const below = new Uint8Array(size);
  const forward = [];
  const backward = [];
  below[root] = 1;
  for (let i = root; i >= 0; i--) {
    if (!below[i]) continue;
    for (let e = start[i]; e < start[i + 1]; e++) {
      below[operand[e]] = 1;
      if (wanted[i] && wanted[operand[e]]) backward.push(i, e);
    }
    if (graph.ops[i] !== "leaf") forward.push(i);
  }
  const seedAt = forward.length + 1;
  return {
    root,
    below,
    forward: Int32Array.from(forward.reverse()),
    backward: Int32Array.from(backward),
    seedAt,
    total: seedAt + backward.length / 2,
  };
}

/**
 * The state after `index` steps. `phase` is "start", "forward", "seed" or "backward"; `node`, `edge` and
 * `operand` (-1 where there is none) say what the last step was about, `before`, `after`, `factor` and
 * `partial` its numbers; `shown`, `grads` and `known` have an entry for each node: value visible, gradient
 * so far, gradient begun.
 *
 * `how` of a backward step: "product"; "zero" where the node's gradient is exactly 0, which is passed on
 * as 0 even through an infinite derivative. Functions that keep their derivatives to themselves have no
 * product: "given" takes the operand's gradient over from the snapshot, whole, "included" says that this
 * was done in an earlier step, and "unknown" that the snapshot has none.
 */
export function stepAt(graph, steps, values, partials, index) {
  const { size, operand, partialKnown } = graph;
  const { forward, backward, seedAt, root } = steps;
  const at = Math.max(0, Math.min(index, steps.total));
  const shown = Uint8Array.from(graph.ops, (op) => (op === "leaf" ? 1 : 0));
  const grads = new Float64Array(size);
  const known = new Uint8Array(size);
  const state = {
    index: at,
    phase: "start",
    node: -1,
    edge: -1,
    operand: -1,
    shown,
    grads,
    known,
    before: 0,
    after: 0,
    factor: 0,
    partial: 0,
    how: "",
  };
  for (let k = 0; k < Math.min(at, forward.length); k++) shown[forward[k]] = 1;
  if (at < seedAt) {
    if (at > 0) {
      state.phase = "forward";
      state.node = forward[at - 1];
    }
    return state;
  }
  grads[root] = 1;
  known[root] = 1;
  state.phase = "seed";
  state.node = root;
  state.after = 1;
  const taken = new Uint8Array(size);
  for (let k = 0; k < 2 * (at - seedAt); k += 2) {
    const node = backward[k];
    const edge = backward[k + 1];
    const target = operand[edge];
    const before = grads[target];
    const factor = grads[node];
    const missing = !graph.known[target];
    let how = "product";
    if (taken[target]) how = missing ? "unknown" : "included";
    else if (!partialKnown[edge]) {
      taken[target] = 1;
      how = missing ? "unknown" : "given";
      grads[target] = missing ? NaN : graph.grads[target];
    } else if (factor === 0) how = "zero";
    else grads[target] = before + factor * partials[edge];
    known[target] = how === "unknown" ? 0 : 1;
    if (k + 2 === 2 * (at - seedAt)) {
      const partial = partialKnown[edge] ? partials[edge] : NaN;
      const after = grads[target];
      Object.assign(state, { phase: "backward", node, edge, operand: target, how });
      Object.assign(state, { before, after, factor, partial });
    }
  }
  return state;
}

const STEP_INFIX = { __proto__: null, "+": "+", "-": "−", "*": "·", "/": "/" };
const STEP_LISTED = 4;
const STEP_ODD = /[\s\0-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]/gu;
const STEP_LEFTWARD = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/** What a sentence calls a node: its label, a constant's number, else `n` and its id. */
export function stepName(graph, i, values = graph.values) {
  if (graph.labels[i]) return stepCut(graph.labels[i]);
  return graph.ops[i] === "leaf" && !graph.wanted[i] ? stepFactor(values[i]) : `n${i}`;
}

function stepCut(text) {
  const points = [...text.slice(0, 100)];
  const line = points.slice(0, 24).join("").replace(STEP_ODD, " ") + (points.length > 24 ? "…" : "");
  return STEP_LEFTWARD.test(line) ? `\u2068${line}\u2069` : line;
}

function stepFactor(value) {
  const text = short(value);
  return text[0] === "−" ? `(${text})` : text;
}

function stepFormula(graph, i, values, inNumbers) {
  const symbol = graph.symbols[i] || graph.ops[i];
  const below = [...graph.operand.subarray(graph.start[i], graph.start[i + 1])];
  const call = (k) => (inNumbers ? short(values[k]) : stepName(graph, k, values));
  const inside = (k) => (inNumbers ? stepFactor(values[k]) : stepName(graph, k, values));
  const [a, b] = below;
  if (below.length === 2 && STEP_INFIX[symbol]) {
    return `${symbol === "+" || symbol === "-" ? call(a) : inside(a)} ${STEP_INFIX[symbol]} ${inside(b)}`;
  }
  if (below.length === 2 && graph.ops[i] === "pow") return `${inside(a)}^${inside(b)}`;
  if (below.length === 1 && graph.ops[i] === "neg") return `−${inside(a)}`;
  const listed = below.slice(0, STEP_LISTED).map(call);
  if (below.length > STEP_LISTED) listed.push("…");
  return `${stepCut(symbol)}(${listed.join(", ")})`;
}

/** Whether a node or an operand of it stands for many numbers, of which the graph has none. */
function ofTensors(graph, i) {
  const below = graph.operand.subarray(graph.start[i], graph.start[i + 1]);
  return graph.shapes?.size > 0 && (graph.shapes.has(i) || below.some((k) => graph.shapes.has(k)));
}

/**
 * What the last step did, in words and numbers. `strings` holds the templates of one language under the keys
 * "step.start", "step.forward", …; `steps` and `values` are those that `stepAt` was called with.
 */
export function stepSentence(graph, state, strings, steps, values = graph.values) {
  const facts = { root: stepName(graph, steps.root, values) };
  let key = state.phase;
  if (state.phase === "forward") {
    const i = state.node;
    facts.name = stepName(graph, i, values);
    facts.formula = stepFormula(graph, i, values, false);
    facts.numbers = stepFormula(graph, i, values, true);
    facts.value = short(values[i]);
    const few = graph.start[i + 1] - graph.start[i] <= STEP_LISTED;
    if (few && facts.numbers !== facts.formula) key = "forwardNumbers";
    if (ofTensors(graph, i)) key = "forwardTensor";
  } else if (state.phase === "backward") {
    const tensors = ofTensors(graph, state.node);
    key = tensors ? "backwardTensor" : state.how === "zero" && Number.isFinite(state.partial) ? "product" : state.how;
    facts.node = stepName(graph, state.node, values);
    facts.operand = stepName(graph, state.operand, values);
    facts.factor = stepFactor(state.factor);
    facts.partial = stepFactor(state.partial);
    facts.contribution = short(state.factor === 0 ? 0 : state.factor * state.partial);
    facts.before = short(state.before);
    facts.after = short(state.after);
  }
  return strings[`step.${key}`].replace(/\{(\w+)\}/g, (_, name) => facts[name]);
}
