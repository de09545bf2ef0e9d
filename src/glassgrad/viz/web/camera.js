// Where the reader looks: pan and zoom, by pointer, wheel, pinch and keys.
// Guarantees: dragging moves the picture by as many pixels as the pointer; zooming leaves the point under it in place.

const LEAST = 0.002;
const MOST = 8;

/** Zooms by `factor` around the point (px, py) of the stage. */
export function zoomAt(camera, px, py, factor) {
  const zoom = Math.min(MOST, Math.max(LEAST, camera.zoom * factor));
  const ratio = zoom / camera.zoom;
  return { x: px - (px - camera.x) * ratio, y: py - (py - camera.y) * ratio, zoom };
}

/** The camera that shows the whole scene, never larger than life by much. */
export function fitted(scene, width, height) {
  const pad = 28;
  const zoom = Math.min(
    1.25,
    (width - 2 * pad) / Math.max(scene.width, 1),
    (height - 2 * pad) / Math.max(scene.height, 1),
  );
  const safe = Math.max(LEAST, zoom);
  return { x: (width - scene.width * safe) / 2, y: (height - scene.height * safe) / 2, zoom: safe };
}

/** Listens on `stage`: `get` and `set` the camera; a press that did not travel is a `click(event, target)`. */
export function listenToPointers(stage, get, set, click) {
  const pointers = new Map();
  let travelled = 0;
  let pressed = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.target.closest("#gg-busy") || event.button > 1) return;
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    travelled = pointers.size === 1 ? 0 : Infinity;
    pressed = event.target;
  });
  stage.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const [dx, dy] = [event.clientX - last[0], event.clientY - last[1]];
    if (pointers.size > 1) pinch(event, last, dx, dy);
    else if (Math.max(travelled, Math.hypot(dx, dy)) >= 3) {
      // less is a click with an unsteady hand
      travelled = Infinity;
      if (!stage.hasPointerCapture(event.pointerId)) stage.setPointerCapture(event.pointerId);
      stage.classList.add("grabbing");
      set({ ...get(), x: get().x + dx, y: get().y + dy });
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
    }
  });
  const pinch = (event, last, dx, dy) => {
    const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
    const box = stage.getBoundingClientRect();
    const before = Math.hypot(last[0] - other[0], last[1] - other[1]);
    const after = Math.hypot(event.clientX - other[0], event.clientY - other[1]);
    const middle = [(event.clientX + other[0]) / 2 - box.left, (event.clientY + other[1]) / 2 - box.top];
    const shifted = { ...get(), x: get().x + dx / 2, y: get().y + dy / 2 };
    set(before > 0 ? zoomAt(shifted, ...middle, after / before) : shifted);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
  };
  const release = (event) => {
    const there = pointers.delete(event.pointerId);
    stage.classList.remove("grabbing");
    if (there && event.type === "pointerup" && travelled === 0) click(event, pressed);
  };
  stage.addEventListener("pointerup", release);
  stage.addEventListener("pointercancel", release);
  stage.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const box = stage.getBoundingClientRect();
      const step = event.deltaMode === 1 ? event.deltaY * 18 : event.deltaY;
      set(
        zoomAt(
          get(),
          event.clientX - box.left,
          event.clientY - box.top,
          Math.exp(-step * (event.ctrlKey ? 0.01 : 0.0018)),
        ),
      );
    },
    { passive: false },
  );
}
