// Coordinates of boxes and routes of edges on top of the order: viz/layout.py in JavaScript.
//
// Guarantees: the same places and points as in Python; boxes never overlap, and edges never cross a box;
// nothing recurses; cost is linear in boxes plus lanes. Why the steps are these is said there.

import { edgeRows, orderGraph } from "./order.js";

const LANE_GAP = 9; // between two edges that run beside each other

/**
 * Places for boxes and routes for edges: `{ x, y, width, height, trunks, routes, rankdir, ordering }`.
 *
 * `sizes` are flat, width and height in turns; `edges` source and target in turns, of a graph without cycles.
 * `x` and `y` are centres; y grows downwards from the top left corner of the picture. Between two points a
 * route is a cubic curve that leaves and arrives along the rank direction. `trunks` are by source the points
 * of the lanes that its long edges share, and their routes begin there. `progress` is called with what part
 * is done, from 0 to 1; for `sweeps`, `lanes`, `deadline` and the fields of `ordering` see orderGraph.
 */
export function layoutGraph(sizes, edges, options = {}) {
  const { rankdir = "LR", gap = 16, rankGap = 35, portGap = 12, arrival = 9, departure = 0 } = options;
  const { progress } = options;
  const n = sizes.length >> 1,
    right = rankdir === "LR";
  const part = (from, to) => progress && ((done) => progress(from + (to - from) * done));
  const ordering = orderGraph(n, edges, { ...options, progress: part(0, 0.7) });
  const along = new Float64Array(n),
    across = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    along[i] = sizes[2 * i + (right ? 0 : 1)];
    across[i] = sizes[2 * i + (right ? 1 : 0)];
  }
  const { centre, top, bottom } = spreadLayers(ordering, across, gap, part(0.7, 0.95));
  const { starts, ends } = rankColumns(ordering, along, centre, rankGap, arrival, departure);
  const { ranks, pred } = ordering,
    total = ends.length ? ends[ends.length - 1] : 0;
  // Boxes without operands stand at the side of their consumers, the others in the middle of their rank.
  const middle = along.map((extent, i) => {
    const r = ranks[i];
    return pred.start[i] < pred.start[i + 1] ? (starts[r] + ends[r]) / 2 : ends[r] - extent / 2;
  });
  const ports = arrivalPorts(ordering, edges, across, centre, portGap);
  // Where edges may bend.
  const bend = { starts: starts.map((p) => p - arrival), ends: ends.map((p) => p + departure) };
  const drawn = edgeRoutes(ordering, edges, along, ports, centre, middle, bend, top);
  const place = (points) => {
    for (const point of points) {
      point[1] -= drawn.top;
      if (!right) point.reverse();
    }
  };
  for (const points of drawn.trunks.values()) place(points);
  drawn.routes.forEach(place);
  const shifted = centre.slice(0, n).map((q) => q - drawn.top),
    height = bottom - drawn.top;
  if (progress) progress(1);
  return {
    x: right ? middle : shifted,
    y: right ? shifted : middle,
    width: right ? total : height,
    height: right ? height : total,
    trunks: drawn.trunks,
    routes: drawn.routes,
    rankdir,
    ordering,
  };
}

/** The rows of neighbours that `keep(v, u)` is true of; all of v's where it is true of none and `orAll`. */
function someNeighbours({ start, link }, keep, orAll) {
  const begin = new Int32Array(start.length),
    kept = new Int32Array(link.length);
  let used = 0;
  for (let v = 0; v + 1 < start.length; v++) {
    begin[v] = used;
    for (let j = start[v]; j < start[v + 1]; j++) if (keep(v, link[j])) kept[used++] = link[j];
    if (orAll && used === begin[v]) for (let j = start[v]; j < start[v + 1]; j++) kept[used++] = link[j];
  }
  begin[start.length - 1] = used;
  return { start: begin, link: kept };
}

