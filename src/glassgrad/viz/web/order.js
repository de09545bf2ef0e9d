// Ranks of a directed graph, and an order within ranks that keeps crossings few: what viz/order.py does in Python.
//
// Guarantees: the same ranks, lanes, order and crossings as Python, because both take the same steps in the same
// sequence; effort is bounded by a count of steps, and by a deadline only where one is given; nothing recurses.
//
// Edges stand flat, source and target in turns. Neighbours are in compressed rows: those of v are
// `link[start[v]]` to `link[start[v + 1] - 1]`. While the search runs it keeps every row sorted by place.

const ORDER_SWEEPS = 24;
const ORDER_WORK = 500000; // (boxes + lanes + links) × sweeps
const ORDER_LANES = 120000; // beyond it, the longest edges run along the border instead of through the ranks

/** The edges of every node as rows of edge numbers: those that it is the source of (side 0) or target of (side 1). */
export function edgeRows(n, edges, side) {
  const start = new Int32Array(n + 1), item = new Int32Array(edges.length >> 1);
  for (let k = side; k < edges.length; k += 2) start[edges[k] + 1]++;
  for (let i = 0; i < n; i++) start[i + 1] += start[i];
  const at = start.slice(0, n);
  for (let k = 0; k < item.length; k++) item[at[edges[2 * k + side]]++] = k;
  return { start, item };
}

/** The rank of every node: sources low, every edge upwards. Throws on a cycle. */
export function rankGraph(n, edges) {
  const out = edgeRows(n, edges, 0), into = edgeRows(n, edges, 1);
  const ranks = new Int32Array(n), missing = new Int32Array(n), queue = new Int32Array(n);
  let filled = 0;
  for (let i = 0; i < n; i++) {
    missing[i] = into.start[i + 1] - into.start[i];
    if (!missing[i]) queue[filled++] = i;
  }
  for (let at = 0; at < filled; at++) {
    const a = queue[at], after = ranks[a] + 1;
    for (let j = out.start[a]; j < out.start[a + 1]; j++) {
      const b = edges[2 * out.item[j] + 1];
      if (ranks[b] < after) ranks[b] = after;
      if (!--missing[b]) queue[filled++] = b;
    }
  }
  if (filled < n) throw new Error("the graph to lay out has a cycle");
  while (filled) {
    const i = queue[--filled], consumers = out.start[i + 1] - out.start[i];
    let inner = 0, nearest = Infinity;
    for (let j = into.start[i]; j < into.start[i + 1]; j++) {
      const u = edges[2 * into.item[j]];
      if (into.start[u] < into.start[u + 1]) inner++;
    }
    if (!consumers || inner > consumers) continue;
    for (let j = out.start[i]; j < out.start[i + 1]; j++) {
      nearest = Math.min(nearest, ranks[edges[2 * out.item[j] + 1]]);
    }
    ranks[i] = nearest - 1;
  }
  return ranks;
}

/**
 * A copy of the edges in which those that close a cycle are turned round, so that none is left, and which ones these
 * are: `{ edges, reversed }`. The back edges of a walk in depth that begins at the sources; none in a graph without
 * cycles. Throws on an edge from a node to itself, which no direction mends.
 */
