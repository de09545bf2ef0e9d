// Ranks of a directed graph, and an order within ranks that keeps crossings few: viz/order.py in JavaScript.
//
// Guarantees: the same ranks, lanes, order and crossings as in Python, because both take the same steps in
// the same sequence; effort is bounded by a count of steps, and by the clock only where a deadline is given;
// nothing recurses. Why the steps are these is said there.
//
// Edges stand flat, source and target in turns. Neighbours stand in rows, one behind the other: those of v
// are `link[start[v]]` to `link[start[v + 1] - 1]`.

const ORDER_SWEEPS = 60;
const ORDER_WORK = 800000; // (boxes + lanes) × sweeps
const ORDER_LANES = 120000; // beyond it, the longest edges run along the border instead of through the ranks
const ORDER_PATIENCE = 8; // sorts by medians that may bring nothing better before the search gives up

/** By node, the numbers of the edges that it is the source of (side 0) or the target of (side 1). */
export function edgeRows(n, edges, side) {
  const start = new Int32Array(n + 1),
    item = new Int32Array(edges.length >> 1);
  for (let k = side; k < edges.length; k += 2) start[edges[k] + 1]++;
  for (let i = 0; i < n; i++) start[i + 1] += start[i];
  const at = start.slice(0, n);
  for (let k = 0; k < item.length; k++) item[at[edges[2 * k + side]]++] = k;
  return { start, item };
}

/**
 * The rank of every node: sources low, every edge upwards. Throws on a cycle. `pins` may hold sources in a first
 * rank of their own (-1) and sinks in a last one (1), as ports of a frame are; Python has no frames and no pins.
 */
export function rankGraph(n, edges, pins = null) {
  const out = edgeRows(n, edges, 0),
    into = edgeRows(n, edges, 1);
  const ranks = new Int32Array(n),
    missing = new Int32Array(n),
    queue = new Int32Array(n);
  let filled = 0;
  for (let i = 0; i < n; i++) {
    missing[i] = into.start[i + 1] - into.start[i];
    if (!missing[i]) queue[filled++] = i;
  }
  for (let at = 0; at < filled; at++) {
    const a = queue[at],
      after = ranks[a] + 1;
    for (let j = out.start[a]; j < out.start[a + 1]; j++) {
      const b = edges[2 * out.item[j] + 1];
      if (ranks[b] < after) ranks[b] = after;
      if (!--missing[b]) queue[filled++] = b;
    }
  }
  if (filled < n) throw new Error("the graph to lay out has a cycle");
  while (filled) {
    const i = queue[--filled],
      consumers = out.start[i + 1] - out.start[i];
    let inner = 0,
      nearest = Infinity;
    for (let j = into.start[i]; j < into.start[i + 1]; j++) {
      const u = edges[2 * into.item[j]];
      if (into.start[u] < into.start[u + 1]) inner++;
    }
    if (!consumers || inner > consumers || (pins && pins[i] < 0)) continue;
    for (let j = out.start[i]; j < out.start[i + 1]; j++) {
      nearest = Math.min(nearest, ranks[edges[2 * out.item[j] + 1]]);
    }
    ranks[i] = nearest - 1;
  }
  return pins ? pinned(ranks, pins) : ranks;
}

function pinned(ranks, pins) {
  const first = pins.includes(-1) ? 1 : 0;
  let last = 0;
  for (let i = 0; i < ranks.length; i++) if (!pins[i]) last = Math.max(last, (ranks[i] += first));
  for (let i = 0; i < ranks.length; i++) if (pins[i]) ranks[i] = pins[i] < 0 ? 0 : last + 1;
  return ranks;
}

/**
 * `{ edges, reversed }`: a copy of the edges in which those that close a cycle are turned round, so that no
 * cycle is left, and which ones they are. These are the back edges of a walk in depth, sources first; a graph
 * without cycles has none. Throws on an edge from a node to itself, which no direction mends.
 */
