// The inspector: everything about one value, and why its gradient is what it is, from symbols to numbers to the product.
// Guarantees: a pure function of the document to HTML text in which labels are text; totals are exact, listings are cut
// and say so. app.js listens to the elements by their data attributes.

import { RULES } from "./rules.js";
import { clip, escapeXml, full, inProduct, nameOf, short } from "./format.js";
import { membersOf } from "./groups.js";
import { listPaths } from "./paths.js";
import { editable } from "./numbers.js";

const USES = 12; // terms of a sum that are written out
const LINKS = 24; // operands or consumers that are listed
const FACTORS = 9; // of a path

/** The panel's HTML for node `i`. */
export function nodePanel(doc, numbers, consumers, groups, i, say) {
  const { graph } = doc;
  const tensor = graph.shapes.has(i); // many numbers, of which the graph has none
  return [
    head(doc, groups, i, say),
    valueSection(doc, numbers, i, say),
    graph.ops[i] === "leaf" && !tensor ? editSection(doc, i, say) : "",
    tensor ? "" : gradSection(doc, numbers, i, say),
    !tensor && graph.wanted[i] && doc.below[i] && i !== doc.root ? whySection(doc, numbers, consumers, i, say) : "",
    linksSection(doc, numbers, operandEdges(graph, i), say("panel.operands"), i, say),
    linksSection(doc, numbers, consumers[i], say("panel.consumers"), i, say),
    graph.notes.get(i)
      ? `<section><h3>${say("panel.note")}</h3><p class="note">${escapeXml(graph.notes.get(i))}</p></section>`
      : "",
  ].join("");
}

function kindOf(doc, i) {
  const { graph } = doc;
  if (i === doc.root) return "root";
  return graph.ops[i] === "leaf" ? (graph.wanted[i] ? "leaf" : "constant") : "operation";
}

function head(doc, groups, i, say) {
  const { graph } = doc;
  const kind = kindOf(doc, i);
  const op = graph.ops[i] === "leaf" ? "" : ` · <code>${escapeXml(clip(graph.ops[i], 30))}</code>`;
  const where = whereLine(groups, say);
  return (
    `<header><h2 tabindex="-1" id="gg-panel-title" title="${escapeXml(graph.labels[i].slice(0, 2000))}"><bdi>${escapeXml(nameOf(graph, i))}</bdi></h2>` +
    `<p class="kind"><span class="chip ${kind}">${say(`kind.${kind}`)}</span>${op}</p>${where}` +
    `<button class="icon" data-do="close-panel" aria-label="${say("panel.close")}" title="${say("panel.close")} (Esc)">✕</button></header>`
  );
}

/** The groups around it, outer first, each a button that opens the group's own panel. */
function whereLine(groups, say) {
  if (!groups.length) return "";
  const buttons = groups.map(
    ([group, number]) => `<button data-group="${number}">${escapeXml(clip(group.name, 30))}</button>`,
  );
  return `<nav class="where" aria-label="${say("panel.in")}">${say("panel.in")} ${buttons.join(" / ")}</nav>`;
}

/** The operation in its operands' names and with their numbers: `d = a × b = 2 × (−3) = −6`. */
function valueSection(doc, numbers, i, say) {
  const { graph } = doc;
  const hidden = numbers.shown && !numbers.shown[i];
  const shape = graph.shapes.get(i);
  const formula = graph.ops[i] === "leaf" ? "" : formulaLine(doc, numbers, i, hidden);
  if (shape)
    return `<section><h3>${say("panel.shape")}</h3><p class="big">[${shape.join(", ")}]</p>${formula}</section>`;
  const value = hidden ? `<span class="muted">${say("panel.notYet")}</span>` : full(numbers.values[i]);
  return `<section><h3>${say("card.data")}</h3><p class="big" id="gg-value">${value}</p>${formula}</section>`;
}

