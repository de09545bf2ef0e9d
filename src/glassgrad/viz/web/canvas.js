// The same scene on a canvas, for the many boxes that SVG would be too slow for.
// Guarantees: draws what is in sight only, and the less of each box the smaller it is; the same colours, from the
// page's own CSS variables; a frame of 15,000 boxes stays within the time between two screen refreshes.

import { clip, decades, nameOf, symbolOf } from "./format.js";
import { signed, signOf } from "./picture.js";
import { ownWay, wholeWay } from "./scene.js";

const NAMES = [
  "paper",
  "face",
  "rim",
  "ink",
  "muted",
  "line",
  "plus",
  "minus",
  "leaf",
  "root",
  "frame",
  "badge",
  "lit",
];
const TEXT_FROM = 0.42; // zoom at which words are drawn
const LINES_FROM = 0.05; // and lines
const TINY = 0.04; // below it a box is a stroke of colour

/** Prepares a scene once, with a `breath` now and then: path objects, and the box that each line needs. */
export async function prepare(scene, breath) {
  const bounds = new Float64Array(4 * scene.lines.length);
  const paths = [];
  for (const made of scene.lines) {
    const path = new Path2D();
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    const way = ownWay(made);
    trace(path, way);
    for (const [x, y] of way) {
      box[0] = Math.min(box[0], x);
      box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], x);
      box[3] = Math.max(box[3], y);
    }
    bounds.set(box, 4 * paths.length);
    paths.push(path);
    if (paths.length % 400 === 0) await breath();
  }
  const trunks = new Path2D();
  scene.trunks.forEach(({ way }) => trace(trunks, way));
  return { bounds, paths, trunks };
}

function trace(path, way) {
  let [x, y] = way[0];
  path.moveTo(x, y);
  for (const [u, v] of way.slice(1)) {
    if (Math.abs(v - y) < 0.05) path.lineTo(u, v);
    else path.bezierCurveTo((x + u) / 2, y, (x + u) / 2, v, u, v);
    x = u;
    y = v;
  }
}

