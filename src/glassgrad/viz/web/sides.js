// What stands around the picture: the inspector, the row of steps, the row of the training.
// Guarantee: written anew from the state; a field that is being typed in or dragged stays the element that it is.

import { short, typed } from "./format.js";
import { stepSentence } from "./steps.js";
import { groupPanel, nodePanel } from "./panel.js";
import { leafHistory, sparkline } from "./training.js";
import { app, at, say } from "./state.js";

export function drawPanel() {
  const panel = at("#gg-panel");
  const { selected, doc, numbers } = app;
  panel.hidden = !selected || !app.panelOpen;
  if (panel.hidden) return panel.replaceChildren();
  const focused = panel.contains(document.activeElement) ? focusKey(document.activeElement) : null;
  const scrolled = panel.scrollTop;
  const history = doc.training && !selected.group ? leafHistory(doc.training, selected.node, doc.epoch, say) : "";
  const around = groupsAround(selected.group ? selected.group.parent : app.tree.home[selected.node]);
  const html = selected.group
    ? groupPanel(doc, numbers, around, selected.group, say)
    : nodePanel(doc, numbers, app.consumers, around, selected.node, say);
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
  kept.querySelector(".error").textContent =
    app.doc.edits.has(app.selected.node) && undefinedNow() ? say("edit.undefined") : "";
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

export function drawStepper() {
  const { doc, numbers } = app;
  const slider = at("#gg-step");
  slider.max = doc.steps.total;
  slider.value = currentStep();
  at(".track").style.setProperty("--split", doc.steps.seedAt / Math.max(1, doc.steps.total));
  at('[data-do="play"] path').setAttribute("d", app.playing ? "M4 3h3v10H4zM9 3h3v10H9z" : "M4 2.5v11l9-5.5z");
  at('[data-do="play"]').title = say(app.playing ? "step.pause" : "step.play");
  at('[data-do="play"]').setAttribute("aria-label", say(app.playing ? "step.pause" : "step.play"));
  const sentence = numbers.state
    ? stepSentence(doc.graph, numbers.state, app.strings[app.lang], doc.steps, doc.values)
    : say("step.idle", { total: doc.steps.total });
  at("#gg-sentence").textContent = sentence;
  slider.setAttribute("aria-valuetext", sentence);
}

/** Where the slider stands: at the end of what the snapshot knows where nobody has stepped. */
export function currentStep() {
  const { doc } = app;
  if (doc.step !== null) return doc.step;
  return !doc.pristine || doc.graph.known[doc.root] ? doc.steps.total : doc.steps.seedAt - 1;
}

export function drawTraining() {
  const { training, epoch } = app.doc;
  const bar = at("#gg-training");
  bar.hidden = !training;
  if (!training) return;
  const loss = say("training.loss", { loss: short(training.losses[epoch]) });
  const words = `${say("training.step", { step: training.steps[epoch] })}, ${loss}`;
  if (!bar.firstChild) {
    bar.innerHTML = `<label><span></span><input id="gg-epoch" type="range" min="0" step="1"></label><div class="curve-box"></div><p></p>`;
  }
  bar.querySelector("span").textContent = say("training.label");
  const slider = bar.querySelector("input");
  slider.max = training.steps.length - 1;
  slider.value = epoch;
  slider.setAttribute("aria-label", say("training.slider"));
  slider.setAttribute("aria-valuetext", words);
  bar.querySelector(".curve-box").innerHTML = sparkline(training.losses, epoch, say("training.label"));
  bar.querySelector("p").textContent = words;
}
