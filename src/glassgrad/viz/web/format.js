// Numbers and names as the page shows them: short forms on cards, all digits in the inspector.
// Guarantee: what `escapeXml` returns may stand in HTML, in SVG and in attributes, whatever a label holds.

/** A number with so many significant digits, as Python's `.4g` writes it, but with a true minus sign; — for none. */
export function short(x, digits = 4) {
  if (x === null || x === undefined) return "—";
  if (Number.isNaN(x)) return "nan";
  if (!Number.isFinite(x)) return x > 0 ? "inf" : "−inf";
  if (x === 0) return "0";
  // Halves go to the even digit, as in Python; toPrecision would send them up: 1000.5 is 1000 here, 1001 there.
  const [places, power] = Math.abs(x).toExponential(50).replace(".", "").split("e");
  const rest = places.slice(digits);
  const half = `5${"0".repeat(rest.length - 1)}`;
  let head = Number(places.slice(0, digits));
  let exponent = Number(power);
  if (rest > half || (rest === half && head % 2)) head += 1;
  if (head === 10 ** digits) {
    head /= 10;
    exponent += 1;
  }
  const sign = x < 0 ? "−" : "";
  if (exponent >= -4 && exponent < digits) return `${sign}${Number(`${head}e${exponent - digits + 1}`)}`;
  const shift = String(Math.abs(exponent)).padStart(2, "0");
  return `${sign}${head / 10 ** (digits - 1)}e${exponent < 0 ? "−" : "+"}${shift}`;
}

/** All digits: the shortest text that reads back as the same float. */
export function full(x) {
  if (x === null || x === undefined) return "—";
  if (Number.isNaN(x)) return "nan";
  if (!Number.isFinite(x)) return x > 0 ? "inf" : "−inf";
  return (Object.is(x, -0) ? "-0" : String(x)).replace(/-/g, "−");
}

/** The same in parentheses where a sign would meet an operator: `(−3)`. */
export function inProduct(x, digits = 6) {
  const text = short(x, digits);
  return /^[−]/.test(text) || text.includes("e") ? `(${text})` : text;
}

/** The float a person typed, or null: `1e-3`, `−2`, `.5` are numbers, `abc`, `` and `0x1` are not. */
export function typed(text) {
  const clean = text.trim().replace(/−/g, "-");
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(clean)) return null;
  const x = Number(clean);
  return Number.isFinite(x) ? x : null;
}

/** Text for XML content and attributes; what XML forbids becomes its visible picture or the replacement character. */
export function escapeXml(text) {
  return visible(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
}

function visible(text) {
  return text
    .replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/g, (c) =>
      c < " " ? String.fromCharCode(0x2400 + c.charCodeAt(0)) : "\ufffd",
    )
    .replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|[\ufffe\uffff]/g, "\ufffd")
    .replace(/[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]/g, "");
}

/** One line of at most `limit` characters, cut with an ellipsis. */
export function clip(text, limit) {
  const line = visible(text.slice(0, 4 * limit)).replace(/\s+/g, " ");
  const letters = Array.from(line);
  return letters.length > limit
    ? `${letters
        .slice(0, limit - 1)
        .join("")
        .trimEnd()}…`
    : line;
}

/** What to call node `i`: its label, a constant's number, or `n` and its id. */
export function nameOf(graph, i) {
  if (graph.labels[i].trim()) return clip(graph.labels[i], 40);
  return graph.ops[i] === "leaf" && !graph.wanted[i] ? inProduct(graph.values[i]) : `n${i}`;
}

const SYMBOLS = { __proto__: null, "*": "×", "-": "−", "/": "÷" };

/** What the badge of node `i` shows; nothing for leaves. */
export function symbolOf(graph, i) {
  return SYMBOLS[graph.symbols[i]] ?? clip(graph.symbols[i] || (graph.ops[i] === "leaf" ? "" : graph.ops[i]), 14);
}

/** Where a magnitude stands between 0 and 1 on a log scale that ends at `top` and has six decades. */
export function decades(x, top) {
  const size = Math.abs(x);
  if (!(size > 0) || !(top > 0)) return 0;
  if (!Number.isFinite(size)) return 1;
  return Math.min(1, Math.max(0.06, 1 + Math.log10(size / top) / 6));
}
