// What the page holds, as one object that everything it shows is a function of, and the words in which it speaks.
// Guarantee: a text that the page says is there in both languages; a reader's screen reader hears what `announce` says.

import { nameOf } from "./format.js";

export const app = {
  strings: {},
  lang: "en",
  open: new Set(),
  options: { hideConstants: false, foldSums: false },
  camera: { x: 0, y: 0, zoom: 1 },
  selected: null,
  lit: new Set(),
  pinned: -1,
  playing: 0,
  worker: null,
  turn: 0,
};

export const at = (selector) => document.querySelector(selector);

export function say(key, values = {}) {
  const text = app.strings[app.lang][key] ?? app.strings.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

export function translate() {
  if (app.doc) {
    const { graph } = app.doc;
    const names = [...new Set(graph.roots)].slice(0, 4).map((i) => nameOf(graph, i));
    at(".subject").textContent = say("title.graph", { names: names.join(", ") + (graph.roots.length > 4 ? " …" : "") });
  }
  document.documentElement.lang = app.lang === "zh" ? "zh-CN" : "en";
  at("#gg-panel").replaceChildren();
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  for (const element of document.querySelectorAll("[data-say-label]"))
    element.setAttribute("aria-label", say(element.dataset.sayLabel));
  for (const element of document.querySelectorAll("[data-say-title]")) element.title = say(element.dataset.sayTitle);
  for (const element of document.querySelectorAll("[data-say-placeholder]"))
    element.placeholder = say(element.dataset.sayPlaceholder);
  const help = at("#gg-help-text");
  const keys = say("help.keys")
    .split(";")
    .map((row) => row.split("|"));
  help.replaceChildren(
    ...say("help.text")
      .split("|")
      .map((text) => Object.assign(document.createElement("p"), { textContent: text })),
    Object.assign(document.createElement("table"), {
      innerHTML: keys.map(([key, text]) => `<tr><th><kbd>${key}</kbd></th><td>${text}</td></tr>`).join(""),
    }),
  );
}

export function announce(text) {
  at("#gg-live").textContent = text;
}