function formulaLine(doc, numbers, i, hidden) {
  const { graph } = doc;
  const names = operandEdges(graph, i).map(([, j]) => nameOf(graph, j));
  const symbols = inWords(graph, i, names);
  if ([i, ...operandEdges(graph, i).map(([, j]) => j)].some((j) => graph.shapes.has(j))) {
    return `<p class="math"><bdi>${escapeXml(nameOf(graph, i))}</bdi> = ${escapeXml(symbols)}</p>`;
  }
  const figures = inWords(
    graph,
    i,
    operandEdges(graph, i).map(([, j]) => inProduct(numbers.values[j])),
  );
  const end = hidden ? "" : ` = <b>${short(numbers.values[i], 6)}</b>`;
  return `<p class="math"><bdi>${escapeXml(nameOf(graph, i))}</bdi> = ${escapeXml(symbols)}<br>= ${escapeXml(figures)}${end}</p>`;
}

/** The operation written with the given words for its operands. */
function inWords(graph, i, words) {
  const infix = {
    __proto__: null,
    add: " + ",
    sub: " − ",
    mul: " · ",
    div: " / ",
    sum: " + ",
    prod: " · ",
    pow: " ** ",
  }[graph.ops[i]];
  const listed = words.length > 8 ? [...words.slice(0, 6), "…", words[words.length - 1]] : words;
  if (graph.ops[i] === "neg") return `−${words[0]}`;
  if (graph.ops[i] === "dot" && words.length <= 8) {
    const half = words.length / 2;
    return words
      .slice(0, half)
      .map((word, k) => `${word} · ${words[half + k]}`)
      .join(" + ");
  }
  return infix ? listed.join(infix) : `${graph.ops[i]}(${listed.join(", ")})`;
}

function editSection(doc, i, say) {
  const now = doc.values[i];
  const first = doc.graph.values[i];
  if (!editable(doc, i))
    return `<section><p class="note">${say(doc.graph.shapes.size ? "edit.tensor" : "edit.fixed")}</p></section>`;
  const middle = Number.isFinite(first) ? first : 0;
  const reach = Math.min(Math.max(1, 2 * Math.abs(middle)), Number.MAX_VALUE - Math.abs(middle));
  const changed = doc.edits.has(i);
  return (
    `<section class="edit"><h3>${say("edit.title")}</h3>` +
    `<div class="row"><span class="scrub" data-scrub="${i}" data-reach="${reach}" title="${say("edit.drag")}" aria-hidden="true">⇔</span>` +
    `<input id="gg-edit" data-edit="${i}" inputmode="decimal" autocomplete="off" spellcheck="false" value="${escapeXml(plain(now))}" aria-label="${say("edit.box", { name: escapeXml(nameOf(doc.graph, i)) })}">` +
    `<button data-do="reset" ${changed ? "" : "disabled"}>${say("edit.reset")}</button></div>` +
    `<input type="range" data-slide="${i}" min="${middle - reach}" max="${middle + reach}" step="any" value="${now}" aria-label="${say("edit.slider", { name: escapeXml(nameOf(doc.graph, i)) })}">` +
    `<p class="error" id="gg-edit-error" role="status"></p></section>`
  );
}

function plain(x) {
  return Object.is(x, -0) ? "-0" : Number.isNaN(x) ? "nan" : String(x).replace("Infinity", "inf");
}

function gradSection(doc, numbers, i, say) {
  const { graph } = doc;
  const title = `<h3>${say("card.grad")} <span class="muted">∂${escapeXml(nameOf(graph, doc.root))}/∂<bdi>${escapeXml(nameOf(graph, i))}</bdi></span></h3>`;
  if (!graph.wanted[i]) return `<section>${title}<p class="muted">${say("grad.constant")}</p></section>`;
  if (!numbers.known[i]) {
    const why = numbers.state ? say("panel.notYet") : say(doc.below[i] ? "grad.missing" : "grad.unreached");
    return `<section>${title}<p class="big muted" id="gg-grad">${say("grad.not")}</p><p class="note">${why}</p></section>`;
  }
  const check =
    graph.ops[i] === "leaf" && editable(doc, i)
      ? `<button data-do="check">${say("check.button")}</button><p class="note" id="gg-check" role="status"></p>`
      : "";
  return `<section>${title}<p class="big" id="gg-grad">${full(numbers.grads[i])}</p>${accumulated(doc, numbers, i, say)}${check}</section>`;
}