export function acyclic(n, edges) {
  const out = edgeRows(n, edges, 0), at = out.start.slice(0, n);
  const turned = Int32Array.from(edges), reversed = new Uint8Array(edges.length >> 1);
  const entered = new Uint8Array(n), open = new Uint8Array(n), stack = new Int32Array(n), operands = new Uint8Array(n);
  for (let k = 0; k < reversed.length; k++) operands[edges[2 * k + 1]] = 1;
  for (let turn = 0; turn < 2; turn++) {
    for (let root = 0; root < n; root++) {
      if (entered[root] || (!turn && operands[root])) continue;
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
        const k = out.item[at[v]++], w = edges[2 * k + 1];
        if (w === v) throw new Error("an edge from node " + v + " to itself cannot be laid out: leave it out");
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
 * Ranks and, for every rank, an order with few crossings.
 *
 * `edges` are flat, of a graph without cycles. `deadline` is a time of performance.now() after which no sweep and no
 * round of swaps begins. Ids from n on are lanes, places where a long edge passes a rank; `joints` holds for every
 * edge the id next to its target, `chains` the lanes of a source, `detours` the edges that got no lanes, `succ` and
 * `pred` the links between adjacent ranks.
 */
export function orderGraph(n, edges, { sweeps = ORDER_SWEEPS, lanes = ORDER_LANES, deadline, progress } = {}) {
  const graph = withLanes(n, edges, lanes);
  const { layers, crossings } = fewCrossings(graph, sweeps, deadline ?? Infinity, progress);
  return { n, ...graph, layers, crossings };
}

/** Ranks of boxes and lanes, and the links between adjacent ranks. */
function withLanes(n, edges, lanes) {
  const near = rankGraph(n, edges), out = edgeRows(n, edges, 0), m = edges.length >> 1;
  const far = new Int32Array(n), joints = new Int32Array(m), chains = new Map(), detours = [];
  for (let k = 0; k < m; k++) far[edges[2 * k]] = Math.max(far[edges[2 * k]], near[edges[2 * k + 1]]);
  const reach = longestChain(near, far, lanes);
  let total = n;
  const lengthOf = (a) => (far[a] - near[a] - 1 <= reach ? Math.max(far[a] - near[a] - 1, 0) : 0);
  for (let a = 0; a < n; a++) total += lengthOf(a);
  const ranks = new Int32Array(total), links = new Int32Array(2 * (total - n + m));
  ranks.set(near);
  let used = 0, lane = n;
  for (let a = 0; a < n; a++) {
    const first = near[a] + 1, length = lengthOf(a), chain = new Int32Array(length);
    for (let i = 0; i < length; i++) {
      links[used++] = i ? lane - 1 : a;
      links[used++] = chain[i] = lane;
      ranks[lane++] = first + i;
    }
    if (length) chains.set(a, chain);
    for (let j = out.start[a]; j < out.start[a + 1]; j++) {
      const k = out.item[j], b = edges[2 * k + 1], place = near[b] - first;
      joints[k] = place && length ? chain[place - 1] : a;
      if (place && !length) {
        detours.push(k);
        continue;
      }
      links[used++] = joints[k];
      links[used++] = b;
    }
  }
  return { ranks, joints, chains, detours, succ: neighbours(total, links, used, 0), pred: neighbours(total, links, used, 1) };
}

function neighbours(total, links, used, side) {
  const { start, item } = edgeRows(total, links.subarray(0, used), side);
  return { start, link: item.map((k) => links[2 * k + 1 - side]) };
}

/** The longest chain of lanes that is allowed, so that all of them together stay within `lanes`. */
function longestChain(ranks, far, lanes) {
  const spans = far.map((last, a) => last - ranks[a] - 1).filter((span) => span > 0).sort();
  let total = 0;
  for (const span of spans) {
    total += span;
    if (total > lanes) return span - 1;
  }
  return spans.length ? spans[spans.length - 1] : 0;
}

/** The order of every layer, after sweeps by medians and swaps of neighbours; the best that was met. */
function fewCrossings(graph, sweeps, deadline, progress) {
  const search = firstOrder(graph), size = graph.ranks.length + graph.succ.link.length;
  const { first, order } = search, most = Math.min(sweeps, Math.max(4, Math.floor(ORDER_WORK / Math.max(size, 1))));
  let best = countCrossings(search), kept = order.slice();
  for (let sweep = 0, idle = 0; sweep < most && best && idle < 4; sweep++) {
    if (performance.now() >= deadline) break;
    const sorted = sortByMedians(search, sweep % 2 === 0, sweep % 4 < 2);
    const swapped = swapNeighbours(search, deadline);
    const found = countCrossings(search);
    if (found < best) {
      best = found;
      kept = order.slice();
    }
    idle = sorted || swapped ? 0 : idle + 1; // at 4 no kind of sweep moves anything any more
    if (progress) progress((sweep + 1) / most);
  }
  return { layers: Array.from({ length: first.length - 1 }, (_, r) => kept.slice(first[r], first[r + 1])), crossings: best };
}

/**
 * The state of the search. `order` holds the layers one behind the other, that of rank r from `first[r]` on; `pos[v]` is
 * v's place in its layer; `stamp[r]` changes with the order of layer r.
 */
function firstOrder({ ranks, succ, pred }) {
  const total = ranks.length, count = ranks.reduce((most, r) => Math.max(most, r + 1), 0);
  const first = new Int32Array(count + 1), order = new Int32Array(total), pos = new Int32Array(total);
  for (let v = 0; v < total; v++) first[ranks[v] + 1]++;
  for (let r = 0; r < count; r++) first[r + 1] += first[r];
  const end = first.slice(0, count), seen = new Uint8Array(total), stack = new Int32Array(pred.link.length + 1);
  const visit = (v) => {
    seen[v] = 1;
    pos[v] = end[ranks[v]] - first[ranks[v]];
    order[end[ranks[v]]++] = v;
  };
  for (let root = 0; root < total; root++) { // depth first, operands left to right
    if (succ.start[root] < succ.start[root + 1]) continue;
    let depth = 1;
    stack[0] = root;
    while (depth) {
      const v = stack[--depth];
      if (seen[v]) continue;
      visit(v);
      for (let j = pred.start[v + 1]; j-- > pred.start[v]; ) stack[depth++] = pred.link[j];
    }
  }
  const own = ({ start, link }) => ({ start, link: link.slice() }); // sorted anew all the time
  return {
    ranks, first, order, pos, succ: own(succ), pred: own(pred),
    stamp: new Int32Array(count), below: new Int32Array(count).fill(-1), above: new Int32Array(count), counts: new Float64Array(count),
    tree: new Int32Array(total + 1), key: new Float64Array(total), free: new Int32Array(total), spare: new Int32Array(total),
  };
}

/** Sort v's neighbours by place. Mostly they are sorted already, but for a few that moved. */
function settle({ ranks, first, order, pos, spare }, { start, link }, v) {
  const from = start[v], to = start[v + 1];
  if (to - from > 40) {
    const base = first[ranks[link[from]]], places = spare.subarray(0, to - from);
    for (let i = from; i < to; i++) places[i - from] = pos[link[i]];
    places.sort();
    for (let i = from; i < to; i++) link[i] = order[base + places[i - from]];
    return;
  }
  for (let i = from + 1; i < to; i++) {
    const u = link[i], place = pos[u];
    let j = i;
    for (; j > from && pos[link[j - 1]] > place; j--) link[j] = link[j - 1];
    link[j] = u;
  }
}

/** The weighted median of Gansner et al.: between the two middle places, nearer to the denser side. */
function medianPlace(pos, { start, link }, v) {
  const from = start[v], last = start[v + 1] - 1, count = last - from + 1, k = from + (count >> 1), high = pos[link[k]];
  if (count & 1) return high;
  const low = pos[link[k - 1]], left = low - pos[link[from]], right = pos[link[last]] - high;
  return left + right ? (low * right + high * left) / (left + right) : (low + high) / 2;
}

/** Sort every layer by the medians of the layer before; ties keep or reverse their order. True if one moved. */
function sortByMedians(search, down, rising) {
  const { first, order, pos, stamp, key, free } = search, near = down ? search.pred : search.succ;
  const { start } = near, count = stamp.length;
  let moved = false;
  for (let step = 0; step < count; step++) {
    const r = down ? step : count - 1 - step, begin = first[r], end = first[r + 1];
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
    let next = 0, changed = false;
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
    moved ||= changed;
  }
  return moved;
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
      const middle = from + width, to = Math.min(middle + width, count);
      if (!after(free[middle - 1], free[middle])) continue;
      for (let i = from; i < middle; i++) spare[i] = free[i];
      for (let i = from, j = middle, at = from; i < middle; at++) {
        free[at] = j < to && after(spare[i], free[j]) ? free[j++] : spare[i++];
      }
    }
  }
}

/** Swap neighbours while that removes crossings, at most four rounds. True if something moved. */
function swapNeighbours(search, deadline) {
  const { first, order, pos, stamp, pred, succ } = search, count = stamp.length;
  let dirty = new Uint8Array(count).fill(1), moved = false;
  for (let round = 0; round < 4 && (!round || performance.now() < deadline); round++) {
    const again = new Uint8Array(count);
    let touched = false;
    for (let r = 0; r < count; r++) {
      if (!dirty[r]) continue;
      const begin = first[r], last = first[r + 1] - 1;
      let changed = false;
      for (let i = begin; i <= last && last > begin; i++) {
        settle(search, pred, order[i]);
        settle(search, succ, order[i]);
      }
      for (let i = begin; i < last; i++) {
        const v = order[i], w = order[i + 1];
        if (gainOfSwap(pos, pred, v, w) + gainOfSwap(pos, succ, v, w) <= 0) continue;
        order[i] = w;
        order[i + 1] = v;
        pos[w] = i - begin;
        pos[v] = i + 1 - begin;
        changed = true;
      }
      if (!changed) continue;
      // A layer can only improve again if it or a neighbour changed.
      stamp[r]++;
      again[Math.max(r - 1, 0)] = again[r] = again[Math.min(r + 1, count - 1)] = 1;
      touched = true;
    }
    if (!touched) break;
    moved = true;
    dirty = again;
  }
  return moved;
}

/** How many crossings on one side go away when v, now before w, is put behind it; both have sorted neighbours. */
function gainOfSwap(pos, { start, link }, v, w) {
  const from = start[w], end = start[w + 1], length = end - from;
  let gain = 0, below = from, upto = from; // how many of w's neighbours lie before x; how many before or at x
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
  let count = 0, seen = 0;
  for (let i = first[r]; i < first[r + 1]; i++) {
    const from = start[order[i]], to = start[order[i] + 1];
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
