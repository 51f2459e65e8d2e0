/**
 * The stage: the frame with its masks on one canvas, what is being drawn (stroke, box, polygon, points, the brush) on a
 * second one above it, so that painting redraws little.
 *
 * @typedef {import("./app.js").App} App
 * @typedef {import("./rle.js").Mask} Mask
 * @typedef {{mask: Mask, colour: string, picture: HTMLCanvasElement} } Stroke
 * @typedef {{stroke?: Stroke, box?: [number, number, number, number], polygon?: [number, number][],
 *   closing?: boolean, erasing?: boolean}} Draft  what is being drawn
 */

import { drawPixels, rgb } from "./paint.js";
import { View } from "./view.js";

const NEW_COLOUR = "#ffffff"; // of what will be a new object

export class Stage {
  /** @type {Draft} */
  draft = {};
  /** @type {[number, number] | null} */
  pointer = null; // in pixels of the video

  /** @param {App} app @param {HTMLElement} element */
  constructor(app, element) {
    const { video } = app.store.state;
    this.app = app;
    this.element = element;
    this.view = new View(video.width, video.height);
    this.base = /** @type {HTMLCanvasElement} */ (element.querySelector("#frame"));
    this.top = /** @type {HTMLCanvasElement} */ (element.querySelector("#overlay"));
    this.#scheduled = { base: false, top: false };
    new ResizeObserver(() => this.#resize()).observe(element);
    const baseNames = ["shown", "picture", "masks", "objects", "opacity", "masksShown", "selected"];
    app.store.on(baseNames, () => this.draw());
    app.store.on(["tool", "brush", "selected", "objects", "shown", "frame", "sought"], () => this.drawTop());
    app.store.on(["frame", "shown"], () => this.#showWaiting());
    app.store.on(["view"], () => app.needWidth(this.view.width * this.view.scale * devicePixelRatio));
  }
  #scheduled;

  /** The view changed or anything below it. */
  draw() {
    this.#schedule("base", () => this.#drawBase());
    this.drawTop();
  }

  drawTop() {
    this.#schedule("top", () => this.#drawTop());
  }

  /** Colour of the object that is drawn for. */
  get colour() {
    return this.app.store.object(this.app.store.state.selected)?.colour ?? NEW_COLOUR;
  }

  /** A stroke into (a copy of) a mask. @param {Mask} mask @returns {Stroke} */
  startStroke(mask) {
    const picture = document.createElement("canvas");
    picture.width = mask.width;
    picture.height = mask.height;
    const stroke = { mask, colour: this.colour, picture };
    this.updateStroke(stroke, { x0: 0, y0: 0, x1: mask.width, y1: mask.height });
    this.draft = { stroke };
    this.draw();
    return stroke;
  }

  /** @param {Stroke} stroke @param {import("./rle.js").Bounds} box  where its mask changed */
  updateStroke(stroke, box) {
    const context = /** @type {CanvasRenderingContext2D} */ (stroke.picture.getContext("2d"));
    drawPixels(context, stroke.mask, rgb(stroke.colour), box);
    this.drawTop();
  }

  /** @param {Draft} draft */
  setDraft(draft) {
    this.draft = draft;
    this.draw();
  }

  /** @param {"base" | "top"} name @param {() => void} draw */
  #schedule(name, draw) {
    if (this.#scheduled[name]) return;
    this.#scheduled[name] = true;
    requestAnimationFrame(() => {
      this.#scheduled[name] = false;
      draw();
    });
  }

  #resize() {
    const { width, height } = this.element.getBoundingClientRect();
    for (const canvas of [this.base, this.top]) {
      canvas.width = Math.max(1, Math.round(width * devicePixelRatio));
      canvas.height = Math.max(1, Math.round(height * devicePixelRatio));
    }
    this.view.resize(width, height);
    // at once: an emptied canvas would flicker
    this.#drawBase();
    this.#drawTop();
    this.app.store.touch("view");
  }

  /** The context of an emptied canvas, in pixels of the video. @param {HTMLCanvasElement} canvas */
  #begin(canvas) {
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const { scale, x, y } = this.view;
    const ratio = devicePixelRatio;
    context.setTransform(scale * ratio, 0, 0, scale * ratio, x * ratio, y * ratio);
    return context;
  }