export function acyclic(n, edges) {
  const out = edgeRows(n, edges, 0),
    at = out.start.slice(0, n);
  const turned = Int32Array.from(edges),
    reversed = new Uint8Array(edges.length >> 1);
  const entered = new Uint8Array(n),
    open = new Uint8Array(n),
    stack = new Int32Array(n);
  const target = new Uint8Array(n);
  for (let k = 0; k < reversed.length; k++) target[edges[2 * k + 1]] = 1;
  for (let turn = 0; turn < 2; turn++) {
    for (let root = 0; root < n; root++) {
      if (entered[root] || (!turn && target[root])) continue;
      let depth = 0;
      stack[0] = root;
      entered[root] = open[root] = 1;
      while (depth >= 0) {
        const v = stack[depth];
        if (at[v] === out.start[v + 1]) {
          open[v] = 0;
          depth--;
          continue;
        }
        const k = out.item[at[v]++],
          w = edges[2 * k + 1];
        if (w === v) throw new Error(`node ${v} has an edge to itself: leave it out of the layout`);
        if (open[w]) {
          reversed[k] = 1;
          turned[2 * k] = w;
          turned[2 * k + 1] = v;
        } else if (!entered[w]) {
          entered[w] = open[w] = 1;
          stack[++depth] = w;
        }
      }
    }
  }
  return { edges: turned, reversed };
}

/**
 * Ranks and, for every rank, an order with few crossings: `{ n, ranks, layers, joints, chains, detours, succ,
 * pred, crossings }`.
 *
 * `edges` are flat, of a graph without cycles. Ids from n on are lanes, places where a long edge passes a
 * rank. `joints` holds for every edge the id next to its target, `chains` the lanes of a source, `detours`
 * the edges that got no lanes because there would be more than `lanes`, `succ` and `pred` the links between
 * adjacent ranks. `sweeps` is how often every id may be looked at, less often in big graphs; `deadline` a
 * time of performance.now() after which no sort and no round of swaps begins; `progress` is called with what
 * part of the effort is spent.
 */
export function orderGraph(n, edges, options = {}) {
  const graph = withLanes(n, edges, options.lanes ?? ORDER_LANES, options.pins);
  return { n, ...graph, ...fewCrossings(graph, options) };
}

/** Ranks of boxes and lanes, and the links between adjacent ranks. */
function withLanes(n, edges, lanes, pins) {
  const near = rankGraph(n, edges, pins),
    out = edgeRows(n, edges, 0),
    m = edges.length >> 1;
  const far = new Int32Array(n),
    joints = new Int32Array(m),
    chains = new Map(),
    detours = [];
  for (let k = 0; k < m; k++) far[edges[2 * k]] = Math.max(far[edges[2 * k]], near[edges[2 * k + 1]]);
  const reach = longestChain(near, far, lanes);
  let total = n;
  const lengthOf = (a) => (far[a] - near[a] - 1 <= reach ? Math.max(far[a] - near[a] - 1, 0) : 0);
  for (let a = 0; a < n; a++) total += lengthOf(a);
  const ranks = new Int32Array(total),
    links = new Int32Array(2 * (total - n + m));
  ranks.set(near);
  let used = 0,
    lane = n;
  for (let a = 0; a < n; a++) {
    const first = near[a] + 1,
      length = lengthOf(a),
      chain = new Int32Array(length);
    for (let i = 0; i < length; i++) {
      links[used++] = i ? lane - 1 : a;
      links[used++] = chain[i] = lane;
      ranks[lane++] = first + i;
    }
    if (length) chains.set(a, chain);
    for (let j = out.start[a]; j < out.start[a + 1]; j++) {
      const k = out.item[j],
        b = edges[2 * k + 1],
        place = near[b] - first;
      joints[k] = place && length ? chain[place - 1] : a;
      if (place && !length) {
        detours.push(k);
        continue;
      }
      links[used++] = joints[k];
      links[used++] = b;
    }
  }
  const neighbours = (side) => {
    const { start, item } = edgeRows(total, links.subarray(0, used), side);
    return { start, link: item.map((k) => links[2 * k + 1 - side]) };
  };
  return { ranks, joints, chains, detours, succ: neighbours(0), pred: neighbours(1) };
}

