// What a picture consists of, and the scene as SVG text: what the page shows of up to a few hundred boxes, and what it
// exports of any number.
// Guarantees: cards, frames and lines are parts that SVG and the canvas both draw, and how a part looks is for the style
// sheet to say, which knows it by its name; a pure function of the scene and of what is known of its numbers; labels
// are text, never markup; a positive, a negative, a zero and an unknown gradient differ in more than colour: sign, side
// of the bar, dashes.

import { clip, decades, escapeXml, nameOf, short, symbolOf } from "./format.js";
import { ownWay, wholeWay } from "./scene.js";

/** The room around the scene in a file. */
export const MARGIN = 24;

/** The word for a number's sign, as classes use it. */
export function signOf(x) {
  return x === null || Number.isNaN(x) ? "none" : x > 0 ? "plus" : x < 0 ? "minus" : "zero";
}

/** A gradient with its sign always written: `+6`, `−4`, `0`. */
export function signed(grad) {
  return grad > 0 ? `+${short(grad)}` : short(grad);
}

/** The classes of a card: what it is, and whether it is selected or takes part in the step that was just done. */
export function cardClass(item, view) {
  return `card ${item.kind}${view.selected === item ? " selected" : ""}${view.active.has(item) ? " active" : ""}`;
}

/** The classes of an open group's frame. */
export function frameClass(frame, view) {
  return `frame${view.selected?.group === frame.group ? " selected" : ""}`;
}

/** The parts of a card, from the lowest up, with places relative to its corner: rectangles, paths and texts. */
export function cardParts(item, view) {
  return item.group ? groupParts(item, view) : nodeParts(item, view);
}

function rectPart(name, x, y, width, height, round) {
  return { tag: "rect", name, x, y, width, height, round };
}

function pathPart(name, d) {
  return { tag: "path", name, d };
}

function textPart(name, x, y, words) {
  return { tag: "text", name, x, y, words };
}

function groupParts({ group, width, height }, view) {
  const y = height / 2;
  return [
    rectPart("under", 5, 5, width, height, 10),
    rectPart("face", 0, 0, width, height, 10),
    pathPart("chevron", `M14 ${y - 4}l4.5 4l-4.5 4`),
    textPart("label", 29, y - 4, clip(group.name, 24) || "·"),
    textPart("word", 29, y + 13, view.say("group.values", { count: group.size })),
  ];
}

function nodeParts({ node, kind, width, height, badge }, view) {
  const { graph } = view;
  const right = width - 10;
  const left = badge + 9;
  const label = graph.labels[node].trim() ? clip(nameOf(graph, node), 18) : "";
  const parts = [rectPart("face", 0, 0, width, height, 8)];
  if (badge) parts.push(pathPart("badge", `M${badge} 0H8A8 8 0 0 0 0 8V${height - 8}A8 8 0 0 0 8 ${height}H${badge}Z`));
  parts.push(rectPart("rim", 0, 0, width, height, 8));
  if (kind !== "leaf" && badge > 5) {
    const symbol = symbolOf(graph, node);
    const big = Array.from(symbol).length === 1;
    parts.push(textPart(big ? "symbol sign" : "symbol", badge / 2, height / 2 + (big ? 6 : 4.5), symbol));
  }
  if (kind === "const") {
    if (label) parts.push(textPart("label", 10, 18.5, label));
    parts.push(textPart("value", right, 18.5, view.valueText(node)));
    return parts;
  }
  parts.push(textPart(label ? "label" : "word", left, 18, label || view.say("card.data")));
  parts.push(textPart("value", right, 18, view.valueText(node)));
  if (!graph.wanted[node] || graph.shapes.has(node)) return parts;
  const grad = view.gradOf(node);
  parts.push(textPart("word", left, 35, view.say("card.grad")));
  parts.push(textPart(`grad ${signOf(grad)}`, right, 35, grad === null ? "—" : signed(grad)));
  parts.push(...barParts(grad, left, right, height, view.topGrad));
  return parts;
}

/** The gradient's size on a log scale: to the right where it is positive, to the left where it is negative. */
function barParts(grad, left, right, height, top) {
  if (grad === null || Number.isNaN(grad)) return [];
  const middle = (left + right) / 2;
  const long = ((right - left) / 2) * decades(grad, top);
  return [
    rectPart(`bar ${signOf(grad)}`, grad < 0 ? middle - long : middle, height - 5, long, 3, 1.5),
    rectPart("tick", middle - 0.5, height - 6, 1, 5, 0),
  ];
}

/** The parts of an open group's frame: its own rectangle, and what a click closes it by. */
export function frameParts({ group, width, height }) {
  return [
    rectPart("", 0, 0, width, height, 12),
    pathPart("chevron", "M11 10l4 4.5l4-4.5"),
    textPart("caption", 26, 17, clip(group.name, Math.max(4, Math.floor((width - 40) / 7))) || "·"),
  ];
}

/** How wide a line is by what the gradient adds along it; null where the style sheet says it. */
export function lineWidth(flow, top) {
  return flow > 0 || flow < 0 ? 1.2 + 1.8 * decades(flow, top) : null;
}

/** Where a line's arrowhead stands: its tip, and how far behind it the two other corners are; null where it has none. */
export function headOf({ way, after, back, last }) {
  if (!last) return null;
  const end = way[way.length - 1];
  return back ? [...end, 8] : [...(after[after.length - 1] ?? end), -8];
}

