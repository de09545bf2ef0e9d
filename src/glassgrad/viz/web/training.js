// The record of a training: its loss curve, and one number's way through it, as small pictures.
// Guarantee: a record that does not fit the graph is refused with the reason.

import { short } from "./format.js";

/** Checks a record made by `watch` against the graph and returns it with numbers for "nan" and "inf". */
export function readTraining(raw, graph) {
  if (!raw) return null;
  const figure = (x) => (x === null ? NaN : Number(typeof x === "string" ? x.replace("inf", "Infinity") : x));
  const rows = (table) => table.map((row) => Float64Array.from(row, figure));
  for (const name of ["steps", "losses", "ids", "values", "grads"]) {
    if (!Array.isArray(raw[name])) throw new Error(`the training record has no list "${name}"`);
  }
  const count = raw.steps.length;
  if (raw.losses.length !== count || raw.values.length !== count || raw.grads.length !== count) {
    throw new Error(`the training record has ${count} steps, and ${raw.values.length} rows of values`);
  }
  if (
    raw.ids.some((id) => !Number.isInteger(id) || id < -1 || id >= graph.size || (id >= 0 && graph.ops[id] !== "leaf"))
  ) {
    throw new Error("the training record names a value that is no leaf of the graph");
  }
  const kept = raw.ids.map((id, k) => [id, k]).filter(([id]) => id >= 0);
  const only = (table) => rows(table).map((row) => Float64Array.from(kept, ([, k]) => row[k]));
  const record = {
    steps: raw.steps,
    losses: raw.losses.map(figure),
    ids: kept.map(([id]) => id),
    values: only(raw.values),
    grads: only(raw.grads),
  };
  return count ? record : null;
}

/** A line through numbers, with a mark at position `at`; the range stands beside it. */
export function sparkline(numbers, at, title, width = 300, height = 44) {
  const finite = numbers.filter(Number.isFinite);
  if (!finite.length) return "";
  const low = Math.min(...finite);
  const high = Math.max(...finite);
  const x = (k) => 4 + ((width - 8) * k) / Math.max(1, numbers.length - 1);
  const y = (v) => (high > low ? 4 + ((height - 8) * (high - v)) / (high - low) : height / 2);
  let pen = "M";
  let d = "";
  numbers.forEach((v, k) => {
    if (Number.isFinite(v)) d += `${pen}${x(k).toFixed(1)} ${y(v).toFixed(1)}`;
    pen = Number.isFinite(v) ? "L" : "M";
  });
  const dot = Number.isFinite(numbers[at])
    ? `<path class="dot" d="M${x(at).toFixed(1)} ${y(numbers[at]).toFixed(1)}h0"/>`
    : "";
  const label = `${title}: ${short(numbers[0])} … ${short(numbers[numbers.length - 1])}`;
  return (
    `<svg class="spark" viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" role="img" aria-label="${label}">` +
    `<path class="cursor" d="M${x(at).toFixed(1)} 0V${height}"/><path class="curve" d="${d}"/>${dot}</svg>`
  );
}

/** One leaf's value and gradient along the training, for the inspector. */
export function leafHistory(training, leaf, epoch, say) {
  const k = training.ids.indexOf(leaf);
  if (k < 0) return "";
  const row = (table, title) =>
    `<p class="spark-title">${title} <span class="muted">${short(table[epoch][k])}</span></p>${sparkline(
      table.map((r) => r[k]),
      epoch,
      title,
    )}`;
  return `<section><h3>${say("training.history")}</h3>${row(training.values, say("card.data"))}${row(training.grads, say("card.grad"))}</section>`;
}