/** Says so where the snapshot's gradient holds more than one pass: backward() adds to what leaves hold already. */
function accumulated(doc, numbers, i, say) {
  const [held, pass] = [doc.graph.grads[i], doc.pass[i]];
  if (!doc.pristine || numbers.state || !doc.below[i] || close(held, pass)) return "";
  const before = held - pass;
  return `<p class="note accumulated">${say("grad.accumulated", { before: short(before, 6), pass: short(pass, 6), now: short(held, 6) })}</p>`;
}

function close(x, y) {
  return Object.is(x, y) || Math.abs(x - y) <= 1e-9 * Math.max(Math.abs(x), Math.abs(y));
}

/** The three stages for all uses of node `i`, then the sum over paths. */
function whySection(doc, numbers, consumers, i, say) {
  const { graph, pass } = doc;
  const top = escapeXml(nameOf(graph, doc.root));
  const me = escapeXml(nameOf(graph, i));
  const uses = consumers[i].filter(([, c]) => doc.below[c]);
  const listed = uses.slice(0, USES);
  const more =
    uses.length > USES ? ` + … <span class="muted">(${say("why.more", { count: uses.length - USES })})</span>` : "";
  const part = (name) => fraction(top, escapeXml(name));
  const terms = listed.map(([e, c]) => useTerms(doc, e, c, top, me, part));
  const [symbols, local, figures] = [0, 1, 2].map((k) => terms.map((term) => term[k]));
  const total = `<b>${short(pass[i], 6)}</b>`;
  const rules = listed
    .filter(([, c]) => c !== doc.root)
    .map(([e, c]) => ruleLine(doc, e, c))
    .join("");
  return (
    `<section class="why"><h3>${say(numbers.known[i] ? "why.title" : "why.would", { value: short(pass[i]) })}</h3>` +
    `<ol class="stages"><li><span class="stage">${say("why.symbols")}</span><p class="math">${fraction(top, me)} = ${symbols.join(" + ")}${more}</p>${rules}</li>` +
    `<li><span class="stage">${say("why.locals")}</span><p class="math">= ${local.join(" + ")}${more}</p></li>` +
    `<li><span class="stage">${say("why.product")}</span><p class="math">= ${figures.join(" + ")}${more} = ${total}</p></li></ol>` +
    `${pathsPart(doc, i, say)}</section>`
  );
}

/** One use of a node in the three stages. Where the result itself uses it, there is no factor before the local one. */
function useTerms(doc, e, c, top, me, part) {
  const slope = inProduct(doc.partials[e]);
  if (c === doc.root) return [escapeXml(derivativeWords(doc, e, c) ?? slope), slope, slope];
  const name = nameOf(doc.graph, c);
  return [
    `${part(name)}·${fraction(escapeXml(name), me)}`,
    `${part(name)}·${slope}`,
    `${inProduct(doc.pass[c])}·${slope}`,
  ];
}

/** ∂top/∂bottom as a fraction; without a style sheet, and for who listens, it reads `∂top/∂bottom`. */
function fraction(top, bottom) {
  return `<span class="frac"><span>∂<bdi>${top}</bdi></span><i>/</i><span>∂<bdi>${bottom}</bdi></span></span>`;
}

/** `∂d/∂a = b` because d = a · b. */
function ruleLine(doc, e, c) {
  const { graph } = doc;
  const words = derivativeWords(doc, e, c);
  if (words === null) return "";
  const by = fraction(escapeXml(nameOf(graph, c)), escapeXml(nameOf(graph, graph.operand[e])));
  const slope = short(doc.partials[e], 6);
  return `<p class="math rule">${by} = ${words === slope ? "" : `${escapeXml(words)} = `}${slope}</p>`;
}