/** Every box's and lane's centre across the ranks, and the smallest and largest extent. */
function spreadLayers(ordering, across, gap, progress) {
  const { n, layers, ranks, succ, pred, chains } = ordering,
    total = ranks.length;
  const half = new Float64Array(total),
    leaf = new Uint8Array(total),
    weight = new Float64Array(total);
  for (let v = 0; v < n; v++) {
    half[v] = across[v] / 2;
    leaf[v] = pred.start[v] === pred.start[v + 1] ? 1 : 0;
  }
  for (const [source, chain] of chains) for (const lane of chain) leaf[lane] = leaf[source];
  // Consumers stand level with what was computed; leaves, and the lanes they are fetched through, make room.
  const below = someNeighbours(pred, (v, u) => !leaf[u], true);
  // A lane runs on straight past the consumers it serves on its way.
  const above = someNeighbours(succ, (v, w) => v < n || w >= n, true);
  // Lanes are stiff. Leaves weigh next to nothing, or each would push the chain it joins a little further.
  for (let v = 0; v < total; v++) weight[v] = v >= n ? 2 : leaf[v] ? 1e-6 : 1;
  const centre = new Float64Array(total),
    distances = [0, 0, 0];
  [gap, (gap + LANE_GAP) / 2, LANE_GAP].forEach((distance, lanes) => (distances[lanes] = distance));
  let most = 0,
    crowd = 0;
  const offsets = layers.map((layer) => {
    const places = new Float64Array(layer.length);
    let offset = 0;
    for (let i = 1; i < layer.length; i++) {
      const u = layer[i - 1],
        v = layer[i];
      offset += half[u] + half[v] + distances[(u >= n ? 1 : 0) + (v >= n ? 1 : 0)];
      places[i] = offset;
    }
    layer.forEach((v, i) => (centre[v] = places[i] - offset / 2));
    most = Math.max(most, layer.length);
    return places;
  });
  for (let v = 0; v < total; v++) {
    crowd = Math.max(crowd, below.start[v + 1] - below.start[v], above.start[v + 1] - above.start[v]);
  }
  const want = new Float64Array(most),
    places = new Float64Array(crowd),
    pool = makePool(most);
  const rounds = total < 40000 ? 16 : 8;
  for (let turn = 0; turn < rounds; turn++) {
    const down = turn % 2 === 1,
      near = down ? below : above; // at last consumers between operands
    for (let step = 0; step < layers.length; step++) {
      const r = down ? step : layers.length - 1 - step,
        layer = layers[r];
      for (let i = 0; i < layer.length; i++) want[i] = middleOf(near, layer[i], centre, places);
      isotonic(layer, layer.length, offsets[r], want, weight, centre, pool);
    }
    if (progress) progress((turn + 1) / rounds);
  }
  let top = Infinity,
    bottom = -Infinity;
  for (const layer of layers) {
    const last = layer[layer.length - 1];
    top = Math.min(top, centre[layer[0]] - half[layer[0]]);
    bottom = Math.max(bottom, centre[last] + half[last]);
  }
  return layers.length ? { centre, top, bottom } : { centre, top: 0, bottom: 0 };
}

/** The median of where v's neighbours stand; where it stands itself if there are none. */
function middleOf({ start, link }, v, centre, places) {
  const from = start[v],
    count = start[v + 1] - from;
  if (!count) return centre[v];
  if (count === 1) return centre[link[from]];
  if (count === 2) return (centre[link[from]] + centre[link[from + 1]]) / 2;
  for (let i = 0; i < count; i++) {
    const q = centre[link[from + i]];
    let j = i;
    for (; j && count <= 40 && places[j - 1] > q; j--) places[j] = places[j - 1];
    places[j] = q;
  }
  if (count > 40) places.subarray(0, count).sort();
  const k = count >> 1;
  return count & 1 ? places[k] : (places[k - 1] + places[k]) / 2;
}

const makePool = (size) => ({
  sums: new Float64Array(size),
  weights: new Float64Array(size),
  begins: new Int32Array(size + 1),
});

/** Move a layer as near to `want` as order and distances allow: least squares, pool adjacent violators. */
function isotonic(layer, count, offsets, want, weight, centre, { sums, weights, begins }) {
  let blocks = 0;
  for (let i = 0; i < count; i++) {
    let w = weight[layer[i]],
      s = (want[i] - offsets[i]) * w,
      begin = i;
    while (blocks && sums[blocks - 1] * w >= s * weights[blocks - 1]) {
      blocks--; // the block before lies at or beyond this one: pool them
      s += sums[blocks];
      w += weights[blocks];
      begin = begins[blocks];
    }
    sums[blocks] = s;
    weights[blocks] = w;
    begins[blocks++] = begin;
  }
  begins[blocks] = count;
  for (let b = 0; b < blocks; b++) {
    const base = sums[b] / weights[b];
    for (let i = begins[b]; i < begins[b + 1]; i++) centre[layer[i]] = base + offsets[i];
  }
}