/** The longest chain of lanes that is allowed, so that all of them together stay within `lanes`. */
function longestChain(ranks, far, lanes) {
  const spans = far
    .map((last, a) => last - ranks[a] - 1)
    .filter((span) => span > 0)
    .sort();
  let total = 0;
  for (const span of spans) {
    total += span;
    if (total > lanes) return span - 1;
  }
  return spans.length ? spans[spans.length - 1] : 0;
}

/** The best order of the layers that was met, and its crossings. */
function fewCrossings(graph, { sweeps = ORDER_SWEEPS, deadline = Infinity, progress }) {
  const size = graph.ranks.length,
    budget = Math.min(sweeps * size, Math.max(ORDER_WORK, 8 * size));
  const search = newSearch(graph),
    { first, order } = search,
    { pred, succ } = graph;
  const late = () => performance.now() >= deadline;
  const swapUpTo = (looks) => swapNeighbours(search, () => search.looks >= looks || late());
  let best = Infinity,
    kept = order;
  const keep = () => {
    const found = countCrossings(search);
    if (found < best) {
      best = found;
      kept = order.slice();
    }
    if (progress) progress(best ? Math.min(search.looks / budget, 1) : 1);
    return found;
  };
  const used = (v) => succ.start[v + 1] - succ.start[v],
    ids = graph.ranks.map((_, v) => v);
  const sinks = ids.filter((v) => !used(v)),
    sources = ids.filter((v) => pred.start[v] === pred.start[v + 1]);
  const byUse = sources.slice().sort((a, b) => used(a) - used(b)); // what is used often makes room
  let lowest = Infinity,
    start = order;
  // From the sinks first, operands left to right: the order of a picture in which nothing has to cross.
  for (const [roots, near] of [
    [sinks, pred],
    [sources, succ],
    [byUse, succ],
  ]) {
    if (lowest < Infinity && (!best || late())) break;
    putOrder(search, walkFrom(search, roots, near));
    keep();
    swapUpTo(search.looks + Math.min(Math.floor(budget / 6), ORDER_WORK / 10));
    const found = keep();
    if (found < lowest) {
      lowest = found;
      start = order.slice();
    }
  }
  if (best) {
    putOrder(search, start);
    swapUpTo(budget);
    lowest = keep();
  }
  for (let sort = 0, idle = 0; best && idle < ORDER_PATIENCE && search.looks < budget && !late(); sort++) {
    // Down while that may help on its own, then up and down in turns.
    sortByMedians(search, sort < 4 || sort % 2 === 1, sort % 4 < 2);
    swapUpTo(budget);
    const found = keep();
    idle = found < lowest ? 0 : idle + 1;
    lowest = Math.min(lowest, found);
  }
  const layers = Array.from({ length: first.length - 1 }, (_, r) => kept.slice(first[r], first[r + 1]));
  return { layers, crossings: best };
}

/**
 * The state of a search. `order` holds the layers one behind the other, that of rank r from `first[r]` on;
 * `pos[v]` is v's place in its layer; `stamp[r]` changes with the order of layer r; `pred` and `succ` are
 * copies whose rows are sorted by place again and again; `looks` counts the effort, ids looked at for a sort
 * or for swaps.
 */
function newSearch({ ranks, succ, pred }) {
  const total = ranks.length,
    count = ranks.reduce((most, r) => Math.max(most, r + 1), 0);
  const first = new Int32Array(count + 1),
    ints = (length) => new Int32Array(length);
  for (let v = 0; v < total; v++) first[ranks[v] + 1]++;
  for (let r = 0; r < count; r++) first[r + 1] += first[r];
  return {
    ranks,
    first,
    order: ints(total),
    pos: ints(total),
    looks: 0,
    succ: { start: succ.start, link: succ.link.slice() },
    pred: { start: pred.start, link: pred.link.slice() },
    stamp: ints(count),
    below: ints(count).fill(-1),
    above: ints(count),
    counts: new Float64Array(count),
    tree: ints(total + 1),
    key: new Float64Array(total),
    free: ints(total),
    spare: ints(total),
  };
}