/** `3·x^2` for the derivative of x³: with a plain exponent there is no need for `3·x^(3 − 1)`. */
function powerWords(graph, e, n) {
  const name = nameOf(graph, graph.operand[e]);
  if (n === 2) return `2·${name}`;
  return `${inProduct(n)}·${name}^${inProduct(n - 1)}`;
}

/** The rule's own text for a local derivative, with the operands' names put in; null where there is none. */
function derivativeWords(doc, e, c) {
  const { graph } = doc;
  const rule = RULES[graph.ops[c]];
  const k = e - graph.start[c];
  if (graph.ops[c] === "pow" && k === 0) {
    const exponent = graph.operand[e + 1];
    if (graph.ops[exponent] === "leaf" && !graph.wanted[exponent]) return powerWords(graph, e, doc.values[exponent]);
  }
  const text = rule ? (rule.derivatives[k] ?? rule.derivatives[0]) : graph.formulas.get(graph.ops[c])?.derivatives?.[k];
  return text
    ? ruleWords(
        graph,
        c,
        k,
        rule,
        text,
        operandEdges(graph, c).map(([, j]) => nameOf(graph, j)),
      )
    : null;
}

function ruleWords(graph, c, k, rule, text, names) {
  if (graph.ops[c] === "dot") return names[(k + names.length / 2) % names.length]; // the operand it is multiplied with
  const fits = (rule?.operands ?? []).length === names.length;
  return fits ? substituted(text, rule.operands, names, nameOf(graph, c)) : text;
}

