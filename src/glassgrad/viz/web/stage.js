// The picture: laid out when what is in sight changes, drawn when numbers change, moved when the camera moves.
// Guarantees: a large layout runs in a worker, under a time limit and with a Cancel; no task here is long; of two
// gestures the later wins; a box that was clicked stays where it is on the screen.

import { full } from "./format.js";
import { standIns } from "./groups.js";
import { arrange, linesByEdge, place, problems, solve } from "./scene.js";
import { numbersOf, scales } from "./numbers.js";
import { sceneMarkup } from "./picture.js";
import { colours, paint, prepare } from "./canvas.js";
import { fitted } from "./camera.js";
import { valueWords } from "./panel.js";
import { announce, app, at, say } from "./state.js";
import { drawPanel, drawStepper, drawTraining } from "./sides.js";

const SVG_LIMIT = 400; // boxes; Chromium pans so many as SVG within a frame, and ten times as many on a canvas

const SYNC_LIMIT = 700; // places that are laid out without a worker

const BUDGET = 12000; // milliseconds after which the worker stops improving the order

/** What pictures ask for: numbers as they are now, of nodes and of lines. */
export function viewOf(doc, numbers) {
  const { graph } = doc;
  const { topGrad, topFlow } = scales(doc, numbers);
  const gradOf = (i) => (graph.wanted[i] && numbers.known[i] ? numbers.grads[i] : null);
  return {
    graph,
    topGrad,
    topFlow,
    gradOf,
    say,
    valueText: (i) => valueWords(graph, numbers, i),
    selected: app.selected,
    active: activeItems(numbers),
    lit: app.lit.size ? app.lit : activeLines(numbers),
    describe: (i) =>
      `${graph.labels[i].slice(0, 300) || `n${i}`}\n${say("card.data")} ${full(numbers.values[i])}\n${say("card.grad")} ${gradOf(i) === null ? "—" : full(gradOf(i))}`,
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
  return new Set(
    [app.scene.itemOf(state.node), state.operand >= 0 ? app.scene.itemOf(state.operand) : null].filter(Boolean),
  );
}

function activeLines({ state }) {
  return new Set(state && state.edge >= 0 ? app.linesOf[state.edge] : []);
}

/** Lays out what is in sight. `anchor` returns a point of the scene that stays where it is on the screen. */
export async function relayout(anchor = null, before = null) {
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
export async function breath() {
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
export function groupItem(group) {
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

export function stopWorker() {
  if (app.worker) app.cancel();
}

/** Draws everything anew. Panning and zooming only call `drawCamera`. */
export function draw() {
  app.numbers = numbersOf(app.doc);
  app.view = viewOf(app.doc, app.numbers);
  const svg = at("#gg-stage svg");
  svg.toggleAttribute("hidden", app.big);
  at("#gg-stage canvas").hidden = !app.big;
  svg.querySelector("g").innerHTML = app.big ? "" : sceneMarkup(app.scene, app.view);
  at("#gg-stage").setAttribute(
    "aria-activedescendant",
    !app.big && app.selected?.index >= 0 ? `gg-item-${app.selected.index}` : "",
  );
  drawCamera();
  drawPanel();
  drawStepper();
  drawTraining();
}

export function drawCamera() {
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
  paint(
    canvas,
    app.scene,
    app.prepared,
    app.view,
    app.camera,
    ratio,
    (app.palette ??= colours(document.documentElement)),
  );
}

/** Shows everything, and goes on doing so when the room changes, until the reader moves the picture. */
export function fit() {
  const { clientWidth, clientHeight } = at("#gg-stage");
  app.camera = fitted(app.scene, clientWidth, clientHeight);
  app.fitted = app.camera;
}