/** All ids in the order of their layers, in these as a walk meets them: depth first, from root to root. */
function walkFrom({ ranks, first }, roots, { start, link }) {
  const met = new Int32Array(ranks.length),
    end = first.slice(),
    seen = new Uint8Array(ranks.length);
  const stack = new Int32Array(link.length + 1);
  for (const root of roots) {
    let depth = 1;
    stack[0] = root;
    while (depth) {
      const v = stack[--depth];
      if (seen[v]) continue;
      seen[v] = 1;
      met[end[ranks[v]]++] = v;
      for (let j = start[v + 1]; j-- > start[v];) stack[depth++] = link[j];
    }
  }
  return met;
}

/** Make this the order. */
function putOrder({ ranks, first, order, pos, stamp }, ids) {
  order.set(ids);
  for (let i = 0; i < order.length; i++) pos[order[i]] = i - first[ranks[order[i]]];
  for (let r = 0; r < stamp.length; r++) stamp[r]++;
}

/** Sort v's neighbours by place. Mostly they are sorted already, but for a few that moved. */
function settle({ ranks, first, order, pos, spare }, { start, link }, v) {
  const from = start[v],
    to = start[v + 1];
  if (to - from > 40) {
    const base = first[ranks[link[from]]],
      places = spare.subarray(0, to - from);
    for (let i = from; i < to; i++) places[i - from] = pos[link[i]];
    places.sort();
    for (let i = from; i < to; i++) link[i] = order[base + places[i - from]];
    return;
  }
  for (let i = from + 1; i < to; i++) {
    const u = link[i],
      place = pos[u];
    let j = i;
    for (; j > from && pos[link[j - 1]] > place; j--) link[j] = link[j - 1];
    link[j] = u;
  }
}

/** The weighted median of Gansner et al.: between the two middle places, nearer to the denser side. */
function medianPlace(pos, { start, link }, v) {
  const from = start[v],
    last = start[v + 1] - 1,
    count = last - from + 1,
    k = from + (count >> 1);
  const high = pos[link[k]];
  if (count & 1) return high;
  const low = pos[link[k - 1]],
    left = low - pos[link[from]],
    right = pos[link[last]] - high;
  return left + right ? (low * right + high * left) / (left + right) : (low + high) / 2;
}

/** Sort every layer by the medians of the layer before; ties keep or reverse their order. */
function sortByMedians(search, down, rising) {
  const { first, order, pos, stamp, key, free } = search,
    near = down ? search.pred : search.succ;
  const { start } = near,
    count = stamp.length;
  search.looks += order.length;
  for (let step = 0; step < count; step++) {
    const r = down ? step : count - 1 - step,
      begin = first[r],
      end = first[r + 1];
    let keyed = 0;
    for (let i = begin; i < end && end - begin > 1; i++) {
      const v = order[i];
      if (start[v] === start[v + 1]) continue;
      settle(search, near, v);
      key[v] = medianPlace(pos, near, v);
      free[keyed++] = v;
    }
    if (keyed < 2) continue;
    sortByKey(search, keyed, rising);
    let next = 0,
      changed = false;
    for (let i = begin; i < end; i++) {
      const v = order[i];
      if (start[v] === start[v + 1]) continue;
      const w = free[next++];
      if (w === v) continue;
      order[i] = w;
      pos[w] = i - begin;
      changed = true;
    }
    if (changed) stamp[r]++;
  }
}

/** Merge sort of the first `count` of `free`; ties keep their order where `rising`, else they reverse it. */
function sortByKey({ key, free, spare }, count, rising) {
  const after = rising ? (a, b) => key[a] > key[b] : (a, b) => key[a] >= key[b];
  const run = 12;
  for (let from = 0; from < count; from += run) {
    const to = Math.min(from + run, count);
    for (let i = from + 1; i < to; i++) {
      const v = free[i];
      let j = i;
      for (; j > from && after(free[j - 1], v); j--) free[j] = free[j - 1];
      free[j] = v;
    }
  }
  for (let width = run; width < count; width *= 2) {
    for (let from = 0; from + width < count; from += 2 * width) {
      const middle = from + width,
        to = Math.min(middle + width, count);
      if (!after(free[middle - 1], free[middle])) continue;
      for (let i = from; i < middle; i++) spare[i] = free[i];
      for (let i = from, j = middle, at = from; i < middle; at++) {
        free[at] = j < to && after(spare[i], free[j]) ? free[j++] : spare[i++];
      }
    }
  }
}