function substituted(text, operands, names, result) {
  const known = new Map([...operands.map((name, k) => [name, names[k]]), ["y", result]]);
  const signs = text.replaceAll("**", "^").replaceAll(" * ", "·").replaceAll("-", "−");
  return signs.replace(/\b[a-z]+\b(?!\()/g, (word) => known.get(word) ?? word);
}

function pathsPart(doc, i, say) {
  const { graph, partials } = doc;
  const found = listPaths(graph, partials, doc.root, i);
  if (found.count === 0n) return "";
  const shown = found.paths.map((path, k) => {
    const { names, factors } = pathWords(doc, path.edges);
    return (
      `<li><button class="path" data-path="${k}"><span class="names"><bdi>${names}</bdi></span>` +
      `<span class="math">${path.edges.length > 1 ? `${factors} = ` : ""}<b>${short(path.product, 6)}</b></span></button></li>`
    );
  });
  const count = found.count.toString().replace(/\B(?=(\d{3})+$)/g, " ");
  const title = say(found.count === 1n ? "paths.one" : "paths.title", { count });
  const note = found.complete ? "" : `<p class="note">${say("paths.cut", { shown: found.paths.length, count })}</p>`;
  return (
    `<h3>${title}</h3>${note}<ol class="paths">${shown.join("")}</ol>` +
    (found.count === 1n ? "" : `<p class="math total">${say("paths.total")} <b>${short(found.total, 6)}</b></p>`)
  );
}

/** A path's nodes and factors; of a long one the ends. */
function pathWords(doc, edges) {
  const { graph, partials } = doc;
  const cut = edges.length > FACTORS;
  const shown = cut ? [...edges.slice(0, 5), ...edges.slice(-3)] : edges;
  const names = shown.map((e) => escapeXml(nameOf(graph, graph.operand[e])));
  const factors = shown.map((e) => inProduct(partials[e], 4));
  if (cut) {
    names.splice(5, 0, "…");
    factors.splice(5, 0, `… <span class="muted">(${edges.length})</span> …`);
  }
  return { names: [escapeXml(nameOf(graph, doc.root)), ...names].join(" ← "), factors: factors.join("·") };
}

/** The edges of each path in the order of the listing, to light them up. */
export function pathEdges(doc, i) {
  return listPaths(doc.graph, doc.partials, doc.root, i).paths.map((path) => path.edges);
}

/** (edge, operand) for each operand of node `i`. */
export function operandEdges(graph, i) {
  return Array.from({ length: graph.start[i + 1] - graph.start[i] }, (_, k) => [
    graph.start[i] + k,
    graph.operand[graph.start[i] + k],
  ]);
}

/** A node's number, or its shape, or a dot where the steps have not come to it. */
export function valueWords(graph, numbers, i) {
  if (graph.shapes.has(i)) return `[${graph.shapes.get(i).join("×")}]`;
  return numbers.shown && !numbers.shown[i] ? "·" : short(numbers.values[i]);
}

function linksSection(doc, numbers, links, title, i, say) {
  if (!links.length) return "";
  const { graph } = doc;
  const rows = links.slice(0, LINKS).map(([e, j]) => {
    const slope = numbers.state && !numbers.shown[Math.max(i, j)] ? "" : short(doc.partials[e], 5);
    const text =
      graph.wanted[graph.operand[e]] && !Number.isNaN(doc.partials[e])
        ? `<span class="slope" title="${say("panel.slope")}">${slope}</span>`
        : "";
    return `<li><button data-go="${j}"><bdi>${escapeXml(nameOf(graph, j))}</bdi><span class="muted">${valueWords(graph, numbers, j)}</span>${text}</button></li>`;
  });
  const more =
    links.length > LINKS ? `<li class="muted">${say("panel.more", { count: links.length - LINKS })}</li>` : "";
  return `<section><h3>${title} <span class="muted">${links.length}</span></h3><ul class="links">${rows.join("")}${more}</ul></section>`;
}

/** The panel's HTML for a group. */
export function groupPanel(doc, numbers, around, group, say) {
  const members = membersOf(group);
  const { graph } = doc;
  const weights = members.filter((i) => graph.ops[i] === "leaf" && graph.wanted[i]);
  const known = weights.filter((i) => numbers.known[i]);
  return (
    `<header><h2 tabindex="-1" id="gg-panel-title"><bdi>${escapeXml(clip(group.name, 40))}</bdi></h2>` +
    `<p class="kind"><span class="chip">${say("kind.group")}</span> ${say("group.values", { count: group.size })}, ${say("group.leaves", { count: weights.length })}</p>${whereLine(around, say)}` +
    `<button class="icon" data-do="close-panel" aria-label="${say("panel.close")}">✕</button></header>` +
    `<section><button data-do="toggle-group">${say("group.toggle")}</button></section>` +
    histogram(
      weights.map((i) => numbers.values[i]),
      say("group.histogram"),
    ) +
    histogram(
      known.map((i) => numbers.grads[i]),
      say("group.gradients"),
    )
  );
}

/** A small histogram as SVG; the line in the middle of the scale is 0 if it is in the range. */
export function histogram(numbers, title) {
  const finite = numbers.filter(Number.isFinite);
  if (finite.length < 2) return "";
  const [low, high] = finite.reduce(([a, b], x) => [Math.min(a, x), Math.max(b, x)], [Infinity, -Infinity]);
  const bins = new Array(24).fill(0);
  for (const x of finite) bins[high > low ? Math.min(23, Math.floor((24 * (x - low)) / (high - low))) : 12] += 1;
  const top = Math.max(...bins);
  const bars = bins.map(
    (count, k) =>
      `<rect x="${k * 12 + 1}" y="${60 - (56 * count) / top}" width="10" height="${(56 * count) / top}" rx="1.5"/>`,
  );
  const zero = low < 0 && high > 0 ? `<path d="M${(288 * -low) / (high - low)} 0v60"/>` : "";
  return (
    `<section><h3>${title} <span class="muted">${finite.length}</span></h3>` +
    `<svg class="histogram" viewBox="0 0 288 62" role="img" aria-label="${title}: ${short(low)} … ${short(high)}">${bars.join("")}${zero}</svg>` +
    `<p class="range"><span>${short(low)}</span><span>${short(high)}</span></p></section>`
  );
}