/** Where every rank begins and ends; the gap behind a rank grows with its steepest link. */
function rankColumns({ n, layers, succ }, along, centre, rankGap, arrival, departure) {
  const starts = [],
    ends = [];
  let at = 0;
  for (const layer of layers) {
    let extent = 0,
      climb = 0;
    for (const v of layer) {
      if (v < n) extent = Math.max(extent, along[v]);
      for (let j = succ.start[v]; j < succ.start[v + 1]; j++) {
        climb = Math.max(climb, Math.abs(centre[v] - centre[succ.link[j]]));
      }
    }
    starts.push(at);
    at += extent;
    ends.push(at);
    at += rankGap + Math.min(Math.max(climb - 2.5 * rankGap, 0) * 0.16, 3.75 * rankGap);
    at += arrival + (climb > 0.05 ? departure : 0);
  }
  return { starts, ends };
}

/**
 * Trunks and routes as points (along, across), and the extent that detours along the border need.
 *
 * Edges are level with where they go from `starts` of its rank on, and level with where they are until
 * `ends`.
 */
function edgeRoutes(ordering, edges, along, ports, centre, middle, { starts, ends }, top) {
  const { ranks, joints, chains, detours } = ordering,
    trunks = new Map(),
    borders = new Map();
  const leave = (source) => [middle[source] + along[source] / 2, centre[source]];
  for (const [source, chain] of chains) {
    const points = [leave(source), [ends[ranks[source]], centre[source]]];
    for (const lane of chain) {
      points.push([starts[ranks[lane]], centre[lane]], [ends[ranks[lane]], centre[lane]]);
    }
    trunks.set(source, straightened(points));
  }
  for (const k of detours) {
    if (!borders.has(edges[2 * k])) borders.set(edges[2 * k], (top -= LANE_GAP));
  }
  const outside = new Set(detours);
  const routes = Array.from(joints, (joint, k) => {
    const source = edges[2 * k],
      target = edges[2 * k + 1],
      points = joint === source ? [leave(source)] : [];
    points.push([ends[ranks[joint]], centre[joint]]);
    if (outside.has(k)) {
      const border = borders.get(source);
      points.push([starts[ranks[source] + 1], border], [ends[ranks[target] - 1], border]);
    }
    points.push([starts[ranks[target]], ports[k]], [middle[target] - along[target] / 2, ports[k]]);
    return straightened(points);
  });
  return { trunks, routes, top };
}

/** Where every edge enters its target: spread over its side, in the order in which the edges arrive. */
function arrivalPorts({ joints, detours }, edges, across, centre, portGap) {
  const { start, item } = edgeRows(across.length, edges, 1),
    outside = new Set(detours);
  const ports = new Float64Array(item.length),
    even = new Float64Array(item.length).fill(1);
  let most = 0;
  for (let i = 0; i < across.length; i++) most = Math.max(most, start[i + 1] - start[i]);
  const want = new Float64Array(most),
    steps = new Float64Array(most),
    pool = makePool(most);
  // Detours come down from the border; the order of operands decides between edges of one source.
  const before = (a, b) => outside.has(b) - outside.has(a) || centre[joints[a]] - centre[joints[b]] || a - b;
  for (let target = 0; target < across.length; target++) {
    const group = item.subarray(start[target], start[target + 1]),
      count = group.length;
    if (!count) continue;
    if (count > 1) group.sort(before);
    // Each edge enters as level with where it comes from as the side of the box allows.
    const box = across[target],
      gaps = count - 1,
      level = centre[target];
    const step = Math.min(portGap, Math.max((box * 0.6) / count, gaps ? (box - 20) / gaps : 0));
    const side = Math.max(Math.min(portGap, box * 0.3, (box - portGap) / 2), (step * gaps) / 2);
    for (let i = 0; i < count; i++) {
      const from = outside.has(group[i]) ? -side : centre[joints[group[i]]] - level;
      want[i] = Math.max(-side, Math.min(side, from));
      steps[i] = i * step;
    }
    isotonic(group, count, steps, want, even, ports, pool);
    for (let i = 0; i < count; i++) {
      const port = ports[group[i]];
      ports[group[i]] = level + Math.max(Math.min(port, side - (gaps - i) * step), i * step - side);
    }
  }
  return ports;
}

/** The points without those inside a straight run along the rank direction. */
function straightened(points) {
  const kept = [points[0]];
  for (let i = 1; i < points.length; i++) {
    const [p, q] = points[i],
      last = kept[kept.length - 1],
      next = points[i + 1];
    if (p === last[0] && q === last[1]) continue;
    const straight = next && Math.abs(last[1] - q) < 0.05 && Math.abs(next[1] - q) < 0.05;
    if (!straight) kept.push(points[i]);
  }
  return kept;
}
