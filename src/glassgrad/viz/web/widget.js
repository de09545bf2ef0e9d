// The notebook's half of the widget (viz/widget.py): the page in a frame of its own, kept in step with the model that
// Python sees. It is an anywidget module by itself and no part of the page.
// Guarantees: nothing is fetched; the frame can reach nothing but this module, and this module nothing but the model.

const BOX = "border:1px solid #8884;border-radius:10px;overflow:hidden";
const FRAME = "display:block;width:100%;border:0";
const LINE =
  "margin:0;padding:8px 12px;border-left:4px solid #c0392b;background:#c0392b1f;font:13px/1.45 system-ui,sans-serif;overflow-wrap:anywhere";

/** A number as JSON can hold it: -0, nan and infinities as text, which Python's float() reads. */
function packed(x) {
  if (Object.is(x, -0)) return "-0";
  return Number.isFinite(x) ? x : String(x);
}

function render({ model, el }) {
  const box = Object.assign(document.createElement("div"), { style: BOX });
  const frame = Object.assign(document.createElement("iframe"), {
    title: model.get("_title"),
    style: `${FRAME};height:${model.get("_height")}px`,
    srcdoc: model.get("_page"),
  });
  frame.setAttribute("sandbox", "allow-scripts allow-downloads");
  const line = Object.assign(document.createElement("p"), { style: LINE });
  line.setAttribute("role", "alert");
  box.append(frame, line);

  let ready = false;
  let shown = {}; // the edits that this page has; another view of the same widget may make some too
  const post = (message) => frame.contentWindow.postMessage(message, "*"); // its origin is nobody's

  const showGraph = () => {
    if (!ready || !model.get("_graph")) return;
    post({ glassgrad: "snapshot", graph: model.get("_graph") });
    shown = {};
  };
  const showEdits = () => {
    if (!ready) return;
    const edits = model.get("_edits");
    const ids = Object.keys({ ...shown, ...edits }).filter((id) => shown[id] !== edits[id]);
    if (ids.length)
      post({ glassgrad: "set", values: ids.map((id) => [Number(id), id in edits ? Number(edits[id]) : null]) });
    shown = { ...edits };
  };
  const showAll = () => {
    showGraph();
    showEdits();
  };
  const showError = () => {
    line.textContent = model.get("error");
    line.hidden = !line.textContent;
  };
  const hear = ({ source, data }) => {
    if (source !== frame.contentWindow || !data) return;
    if (data.glassgrad === "ready") {
      ready = true;
      shown = {};
      showAll();
    } else if (data.glassgrad === "edit") {
      const edits = { ...model.get("_edits") };
      if (data.value === null) delete edits[data.id];
      else edits[data.id] = packed(data.value);
      shown = edits;
      model.set("_edits", edits);
      model.save_changes();
    }
  };

  addEventListener("message", hear);
  model.on("change:_graph", showAll);
  model.on("change:_edits", showEdits);
  model.on("change:error", showError);
  showError();
  el.append(box);
  return () => {
    removeEventListener("message", hear);
    model.off("change:_graph", showAll);
    model.off("change:_edits", showEdits);
    model.off("change:error", showError);
  };
}

export default { render };