/** Swap neighbours while that removes crossings and `spent()` is false: rounds to and fro, in turns. */
function swapNeighbours(search, spent) {
  const count = search.stamp.length;
  let dirty = new Uint8Array(count).fill(1),
    some = true;
  for (let forth = true; some && !spent(); forth = !forth) {
    const touched = new Uint8Array(count);
    some = false;
    for (let r = 0; r < count; r++) {
      if (!dirty[r] || !swapInLayer(search, r, forth)) continue;
      // A layer can only improve again if it or a neighbour changed.
      touched[Math.max(r - 1, 0)] = touched[r] = touched[Math.min(r + 1, count - 1)] = 1;
      some = true;
    }
    dirty = touched;
  }
}

/** Pass once over a layer, forth or back, and swap neighbours where that gains. True if two were. */
function swapInLayer(search, r, forth) {
  const { first, order, pos, stamp, pred, succ } = search,
    begin = first[r],
    last = first[r + 1] - 1;
  let moved = false;
  search.looks += last + 1 - begin;
  for (let i = begin; i <= last && begin < last; i++) {
    settle(search, pred, order[i]);
    settle(search, succ, order[i]);
  }
  for (let step = begin; step < last; step++) {
    const i = forth ? step : last - 1 - (step - begin),
      v = order[i],
      w = order[i + 1];
    if (gainOfSwap(pos, pred, v, w) + gainOfSwap(pos, succ, v, w) <= 0) continue;
    order[i] = w;
    order[i + 1] = v;
    pos[w] = i - begin;
    pos[v] = i + 1 - begin;
    moved = true;
  }
  if (moved) stamp[r]++;
  return moved;
}

/** How many crossings on one side go away when v, now before w, is put behind it. Their rows are sorted. */
function gainOfSwap(pos, { start, link }, v, w) {
  const from = start[w],
    end = start[w + 1],
    length = end - from;
  let gain = 0,
    below = from,
    upto = from; // how many of w's neighbours lie before x; how many before or at x
  for (let i = start[v]; i < start[v + 1]; i++) {
    const x = pos[link[i]];
    while (below < end && pos[link[below]] < x) below++;
    if (upto < below) upto = below;
    while (upto < end && pos[link[upto]] <= x) upto++;
    gain += below - from - (length - (upto - from));
  }
  return gain;
}

/** Pairs of links that cross; counted only between layers that changed since the last count. */
function countCrossings(search) {
  const { stamp, below, above, counts } = search;
  let total = 0;
  for (let r = 0; r + 1 < stamp.length; r++) {
    if (below[r] !== stamp[r] || above[r] !== stamp[r + 1]) {
      counts[r] = crossingsAfter(search, r);
      below[r] = stamp[r];
      above[r] = stamp[r + 1];
    }
    total += counts[r];
  }
  return total;
}

function crossingsAfter({ first, order, pos, succ: { start, link }, tree }, r) {
  // Every link is compared with those before it that end beyond it: a Fenwick tree counts them.
  const size = first[r + 2] - first[r + 1];
  if (size < 2 || first[r + 1] - first[r] < 2) return 0;
  tree.fill(0, 0, size + 1);
  let count = 0,
    seen = 0;
  for (let i = first[r]; i < first[r + 1]; i++) {
    const from = start[order[i]],
      to = start[order[i] + 1];
    for (let j = from; j < to; j++) {
      let upto = 0;
      for (let at = pos[link[j]] + 1; at; at &= at - 1) upto += tree[at];
      count += seen - upto;
    }
    for (let j = from; j < to; j++) {
      for (let at = pos[link[j]] + 1; at <= size; at += at & -at) tree[at]++;
    }
    seen += to - from;
  }
  return count;
}
