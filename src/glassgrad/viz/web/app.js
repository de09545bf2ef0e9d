// The page: reads what Python left in it, draws, listens. Everything it shows is a function of one `app` object.
// Guarantees: nothing is fetched, nothing is stored; without a usable graph the page says what is wrong with it.

import { centralDifference, readGraph } from "./engine.js";
import { stepSentence } from "./steps.js";
import { full, nameOf, short, typed } from "./format.js";
import { buildGroups, firstOpen, standIns } from "./groups.js";
import { arrange, linesByEdge, place, problems, solve } from "./scene.js";
import { numbersOf, openDocument, refresh, scales } from "./numbers.js";
import { sceneMarkup, signed, standalone } from "./picture.js";
import { colours, paint, prepare } from "./canvas.js";
import { fitted, listenToPointers, zoomAt } from "./camera.js";
import { groupPanel, nodePanel, operandEdges, pathEdges, valueWords } from "./panel.js";
import { leafHistory, readTraining, sparkline } from "./training.js";

const SVG_LIMIT = 400; // boxes; Chromium pans so many as SVG within a frame, and ten times as many on a canvas
const SYNC_LIMIT = 700; // places that are laid out without a worker
const BUDGET = 12000; // milliseconds after which the worker stops improving the order

const app = {
  strings: {}, lang: "en", open: new Set(), options: { hideConstants: false, foldSums: false },
  camera: { x: 0, y: 0, zoom: 1 }, selected: null, lit: new Set(), pinned: -1, playing: 0, worker: null, turn: 0,
};
const at = (selector) => document.querySelector(selector);

// Words ------------------------------------------------------------------------------------------------------------

