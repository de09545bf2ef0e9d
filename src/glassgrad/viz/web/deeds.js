// What the reader does: select, open, step, play, edit, check; and what a frame around the page asks for.
// Guarantee: every deed changes the state and draws; none changes the snapshot but a frame's own new snapshot.

import { centralDifference, readGraph } from "./engine.js";
import { nameOf, short } from "./format.js";
import { refresh } from "./numbers.js";
import { signed } from "./picture.js";
import { zoomAt } from "./camera.js";
import { announce, app, at, say, translate } from "./state.js";
import { currentStep, drawStepper } from "./sides.js";
import { draw, drawCamera, fit, relayout } from "./stage.js";

export function zoomBy(factor) {
  const { clientWidth, clientHeight } = at("#gg-stage");
  app.camera = zoomAt(app.camera, clientWidth / 2, clientHeight / 2, factor);
  drawCamera();
}

export function select(item, { panel = true, reveal = false } = {}) {
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
  return say("stage.value", {
    name: nameOf(graph, item.node),
    kind,
    value: app.view.valueText(item.node),
    grad: grad === null ? say("grad.not") : signed(grad),
  });
}

/** Moves the picture so that an item is in sight, and no more than needed. */
function revealItem(item) {
  if (app.camera === app.fitted) {
    fit(); // everything is in sight, and stays so where the inspector has taken some of the room
    return drawCamera();
  }
  const { x, y, zoom } = app.camera;
  const { clientWidth: width, clientHeight: height } = at("#gg-stage");
  const [left, top] = [item.x * zoom + x, item.y * zoom + y];
  const [right, bottom] = [left + item.width * zoom, top + item.height * zoom];
  const shift = (low, high, room) => (low < 16 ? 16 - low : high > room - 16 ? room - 16 - high : 0);
  const [dx, dy] = [shift(left, right, width), shift(top, bottom, height)];
  if (dx || dy) app.camera = { zoom, x: x + dx, y: y + dy };
  drawCamera();
}

/** Opens every group around node `i`, selects it and brings it into sight at a legible size. */
export async function goTo(i) {
  const before = new Set(app.open);
  for (let group = app.tree.home[i]; group.parent; group = group.parent) app.open.add(group);
  if (app.open.size !== before.size) await relayout(() => null, before);
  const item = app.scene.itemOf(i);
  if (!item) return;
  if (app.camera.zoom < 0.6) {
    const { clientWidth, clientHeight } = at("#gg-stage");
    app.camera = {
      zoom: 1,
      x: clientWidth / 2 - item.x - item.width / 2,
      y: clientHeight / 2 - item.y - item.height / 2,
    };
  }
  select(item, { reveal: true });
}

export function toggle(group) {
  const before = new Set(app.open);
  if (!app.open.delete(group)) app.open.add(group);
  app.lit = new Set();
  // The upper left corner of the box stays where it is.
  return relayout((scene) => {
    const box = scene.frames.find((frame) => frame.group === group) ?? scene.items.find((item) => item.group === group);
    return box ? [box.x, box.y] : null;
  }, before);
}

export function openGroups(groups) {
  const before = app.open;
  app.open = new Set(groups);
  return relayout(null, before);
}

export function closePanel() {
  app.panelOpen = false;
  app.lit = new Set();
  app.pinned = -1;
  draw();
  at("#gg-stage").focus();
}

export function setStep(step) {
  app.doc.step = Math.max(0, Math.min(step, app.doc.steps.total));
  app.lit = new Set();
  draw();
  const { state } = app.numbers;
  const item = state && state.node >= 0 ? app.scene.itemOf(state.operand >= 0 ? state.operand : state.node) : null;
  if (item && app.camera.zoom > 0.4) revealItem(item);
}

export function play() {
  if (app.playing) return stopPlaying();
  if (currentStep() >= app.doc.steps.total) setStep(0);
  // About twenty seconds for a long way, in strides where it has thousands of steps; a second a step for a short one.
  const { total } = app.doc.steps;
  const pause = Math.max(100, Math.min(900, 20000 / Math.max(1, total)));
  const stride = Math.max(1, Math.round((total * pause) / 20000));
  app.playing = setInterval(() => {
    if (currentStep() >= total) return stopPlaying();
    setStep(currentStep() + stride);
  }, pause);
  drawStepper();
}

function stopPlaying() {
  clearInterval(app.playing);
  app.playing = 0;
  drawStepper();
}

/** Goes to a recorded step of the training; what was typed into a weight gives way to what was recorded. */
export function toEpoch(epoch) {
  const { doc } = app;
  doc.epoch = epoch;
  for (const leaf of doc.training.ids) doc.edits.delete(leaf);
  refresh(doc);
  draw();
}

/** Gives a leaf another value; null restores the snapshot's. */
export function edit(leaf, x) {
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
export function tellParent(message) {
  if (window.parent !== window) window.parent.postMessage(message, "*");
}

/**
 * What that frame says: `set` edits leaves, [id, number] each, null for what the snapshot has; `snapshot` is the same
 * graph on other numbers, as JSON text, and takes back all edits.
 */
export function hear({ data, source }) {
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

export function check(leaf) {
  const { doc } = app;
  const { derivative, step } = centralDifference(doc.graph, doc.values, leaf, doc.root);
  const error = Math.abs(derivative - doc.pass[leaf]);
  const possible = Number.isFinite(error);
  at("#gg-check").textContent = say(possible ? "check.result" : "check.impossible", {
    step: short(step, 3),
    difference: short(derivative, 8),
    derivative: short(doc.pass[leaf], 8),
    error: short(error, 2),
  });
}

export function switchLanguage() {
  app.lang = app.lang === "en" ? "zh" : "en";
  translate();
  draw();
  announce(app.selected ? spoken(app.selected) : "");
}
