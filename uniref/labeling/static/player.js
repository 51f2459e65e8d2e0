/**
 * Playing, stepping and the row of buttons under the frame.
 *
 * @typedef {import("./app.js").App} App
 */

import { goTo } from "./actions.js";

export class Player {
  /** When frame `#from` was shown, in milliseconds; the clock stands still while frames are loaded. */
  #start = 0;
  #from = 0;

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    const { store } = app;
    const { frames, fps } = store.state.video;
    const button = (/** @type {string} */ id) => /** @type {HTMLButtonElement} */ (document.getElementById(id));
    const number = /** @type {HTMLInputElement} */ (document.getElementById("frame-number"));
    button("first").onclick = () => goTo(app, 0);
    button("last").onclick = () => goTo(app, frames - 1);
    button("prev").onclick = () => this.step(-1);
    button("next").onclick = () => this.step(1);
    button("play").onclick = () => this.toggle();
    button("prev-given").onclick = () => this.jumpGiven(-1);
    button("next-given").onclick = () => this.jumpGiven(1);
    button("weak").onclick = () => this.jumpWeak();
    number.addEventListener("change", () => {
      const frame = Number.parseInt(number.value, 10);
      if (Number.isFinite(frame)) goTo(app, frame);
    });
    number.addEventListener("keydown", (event) => event.key === "Enter" && number.blur());
    number.addEventListener("blur", () => (number.value = String(store.state.frame)));
    /** @type {HTMLElement} */ (document.getElementById("frame-count")).textContent = `of 0–${frames - 1}`;
    store.on(["frame"], () => {
      const { frame } = store.state;
      if (document.activeElement !== number) number.value = String(frame);
      /** @type {HTMLElement} */ (document.getElementById("time")).textContent = time(frame / fps);
      button("first").disabled = button("prev").disabled = frame === 0;
      button("last").disabled = button("next").disabled = frame === frames - 1;
    });
    store.on(["playing"], () => {
      const { playing } = store.state;
      button("play").setAttribute("aria-label", playing ? "Pause" : "Play");
      button("play").title = playing ? "Pause (Space)" : "Play (Space)";
      /** @type {Element} */ (button("play").querySelector("use")).setAttribute(
        "href",
        playing ? "#i-pause" : "#i-play",
      );
      if (playing) this.#play();
    });
    store.on(["selected", "tracks"], () => {
      const known = Boolean(app.tracks.get(store.state.selected));
      button("prev-given").disabled = button("next-given").disabled = button("weak").disabled = !known;
    });
  }

  toggle() {
    const { playing, frame, video } = this.app.store.state;
    // from the end it begins again; a run is not followed any more
    if (!playing) goTo(this.app, frame === video.frames - 1 ? 0 : frame);
    this.app.store.set({ playing: !playing && video.frames > 1 });
  }

  /** @param {number} frames */
  step(frames) {
    this.app.store.set({ playing: false });
    goTo(this.app, this.app.store.state.frame + frames);
  }

  /** @param {1 | -1} direction */
  jumpGiven(direction) {
    const { selected, frame } = this.app.store.state;
    const next = selected === null ? null : this.app.tracks.nextGiven(selected, frame, direction);
    if (next !== null) goTo(this.app, next);
  }

  /** To the next frame that needs a look. */
  jumpWeak() {
    const { selected, frame } = this.app.store.state;
    const next = selected === null ? null : this.app.tracks.nextWeak(selected, frame);
    if (next !== null) goTo(this.app, next);
  }

  #play() {
    const { store, pictures } = this.app;
    const { fps, frames } = store.state.video;
    this.#from = store.state.frame;
    this.#start = performance.now();
    const tick = (/** @type {number} */ now) => {
      if (!store.state.playing) return;
      const due = Math.min(frames - 1, this.#from + Math.floor(((now - this.#start) / 1000) * fps));
      // the latest frame up to the one that is due that is there
      let next = store.state.frame;
      while (next < due && pictures.get(next + 1)) next++;
      if (next < due) {
        this.#from = next;
        this.#start = now;
      }
      if (next !== store.state.frame) store.set({ frame: next });
      if (next === frames - 1) store.set({ playing: false });
      else requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }
}

/** 75.5 s as 1:15.50. @param {number} seconds */
export function time(seconds) {
  const hundredths = Math.round(seconds * 100);
  const minutes = Math.floor(hundredths / 6000);
  const rest = ((hundredths % 6000) / 100).toFixed(2).padStart(5, "0");
  const hours = Math.floor(minutes / 60);
  return hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}
