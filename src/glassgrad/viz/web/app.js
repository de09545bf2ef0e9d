// The page: reads what Python left in it, and listens.
// Guarantees: nothing is fetched, nothing is stored; without a usable graph the page says what is wrong with it.

import { readGraph } from "./engine.js";
import { typed } from "./format.js";
import { buildGroups, firstOpen, membersOf } from "./groups.js";
import { solve } from "./scene.js";
import { openDocument } from "./numbers.js";
import { sceneMarkup } from "./picture.js";
import { listenToPointers } from "./camera.js";
import { operandEdges, pathEdges } from "./panel.js";
import { readTraining } from "./training.js";
import { app, at, say, translate } from "./state.js";
import { currentStep } from "./sides.js";
import { breath, drawCamera, fit, groupItem, relayout, stopWorker, viewOf } from "./stage.js";
import { check, closePanel, edit, goTo, hear, openGroups, play } from "./deeds.js";
import { select, setStep, switchLanguage, tellParent, toEpoch, toggle, zoomBy } from "./deeds.js";
import { chooseFound, closeSearch, search } from "./search.js";
import { exportPng, exportSvg, exporting } from "./exporting.js";

const LARGE = 1000; // values

const ACTIONS = {
  "zoom-in": () => zoomBy(1.3),
  "zoom-out": () => zoomBy(1 / 1.3),
  fit: () => (fit(), drawCamera()),
  "open-all": () => openGroups(app.tree.all),
  "close-all": () => openGroups([]),
  "export-svg": () => exporting(() => new Blob([exportSvg()], { type: "image/svg+xml" }), "glassgrad.svg"),
  "export-png": () => exporting(exportPng, "glassgrad.png"),
  language: switchLanguage,
  help: () => (at("#gg-help").showModal(), at("#gg-help-title").focus()), // its beginning, not its button
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

const MOVES = { ArrowLeft: "sources", ArrowRight: "targets", ArrowUp: "above", ArrowDown: "below" };

/** The item next to the selected one in the direction of an arrow key. */
function neighbour(direction) {
  const { scene, selected } = app;
  if (!selected) return scene.itemOf(app.doc.root);
  if (selected.index < 0) return scene.itemOf(lastOf(selected.group)); // an open frame: into it
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

/** The node of a group that comes last: its result, where it has one. */
function lastOf(group) {
  return membersOf(group).reduce((last, i) => Math.max(last, i), -1);
}

const PAGE_KEYS = {
  "+": () => zoomBy(1.3),
  "=": () => zoomBy(1.3),
  "-": () => zoomBy(1 / 1.3),
  f: ACTIONS.fit,
  ",": ACTIONS.back,
  ".": ACTIONS.next,
  "/": () => at("#gg-search").focus(),
  "?": ACTIONS.help,
};

/** Keys that work wherever the focus is, except where one types. */
function onPageKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !PAGE_KEYS[event.key]) return;
  if (event.target.closest?.('input:not([type="range"], [type="checkbox"]), dialog')) return;
  PAGE_KEYS[event.key]();
  event.preventDefault();
}

function onStageKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const direction = MOVES[event.key];
  const keys = { Escape: () => select(null), Enter: enter, " ": enter };
  if (direction) {
    const next = neighbour(direction);
    if (next) select(next, { panel: false, reveal: true });
  } else if (keys[event.key]) keys[event.key]();
  else return;
  event.preventDefault();
}

function enter() {
  const item = app.selected ?? app.scene.itemOf(app.doc.root);
  if (item.group) return enterGroup(item.group);
  select(item);
  at("#gg-panel-title")?.focus();
}

/** Opens a group and goes on to its result, or closes it and stays on its card. */
async function enterGroup(group) {
  await toggle(group);
  const item = app.open.has(group) ? app.scene.itemOf(lastOf(group)) : groupItem(group);
  if (item) select(item, { panel: false, reveal: true });
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
  return {
    item: app.scene.items.find((item) => inside(item)),
    frame: app.scene.frames.findLast((frame) => inside(frame, 24)),
  };
}

function onPanelInput(event) {
  const { edit: box, slide } = event.target.dataset;
  if (slide !== undefined) edit(Number(slide), Number(event.target.value));
  if (box === undefined) return;
  const text = event.target.value;
  const x = typed(text);
  if (x === null) {
    event.target.setAttribute("aria-invalid", "true");
    at("#gg-edit-error").textContent = say(text.trim() ? "edit.bad" : "edit.empty", { text: text.slice(0, 40) });
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
    for (const end of ["pointerup", "pointercancel"]) document.removeEventListener(end, stop);
  };
  document.addEventListener("pointermove", move);
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, stop);
}

function lightPath(event) {
  const button = event.target.closest?.("[data-path]");
  const k = button ? Number(button.dataset.path) : -1;
  if (event.type === "click") app.pinned = app.pinned === k ? -1 : k;
  const chosen = k >= 0 ? k : app.pinned;
  const lit = new Set();
  if (chosen >= 0 && app.selected?.node >= 0) {
    for (const e of pathEdges(app.doc, app.selected.node)[chosen] ?? [])
      for (const line of app.linesOf[e]) lit.add(line);
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
  listenToPointers(
    stage,
    () => app.camera,
    (camera) => ((app.camera = camera), drawCamera()),
    onClick,
  );
  stage.addEventListener("keydown", onStageKey);
  document.addEventListener("keydown", onPageKey);
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
    for (const menu of document.querySelectorAll("details.menu[open]"))
      if (!menu.contains(event.target)) menu.open = false;
  });
  for (const menu of document.querySelectorAll("details.menu")) {
    menu.addEventListener("keydown", (event) => event.key === "Escape" && closeMenu(menu));
  }
  panel.addEventListener("input", onPanelInput);
  panel.addEventListener("pointerdown", scrub);
  for (const kind of ["mouseover", "mouseout", "focusin", "focusout", "click"]) {
    panel.addEventListener(
      kind,
      (event) =>
        event.target.closest?.("[data-path]") &&
        lightPath(kind === "mouseout" || kind === "focusout" ? { type: kind, target: panel } : event),
    );
  }
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") closePanel();
  });
  at("#gg-step").addEventListener("input", (event) => setStep(Number(event.target.value)));
  at("#gg-training").addEventListener("input", (event) => {
    toEpoch(Number(event.target.value));
  });
  for (const box of document.querySelectorAll("[data-option]")) {
    box.addEventListener("change", () => {
      app.options[box.dataset.option] = box.checked;
      relayout((scene) =>
        scene.itemOf(app.doc.root) ? [scene.itemOf(app.doc.root).x, scene.itemOf(app.doc.root).y] : null,
      );
    });
  }
  const field = at("#gg-search");
  field.addEventListener("input", () => search(field.value));
  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp")
      chooseFound(app.found + (event.key === "ArrowDown" ? 1 : -1));
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

function consumersOf(graph) {
  const found = Array.from({ length: graph.size }, () => []);
  for (let i = 0; i < graph.size; i++) for (const [e, j] of operandEdges(graph, i)) found[j].push([e, i]);
  return found;
}

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
  app.lang = (navigator.languages ?? [navigator.language])
    .find((tag) => /^(zh|en)/i.test(tag))
    ?.toLowerCase()
    .startsWith("zh")
    ? "zh"
    : "en";
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
  // A large graph opens without its constants, and each chain of sums as one sum: less to see, and what matters of it.
  const large = graph.size > LARGE;
  app.options = { hideConstants: large, foldSums: large };
  for (const box of document.querySelectorAll("[data-option]")) box.checked = app.options[box.dataset.option];
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
