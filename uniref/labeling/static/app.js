/**
 * The data behind the page: the server's state and changes, and what is loaded of frames, masks and thumbnails.
 *
 * @typedef {import("./rle.js").Mask} Mask
 * @typedef {{object: number, pixels: () => Mask, path: Path2D}} FrameMask  pixels are decoded when they are needed
 */

import { Api } from "./api.js";
import { contours, toPath } from "./contour.js";
import { Loader } from "./loader.js";
import { decode } from "./rle.js";
import { Store, initialState } from "./state.js";
import { Tracks } from "./tracks.js";

const AHEAD = 8; // frames loaded before they are played
const PICTURE_BYTES = 192 * 2 ** 20; // of decoded frames that are kept
const PICTURE_WIDTHS = [1280, 1920, 2560, 3840];
const REFRESH_MS = 120; // the server's events are answered at most this often

export class App {
  /** @param {Api} api @param {import("./api.js").ServerState} server */
  constructor(api, server) {
    this.api = api;
    this.store = new Store(initialState(server));
    const { frames, width, height } = server.video;
    this.tracks = new Tracks(frames);
    const capacity = Math.max(4, Math.min(120, Math.floor(PICTURE_BYTES / (width * height * 4))));
    const close = (/** @type {ImageBitmap} */ picture) => picture.close();

    /** @type {Loader<ImageBitmap>} */
    this.pictures = new Loader((i, signal) => this.#loadPicture(i, signal), {
      capacity,
      slots: 3,
      drop: close,
      onLoad: (i) => this.#pictureLoaded(i),
      onError: (error) => this.store.set({ message: { text: error.message, kind: "load" } }),
    });
    /** @type {Loader<FrameMask[]>} */
    this.masks = new Loader((i, signal) => this.#loadMasks(i, signal), {
      capacity,
      slots: 3,
      onLoad: (i) => i === this.store.state.shown && this.store.touch("masks"),
      onError: (error) => this.store.set({ message: { text: error.message, kind: "load" } }),
    });
    /** @type {Loader<ImageBitmap>} */
    this.thumbnails = new Loader((i, signal) => api.picture(`api/thumbnails/${i}.jpg`, signal), {
      capacity: 500,
      slots: 4,
      drop: close,
      onLoad: () => this.store.touch("thumbnails"),
    });
    this.store.on(["frame", "playing"], () => this.#wantFrames());
  }

  /** Opens the page's data. */
  static async open() {
    const api = new Api();
    const app = new App(api, await api.get("api/state"));
    await app.refresh();
    api.listen(
      () => app.#onEvent(),
      (link) => {
        // a server that was started again may show another video
        if (link === "up" && app.store.state.link === "refused") location.reload();
        // nothing is known of a job while the link is down
        app.store.set(link === "up" ? { link } : { link, job: null, waiting: null });
        if (link === "up") app.refresh().catch(() => {});
      },
    );
    return app;
  }

  /** Takes over what is new at the server. Calls while one is under way share the next one. */
  refresh() {
    this.#next ??= (this.#current ?? Promise.resolve())
      .catch(() => {})
      .then(() => {
        this.#current = this.#next;
        this.#next = null;
        return this.#takeOver();
      });
    return this.#next;
  }
  /** @type {Promise<void> | null} */
  #current = null;
  /** @type {Promise<void> | null} */
  #next = null;

  /**
   * A mask that was just painted: shown, and painted on, before the server has it.
   *
   * @param {number} frame @param {number} object @param {Mask} mask
   */
  showMask(frame, object, mask) {
    const painted = { object, pixels: () => mask, path: toPath(contours(mask)) };
    this.#painted.set(`${frame}/${object}`, { frame, mask, painted, sent: false });
    this.masks.put(frame, this.#withPainted(frame, this.masks.get(frame) ?? []));
    this.store.touch("masks");
  }
  /** Painted masks by frame and object, until the server's own have been loaded.
   * @type {Map<string, {frame: number, mask: Mask, painted: FrameMask, sent: boolean}>} */
  #painted = new Map();

  /**
   * The server has taken (or refused) a painted mask.
   *
   * @param {number} frame
   * @param {number} object
   * @param {Mask} mask
   */
  maskSent(frame, object, mask) {
    const entry = this.#painted.get(`${frame}/${object}`);
    if (entry?.mask === mask) entry.sent = true; // else a newer one is under way
    this.masks.invalidate([frame]);
  }

  /** @param {number} frame @param {FrameMask[]} masks */
  #withPainted(frame, masks) {
    const painted = [...this.#painted.values()].filter((entry) => entry.frame === frame).map((entry) => entry.painted);
    return [...masks.filter(({ object }) => !painted.some((mask) => mask.object === object)), ...painted];
  }

  /** Can the selected object's mask be painted on: is the newest one there? */
  get editable() {
    const { frame, shown, selected } = this.store.state;
    return frame === shown && (this.masks.fresh(frame) || this.#painted.has(`${frame}/${selected}`));
  }

  /**
   * The frame is shown with this many pixels: of large videos, smaller pictures do until someone zooms in.
   *
   * @param {number} pixels
   */
  needWidth(pixels) {
    const width = PICTURE_WIDTHS.find((each) => each >= pixels) ?? Infinity;
    const grew = width > this.#width;
    this.#width = width;
    if (!grew || this.store.state.video.width <= PICTURE_WIDTHS[0]) return;
    this.pictures.invalidate("all");
    this.#wantFrames();
  }
  #width = PICTURE_WIDTHS[0];

  /** Masks of the frame that is shown, undefined until they are loaded. */
  shownMasks() {
    return this.masks.get(this.store.state.shown);
  }

  /** The mask of an object in the frame that is shown. @param {number | null} object */
  shownMask(object) {
    return this.shownMasks()?.find((mask) => mask.object === object);
  }

  async #takeOver() {
    const [server, changes] = await Promise.all([
      this.api.get("api/state"),
      this.api.get(`api/timeline?after=${this.tracks.revision}`),
    ]);
    const frames = this.tracks.apply(changes);
    this.masks.invalidate(frames);
    if (server.error !== this.store.state.error) {
      if (server.error) this.store.set({ message: { text: server.error, kind: "job" } });
      else this.succeeded("job");
    }
    const known = /** @type {any} */ (this.store.state);
    const job = server.job ?? known.job; // the last frames of a run come with its end
    const news = Object.entries(server).filter(
      ([name, value]) => JSON.stringify(value) !== JSON.stringify(known[name]),
    );
    this.store.set(Object.fromEntries(news));
    if (frames !== "all") this.#followRun(job, frames);
    const { selected, objects } = this.store.state;
    // undo may have removed the selected object
    if (selected !== null && !objects.some(({ id }) => id === selected))
      this.store.set({ selected: objects[0]?.id ?? null });
    if (frames === "all" || frames.size) this.store.touch("tracks");
    this.#wantFrames();
  }

  /**
   * Shows the newest masks of a run.
   *
   * @param {import("./api.js").Job | null} job
   * @param {Set<number>} frames  that changed
   */
  #followRun(job, frames) {
    const { follow, playing, looking } = this.store.state;
    if (job?.kind !== "run" || !follow || playing || looking || !frames.size) return;
    const distance = (/** @type {number} */ frame) => Math.abs(frame - job.frame);
    this.store.set({ frame: [...frames].reduce((best, frame) => (distance(frame) < distance(best) ? frame : best)) });
  }

  /** A request's success takes the error of an earlier one of its kind away. @param {string} kind */
  succeeded(kind) {
    if (this.store.state.message?.kind === kind) this.store.set({ message: null });
  }

  #timer = 0;
  /** Something is new at the server. */
  #onEvent() {
    if (this.#timer) return;
    this.#timer = window.setTimeout(() => {
      this.#timer = 0;
      this.refresh().then(
        () => this.succeeded("refresh"),
        (error) => this.store.set({ message: { text: error.message, kind: "refresh" } }),
      );
    }, REFRESH_MS);
  }

  #wantFrames() {
    const { frame, playing, video } = this.store.state;
    const keys = [frame];
    for (let i = 1; playing && i <= AHEAD && frame + i < video.frames; i++) keys.push(frame + i);
    this.pictures.want(keys);
    this.masks.want(keys);
    if (this.pictures.get(frame)) this.store.set({ shown: frame });
  }

  /**
   * While someone scrubs, frames that come late are shown when they are nearer than what is shown.
   *
   * @param {number} i
   */
  #pictureLoaded(i) {
    const { frame, shown, playing } = this.store.state;
    if (i === frame) this.succeeded("load");
    if (i === frame || (!playing && (shown < 0 || Math.abs(i - frame) < Math.abs(shown - frame)))) {
      this.store.set({ shown: i });
      this.store.touch("picture");
    }
  }

  /** @param {number} i @param {AbortSignal} signal */
  #loadPicture(i, signal) {
    const smaller = this.#width < this.store.state.video.width ? `?width=${this.#width}` : "";
    return this.api.picture(`api/frames/${i}.jpg${smaller}`, signal);
  }

  /** @param {number} i @param {AbortSignal} signal @returns {Promise<FrameMask[]>} */
  async #loadMasks(i, signal) {
    const known = [...this.#painted].filter(([, entry]) => entry.frame === i && entry.sent);
    /** @type {{masks: import("./api.js").ServerMask[]}} */
    const { masks } = await this.api.get(`api/frames/${i}/masks`, signal);
    for (const [key, entry] of known) if (this.#painted.get(key) === entry) this.#painted.delete(key);
    const loaded = masks.map(({ object, rle }) => {
      return { object, pixels: () => decode(rle), path: toPath(contours(decode(rle))) };
    });
    return this.#withPainted(i, loaded);
  }
}