/** The page's colours, read once for each theme. */
export function colours(element) {
  const style = getComputedStyle(element);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/** Draws the scene; `camera` is {x, y, zoom} in CSS pixels, `ratio` the device's pixels for each. */
export function paint(canvas, scene, prepared, view, camera, ratio, palette) {
  const context = canvas.getContext("2d");
  const { x, y, zoom } = camera;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = palette.paper;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.setTransform(zoom * ratio, 0, 0, zoom * ratio, x * ratio, y * ratio);
  const sight = [-x / zoom, -y / zoom, (canvas.width / ratio - x) / zoom, (canvas.height / ratio - y) / zoom];
  const seen = (left, top, right, bottom) => left < sight[2] && right > sight[0] && top < sight[3] && bottom > sight[1];
  for (const frame of scene.frames) {
    if (seen(frame.x, frame.y, frame.x + frame.width, frame.y + frame.height))
      paintFrame(context, frame, palette, zoom);
  }
  if (view.lit.size) {
    context.strokeStyle = palette.lit;
    context.globalAlpha = 0.5;
    context.lineWidth = Math.max(9, 6 / zoom);
    const path = new Path2D();
    for (const k of view.lit) trace(path, wholeWay(scene.lines[k]));
    context.stroke(path);
    context.globalAlpha = 1;
  }
  if (zoom > LINES_FROM) paintLines(context, scene, prepared, view, palette, zoom, seen);
  if (zoom < TEXT_FROM) paintSmall(context, scene, view, palette, zoom, seen);
  else {
    for (const item of scene.items) {
      if (seen(item.x, item.y, item.x + item.width, item.y + item.height)) paintCard(context, item, view, palette);
    }
  }
}

function paintFrame(context, { group, x, y, width, height }, palette, zoom) {
  context.fillStyle = palette.frame;
  context.strokeStyle = palette.rim;
  context.lineWidth = Math.max(1, 0.7 / zoom);
  context.beginPath();
  context.roundRect(x, y, width, height, 12);
  context.fill();
  context.stroke();
  if (zoom < 0.2) return;
  context.fillStyle = palette.muted;
  context.font = "600 12px system-ui, sans-serif";
  context.textAlign = "left";
  context.fillText(`▾ ${clip(group.name, Math.max(4, Math.floor((width - 40) / 7)))}`, x + 10, y + 17);
}

function paintLines(context, scene, { bounds, paths, trunks }, view, palette, zoom, seen) {
  const thin = Math.max(1.2, 0.5 / zoom);
  context.lineWidth = thin;
  context.strokeStyle = palette.line;
  context.globalAlpha = zoom < 0.3 ? 0.55 : 1;
  context.stroke(trunks);
  const plain = new Path2D();
  const byKind = zoom < TEXT_FROM ? { plus: new Path2D(), minus: new Path2D() } : null;
  for (let k = 0; k < paths.length; k++) {
    if (!seen(bounds[4 * k], bounds[4 * k + 1], bounds[4 * k + 2], bounds[4 * k + 3])) continue;
    const flow = view.flowOf(scene.lines[k]);
    const sign = signOf(flow);
    if (sign !== "plus" && sign !== "minus") plain.addPath(paths[k]);
    else if (byKind) byKind[sign].addPath(paths[k]);
    else {
      context.strokeStyle = palette[sign];
      context.lineWidth = 1.2 + 1.8 * decades(flow, view.topFlow);
      context.setLineDash(sign === "minus" ? [7, 3] : []);
      context.stroke(paths[k]);
    }
  }
  context.setLineDash([]);
  context.lineWidth = thin;
  context.strokeStyle = palette.line;
  context.stroke(plain);
  if (byKind) {
    for (const sign of ["plus", "minus"]) {
      context.strokeStyle = palette[sign];
      context.stroke(byKind[sign]);
    }
  }
  context.globalAlpha = 1;
}

/** From afar: a box in the colour of its gradient's sign, all boxes of one colour at once. */
function paintSmall(context, scene, view, palette, zoom, seen) {
  view.batches ??= batches(scene, view); // the same while the picture only moves
  const tiny = zoom < TINY;
  for (const [name, members] of view.batches) {
    const colour = palette[name];
    const inSight = members.filter((item) => seen(item.x, item.y, item.x + item.width, item.y + item.height));
    if (!tiny) {
      context.fillStyle = palette.face;
      for (const { x, y, width, height } of inSight) context.fillRect(x, y, width, height);
    }
    context.fillStyle = colour;
    context.globalAlpha = 0.8;
    for (const { x, y, width, height, group } of inSight) {
      context.fillRect(x, y, tiny || group ? width : Math.max(6, width / 5), height);
    }
    context.globalAlpha = 1;
    if (zoom > 0.12) {
      context.strokeStyle = palette.rim;
      context.lineWidth = 0.8 / zoom;
      for (const { x, y, width, height } of inSight) context.strokeRect(x, y, width, height);
    }
  }
}

function batches(scene, view) {
  const found = new Map();
  for (const item of scene.items) {
    const sign = item.group ? "badge" : signOf(view.gradOf(item.node));
    const plain = item.kind === "leaf" ? "leaf" : "muted";
    const chosen = view.selected === item || view.active.has(item);
    const name = chosen ? "lit" : item.kind === "root" ? "root" : NAMES.includes(sign) ? sign : plain;
    if (!found.has(name)) found.set(name, []);
    found.get(name).push(item);
  }
  return found;
}

function paintCard(context, item, view, palette) {
  const { x, y, width, height, badge, kind, node, group } = item;
  const { graph } = view;
  const chosen = view.selected === item;
  context.beginPath();
  context.roundRect(x, y, width, height, 8);
  context.fillStyle = palette.face;
  context.fill();
  if (badge) {
    context.fillStyle = kind === "root" ? palette.root : kind === "leaf" ? palette.leaf : palette.badge;
    context.beginPath();
    context.roundRect(x, y, badge, height, [8, 0, 0, 8]);
    context.fill();
  }
  context.beginPath();
  context.roundRect(x, y, width, height, 8);
  context.strokeStyle = chosen || view.active.has(item) ? palette.lit : kind === "root" ? palette.root : palette.rim;
  context.lineWidth = chosen ? 2.5 : kind === "root" ? 1.8 : 1;
  context.stroke();
  const write = (text, at, line, colour, font, align) => {
    context.fillStyle = colour;
    context.font = font;
    context.textAlign = align;
    context.fillText(text, at, y + line);
  };
  const [plain, bold] = ["12px system-ui, sans-serif", "600 12.5px system-ui, sans-serif"];
  if (group) {
    write(`▸ ${clip(group.name, 24)}`, x + 13, 23, palette.ink, bold, "left");
    write(view.say("group.values", { count: group.size }), x + 29, 40, palette.muted, plain, "left");
    return;
  }
  const right = x + width - 10;
  const label = graph.labels[node].trim();
  if (badge > 5)
    write(symbolOf(graph, node), x + badge / 2, height / 2 + 5, kind === "root" ? "#fff" : palette.ink, bold, "center");
  if (kind === "const") {
    if (label) write(clip(nameOf(graph, node), 18), x + 10, 18.5, palette.ink, bold, "left");
    write(view.valueText(node), right, 18.5, palette.ink, plain, "right");
    return;
  }
  write(
    label ? clip(nameOf(graph, node), 18) : view.say("card.data"),
    x + badge + 9,
    18,
    label ? palette.ink : palette.muted,
    label ? bold : plain,
    "left",
  );
  write(view.valueText(node), right, 18, palette.ink, plain, "right");
  if (!graph.wanted[node] || graph.shapes.has(node)) return;
  const grad = view.gradOf(node);
  const sign = signOf(grad);
  write(view.say("card.grad"), x + badge + 9, 35, palette.muted, plain, "left");
  write(grad === null ? "—" : signed(grad), right, 35, palette[sign] || palette.muted, bold, "right");
  if (sign === "plus" || sign === "minus") {
    const middle = (x + badge + 9 + right) / 2;
    const long = ((right - x - badge - 9) / 2) * decades(grad, view.topGrad);
    context.fillStyle = palette[sign];
    context.fillRect(sign === "minus" ? middle - long : middle, y + height - 5, long, 3);
  }
}
