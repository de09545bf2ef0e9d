// What is in sight as a file: SVG that stands alone, PNG of twice the size.

import { standalone } from "./picture.js";
import { announce, app, at, say } from "./state.js";

export function exportSvg() {
  const shown = { ...app.view, selected: null };
  return standalone(app.scene, shown, at("#gg-style").textContent, document.title);
}

export async function exportPng() {
  const url = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(exportSvg())}`;
  const image = new Image();
  await new Promise((resolve, reject) =>
    Object.assign(image, { onload: resolve, onerror: () => reject(new Error("SVG")), src: url }),
  );
  const scale = Math.min(2, 16000 / Math.max(image.width, image.height));
  const canvas = Object.assign(document.createElement("canvas"), {
    width: image.width * scale,
    height: image.height * scale,
  });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("PNG"))), "image/png"),
  );
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

export async function exporting(make, name) {
  try {
    save(await make(), name);
  } catch (error) {
    announce(say("export.failed", { reason: error.message }));
  }
}