function say(key, values = {}) {
  const text = app.strings[app.lang][key] ?? app.strings.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

function translate() {
  if (app.doc) {
    const { graph } = app.doc;
    const names = [...new Set(graph.roots)].slice(0, 4).map((i) => nameOf(graph, i));
    at(".subject").textContent = say("title.graph", { names: names.join(", ") + (graph.roots.length > 4 ? " …" : "") });
  }
  document.documentElement.lang = app.lang === "zh" ? "zh-CN" : "en";
  at("#gg-panel").replaceChildren();
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  for (const element of document.querySelectorAll("[data-say-label]")) element.setAttribute("aria-label", say(element.dataset.sayLabel));
  for (const element of document.querySelectorAll("[data-say-title]")) element.title = say(element.dataset.sayTitle);
  for (const element of document.querySelectorAll("[data-say-placeholder]")) element.placeholder = say(element.dataset.sayPlaceholder);
  const help = at("#gg-help-text");
  const keys = say("help.keys").split(";").map((row) => row.split("|"));
  help.replaceChildren(
    ...say("help.text").split("|").map((text) => Object.assign(document.createElement("p"), { textContent: text })),
    Object.assign(document.createElement("table"), {
      innerHTML: keys.map(([key, text]) => `<tr><th><kbd>${key}</kbd></th><td>${text}</td></tr>`).join(""),
    }),
  );
}

// Numbers ----------------------------------------------------------------------------------------------------------

/** What pictures ask for: numbers as they are now, of nodes and of lines. */
function viewOf(doc, numbers) {
  const { graph } = doc;
  const { topGrad, topFlow } = scales(doc, numbers);
  const gradOf = (i) => (graph.wanted[i] && numbers.known[i] ? numbers.grads[i] : null);
  return {
    graph, topGrad, topFlow, gradOf, say,
    valueText: (i) => valueWords(graph, numbers, i),
    selected: app.selected, active: activeItems(numbers), lit: app.lit.size ? app.lit : activeLines(numbers),
    describe: (i) => `${graph.labels[i].slice(0, 300) || `n${i}`}\n${say("card.data")} ${full(numbers.values[i])}\n${say("card.grad")} ${gradOf(i) === null ? "—" : full(gradOf(i))}`,
    flowOf: (made) => {
      let sum = null;
      for (const e of made.edges) {
        const flow = numbers.flow(e, app.owner[e]);
        if (flow !== null) sum = (sum ?? 0) + flow;
      }
      return sum;
    },
  };
}

function activeItems({ state }) {
  if (!state || state.node < 0) return new Set();
  return new Set([app.scene.itemOf(state.node), state.operand >= 0 ? app.scene.itemOf(state.operand) : null].filter(Boolean));
}

function activeLines({ state }) {
  return new Set(state && state.edge >= 0 ? app.linesOf[state.edge] : []);
}

function consumersOf(graph) {
  const found = Array.from({ length: graph.size }, () => []);
  for (let i = 0; i < graph.size; i++) for (const [e, j] of operandEdges(graph, i)) found[j].push([e, i]);
  return found;
}

// Drawing ----------------------------------------------------------------------------------------------------------

/** Lays out what is in sight. `anchor` returns a point of the scene that stays where it is on the screen. */
async function relayout(anchor = null, before = null) {
  const turn = ++app.turn;
  at("#gg-stage").setAttribute("aria-busy", "true");
  await layOut(anchor, before, turn);
  if (turn === app.turn) at("#gg-stage").removeAttribute("aria-busy");
}

async function layOut(anchor, before, turn) {
  const { graph } = app.doc;
  stopWorker();
  const arranged = await arrange(graph, app.tree, app.open, standIns(graph, app.options), breath);
  if (turn !== app.turn) return; // the reader has gone on
  const count = arranged.rooms.reduce((sum, room) => sum + room.widths.length, 0);
  const old = anchor && app.scene ? anchor(app.scene) : null;
  let plans;
  if (count <= SYNC_LIMIT) plans = solve(problems(arranged.rooms));
  else {
    try {
      plans = await inWorker(problems(arranged.rooms), count);
    } catch (error) {
      if (before && turn === app.turn) app.open = before; // the reader gave up: what was in sight stays
      if (error.message !== "cancelled") announce(error.message);
      return;
    }
  }
  const scene = await place(arranged, plans, breath);
  const big = scene.items.length + scene.frames.length > SVG_LIMIT;
  const prepared = big ? await prepare(scene, breath) : null;
  const linesOf = linesByEdge(scene, graph.operand.length);
  if (turn !== app.turn) return;
  Object.assign(app, { scene, big, prepared, linesOf });
  const now = anchor && old ? anchor(app.scene) : null;
  if (now) {
    const { x, y, zoom } = app.camera;
    app.camera = { zoom, x: x + (old[0] - now[0]) * zoom, y: y + (old[1] - now[1]) * zoom };
  } else if (!old) fit();
  if (app.selected) app.selected = itemLike(app.selected);
  draw();
}

let breathed = 0;

/** Lets the browser do what waits, when it has had to wait for some time. */
async function breath() {
  if (performance.now() - breathed < 30) return;
  await new Promise((resolve) => setTimeout(resolve));
  breathed = performance.now();
}

/** The item of the new scene for one of an old scene. */
function itemLike(item) {
  if (item.node >= 0) return app.scene.itemOf(item.node);
  return groupItem(item.group);
}

/** What stands for a group in the scene: its card, or its frame where it is open; null inside a closed one. */
function groupItem(group) {
  const frame = app.scene.frames.find((found) => found.group === group);
  return app.scene.items.find((found) => found.group === group) ?? (frame ? { ...frame, node: -1, index: -1 } : null);
}

function inWorker(rooms, count) {
  const busy = at("#gg-busy");
  busy.hidden = false;
  busy.querySelector("span").textContent = say("busy.layout", { count });
  const worker = new Worker(app.code);
  app.worker = worker;
  return new Promise((resolve, reject) => {
    app.cancel = () => reject(new Error("cancelled"));
    worker.onerror = (event) => reject(new Error(event.message));
    worker.onmessage = ({ data }) => {
      if (data.plans) resolve(data.plans);
      else busy.querySelector("progress").value = data.fraction;
    };
    worker.postMessage({ rooms, budget: BUDGET });
  }).finally(() => {
    worker.terminate();
    if (app.worker === worker) {
      app.worker = null;
      busy.hidden = true;
    }
  });
}

function stopWorker() {
  if (app.worker) app.cancel();
}

/** Draws everything anew. Panning and zooming only call `drawCamera`. */
function draw() {
  app.numbers = numbersOf(app.doc);
  app.view = viewOf(app.doc, app.numbers);
  const svg = at("#gg-stage svg");
  svg.toggleAttribute("hidden", app.big);
  at("#gg-stage canvas").hidden = !app.big;
  svg.querySelector("g").innerHTML = app.big ? "" : sceneMarkup(app.scene, app.view);
  at("#gg-stage").setAttribute("aria-activedescendant", !app.big && app.selected ? `gg-item-${app.selected.index}` : "");
  drawCamera();
  drawPanel();
  drawStepper();
  drawTraining();
}

function drawCamera() {
  const { x, y, zoom } = app.camera;
  if (!app.big) at("#gg-stage svg g").setAttribute("transform", `translate(${x} ${y}) scale(${zoom})`);
  else if (!app.framed) app.framed = requestAnimationFrame(paintNow);
}

function paintNow() {
  app.framed = 0;
  if (!app.big) return;
  const canvas = at("#gg-stage canvas");
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = at("#gg-stage");
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  paint(canvas, app.scene, app.prepared, app.view, app.camera, ratio, (app.palette ??= colours(document.documentElement)));
}

function drawPanel() {
  const panel = at("#gg-panel");
  const { selected, doc, numbers } = app;
  panel.hidden = !selected || !app.panelOpen;
  if (panel.hidden) return panel.replaceChildren();
  const focused = panel.contains(document.activeElement) ? focusKey(document.activeElement) : null;
  const scrolled = panel.scrollTop;
  const history = doc.training && !selected.group ? leafHistory(doc.training, selected.node, doc.epoch, say) : "";
  const around = groupsAround(selected.group ? selected.group.parent : app.tree.home[selected.node]);
  const html = selected.group ? groupPanel(doc, numbers, around, selected.group, say) : nodePanel(doc, numbers, app.consumers, around, selected.node, say);
  fillPanel(panel, html + history);
  panel.scrollTop = scrolled;
  if (focused) panel.querySelector(focused)?.focus({ preventScroll: true });
}

/** A group and those around it, outer first, with their numbers in the tree. */
function groupsAround(group) {
  const found = [];
  for (let inner = group; inner.parent; inner = inner.parent) found.unshift([inner, app.tree.all.indexOf(inner)]);
  return found;
}

/** Writes the panel. A leaf's fields stay the elements that they are: others would end a drag, and move the caret. */
function fillPanel(panel, html) {
  const fresh = Object.assign(document.createElement("template"), { innerHTML: html }).content;
  const [kept, made] = [panel, fresh].map((parent) => parent.querySelector(".edit"));
  const leafOf = (section) => section?.querySelector("[data-edit]").dataset.edit;
  if (!made || leafOf(kept) !== leafOf(made)) return panel.replaceChildren(fresh);
  for (const child of [...panel.children]) if (child !== kept) child.remove();
  const after = [...fresh.children].slice([...fresh.children].indexOf(made) + 1);
  kept.after(...after);
  made.remove();
  panel.prepend(fresh);
  const now = app.doc.values[leafOf(kept)];
  const [box, slide] = kept.querySelectorAll("input");
  if (typed(box.value) !== now) box.value = made.querySelector("input").value; // as typed: 1e-3 stays 1e-3
  if (Number(slide.value) !== now) slide.value = now;
  box.removeAttribute("aria-invalid");
  kept.querySelector(".error").textContent = app.doc.edits.has(app.selected.node) && undefinedNow() ? say("edit.undefined") : "";
  kept.querySelector("button").disabled = made.querySelector("button").disabled;
}

/** Whether a result is not finite that is so in the snapshot. */
function undefinedNow() {
  const { graph, values } = app.doc;
  return values.some((x, i) => !Number.isFinite(x) && Number.isFinite(graph.values[i]));
}

/** A selector that finds the same control after the panel was written anew. */
function focusKey(element) {
  if (element.id) return `#${element.id}`;
  const [name, value] = Object.entries(element.dataset)[0] ?? [];
  return name ? `[data-${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}="${value}"]` : null;
}

function drawStepper() {
  const { doc, numbers } = app;
  const slider = at("#gg-step");
  slider.max = doc.steps.total;
  slider.value = currentStep();
  at(".track").style.setProperty("--split", doc.steps.seedAt / Math.max(1, doc.steps.total));
  at('[data-do="play"] path').setAttribute("d", app.playing ? "M4 3h3v10H4zM9 3h3v10H9z" : "M4 2.5v11l9-5.5z");
  at('[data-do="play"]').setAttribute("aria-label", say(app.playing ? "step.pause" : "step.play"));
  const sentence = numbers.state ? stepSentence(doc.graph, numbers.state, app.strings[app.lang], doc.steps, doc.values) : say("step.idle", { total: doc.steps.total });
  at("#gg-sentence").textContent = sentence;
  slider.setAttribute("aria-valuetext", sentence);
}

/** Where the slider stands: at the end of what the snapshot knows where nobody has stepped. */
function currentStep() {
  const { doc } = app;
  if (doc.step !== null) return doc.step;
  return !doc.pristine || doc.graph.known[doc.root] ? doc.steps.total : doc.steps.seedAt - 1;
}

function drawTraining() {
  const { training, epoch } = app.doc;
  const bar = at("#gg-training");
  bar.hidden = !training;
  if (!training) return;
  const where = epoch ?? training.steps.length - 1;
  const words = epoch === null ? say("training.live") : `${say("training.step", { step: training.steps[epoch] })}, ${say("training.loss", { loss: short(training.losses[epoch]) })}`;
  if (!bar.firstChild) {
    bar.innerHTML = `<label><span></span><input id="gg-epoch" type="range" min="0" step="1"></label><div class="curve-box"></div><p></p>`;
  }
  bar.querySelector("span").textContent = say("training.label");
  const slider = bar.querySelector("input");
  slider.max = training.steps.length - 1;
  slider.value = where;
  slider.setAttribute("aria-label", say("training.slider"));
  slider.setAttribute("aria-valuetext", words);
  bar.querySelector(".curve-box").innerHTML = sparkline(training.losses, where, say("training.label"));
  bar.querySelector("p").textContent = words;
}

function announce(text) {
  at("#gg-live").textContent = text;
}

// What the reader does ---------------------------------------------------------------------------------------------

/** Shows everything, and goes on doing so when the room changes, until the reader moves the picture. */
function fit() {
  const { clientWidth, clientHeight } = at("#gg-stage");
  app.camera = fitted(app.scene, clientWidth, clientHeight);
  app.fitted = app.camera;
}

function zoom(factor) {
  const { clientWidth, clientHeight } = at("#gg-stage");
  app.camera = zoomAt(app.camera, clientWidth / 2, clientHeight / 2, factor);
  drawCamera();
}

function select(item, { panel = true, reveal = false } = {}) {
  app.selected = item;
  app.lit = new Set();
  app.pinned = -1;
  if (item && panel) app.panelOpen = true;
  if (!item) app.panelOpen = false;
  draw();
  if (item && reveal) revealItem(item);
  announce(item ? spoken(item) : say("stage.empty"));
}

function spoken(item) {
  if (item.group) return say("stage.group", { name: item.group.name, count: item.group.size });
  const { graph } = app.doc;
  const grad = app.view.gradOf(item.node);
  const kind = say(`kind.${item.kind === "op" ? "operation" : item.kind === "const" ? "constant" : item.kind}`);
  return say("stage.value", { name: nameOf(graph, item.node), kind, value: app.view.valueText(item.node), grad: grad === null ? say("grad.not") : signed(grad) });
}

/** Moves the picture so that an item is in sight, and no more than needed. */
function revealItem(item) {
  const { x, y, zoom } = app.camera;
  const { clientWidth: width, clientHeight: height } = at("#gg-stage");
  const [left, top] = [item.x * zoom + x, item.y * zoom + y];
  const [right, bottom] = [left + item.width * zoom, top + item.height * zoom];
  const shift = (low, high, room) => (low < 16 ? 16 - low : high > room - 16 ? room - 16 - high : 0);
  app.camera = { zoom, x: x + shift(left, right, width), y: y + shift(top, bottom, height) };
  drawCamera();
}

/** Opens every group around node `i`, selects it and brings it into sight at a legible size. */
async function goTo(i) {
  const before = new Set(app.open);
  for (let group = app.tree.home[i]; group.parent; group = group.parent) app.open.add(group);
  if (app.open.size !== before.size) await relayout(() => null, before);
  const item = app.scene.itemOf(i);
  if (!item) return;
  if (app.camera.zoom < 0.6) {
    const { clientWidth, clientHeight } = at("#gg-stage");
    app.camera = { zoom: 1, x: clientWidth / 2 - item.x - item.width / 2, y: clientHeight / 2 - item.y - item.height / 2 };
  }
  select(item, { reveal: true });
}

function toggle(group) {
  const before = new Set(app.open);
  if (!app.open.delete(group)) app.open.add(group);
  app.lit = new Set();
  // The upper left corner of the box stays where it is.
  return relayout((scene) => {
    const box = scene.frames.find((frame) => frame.group === group) ?? scene.items.find((item) => item.group === group);
    return box ? [box.x, box.y] : null;
  }, before);
}

function setStep(step) {
  app.doc.step = Math.max(0, Math.min(step, app.doc.steps.total));
  app.lit = new Set();
  draw();
  const { state } = app.numbers;
  const item = state && state.node >= 0 ? app.scene.itemOf(state.operand >= 0 ? state.operand : state.node) : null;
  if (item && app.camera.zoom > 0.4) revealItem(item);
}

function play() {
  if (app.playing) return stopPlaying();
  if (currentStep() >= app.doc.steps.total) setStep(0);
  // About twenty seconds for a long way, a second for each step of a short one.
  const pause = Math.max(60, Math.min(900, 20000 / Math.max(1, app.doc.steps.total)));
  app.playing = setInterval(() => {
    if (currentStep() >= app.doc.steps.total) return stopPlaying();
    setStep(currentStep() + 1);
  }, pause);
  drawStepper();
}

function stopPlaying() {
  clearInterval(app.playing);
  app.playing = 0;
  drawStepper();
}

/** Gives a leaf another value; null restores the snapshot's. */
function edit(leaf, x) {
  const { doc } = app;
  if (x === null) doc.edits.delete(leaf);
  else doc.edits.set(leaf, x);
  doc.step = null;
  refresh(doc);
  draw();
  announce(say("edit.result", { name: nameOf(doc.graph, doc.root), value: short(doc.values[doc.root]) }));
  tellParent({ glassgrad: "edit", id: leaf, value: x, label: doc.graph.labels[leaf] });
}

/** A frame around the page, such as a notebook's widget, hears when the page is ready, and of edits, and may make some. */
function tellParent(message) {
  if (window.parent !== window) window.parent.postMessage(message, "*");
}

/**
 * What that frame says: `set` edits leaves, [id, number] each, null for what the snapshot has; `snapshot` is the same
 * graph on other numbers, as JSON text, and takes back all edits.
 */
function hear({ data, source }) {
  if (source !== window.parent || source === window || !data) return; // without a frame around it, from nobody
  const { doc } = app;
  if (data.glassgrad === "set" && Array.isArray(data.values)) {
    for (const [leaf, x] of data.values.filter(Array.isArray)) {
      if (x === null) doc.edits.delete(leaf);
      else if (doc.graph.ops[leaf] === "leaf" && typeof x === "number") doc.edits.set(leaf, x);
    }
  } else if (data.glassgrad === "snapshot") {
    const { size, operand, values, grads, known, partials, partialKnown } = readGraph(JSON.parse(data.graph));
    if (size !== doc.graph.size || operand.join() !== doc.graph.operand.join()) return;
    Object.assign(doc.graph, { values, grads, known, partials, partialKnown });
    doc.edits.clear();
  } else return;
  refresh(doc);
  draw();
}

function check(leaf) {
  const { doc } = app;
  const { derivative, step } = centralDifference(doc.graph, doc.values, leaf, doc.root);
  const error = Math.abs(derivative - doc.pass[leaf]);
  at("#gg-check").textContent = say("check.result", {
    step: short(step, 3), difference: short(derivative, 8), derivative: short(doc.pass[leaf], 8), error: short(error, 2),
  });
}

function search(text) {
  const list = at("#gg-found");
  const { graph } = app.doc;
  const wanted = text.trim().toLowerCase();
  const ranked = [[], [], []]; // whole words first, then beginnings
  for (let i = graph.size - 1; i >= 0 && wanted; i--) {
    const words = [graph.labels[i], `n${i}`, graph.ops[i], graph.scopes[i]].map((word) => word.toLowerCase());
    const rank = words.slice(0, 2).includes(wanted) ? 0 : words[0].startsWith(wanted) ? 1 : 2;
    if (rank < 2 || words.some((word) => word.includes(wanted))) ranked[rank].push(i);
  }
  const found = ranked.flat().slice(0, 12);
  list.replaceChildren(
    ...found.map((i, k) => {
      const row = document.createElement("li");
      row.id = `gg-found-${k}`;
      row.setAttribute("role", "option");
      row.dataset.go = i;
      const [name, more] = [document.createElement("bdi"), document.createElement("span")];
      name.textContent = nameOf(graph, i);
      more.textContent = [graph.ops[i], graph.scopes[i], short(graph.values[i])].filter(Boolean).join(" · ");
      row.append(name, more);
      return row;
    }),
  );
  if (wanted && !found.length) list.append(Object.assign(document.createElement("li"), { role: "option", ariaDisabled: "true", textContent: say("search.none"), className: "muted" }));
  list.hidden = !wanted;
  at("#gg-search").setAttribute("aria-expanded", String(Boolean(wanted)));
  chooseFound(0);
}

function chooseFound(k) {
  const rows = [...document.querySelectorAll("#gg-found [data-go]")];
  app.found = rows.length ? (k + rows.length) % rows.length : -1;
  rows.forEach((row, j) => row.setAttribute("aria-selected", String(j === app.found)));
  at("#gg-search").setAttribute("aria-activedescendant", app.found < 0 ? "" : `gg-found-${app.found}`);
}

function closeSearch() {
  at("#gg-found").hidden = true;
  at("#gg-search").setAttribute("aria-expanded", "false");
}

// Export -----------------------------------------------------------------------------------------------------------

function exportSvg() {
  const shown = { ...app.view, selected: null };
  return standalone(app.scene, shown, at("#gg-style").textContent, document.title);
}

async function exportPng() {
  const url = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(exportSvg())}`;
  const image = new Image();
  await new Promise((resolve, reject) => Object.assign(image, { onload: resolve, onerror: () => reject(new Error("SVG")), src: url }));
  const scale = Math.min(2, 16000 / Math.max(image.width, image.height));
  const canvas = Object.assign(document.createElement("canvas"), { width: image.width * scale, height: image.height * scale });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("PNG"))), "image/png"));
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

async function exporting(make, name) {
  try {
    save(await make(), name);
  } catch (error) {
    announce(say("export.failed", { reason: error.message }));
  }
}

// Events -----------------------------------------------------------------------------------------------------------

const ACTIONS = {
  "zoom-in": () => zoom(1.3),
  "zoom-out": () => zoom(1 / 1.3),
  fit: () => (fit(), drawCamera()),
  "open-all": () => openGroups(app.tree.all),
  "close-all": () => openGroups([]),
  "export-svg": () => exporting(() => new Blob([exportSvg()], { type: "image/svg+xml" }), "glassgrad.svg"),
  "export-png": () => exporting(exportPng, "glassgrad.png"),
  language: switchLanguage,
  help: () => at("#gg-help").showModal(),
  cancel: stopWorker,
  first: () => setStep(0),
  back: () => setStep(currentStep() - 1),
  play,
  next: () => setStep(currentStep() + 1),
  last: () => setStep(app.doc.steps.total),
  reset: () => (edit(app.selected.node, null), at("#gg-panel-title").focus()), // the button is out of use now
  check: () => check(app.selected.node),
  "close-panel": () => closePanel(),
  "toggle-group": () => toggle(app.selected.group),
};

function switchLanguage() {
  app.lang = app.lang === "en" ? "zh" : "en";
  translate();
  draw();
  announce(app.selected ? spoken(app.selected) : "");
}

function openGroups(groups) {
  const before = app.open;
  app.open = new Set(groups);
  return relayout(null, before);
}

function closePanel() {
  app.panelOpen = false;
  app.lit = new Set();
  app.pinned = -1;
  draw();
  at("#gg-stage").focus();
}

const MOVES = { ArrowLeft: "sources", ArrowRight: "targets", ArrowUp: "above", ArrowDown: "below" };

/** The item next to the selected one in the direction of an arrow key. */
function neighbour(direction) {
  const { scene, selected } = app;
  if (!selected) return scene.itemOf(app.doc.root);
  if (direction === "sources" || direction === "targets") {
    const { graph } = app.doc;
    for (let e = 0; e < graph.operand.length; e++) {
      const [from, to] = [scene.itemOf(graph.operand[e]), scene.itemOf(app.owner[e])];
      if (!from || !to || from === to) continue;
      if (direction === "sources" && to === selected) return from;
      if (direction === "targets" && from === selected) return to;
    }
    return null;
  }
  const middle = (item) => [item.x + item.width / 2, item.y + item.height / 2];
  const [x, y] = middle(selected);
  let best = null;
  let nearest = Infinity;
  for (const item of scene.items) {
    const [u, v] = middle(item);
    const down = direction === "below" ? v - y : y - v;
    const distance = down + 4 * Math.abs(u - x);
    if (item !== selected && down > 1 && distance < nearest) [best, nearest] = [item, distance];
  }
  return best;
}

function onStageKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const direction = MOVES[event.key];
  const keys = {
    "+": () => zoom(1.3), "=": () => zoom(1.3), "-": () => zoom(1 / 1.3), f: ACTIONS.fit, ",": ACTIONS.back, ".": ACTIONS.next,
    "/": () => at("#gg-search").focus(),
    Escape: () => select(null),
    Enter: () => enter(),
    " ": () => enter(),
  };
  if (direction) {
    const next = neighbour(direction);
    if (next) select(next, { panel: false, reveal: true });
  } else if (keys[event.key]) keys[event.key]();
  else return;
  event.preventDefault();
}

function enter() {
  const item = app.selected ?? app.scene.itemOf(app.doc.root);
  if (item.group) return toggle(item.group);
  select(item);
  at("#gg-panel-title")?.focus();
}

function onClick(event, target) {
  const stage = at("#gg-stage");
  stage.focus({ preventScroll: true });
  const found = app.big ? hit(event) : { item: target.closest("[data-item]"), frame: target.closest("[data-close]") };
  const item = app.big ? found.item : found.item && app.scene.items[Number(found.item.dataset.item)];
  const frame = app.big ? found.frame : found.frame && app.scene.frames[Number(found.frame.dataset.close)];
  if (item?.group) toggle(item.group);
  else if (item) select(item);
  else if (frame) toggle(frame.group);
  else if (app.selected) select(null);
}

/** What lies under the pointer on the canvas. */
function hit(event) {
  const box = at("#gg-stage").getBoundingClientRect();
  const x = (event.clientX - box.left - app.camera.x) / app.camera.zoom;
  const y = (event.clientY - box.top - app.camera.y) / app.camera.zoom;
  const inside = (b, height = b.height) => x >= b.x && x <= b.x + b.width && y >= b.y && y <= b.y + height;
  return { item: app.scene.items.find((item) => inside(item)), frame: app.scene.frames.findLast((frame) => inside(frame, 24)) };
}

function onPanelInput(event) {
  const { edit: box, slide } = event.target.dataset;
  if (slide !== undefined) edit(Number(slide), Number(event.target.value));
  if (box === undefined) return;
  const text = event.target.value;
  const x = typed(text);
  if (x === null) {
    event.target.setAttribute("aria-invalid", "true");
    at("#gg-edit-error").textContent = say("edit.bad", { text: text.slice(0, 40) });
    return;
  }
  edit(Number(box), x);
}

function scrub(event) {
  const handle = event.target.closest("[data-scrub]");
  if (!handle) return;
  event.preventDefault();
  const leaf = Number(handle.dataset.scrub);
  const now = app.doc.values[leaf];
  const [from, begin, reach] = [event.clientX, Number.isFinite(now) ? now : 0, Number(handle.dataset.reach)];
  const move = (moved) => edit(leaf, Number((begin + ((moved.clientX - from) / 200) * reach).toPrecision(6)));
  const stop = () => {
    document.removeEventListener("pointermove", move);
    document.removeEventListener("pointerup", stop);
  };
  document.addEventListener("pointermove", move);
  document.addEventListener("pointerup", stop);
}

function lightPath(event) {
  const button = event.target.closest?.("[data-path]");
  const k = button ? Number(button.dataset.path) : -1;
  if (event.type === "click") app.pinned = app.pinned === k ? -1 : k;
  const chosen = k >= 0 ? k : app.pinned;
  const lit = new Set();
  if (chosen >= 0 && app.selected?.node >= 0) {
    for (const e of pathEdges(app.doc, app.selected.node)[chosen] ?? []) for (const line of app.linesOf[e]) lit.add(line);
  }
  app.lit = lit;
  app.view = viewOf(app.doc, app.numbers);
  if (!app.big) at("#gg-stage svg g").innerHTML = sceneMarkup(app.scene, app.view);
  drawCamera();
}

/** Closes a menu; the focus goes from inside it to its button, and not to nowhere. */
function closeMenu(menu) {
  if (!menu) return;
  if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
  menu.open = false;
}

function listen() {
  const stage = at("#gg-stage");
  const panel = at("#gg-panel");
  listenToPointers(stage, () => app.camera, (camera) => ((app.camera = camera), drawCamera()), onClick);
  stage.addEventListener("keydown", onStageKey);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) {
      closeMenu(button.closest("details"));
      ACTIONS[button.dataset.do]();
    }
    const group = event.target.closest("[data-group]");
    if (group) select(groupItem(app.tree.all[Number(group.dataset.group)]));
    const go = event.target.closest("[data-go]");
    if (go) {
      closeSearch();
      goTo(Number(go.dataset.go));
    }
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  for (const menu of document.querySelectorAll("details.menu")) {
    menu.addEventListener("keydown", (event) => event.key === "Escape" && closeMenu(menu));
  }
  panel.addEventListener("input", onPanelInput);
  panel.addEventListener("pointerdown", scrub);
  for (const kind of ["mouseover", "mouseout", "focusin", "focusout", "click"]) {
    panel.addEventListener(kind, (event) => event.target.closest?.("[data-path]") && lightPath(kind === "mouseout" || kind === "focusout" ? { type: kind, target: panel } : event));
  }
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") closePanel();
  });
  at("#gg-step").addEventListener("input", (event) => setStep(Number(event.target.value)));
  at("#gg-training").addEventListener("input", (event) => {
    app.doc.epoch = Number(event.target.value);
    refresh(app.doc);
    draw();
  });
  for (const box of document.querySelectorAll("[data-option]")) {
    box.addEventListener("change", () => {
      app.options[box.dataset.option] = box.checked;
      relayout((scene) => (scene.itemOf(app.doc.root) ? [scene.itemOf(app.doc.root).x, scene.itemOf(app.doc.root).y] : null));
    });
  }
  const field = at("#gg-search");
  field.addEventListener("input", () => search(field.value));
  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") chooseFound(app.found + (event.key === "ArrowDown" ? 1 : -1));
    else if (event.key === "Enter") at(`#gg-found-${app.found}`)?.click();
    else if (event.key === "Escape") closeSearch();
    else return;
    event.preventDefault();
  });
  const redraw = () => {
    app.palette = null;
    if (app.scene && app.camera === app.fitted) fit();
    if (app.scene) drawCamera();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new ResizeObserver(redraw).observe(stage);
}