  #drawBase() {
    const { state } = this.app.store;
    const context = this.#begin(this.base);
    const picture = this.app.pictures.get(state.shown);
    if (!picture) return;
    context.imageSmoothingEnabled = this.view.scale < 8; // close up, pixels are shown as they are
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, 0, 0, state.video.width, state.video.height);
    if (state.masksShown) this.#drawMasks(context);
  }

  /** @param {CanvasRenderingContext2D} context */
  #drawMasks(context) {
    const { state } = this.app.store;
    const painted = this.draft.stroke ? state.selected : null; // drawn above
    context.lineJoin = "round";
    for (const { object: id, path } of this.app.shownMasks() ?? []) {
      const object = this.app.store.object(id);
      if (!object || !object.visible || id === painted) continue;
      context.globalAlpha = state.opacity / 100;
      context.fillStyle = object.colour;
      context.fill(path, "evenodd");
      context.globalAlpha = 1;
      if (id === state.selected) {
        context.lineWidth = 3.6 / this.view.scale;
        context.strokeStyle = "rgb(255 255 255 / .85)";
        context.stroke(path);
      }
      context.lineWidth = (id === state.selected ? 1.8 : 1.3) / this.view.scale;
      context.strokeStyle = object.colour;
      context.stroke(path);
    }
  }

  #drawTop() {
    const { state } = this.app.store;
    const context = this.#begin(this.top);
    const { stroke, box, polygon } = this.draft;
    const pixel = 1 / this.view.scale;
    if (stroke) {
      context.imageSmoothingEnabled = false;
      context.globalAlpha = Math.max(0.35, state.opacity / 100);
      context.drawImage(stroke.picture, 0, 0);
      context.globalAlpha = 1;
    }
    if (state.tool === "box" || state.tool === "points") this.#drawPrompts(context, pixel);
    if (box)
      outlined(context, pixel, this.colour, () => context.rect(box[0], box[1], box[2] - box[0], box[3] - box[1]));
    if (polygon) this.#drawPolygon(context, pixel, polygon);
    this.#drawPointer(context, pixel);
  }

  /**
   * Box and points that the selected object already has in this frame, or that it is looked for by.
   *
   * @param {CanvasRenderingContext2D} context
   * @param {number} pixel
   */
  #drawPrompts(context, pixel) {
    const { state } = this.app.store;
    const object = this.app.store.object(state.selected);
    const prompts = state.sought ? [state.sought] : (object?.prompts ?? []);
    for (const { frame, box, points } of prompts) {
      if (frame !== state.shown) continue;
      if (box && !this.draft.box) {
        outlined(
          context,
          pixel,
          this.colour,
          () => context.rect(box[0], box[1], box[2] - box[0], box[3] - box[1]),
          [5, 4],
        );
      }
      for (const [x, y, positive] of points ?? []) {
        context.beginPath();
        context.arc(x, y, 6 * pixel, 0, 7);
        context.fillStyle = positive ? this.colour : "#20242b";
        context.fill();
        context.lineWidth = 1.5 * pixel;
        context.strokeStyle = "#fff";
        context.stroke();
        context.beginPath();
        context.moveTo(x - 3 * pixel, y);
        context.lineTo(x + 3 * pixel, y);
        if (positive) {
          context.moveTo(x, y - 3 * pixel);
          context.lineTo(x, y + 3 * pixel);
        }
        context.stroke();
      }
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {number} pixel @param {[number, number][]} polygon */
  #drawPolygon(context, pixel, polygon) {
    const points = this.pointer && !this.draft.closing ? [...polygon, this.pointer] : polygon;
    const line = () => {
      points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
      if (this.draft.closing) context.closePath();
    };
    context.beginPath();
    line();
    context.globalAlpha = 0.25;
    context.fillStyle = this.draft.erasing ? "#20242b" : this.colour;
    context.fill("evenodd");
    context.globalAlpha = 1;
    outlined(context, pixel, this.colour, line, this.draft.erasing ? [4, 3] : []);
    polygon.forEach(([x, y], i) => {
      const size = (i === 0 && this.draft.closing ? 6 : 3.5) * pixel;
      context.beginPath();
      context.arc(x, y, size, 0, 7);
      context.fillStyle = "#fff";
      context.fill();
      context.lineWidth = 1.2 * pixel;
      context.strokeStyle = "#20242b";
      context.stroke();
    });
  }

  /** The brush as a ring, cross hairs for boxes. @param {CanvasRenderingContext2D} context @param {number} pixel */
  #drawPointer(context, pixel) {
    const { tool, brush, video } = this.app.store.state;
    if (!this.pointer) return;
    const [x, y] = this.pointer;
    if (tool === "brush" || tool === "eraser") {
      const erasing = tool === "eraser" || this.draft.erasing;
      outlined(
        context,
        pixel,
        erasing ? "#ffffff" : this.colour,
        () => context.arc(x, y, brush / 2, 0, 7),
        erasing ? [4, 3] : [],
      );
    }
    if (tool === "box" && !this.draft.box && x >= 0 && y >= 0 && x <= video.width && y <= video.height) {
      context.globalAlpha = 0.6;
      outlined(context, pixel * 0.8, "#ffffff", () => {
        context.moveTo(0, y);
        context.lineTo(video.width, y);
        context.moveTo(x, 0);
        context.lineTo(x, video.height);
      });
      context.globalAlpha = 1;
    }
  }

  /** A thin moving line while the frame that is wanted is not there yet. */
  #showWaiting() {
    const { frame, shown } = this.app.store.state;
    clearTimeout(this.#waitingTimer);
    if (frame === shown) this.element.classList.remove("scrubbing");
    else this.#waitingTimer = window.setTimeout(() => this.element.classList.add("scrubbing"), 250);
  }
  #waitingTimer = 0;
}

/**
 * A line that is seen on bright and dark pictures.
 *
 * @param {CanvasRenderingContext2D} context @param {number} pixel  of the screen, in pixels of the video
 * @param {string} colour @param {() => void} draw @param {number[]} dash
 */
function outlined(context, pixel, colour, draw, dash = []) {
  context.beginPath();
  draw();
  context.lineWidth = 3 * pixel;
  context.strokeStyle = "rgb(0 0 0 / .55)";
  context.stroke();
  context.setLineDash(dash.map((length) => length * pixel));
  context.lineWidth = 1.5 * pixel;
  context.strokeStyle = colour;
  context.stroke();
  context.setLineDash([]);
}
