/**
 * The tools: what the pointer does on the stage. What is drawn is sent when the stroke, box or polygon ends.
 *
 * @typedef {import("./app.js").App} App
 * @typedef {import("./canvas.js").Stage} Stage
 * @typedef {{id: string, name: string, key: string, hint: string}} Tool
 * @typedef {{kind: "pan" | "paint" | "box", x: number, y: number, moved: boolean, value: 0 | 1,
 *   mask?: import("./rle.js").Mask, stroke?: import("./canvas.js").Stroke}} Drag
 */

import * as actions from "./actions.js";
import { fillPolygon, paintLine } from "./paint.js";
import { bounds, emptyMask } from "./rle.js";

/** @type {Tool[]} */
export const TOOLS = [
  { id: "pan", name: "Select and move", key: "V", hint: "Click selects an object, drag moves the frame, wheel zooms" },
  { id: "brush", name: "Brush", key: "B", hint: "Paint; right button or Alt erases; [ ] size" },
  { id: "eraser", name: "Eraser", key: "E", hint: "Erase; [ ] size" },
  { id: "polygon", name: "Polygon", key: "P", hint: "Click corners; Enter or the first corner closes; Alt cuts out" },
  { id: "box", name: "Box", key: "R", hint: "Drag a box: what fits it best is taken" },
  { id: "points", name: "Points", key: "K", hint: "Click what belongs to it; right button or Alt: what does not" },
];
const CLOSE_PX = 10; // clicks this near to a polygon's first corner close it
const FRAME_WAIT_MS = 50;

export class Tools {
  /** @type {Drag | null} */
  #drag = null;
  #sending = false;
  /** Points that were clicked while the ones before were looked for. @type {[number, number, 0 | 1][]} */
  #waiting = [];