// ---- as SVG

/** All of the scene's markup; `view` says which numbers are known (see `viewOf` in stage.js). */
export function sceneMarkup(scene, view) {
  return [...scenePieces(scene, view)].join("");
}

/** The same piece by piece: a large scene's takes a while. */
function* scenePieces(scene, view) {
  for (const [k, frame] of scene.frames.entries()) yield frameMarkup(frame, k, view);
  yield litMarkup(scene, view);
  yield '<g class="lines">';
  yield* linePieces(scene, view);
  yield "</g>";
  for (const item of scene.items) yield cardMarkup(item, view);
}

function frameMarkup(frame, k, view) {
  const [rect, chevron, caption] = frameParts(frame);
  const name = escapeXml(caption.words);
  return (
    `<g class="${frameClass(frame, view)}" data-frame="${k}" transform="translate(${n(frame.x)} ${n(frame.y)})">` +
    partMarkup(rect) +
    `<g class="close" data-close="${k}"><title>${escapeXml(frame.group.path)}</title>` +
    `<rect class="hit" width="${n(Math.min(frame.width, 34 + 8 * name.length))}" height="24" rx="8"/>` +
    `${partMarkup(chevron)}${partMarkup(caption)}</g></g>`
  );
}

/** Path data through points: straight along the ranks, else a curve that leaves and arrives along them. */
export function pathData(way) {
  let [x, y] = way[0];
  let out = `M${n(x)} ${n(y)}`;
  for (const [u, v] of way.slice(1)) {
    if (Math.abs(v - y) < 0.05) out += `H${n(u)}`;
    else out += `C${n((x + u) / 2)} ${n(y)} ${n((x + u) / 2)} ${n(v)} ${n(u)} ${n(v)}`;
    x = u;
    y = v;
  }
  return out;
}

function* linePieces(scene, view) {
  for (const trunk of scene.trunks) yield lineMarkup(trunk, pathData(trunk.way), view, "");
  const heads = { none: [], plus: [], minus: [], zero: [] };
  for (const [k, made] of scene.lines.entries()) {
    yield lineMarkup(made, pathData(ownWay(made)), view, ` data-line="${k}"`);
    const head = headOf(made);
    if (head) heads[signOf(view.flowOf(made))].push(`M${n(head[0])} ${n(head[1])}l${head[2]}-4v8z`);
  }
  for (const [sign, d] of Object.entries(heads)) if (d.length) yield `<path class="head ${sign}" d="${d.join("")}"/>`;
}

/** A line in the colour, the dashes and the width of what the gradient adds along it. */
function lineMarkup(made, d, view, mark) {
  const flow = view.flowOf(made);
  const wide = lineWidth(flow, view.topFlow);
  return `<path class="line ${signOf(flow)}"${mark}${wide ? ` style="stroke-width:${n(wide)}"` : ""} d="${d}"/>`;
}

/** The lines of a path of the chain rule, or of the step that was just done: a marker's stroke below them. */
function litMarkup(scene, view) {
  const lit = [...view.lit].map((k) => pathData(wholeWay(scene.lines[k]))).join("");
  return lit ? `<path class="lit" d="${lit}"/>` : "";
}

/** One card: a value, or a group that is closed. */
export function cardMarkup(item, view) {
  const open = `transform="translate(${n(item.x)} ${n(item.y)})" data-item="${item.index}" id="gg-item-${item.index}"`;
  const title = item.group ? item.group.path || item.group.name : view.describe(item.node);
  const parts = cardParts(item, view).map(partMarkup).join("");
  return `<g class="${cardClass(item, view)}" ${open}><title>${escapeXml(title)}</title>${parts}</g>`;
}

function partMarkup({ tag, name, x, y, width, height, round, d, words }) {
  const named = name ? ` class="${name}"` : "";
  if (tag === "path") return `<path${named} d="${d}"/>`;
  if (tag === "text") return `<text${named} x="${n(x)}" y="${n(y)}">${escapeXml(words)}</text>`;
  const corner = x || y ? ` x="${n(x)}" y="${n(y)}"` : "";
  return `<rect${named}${corner} width="${n(width)}" height="${n(height)}"${round ? ` rx="${round}"` : ""}/>`;
}

/** The scene as a file of its own, in pieces: the page's colours for light and dark, nothing outside it is asked for. */
export function* standalone(scene, view, style, title) {
  const size = `width="${n(scene.width + 2 * MARGIN)}" height="${n(scene.height + 2 * MARGIN)}"`;
  const sight = `viewBox="${-MARGIN} ${-MARGIN} ${n(scene.width + 2 * MARGIN)} ${n(scene.height + 2 * MARGIN)}"`;
  yield `<svg xmlns="http://www.w3.org/2000/svg" class="gg-svg" role="img" ${size} ${sight}>`;
  yield `<title>${escapeXml(title)}</title><style>${style.replace(/&/g, "&amp;").replace(/</g, "&lt;")}</style>`;
  yield `<rect class="paper" x="${-MARGIN}" y="${-MARGIN}" ${size}/>`;
  yield* scenePieces(scene, view);
  yield "</svg>\n";
}

function n(x) {
  return Math.round(x * 10) / 10;
}
