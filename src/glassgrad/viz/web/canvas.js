// The same scene on a canvas, for the many boxes that SVG would be too slow for.
// Guarantees: draws what is in sight only, and the less of each box the smaller it is; what is large enough to be read
// looks as it does in SVG, because the parts are the same and the page's style sheet is asked for their looks; a frame
// of 15,000 boxes stays within the time between two screen refreshes.

import { ownWay, wholeWay } from "./scene.js";
import { cardClass, cardParts, frameClass, frameParts, headOf, lineWidth, signOf } from "./picture.js";

const NAMES = "paper face rim muted line plus minus leaf root leaf-face root-face badge lit focus".split(" ");
const FACES = { const: "paper", leaf: "leaf-face", root: "root-face" };
const TEXT_FROM = 0.42; // zoom at which words are drawn
const LINES_FROM = 0.05; // and lines
const TINY = 0.04; // below it a box is a stroke of colour

/** Prepares a scene once, with a `breath` now and then: for each trunk and line a path, its box, and its arrowhead. */
export async function prepare(scene, breath) {
  const strokes = [...scene.trunks, ...scene.lines];
  const bounds = new Float64Array(4 * strokes.length);
  const paths = [];
  const heads = [];
  for (const made of strokes) {
    const path = new Path2D();
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    const trunk = paths.length < scene.trunks.length;
    const way = trunk ? made.way : ownWay(made);
    trace(path, way);
    for (const [x, y] of way) {
      box[0] = Math.min(box[0], x - 4); // so far an arrowhead or a wide line reaches beyond its points
      box[1] = Math.min(box[1], y - 4);
      box[2] = Math.max(box[2], x + 4);
      box[3] = Math.max(box[3], y + 4);
    }
    bounds.set(box, 4 * paths.length);
    paths.push(path);
    heads.push(trunk ? null : headOf(made));
    if (paths.length % 400 === 0) await breath();
  }
  const trunks = new Path2D();
  scene.trunks.forEach(({ way }) => trace(trunks, way));
  return { strokes, bounds, paths, heads, trunks, first: scene.trunks.length };
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

/** The page's colours, and how it has the parts of a picture look; read once for each theme. */
export function colours(element) {
  const style = getComputedStyle(element);
  const palette = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  return { ...palette, look: looks(element.querySelector(".gg-svg")) };
}

/** Asks the style sheet how it has a part look that is called `name` and lies in a group of these classes. */
function looks(svg) {
  const found = new Map();
  const align = { start: "left", middle: "center", end: "right" };
  return (classes, tag, name) => {
    const key = `${classes}|${tag}|${name}`;
    if (!found.has(key)) {
      const [group, part] = ["g", tag].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
      group.setAttribute("class", classes);
      part.setAttribute("class", name);
      svg.appendChild(group).appendChild(part);
      const style = getComputedStyle(part);
      found.set(key, {
        fill: style.fill,
        stroke: style.stroke,
        alpha: Number(style.strokeOpacity),
        width: parseFloat(style.strokeWidth),
        dash: style.strokeDasharray === "none" ? [] : style.strokeDasharray.split(",").map(parseFloat),
        font: `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`,
        align: align[style.textAnchor],
      });
      group.remove();
    }
    return found.get(key);
  };
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
      paintFrame(context, frame, view, palette, zoom);
  }
  if (view.lit.size) paintLit(context, scene, view, palette, zoom);
  if (zoom > LINES_FROM) paintLines(context, prepared, view, palette, zoom, seen);
  if (zoom < TEXT_FROM) paintSmall(context, scene, view, palette, zoom, seen);
  else {
    const past = 5; // so far what lies under a closed group reaches beyond it
    for (const item of scene.items) {
      if (!seen(item.x, item.y, item.x + item.width + past, item.y + item.height + past)) continue;
      const parts = cardParts(item, view);
      paintParts(context, item, cardClass(item, view), parts, palette.look);
    }
  }
}

function paintFrame(context, frame, view, palette, zoom) {
  const [rect, ...caption] = frameParts(frame);
  const classes = frameClass(frame, view);
  const look = (...names) => {
    const found = palette.look(...names);
    return { ...found, width: Math.max(found.width, 0.7 / zoom) };
  };
  paintParts(context, frame, classes, [rect], look);
  if (zoom > 0.2) paintParts(context, frame, classes, caption, palette.look);
}

