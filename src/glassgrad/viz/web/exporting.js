// What is in sight as a file: SVG that stands alone, PNG of twice the size or, of many boxes, as large as it may be.
// Guarantees: no task here is long, whatever the size of the picture; a picture that takes a while shows how far it is
// and can be cancelled; how large a PNG became is said.

import { MARGIN, standalone } from "./picture.js";
import { colours, paint } from "./canvas.js";
import { announce, app, at, say } from "./state.js";
import { breath } from "./stage.js";

const PIXELS = 16e6; // of a PNG of many boxes, and
const SIDE = 8000; // of each of its sides: what browsers on telephones can still hold

const TILE = 1000; // pixels of a side of what is painted in one task

let written = []; // the scene as SVG, piece by piece

/** The SVG's text, once `exporting` has had it written. */
export function exportSvg() {
  return written.join("");
}

async function write(scene, view, job) {
  const pieces = [];
  const count = scene.frames.length + scene.trunks.length + scene.lines.length + scene.items.length;
  for (const piece of standalone(scene, view, at("#gg-style").textContent, document.title)) {
    if (pieces.push(piece) % 50 === 0) await job.report(pieces.length / count);
  }
  return pieces;
}

export async function exportPng() {
  const canvas = app.big ? await painted(app.scene, app.prepared, unmarked()) : await rendered();
  const blob = await new Promise((resolve, reject) =>
    canvas.toBlob((made) => (made ? resolve(made) : reject(new Error("PNG"))), "image/png"),
  );
  announce(say("export.written", { width: canvas.width, height: canvas.height }));
  return blob;
}

/** A few boxes: the SVG as an image. */
async function rendered() {
  const url = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(exportSvg())}`;
  const image = new Image();
  await new Promise((resolve, reject) =>
    Object.assign(image, { onload: resolve, onerror: () => reject(new Error("SVG")), src: url }),
  );
  const scale = Math.min(2, 16000 / Math.max(image.width, image.height));
  const canvas = newCanvas(image.width * scale, image.height * scale);
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** Many boxes, which an SVG image would take half a minute for: tiles, drawn as the page draws them. */
async function painted(scene, prepared, view) {
  const [width, height] = [scene.width + 2 * MARGIN, scene.height + 2 * MARGIN];
  const zoom = Math.min(2, SIDE / Math.max(width, height), Math.sqrt(PIXELS / (width * height)));
  const whole = newCanvas(Math.max(1, width * zoom), Math.max(1, height * zoom));
  const palette = (app.palette ??= colours(document.documentElement));
  const tile = newCanvas(TILE, TILE);
  const job = begin();
  try {
    for (let y = 0; y < whole.height; y += TILE) {
      for (let x = 0; x < whole.width; x += TILE) {
        await job.report((y * whole.width + x * TILE) / (whole.width * whole.height));
        paint(tile, scene, prepared, view, { x: MARGIN * zoom - x, y: MARGIN * zoom - y, zoom }, 1, palette);
        whole.getContext("2d").drawImage(tile, x, y);
      }
    }
  } finally {
    job.end();
  }
  return whole;
}

function newCanvas(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

/** What pictures ask for, with nothing selected, and none of what was kept for drawing it selected. */
function unmarked() {
  return { ...app.view, selected: null, batches: null };
}

/** A job that takes a while: it reports how far it is, and fails there when the reader cancelled it meanwhile. */
function begin() {
  if (app.worker) return { report: breath, end() {} }; // what is shown is how far the layout is
  const job = {};
  const busy = at("#gg-busy");
  let cancelled = false;
  app.worker = job;
  app.cancel = () => (cancelled = true);
  busy.querySelector("span").textContent = say("busy.export");
  busy.hidden = false;
  return {
    async report(fraction) {
      if (app.worker === job) busy.querySelector("progress").value = fraction;
      await breath();
      if (cancelled) throw new Error("cancelled");
    },
    end() {
      if (app.worker !== job) return;
      app.worker = null;
      busy.hidden = true;
    },
  };
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** Makes a picture and hands it over as a file. `make` finds the SVG written, unless it is a PNG of many boxes. */
export async function exporting(make, name) {
  try {
    if (!app.big) written = [...standalone(app.scene, unmarked(), at("#gg-style").textContent, document.title)];
    else if (make !== exportPng) {
      const job = begin();
      written = await write(app.scene, unmarked(), job).finally(job.end);
    }
    save(await make(), name);
  } catch (error) {
    if (error.message !== "cancelled") announce(say("export.failed", { reason: error.message }));
  } finally {
    written = [];
  }
}