  /** @param {App} app @param {Stage} stage */
  constructor(app, stage) {
    this.app = app;
    this.stage = stage;
    const { top } = stage;
    top.addEventListener("pointerdown", (event) => this.#down(event));
    top.addEventListener("pointermove", (event) => this.#move(event));
    top.addEventListener("pointerup", (event) => this.#up(event));
    top.addEventListener("pointercancel", () => this.cancel());
    top.addEventListener("pointerleave", () => this.#leave());
    top.addEventListener("dblclick", () => this.closePolygon());
    top.addEventListener("contextmenu", (event) => event.preventDefault());
    top.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    app.store.on(["tool"], () => this.#toolChanged());
    // what was begun belongs to the frame and object that it was begun on
    app.store.on(["frame", "selected"], () => this.#drag?.kind !== "pan" && !this.#sending && this.cancel());
    app.store.on(["frame"], () => (this.#waiting = []));
    app.store.on(["frame", "selected"], () => {
      const { frame, selected, sought } = app.store.state;
      if (sought && (sought.frame !== frame || sought.object !== selected)) app.store.set({ sought: null });
    });
  }

  /** Drops what is being drawn. @returns {boolean} whether there was something */
  cancel() {
    const something = this.#drag !== null || Boolean(this.stage.draft.polygon);
    this.#drag = null;
    this.#waiting = [];
    this.stage.setDraft({});
    return something;
  }

  /** @returns {boolean} whether there was a polygon to close */
  closePolygon() {
    const { polygon, erasing } = this.stage.draft;
    if (!polygon) return false;
    // a double click has set its corner twice
    const corners = polygon.filter(([x, y], i) => !i || Math.hypot(x - polygon[i - 1][0], y - polygon[i - 1][1]) > 0.5);
    this.stage.setDraft({});
    if (corners.length < 3) return true;
    const mask = this.#editable();
    fillPolygon(mask, corners, erasing ? 0 : 1);
    this.#keep(mask);
    return true;
  }

  /** Takes the last corner back. @returns {boolean} */
  removeCorner() {
    const { polygon } = this.stage.draft;
    if (!polygon) return false;
    this.stage.setDraft(polygon.length > 1 ? { ...this.stage.draft, polygon: polygon.slice(0, -1) } : {});
    return true;
  }

  /** @param {PointerEvent} event @returns {[number, number]} */
  #position(event) {
    const box = this.stage.top.getBoundingClientRect();
    return this.stage.view.toVideo(event.clientX - box.left, event.clientY - box.top);
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (this.#drag) return;
    const { state } = this.app.store;
    const { tool } = state;
    if (document.activeElement instanceof HTMLElement) document.activeElement.blur(); // keys are for the page again
    const [x, y] = this.#position(event);
    this.stage.pointer = [x, y];
    const drag = { x, y, moved: false, value: /** @type {0 | 1} */ (1) };
    if (event.button === 1 || tool === "pan") {
      event.preventDefault();
      this.#drag = { kind: "pan", ...drag };
    } else if (tool === "points") {
      this.#addPoint(x, y, event.button === 2 || event.altKey ? 0 : 1);
    } else if (!this.#ready()) {
      return;
    } else if (tool === "brush" || tool === "eraser") {
      const value = (tool === "eraser") !== (event.button === 2 || event.altKey) ? 0 : 1;
      this.#startPainting({ ...drag, value });
    } else if (tool === "polygon") {
      this.#addCorner(event);
    } else if (tool === "box") {
      this.#drag = { kind: "box", ...drag };
    }
    if (this.#drag) this.stage.top.setPointerCapture(event.pointerId);
  }

  /** Drawing is possible once the frame and its masks are there, and the drawing before is sent; else someone is told. */
  #ready() {
    this.app.store.set({ playing: false, looking: true });
    if (!this.app.editable) {
      const text = "This frame is still being loaded: draw once it is shown.";
      this.app.store.set({ message: { text, kind: "prompt", good: true } });
    }
    return this.app.editable && !this.#sending && this.app.store.state.link === "up";
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const [x, y] = this.#position(event);
    this.stage.pointer = [x, y];
    const drag = this.#drag;
    if (drag?.kind === "pan") {
      this.stage.view.pan(event.movementX, event.movementY);
      drag.moved ||= Math.hypot(event.movementX, event.movementY) > 0;
      this.app.store.touch("view");
      this.stage.draw();
    } else if (drag?.kind === "paint" && drag.stroke) {
      // pointers report more often than the screen draws
      const events = event.getCoalescedEvents?.() ?? [];
      for (const each of events.length ? events : [event]) this.#paintTo(...this.#position(each));
    } else if (drag?.kind === "box") {
      this.stage.draft = { box: this.#box(drag, x, y) };
    } else if (this.stage.draft.polygon) {
      this.stage.draft = { ...this.stage.draft, closing: this.#nearFirst(x, y) };
    }
    this.stage.drawTop();
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const drag = this.#drag;
    this.#drag = null;
    if (!drag) return;
    const [x, y] = this.#position(event);
    if (drag.kind === "paint" && drag.mask) this.#keep(drag.mask);
    if (drag.kind === "pan" && !drag.moved && event.button === 0) this.#select(x, y);
    if (drag.kind === "box") {
      const box = this.#box(drag, x, y);
      this.stage.setDraft({});
      if (box[2] - box[0] >= 2 && box[3] - box[1] >= 2) this.#send(() => actions.setRegion(this.app, box, []));
    }
  }

  #leave() {
    if (this.#drag) return;
    this.stage.pointer = null;
    this.stage.drawTop();
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    event.preventDefault();
    const box = this.stage.top.getBoundingClientRect();
    const speed = event.ctrlKey ? 0.01 : 0.0016; // a pinch on a touch pad comes as a wheel with Ctrl
    this.stage.view.zoom(Math.exp(-event.deltaY * speed), [event.clientX - box.left, event.clientY - box.top]);
    this.app.store.touch("view");
    this.stage.draw();
  }

  #toolChanged() {
    const { tool } = this.app.store.state;
    this.cancel();
    this.stage.top.style.cursor = { pan: "grab", brush: "none", eraser: "none" }[tool] ?? "crosshair";
  }

  /** A copy of the selected object's mask in this frame, or an empty one. */
  #editable() {
    const { selected, video } = this.app.store.state;
    const mask = this.app.shownMask(selected)?.pixels();
    return mask ? { ...mask, data: mask.data.slice() } : emptyMask(video.width, video.height);
  }

  /** @param {{x: number, y: number, moved: boolean, value: 0 | 1}} drag */
  #startPainting(drag) {
    const mask = this.#editable();
    const stroke = this.stage.startStroke(mask);
    this.stage.draft.erasing = !drag.value;
    this.#drag = { kind: "paint", ...drag, mask, stroke };
    this.#paintTo(drag.x, drag.y);
  }

  /** @param {number} x @param {number} y */
  #paintTo(x, y) {
    const drag = this.#drag;
    if (!drag?.mask || !drag.stroke) return;
    const box = paintLine(drag.mask, drag.x, drag.y, x, y, this.app.store.state.brush / 2, drag.value);
    drag.x = x;
    drag.y = y;
    if (box) this.stage.updateStroke(drag.stroke, box);
  }

  /** @param {import("./rle.js").Mask} mask */
  #keep(mask) {
    const { selected, frame } = this.app.store.state;
    const before = this.app.shownMask(selected)?.pixels();
    const same = before ? before.data.every((value, i) => value === mask.data[i]) : !bounds(mask);
    if (same) {
      this.stage.setDraft({});
      return;
    }
    const send = () => actions.setMask(this.app, frame, mask);
    if (selected === null)
      this.#send(send); // the next stroke is for the object that this one makes
    else {
      send();
      this.stage.setDraft({});
    }
  }

  /** @param {() => Promise<any>} send */
  async #send(send) {
    this.#sending = true;
    try {
      await send();
    } finally {
      this.#sending = false;
      if (!this.#drag) this.stage.setDraft({});
      this.#sendPoints();
    }
  }

  /** @param {PointerEvent} event */
  #addCorner(event) {
    const [x, y] = this.#position(event);
    const { polygon } = this.stage.draft;
    if (event.button !== 0) return;
    if (!polygon) this.stage.setDraft({ polygon: [[x, y]], erasing: event.altKey });
    else if (this.#nearFirst(x, y)) this.closePolygon();
    else this.stage.setDraft({ ...this.stage.draft, polygon: [...polygon, [x, y]] });
  }

  /** @param {number} x @param {number} y */
  #nearFirst(x, y) {
    const { polygon } = this.stage.draft;
    if (!polygon || polygon.length < 3) return false;
    return Math.hypot(x - polygon[0][0], y - polygon[0][1]) * this.stage.view.scale < CLOSE_PX;
  }

  /**
   * @param {{x: number, y: number}} start
   * @param {number} x
   * @param {number} y
   * @returns {[number, number, number, number]}
   */
  #box(start, x, y) {
    const { width, height } = this.app.store.state.video;
    const clamp = (/** @type {number} */ value, /** @type {number} */ end) => Math.min(end, Math.max(0, value));
    const xs = [clamp(start.x, width), clamp(x, width)].sort((a, b) => a - b);
    const ys = [clamp(start.y, height), clamp(y, height)].sort((a, b) => a - b);
    return [xs[0], ys[0], xs[1], ys[1]];
  }

  /** @param {number} x @param {number} y @param {0 | 1} positive */
  #addPoint(x, y, positive) {
    const { video } = this.app.store.state;
    if (x < 0 || y < 0 || x >= video.width || y >= video.height) return;
    this.app.store.set({ playing: false, looking: true });
    this.#waiting.push([x, y, positive]);
    this.#sendPoints();
  }

  /** Sends the clicked points, with those before them, as soon as the frame can be drawn on and nothing is being sent. */
  #sendPoints() {
    if (!this.#waiting.length) return;
    if (this.#sending || !this.app.editable || this.app.store.state.link !== "up") {
      if (!this.#sending) setTimeout(() => this.#sendPoints(), FRAME_WAIT_MS);
      return;
    }
    const { selected, frame, sought } = this.app.store.state;
    const prompts = this.app.store.object(selected)?.prompts.filter((prompt) => prompt.frame === frame) ?? [];
    const points = sought?.points ?? prompts.flatMap((prompt) => prompt.points ?? []);
    const box = sought ? sought.box : (prompts.find((prompt) => prompt.box)?.box ?? null);
    const added = this.#waiting.splice(0);
    this.#send(() => actions.setRegion(this.app, box, [...points, ...added]));
  }

  /** The object under the pointer, the one drawn last where several are. @param {number} x @param {number} y */
  #select(x, y) {
    const { video } = this.app.store.state;
    if (x < 0 || y < 0 || x >= video.width || y >= video.height) return;
    const at = Math.floor(y) * video.width + Math.floor(x);
    const under = (this.app.shownMasks() ?? []).filter((mask) => mask.pixels().data[at] === 1);
    if (under.length) this.app.store.set({ selected: under[under.length - 1].object });
  }
}
