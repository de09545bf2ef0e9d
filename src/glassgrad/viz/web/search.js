// Search by label, operation, scope or number.
// Guarantee: whole words come first, then beginnings; what is found stands as text.

import { nameOf, short } from "./format.js";
import { app, at, say } from "./state.js";

export function search(text) {
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
  if (wanted && !found.length)
    list.append(
      Object.assign(document.createElement("li"), {
        role: "option",
        ariaDisabled: "true",
        textContent: say("search.none"),
        className: "muted",
      }),
    );
  list.hidden = !wanted;
  at("#gg-search").setAttribute("aria-expanded", String(Boolean(wanted)));
  chooseFound(0);
}

export function chooseFound(k) {
  const rows = [...document.querySelectorAll("#gg-found [data-go]")];
  app.found = rows.length ? (k + rows.length) % rows.length : -1;
  rows.forEach((row, j) => row.setAttribute("aria-selected", String(j === app.found)));
  at("#gg-search").setAttribute("aria-activedescendant", app.found < 0 ? "" : `gg-found-${app.found}`);
}

export function closeSearch() {
  at("#gg-found").hidden = true;
  at("#gg-search").setAttribute("aria-expanded", "false");
}