/** Draws parts of what stands at `place`, as the sheet has them look in a group of these classes. */
function paintParts(context, { x, y }, classes, parts, look) {
  context.translate(x, y);
  for (const part of parts) {
    const { fill, stroke, alpha, width, dash, font, align } = look(classes, part.tag, part.name);
    context.fillStyle = fill;
    if (part.tag === "text") {
      context.font = font;
      context.textAlign = align;
      context.fillText(part.words, part.x, part.y);
      continue;
    }
    const shape = new Path2D(part.d);
    if (part.tag === "rect") shape.roundRect(part.x, part.y, part.width, part.height, part.round);
    if (fill !== "none") context.fill(shape);
    if (stroke === "none") continue;
    context.strokeStyle = stroke;
    context.globalAlpha = alpha;
    context.lineWidth = width;
    context.setLineDash(dash);
    context.stroke(shape);
    context.globalAlpha = 1;
  }
  context.setLineDash([]);
  context.translate(-x, -y);
}

function paintLit(context, scene, view, palette, zoom) {
  const { stroke, alpha, width } = palette.look("", "path", "lit");
  const path = new Path2D();
  for (const k of view.lit) trace(path, wholeWay(scene.lines[k]));
  context.strokeStyle = stroke;
  context.globalAlpha = alpha;
  context.lineWidth = Math.max(width, 6 / zoom);
  context.lineCap = context.lineJoin = "round";
  context.stroke(path);
  context.lineCap = "butt";
  context.lineJoin = "miter";
  context.globalAlpha = 1;
}

function paintLines(context, prepared, view, palette, zoom, seen) {
  const { strokes, bounds, paths, trunks, first } = prepared;
  view.flows ??= strokes.map((made) => view.flowOf(made)); // the same while the picture only moves
  const inSight = (k) => seen(bounds[4 * k], bounds[4 * k + 1], bounds[4 * k + 2], bounds[4 * k + 3]);
  if (zoom >= TEXT_FROM) {
    paintLinesLarge(context, prepared, view, palette, inSight);
    return;
  }
  context.lineWidth = Math.max(1.2, 0.5 / zoom);
  context.strokeStyle = palette.line;
  context.globalAlpha = zoom < 0.3 ? 0.55 : 1;
  context.stroke(trunks);
  const byKind = { line: new Path2D(), plus: new Path2D(), minus: new Path2D() };
  for (let k = first; k < paths.length; k++) {
    if (inSight(k)) (byKind[signOf(view.flows[k])] ?? byKind.line).addPath(paths[k]);
  }
  for (const [name, path] of Object.entries(byKind)) {
    context.strokeStyle = palette[name];
    context.stroke(path);
  }
  context.globalAlpha = 1;
}

function paintLinesLarge(context, { paths, heads }, view, palette, inSight) {
  const tips = {};
  for (let k = 0; k < paths.length; k++) {
    if (!inSight(k)) continue;
    const sign = signOf(view.flows[k]);
    const { stroke, width, dash } = palette.look("", "path", `line ${sign}`);
    context.strokeStyle = stroke;
    context.lineWidth = lineWidth(view.flows[k], view.topFlow) ?? width;
    context.setLineDash(dash);
    context.stroke(paths[k]);
    if (!heads[k]) continue;
    const [x, y, back] = heads[k];
    const path = (tips[sign] ??= new Path2D());
    path.moveTo(x, y);
    path.lineTo(x + back, y - 4);
    path.lineTo(x + back, y + 4);
    path.closePath();
  }
  context.setLineDash([]);
  for (const [sign, path] of Object.entries(tips)) {
    context.fillStyle = palette.look("", "path", `head ${sign}`).fill;
    context.fill(path);
  }
}

/** From afar: a box in the colour of its gradient's sign, all boxes of one colour at once. */
function paintSmall(context, scene, view, palette, zoom, seen) {
  view.batches ??= batches(scene, view); // the same while the picture only moves
  const tiny = zoom < TINY;
  for (const { name, face, members } of view.batches) {
    const inSight = members.filter((item) => seen(item.x, item.y, item.x + item.width, item.y + item.height));
    if (!tiny) {
      context.fillStyle = palette[face];
      for (const { x, y, width, height } of inSight) context.fillRect(x, y, width, height);
    }
    context.fillStyle = palette[name];
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
    const chosen = view.selected === item ? "focus" : view.active.has(item) ? "lit" : "";
    const name = chosen || (item.kind === "root" ? "root" : NAMES.includes(sign) ? sign : plain);
    const face = FACES[item.kind] ?? "face";
    const key = `${name} ${face}`;
    if (!found.has(key)) found.set(key, { name, face, members: [] });
    found.get(key).members.push(item);
  }
  return [...found.values()];
}
