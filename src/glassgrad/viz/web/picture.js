// The scene as SVG text: what the page shows of up to a few hundred boxes, and what it exports of any number.
// Guarantees: a pure function of the scene and of what is known of its numbers; labels are text, never markup; a positive,
// a negative, a zero and an unknown gradient differ in more than colour: sign, side of the bar, dashes.

import { clip, decades, escapeXml, nameOf, short, symbolOf } from "./format.js";
import { ownWay, wholeWay } from "./scene.js";

/** The word for a number's sign, as classes use it. */
export function signOf(x) {
  return x === null || Number.isNaN(x) ? "none" : x > 0 ? "plus" : x < 0 ? "minus" : "zero";
}

/** All of the scene's markup; `view` says which numbers are known (see `Numbers` in app.js). */
export function sceneMarkup(scene, view) {
  return [
    ...scene.frames.map((frame, k) => frameMarkup(frame, k, view)),
    litMarkup(scene, view),
    `<g class="lines">${linesMarkup(scene, view)}</g>`,
    ...scene.items.map((item) => cardMarkup(item, view)),
  ].join("");
}

function frameMarkup({ group, x, y, width, height }, k, view) {
  const name = escapeXml(clip(group.name, Math.max(4, Math.floor((width - 40) / 7))) || "·");
  return (
    `<g class="frame${view.selected?.group === group ? " selected" : ""}" data-frame="${k}" transform="translate(${n(x)} ${n(y)})">` +
    `<rect width="${n(width)}" height="${n(height)}" rx="12"/>` +
    `<g class="close" data-close="${k}"><title>${escapeXml(group.path)}</title>` +
    `<rect class="hit" width="${n(Math.min(width, 34 + 8 * name.length))}" height="24" rx="8"/>` +
    `<path class="chevron" d="M11 10l4 4.5l4-4.5"/><text class="caption" x="26" y="17">${name}</text></g></g>`
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

function linesMarkup(scene, view) {
  const out = scene.trunks.map((trunk) => lineMarkup(trunk, pathData(trunk.way), view, ""));
  const heads = { none: "", plus: "", minus: "", zero: "" };
  scene.lines.forEach((made, k) => {
    out.push(lineMarkup(made, pathData(ownWay(made)), view, ` data-line="${k}"`));
    if (made.last) heads[signOf(view.flowOf(made))] += headData(made);
  });
  for (const [sign, d] of Object.entries(heads)) if (d) out.push(`<path class="head ${sign}" d="${d}"/>`);
  return out.join("");
}

/** A line in the colour, the dashes and the width of what the gradient adds along it. */
function lineMarkup(made, d, view, mark) {
  const flow = view.flowOf(made);
  const sign = signOf(flow);
  const wide =
    sign === "plus" || sign === "minus" ? ` style="stroke-width:${n(1.2 + 1.8 * decades(flow, view.topFlow))}"` : "";
  return `<path class="line ${sign}"${mark}${wide} d="${d}"/>`;
}

function headData(made) {
  const way = wholeWay(made);
  const [x, y] = made.back ? way[0] : way[way.length - 1];
  return made.back ? `M${n(x)} ${n(y)}l8-4v8z` : `M${n(x)} ${n(y)}l-8-4v8z`;
}

/** The lines of a path of the chain rule, or of the step that was just done: a marker's stroke below them. */
function litMarkup(scene, view) {
  const lit = [...view.lit].map((k) => pathData(wholeWay(scene.lines[k]))).join("");
  return lit ? `<path class="lit" d="${lit}"/>` : "";
}

/** One card: a value, or a group that is closed. */
export function cardMarkup(item, view) {
  const classes = ["card", item.kind];
  if (view.selected === item) classes.push("selected");
  if (view.active.has(item)) classes.push("active");
  const open = `transform="translate(${n(item.x)} ${n(item.y)})" data-item="${item.index}" id="gg-item-${item.index}"`;
  return `<g class="${classes.join(" ")}" ${open}>${item.group ? groupMarkup(item, view) : nodeMarkup(item, view)}</g>`;
}

function groupMarkup({ group, width, height }, view) {
  const box = `width="${n(width)}" height="${height}" rx="10"`;
  const y = height / 2;
  return (
    `<title>${escapeXml(group.path || group.name)}</title>` +
    `<rect class="under" x="5" y="5" ${box}/><rect class="face" ${box}/>` +
    `<path class="chevron" d="M14 ${y - 4}l4.5 4l-4.5 4"/>` +
    `<text class="label" x="29" y="${y - 4}">${escapeXml(clip(group.name, 24) || "·")}</text>` +
    `<text class="word" x="29" y="${y + 13}">${escapeXml(view.say("group.values", { count: group.size }))}</text>`
  );
}

function nodeMarkup({ node, kind, width, height, badge }, view) {
  const { graph } = view;
  const box = `width="${n(width)}" height="${height}" rx="8"`;
  const right = width - 10;
  const value = view.valueText(node);
  const label = graph.labels[node].trim()
    ? escapeXml(nameOf(graph, node).length > 18 ? clip(nameOf(graph, node), 18) : nameOf(graph, node))
    : "";
  const out = [`<title>${escapeXml(view.describe(node))}</title>`, `<rect class="face" ${box}/>`];
  if (badge)
    out.push(`<path class="badge" d="M${badge} 0H8A8 8 0 0 0 0 8V${height - 8}A8 8 0 0 0 8 ${height}H${badge}Z"/>`);
  out.push(`<rect class="rim" ${box}/>`);
  if (kind !== "leaf" && badge > 5) {
    const symbol = symbolOf(graph, node);
    const big = Array.from(symbol).length === 1;
    out.push(
      `<text class="symbol${big ? " sign" : ""}" x="${n(badge / 2)}" y="${n(height / 2 + (big ? 6 : 4.5))}">${escapeXml(symbol)}</text>`,
    );
  }
  if (kind === "const") {
    if (label) out.push(`<text class="label" x="10" y="18.5">${label}</text>`);
    out.push(`<text class="value" x="${n(right)}" y="18.5">${value}</text>`);
    return out.join("");
  }
  const left = badge + 9;
  out.push(
    `<text class="${label ? "label" : "word"}" x="${left}" y="18">${label || escapeXml(view.say("card.data"))}</text>`,
  );
  out.push(`<text class="value" x="${n(right)}" y="18">${value}</text>`);
  if (!graph.wanted[node] || graph.shapes.has(node)) return out.join("");
  const grad = view.gradOf(node);
  const sign = signOf(grad);
  out.push(`<text class="word" x="${left}" y="35">${escapeXml(view.say("card.grad"))}</text>`);
  out.push(`<text class="grad ${sign}" x="${n(right)}" y="35">${grad === null ? "—" : signed(grad)}</text>`);
  out.push(barMarkup(grad, sign, left, right, height, view.topGrad));
  return out.join("");
}

/** A gradient with its sign always written: `+6`, `−4`, `0`. */
export function signed(grad) {
  return grad > 0 ? `+${short(grad)}` : short(grad);
}

/** The gradient's size on a log scale: to the right where it is positive, to the left where it is negative. */
function barMarkup(grad, sign, left, right, height, top) {
  if (grad === null || Number.isNaN(grad)) return "";
  const middle = (left + right) / 2;
  const tick = `<rect class="tick" x="${n(middle - 0.5)}" y="${height - 6}" width="1" height="5"/>`;
  const long = ((right - left) / 2) * decades(grad, top);
  const x = sign === "minus" ? middle - long : middle;
  return `<rect class="bar ${sign}" x="${n(x)}" y="${height - 5}" width="${n(long)}" height="3" rx="1.5"/>${tick}`;
}

/** The scene as a file of its own: the page's colours for light and dark, nothing outside it is asked for. */
export function standalone(scene, view, style, title) {
  const pad = 24;
  const size = `width="${n(scene.width + 2 * pad)}" height="${n(scene.height + 2 * pad)}"`;
  const box = `viewBox="${-pad} ${-pad} ${n(scene.width + 2 * pad)} ${n(scene.height + 2 * pad)}"`;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" class="gg-svg" role="img" ${size} ${box}>` +
    `<title>${escapeXml(title)}</title><style>${style.replace(/&/g, "&amp;").replace(/</g, "&lt;")}</style>` +
    `<rect class="paper" x="${-pad}" y="${-pad}" ${size}/>${sceneMarkup(scene, view)}</svg>\n`
  );
}

function n(x) {
  return Math.round(x * 10) / 10;
}
