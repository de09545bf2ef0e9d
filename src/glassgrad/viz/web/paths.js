// The paths from a result down to a node: how many there are, which count most, and what they add up to.
//
// Guarantees: the count is exact, whatever its size (a BigInt); the total is the gradient that a sweep from
// the result with seed 1 delivers, and no sum over the paths listed; no more paths are looked at than are
// listed, so the cost is linear in the graph, times the number listed; nothing recurses. viz/paths.py has the
// same functions with the same results, bit for bit.
//
// A path goes from the root along uses of operands that require a gradient. Its product is that of the local
// derivatives on it. As in a sweep, zero stays zero, also times an infinite or unknown derivative (NaN).

/** For every id up to `root`: 1 where a path from the root to the node `wrt` can pass through it. */
export function onTheWay(graph, root, wrt) {
  const above = new Uint8Array(root + 1);
  const way = new Uint8Array(root + 1);
  if (wrt <= root) above[wrt] = 1;
  for (let i = wrt + 1; i <= root; i++) {
    for (let e = graph.start[i]; e < graph.start[i + 1] && !above[i]; e++) {
      const operand = graph.operand[e];
      if (above[operand] && graph.wanted[operand]) above[i] = 1;
    }
  }
  way[root] = above[root];
  for (let i = root; i > wrt; i--) {
    if (!way[i]) continue;
    for (let e = graph.start[i]; e < graph.start[i + 1]; e++) {
      const operand = graph.operand[e];
      if (above[operand] && graph.wanted[operand]) way[operand] = 1;
    }
  }
  return way;
}

/** The number of paths from `root` to `wrt`: 1n where they are the same, 0n where there is none. */
function countPaths(graph, root, wrt, way) {
  if (!way[root]) return 0n;
  const counts = new Array(root + 1).fill(0n);
  counts[root] = 1n;
  for (let i = root; i > wrt; i--) {
    if (!way[i]) continue;
    for (let e = graph.start[i]; e < graph.start[i + 1]; e++) {
      const operand = graph.operand[e];
      if (way[operand] && graph.wanted[operand]) counts[operand] += counts[i];
    }
    counts[i] = 0n; // a large number is kept no longer than it is needed
  }
  return counts[wrt];
}

/**
 * All paths from `root` to `wrt` if there are at most `limit`, leftmost operands first; else those with the
 * `largest` products in absolute value, NaN first.
 *
 * `partials` has the local derivative of every edge, NaN where it is unknown. The result is
 * `{ count, complete, paths: [{ edges, product }], total }`, the edges of a path from the root down.
 */
export function listPaths(graph, partials, root, wrt, limit = 64, largest = 10) {
  const way = onTheWay(graph, root, wrt);
  const count = countPaths(graph, root, wrt, way);
  if (count === 0n) return { count, complete: true, paths: [], total: 0 };
  const complete = count <= BigInt(limit);
  const paths = complete
    ? allPaths(graph, partials, root, wrt, way)
    : largestPaths(graph, partials, root, wrt, way, largest);
  return { count, complete, paths, total: totalOfPaths(graph, partials, root, wrt, way) };
}

function totalOfPaths(graph, partials, root, wrt, way) {
  const grads = new Float64Array(root + 1);
  grads[root] = 1;
  for (let i = root; i > wrt; i--) {
    if (!way[i] || grads[i] === 0) continue;
    for (let e = graph.start[i]; e < graph.start[i + 1]; e++) {
      const operand = graph.operand[e];
      if (way[operand] && graph.wanted[operand]) grads[operand] += grads[i] * partials[e];
    }
  }
  return grads[wrt];
}

function pathTimes(product, partial) {
  return product === 0 ? 0 : product * partial;
}

// Depth first: only steps on some path are taken, so this costs what the paths are long.
function allPaths(graph, partials, root, wrt, way) {
  const found = [];
  const edges = [];
  const products = [1];
  const todo = [[root, -1, 0]]; // node, the edge that led to it, how many edges lead to it
  while (todo.length) {
    const [i, edge, depth] = todo.pop();
    edges.length = Math.max(depth - 1, 0);
    products.length = Math.max(depth, 1);
    if (edge >= 0) {
      edges.push(edge);
      products.push(pathTimes(products[depth - 1], partials[edge]));
    }
    if (i === wrt) {
      found.push({ edges: edges.slice(), product: products[depth] });
      continue;
    }
    for (let e = graph.start[i + 1] - 1; e >= graph.start[i]; e--) {
      const operand = graph.operand[e];
      if (way[operand] && graph.wanted[operand]) todo.push([operand, e, depth + 1]);
    }
  }
  return found;
}

// The k largest paths to a node are among the k largest to each of its consumers, continued by one edge.
// A step is [product, consumer, edge, place in the consumer's list].
function largestPaths(graph, partials, root, wrt, way, k) {
  const best = new Array(root + 1);
  best[root] = [[1, -1, -1, -1]];
  for (let i = root; i >= wrt; i--) {
    if (!way[i]) continue;
    best[i] = cutSteps(best[i], k);
    if (i === wrt) break;
    for (let e = graph.start[i]; e < graph.start[i + 1]; e++) {
      const operand = graph.operand[e];
      if (!way[operand] || !graph.wanted[operand]) continue;
      const steps = (best[operand] ??= []);
      for (let place = 0; place < best[i].length; place++) {
        steps.push([pathTimes(best[i][place][0], partials[e]), i, e, place]);
      }
      if (steps.length > 8 * k) best[operand] = cutSteps(steps, k); // a leaf that is used everywhere
    }
  }
  return best[wrt].map((last) => {
    const edges = [];
    for (let step = last; step[1] >= 0; step = best[step[1]][step[3]]) edges.push(step[2]);
    return { edges: edges.reverse(), product: last[0] };
  });
}

// Stable: ties stay in the order in which a sweep reaches them, so that Python lists the same paths.
function cutSteps(steps, k) {
  const size = (step) => (step[0] !== step[0] ? Infinity : Math.abs(step[0]));
  const unknown = (step) => (step[0] !== step[0] ? 0 : 1);
  const bySize = (a, b) => unknown(a) - unknown(b) || (size(a) === size(b) ? 0 : size(b) - size(a));
  return steps.sort(bySize).slice(0, k);
}
