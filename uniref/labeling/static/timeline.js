/**
 * The timeline: thumbnails with a ruler, and below a row per object; the pointer goes to frames, the wheel zooms.
 *
 * @typedef {import("./app.js").App} App
 */

import { goTo } from "./actions.js";
import { colours } from "./theme.js";
import { TRACK, drawTrack } from "./trackrow.js";

const RULER = 18;
const THUMB_TOP = RULER + 2;
const THUMB_HEIGHT = 50;
const MAX_PIXELS_PER_FRAME = 90;

export class Timeline {
  /** The frames that are shown: from `first` on, `span` of them. */
  first = 0;

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.strip = /** @type {HTMLCanvasElement} */ (document.getElementById("strip"));
    this.tracks = /** @type {HTMLCanvasElement} */ (document.getElementById("tracks"));
    this.names = /** @type {HTMLElement} */ (document.getElementById("track-names"));
    this.frames = app.store.state.video.frames;
    this.span = this.frames;
    for (const canvas of [this.strip, this.tracks]) {
      canvas.addEventListener("pointerdown", (event) => this.#down(event, canvas));
      canvas.addEventListener("mousedown", (event) => event.preventDefault()); // no focus: keys are for the page
      canvas.addEventListener("pointermove", (event) => this.#move(event, canvas));
      canvas.addEventListener("pointerup", () => (this.#scrubbing = false));
      canvas.addEventListener("pointercancel", () => (this.#scrubbing = false));
      canvas.addEventListener("pointerleave", () => app.store.set({ hover: null }));
      canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    }
    this.names.addEventListener("click", (event) => {
      const row = /** @type {HTMLElement} */ (event.target).closest("li");
      if (row?.dataset.id) app.store.set({ selected: Number(row.dataset.id) });
    });
    new ResizeObserver(() => this.#resize()).observe(this.strip);
    app.store.on(["objects", "selected"], () => this.#listNames());
    app.store.on(["frame"], () => this.#follow());
    const names = ["frame", "objects", "selected", "tracks", "thumbnails", "hover", "job", "theme"];
    app.store.on(names, () => this.draw());
  }
  #scrubbing = false;
  #scheduled = false;

  draw() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#drawStrip();
      this.#drawTracks();
    });
  }

  /**
   * @param {number} factor  above 1: fewer frames, larger
   * @param {number} [around]  a frame, by default the one shown
   */
  zoom(factor, around = this.app.store.state.frame + 0.5) {
    const least = Math.min(this.frames, this.#width / MAX_PIXELS_PER_FRAME);
    const span = Math.min(this.frames, Math.max(least, this.span / factor));
    const part = (around - this.first) / this.span;
    this.span = span;
    this.#scrollTo(around - Math.min(1, Math.max(0, part)) * span);
  }

  fit() {
    this.span = this.frames;
    this.#scrollTo(0);
  }

  get #width() {
    return this.strip.clientWidth || 1;
  }

  get #scale() {
    return this.#width / this.span; // CSS pixels per frame
  }

  /** @param {number} frame  left edge of its cell */
  #x(frame) {
    return (frame - this.first) * this.#scale;
  }

  /** @param {PointerEvent | WheelEvent} event  the frame under the pointer, with its fraction */
  #frameAt(event) {
    return this.first + (event.clientX - this.strip.getBoundingClientRect().left) / this.#scale;
  }

  /** @param {number} first */
  #scrollTo(first) {
    this.first = Math.min(this.frames - this.span, Math.max(0, first));
    this.draw();
  }

  /** The shown frame stays in view. */
  #follow() {
    const { frame } = this.app.store.state;
    if (frame < this.first) this.#scrollTo(frame - (this.#scrubbing ? 0 : this.span * 0.1));
    else if (frame + 1 > this.first + this.span) this.#scrollTo(frame + 1 - this.span * (this.#scrubbing ? 1 : 0.9));
    this.strip.setAttribute("aria-valuenow", String(frame));
    this.strip.setAttribute("aria-valuemin", "0");
    this.strip.setAttribute("aria-valuemax", String(this.frames - 1));
    this.strip.setAttribute("aria-valuetext", `frame ${frame} of ${this.frames}`);
  }