// Start ------------------------------------------------------------------------------------------------------------

function read(id) {
  const text = at(id).textContent.trim();
  try {
    return text ? JSON.parse(text) : null;
  } catch (error) {
    throw new Error(say("page.cut", { reason: error.message }));
  }
}

async function start(code) {
  app.code = code;
  app.strings = read("#gg-strings");
  app.lang = (navigator.languages ?? [navigator.language]).find((tag) => /^(zh|en)/i.test(tag))?.toLowerCase().startsWith("zh") ? "zh" : "en";
  translate();
  try {
    const raw = read("#gg-graph");
    await breath();
    const graph = readGraph(raw);
    await breath();
    app.doc = openDocument(graph, readTraining(read("#gg-training-record"), graph));
  } catch (error) {
    const textContent = say("page.damaged", { reason: error.message });
    at("main").replaceChildren(Object.assign(document.createElement("p"), { className: "fatal", textContent }));
    return;
  }
  const { graph } = app.doc;
  app.owner = new Int32Array(graph.operand.length);
  for (let i = 0; i < graph.size; i++) app.owner.fill(i, graph.start[i], graph.start[i + 1]);
  await breath();
  app.tree = buildGroups(graph);
  app.open = firstOpen(app.tree, graph.size);
  await breath();
  app.consumers = consumersOf(graph);
  translate();
  listen();
  await relayout();
  document.documentElement.dataset.ready = "true";
  addEventListener("message", hear);
  tellParent({ glassgrad: "ready" });
}

if (typeof document === "undefined") {
  self.onmessage = ({ data }) => {
    const plans = solve(data.rooms, performance.now() + data.budget, (fraction) => self.postMessage({ fraction }));
    self.postMessage({ plans });
  };
} else globalThis.startGlassgrad = start;