  /** @param {PointerEvent} event @param {HTMLCanvasElement} canvas */
  #down(event, canvas) {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
    this.#scrubbing = true;
    this.app.store.set({ playing: false });
    if (canvas === this.tracks) {
      const row = Math.floor((event.clientY - canvas.getBoundingClientRect().top) / TRACK);
      const object = this.app.store.state.objects[row];
      if (object) this.app.store.set({ selected: object.id });
    }
    this.#move(event, canvas);
  }

  /** @param {PointerEvent} event @param {HTMLCanvasElement} canvas */
  #move(event, canvas) {
    const frame = Math.min(this.frames - 1, Math.max(0, Math.floor(this.#frameAt(event))));
    this.app.store.set({ hover: frame });
    if (this.#scrubbing) goTo(this.app, canvas === this.tracks ? this.#snap(frame) : frame);
  }

  /** A given mask within a few pixels, else the frame itself. @param {number} frame */
  #snap(frame) {
    const track = this.app.tracks.get(this.app.store.state.selected);
    const reach = Math.floor(6 / this.#scale);
    for (let step = 0; track && step <= reach; step++) {
      if (track.given[frame - step]) return frame - step;
      if (track.given[frame + step]) return frame + step;
    }
    return frame;
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (Math.abs(event.deltaY) < 20 ? 0.02 : 0.004)), this.#frameAt(event));
    } else if (this.span < this.frames && (event.shiftKey || event.deltaX || event.currentTarget === this.strip)) {
      event.preventDefault();
      this.#scrollTo(this.first + (event.deltaX || event.deltaY) / this.#scale);
    }
  }

  #resize() {
    this.zoom(1);
    // at once: an emptied canvas would flicker
    this.#drawStrip();
    this.#drawTracks();
  }

  /** A canvas of a height in CSS pixels, emptied. @param {HTMLCanvasElement} canvas @param {number} height */
  #begin(canvas, height) {
    const width = Math.max(1, Math.round(this.#width * devicePixelRatio));
    const rows = Math.max(1, Math.round(height * devicePixelRatio));
    if (canvas.width !== width || canvas.height !== rows) {
      canvas.width = width;
      canvas.height = rows;
      canvas.style.height = `${height}px`;
    }
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, this.#width, height);
    return context;
  }

  #drawStrip() {
    const context = this.#begin(this.strip, THUMB_TOP + THUMB_HEIGHT + 4);
    this.#drawRuler(context);
    this.#drawThumbnails(context);
    this.#drawPlayhead(context, 0, THUMB_TOP + THUMB_HEIGHT + 4, true);
  }

  /** @param {CanvasRenderingContext2D} context */
  #drawRuler(context) {
    const colour = colours();
    const step = niceStep(64 / this.#scale);
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.fillStyle = colour.dim;
    context.strokeStyle = colour.line;
    context.lineWidth = 1;
    for (let frame = Math.floor(this.first / step) * step; frame <= this.first + this.span; frame += step) {
      const x = Math.round(this.#x(frame)) + 0.5;
      context.beginPath();
      context.moveTo(x, 3);
      context.lineTo(x, RULER);
      context.stroke();
      if (frame < this.frames) context.fillText(String(frame), x + 4, RULER / 2 + 1);
    }
  }

  /**
   * Cells of 1, 2, 4, ... frames, each with the picture of its first one; only those that are seen are loaded.
   *
   * @param {CanvasRenderingContext2D} context
   */
  #drawThumbnails(context) {
    const { video } = this.app.store.state;
    const width = (THUMB_HEIGHT * video.width) / video.height;
    const step = 2 ** Math.max(0, Math.round(Math.log2(width / this.#scale)));
    const wanted = [];
    context.fillStyle = colours().ground;
    const end = Math.min(this.frames, this.first + this.span);
    context.fillRect(this.#x(this.first), THUMB_TOP, (end - this.first) * this.#scale, THUMB_HEIGHT);
    for (let frame = Math.floor(this.first / step) * step; frame < end; frame += step) {
      const picture = this.app.thumbnails.get(frame);
      if (!this.app.thumbnails.fresh(frame)) wanted.push(frame);
      if (!picture) continue;
      const x = this.#x(frame);
      const cell = Math.min(step, this.frames - frame) * this.#scale - 1;
      // the middle of the picture fills the cell, except in cells much wider than it
      const shown = Math.min(cell, 1.5 * width);
      const scale = Math.max(shown / picture.width, THUMB_HEIGHT / picture.height);
      const [w, h] = [shown / scale, THUMB_HEIGHT / scale];
      const [left, top] = [(picture.width - w) / 2, (picture.height - h) / 2];
      context.drawImage(picture, left, top, w, h, x + (cell - shown) / 2, THUMB_TOP, shown, THUMB_HEIGHT);
    }
    this.app.thumbnails.want(wanted);
  }

  #drawTracks() {
    const { objects, selected } = this.app.store.state;
    const context = this.#begin(this.tracks, Math.max(1, objects.length) * TRACK);
    const { first, span, frames } = this;
    const axis = { first, span, frames, width: this.#width, scale: this.#scale };
    objects.forEach((object, row) => {
      const top = row * TRACK;
      if (object.id === selected) {
        context.fillStyle = colours().raised;
        context.fillRect(0, top, this.#width, TRACK);
      }
      const track = this.app.tracks.get(object.id);
      drawTrack(context, { object, track, top, axis });
    });
    this.#drawPlayhead(context, 0, Math.max(1, objects.length) * TRACK, false);
  }

  /**
   * The frame that is shown, the one under the pointer and the one being segmented.
   *
   * @param {CanvasRenderingContext2D} context
   * @param {number} top
   * @param {number} bottom
   * @param {boolean} handle
   */
  #drawPlayhead(context, top, bottom, handle) {
    const { frame, hover, job } = this.app.store.state;
    const colour = colours();
    const line = (/** @type {number} */ at, /** @type {string} */ stroke, /** @type {number} */ width) => {
      context.fillStyle = stroke;
      context.fillRect(this.#x(at + 0.5) - width / 2, top, width, bottom - top);
    };
    if (hover !== null && hover !== frame) line(hover, colour.faint, 1);
    if (job?.kind === "run") line(job.frame, colour.warn, 1.5);
    const cell = this.#scale;
    if (cell > 6) {
      context.fillStyle = colour.accent;
      context.globalAlpha = 0.16;
      context.fillRect(this.#x(frame), handle ? THUMB_TOP : top, cell, bottom - top);
      context.globalAlpha = 1;
    }
    line(frame, colour.accent, 2);
    const shown = handle ? (hover ?? frame) : null;
    if (shown !== null) this.#drawLabel(context, shown, shown === frame ? colour.accent : colour.dim, colour.panel);
  }

  /**
   * The frame's number in the ruler.
   *
   * @param {CanvasRenderingContext2D} context
   * @param {number} frame
   * @param {string} fill
   * @param {string} text
   */
  #drawLabel(context, frame, fill, text) {
    context.font = "600 11px system-ui, sans-serif";
    const label = String(frame);
    const width = context.measureText(label).width + 10;
    const x = Math.min(this.#width - width, Math.max(0, this.#x(frame + 0.5) - width / 2));
    context.fillStyle = fill;
    context.beginPath();
    context.roundRect(x, 1, width, RULER - 2, 4);
    context.fill();
    context.fillStyle = text;
    context.fillText(label, x + 5, RULER / 2 + 0.5);
  }

  #listNames() {
    const { objects, selected } = this.app.store.state;
    this.names.replaceChildren(
      ...objects.map((object) => {
        const row = document.createElement("li");
        const dot = document.createElement("i");
        const name = document.createElement("span");
        dot.style.background = object.colour;
        name.textContent = object.name;
        row.append(dot, name);
        row.dataset.id = String(object.id);
        row.classList.toggle("selected", object.id === selected);
        return row;
      }),
    );
  }
}

/** The smallest of 1, 2, 5, 10, 20, ... that is at least `least`. @param {number} least */
function niceStep(least) {
  for (let unit = 1; ; unit *= 10) for (const digit of [1, 2, 5]) if (digit * unit >= least) return digit * unit;
}
