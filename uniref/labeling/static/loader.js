/**
 * Pictures and masks by frame, loaded as they are wanted: the newest wish first, a few requests at a time, the oldest
 * forgotten. Scrubbing leaves wishes behind; they are dropped before they are sent, and given up when they are slow.
 */

const PATIENCE_MS = 400; // for a request that nobody wants any more

/** @template T */
export class Loader {
  /** @type {Map<number, T>} */
  #loaded = new Map();
  /** @type {Set<number>} */
  #outdated = new Set();
  /** @type {Map<number, {abort: AbortController, since: number, again: boolean}>} */
  #loading = new Map();
  /** @type {number[]} */
  #wanted = [];
  /** @type {Set<number>} */
  #failed = new Set();

  /**
   * @param {(key: number, signal: AbortSignal) => Promise<T>} load
   * @param {{capacity: number, slots: number, onLoad: (key: number) => void, onError?: (error: Error) => void,
   *   drop?: (value: T) => void}} options
   */
  constructor(load, { capacity, slots, onLoad, onError = () => {}, drop = () => {} }) {
    this.load = load;
    this.capacity = capacity;
    this.slots = slots;
    this.onLoad = onLoad;
    this.onError = onError;
    this.drop = drop;
  }

  /** What is loaded, even when it is outdated. @param {number} key @returns {T | undefined} */
  get(key) {
    const value = this.#loaded.get(key);
    if (value !== undefined) {
      // the newest are at the end
      this.#loaded.delete(key);
      this.#loaded.set(key, value);
    }
    return value;
  }

  /** Is the newest value there? @param {number} key */
  fresh(key) {
    return this.#loaded.has(key) && !this.#outdated.has(key);
  }

  /** Replaces what was wanted before. @param {number[]} keys  the most urgent first */
  want(keys) {
    this.#wanted = keys.filter((key) => !this.fresh(key) && !this.#failed.has(key));
    const now = performance.now();
    for (const [key, { abort, since }] of this.#loading) {
      if (!this.#wanted.includes(key) && now - since > PATIENCE_MS) abort.abort();
    }
    this.#next();
  }

  /** Puts a value that the page made itself. @param {number} key @param {T} value */
  put(key, value) {
    this.invalidate([key]);
    this.#store(key, value);
  }

  /** Loaded values are shown on until newer ones are there. @param {Iterable<number> | "all"} keys */
  invalidate(keys) {
    for (const key of keys === "all" ? this.#loaded.keys() : keys) if (this.#loaded.has(key)) this.#outdated.add(key);
    for (const [key, request] of this.#loading) {
      if (keys === "all" || [...keys].includes(key)) request.again = true;
    }
    if (keys === "all") this.#failed.clear();
    else for (const key of keys) this.#failed.delete(key);
  }

  #next() {
    while (this.#loading.size < this.slots) {
      const key = this.#wanted.find((wanted) => !this.#loading.has(wanted));
      if (key === undefined) return;
      this.#wanted.splice(this.#wanted.indexOf(key), 1);
      this.#start(key);
    }
  }

  /** @param {number} key */
  async #start(key) {
    const request = { abort: new AbortController(), since: performance.now(), again: false };
    this.#loading.set(key, request);
    try {
      const value = await this.load(key, request.abort.signal);
      this.#loading.delete(key);
      if (request.again) {
        // it changed while it was under way
        this.drop(value);
        this.#wanted.unshift(key);
      } else {
        this.#outdated.delete(key);
        this.#store(key, value);
        this.onLoad(key);
      }
    } catch (error) {
      this.#loading.delete(key);
      if (/** @type {Error} */ (error).name !== "AbortError") {
        this.#failed.add(key);
        this.onError(/** @type {Error} */ (error));
      }
    }
    this.#next();
  }

  /** @param {number} key @param {T} value */
  #store(key, value) {
    const old = this.#loaded.get(key);
    if (old !== undefined && old !== value) this.drop(old);
    this.#loaded.delete(key);
    this.#loaded.set(key, value);
    for (const [oldest, forgotten] of this.#loaded) {
      if (this.#loaded.size <= this.capacity) break;
      this.#loaded.delete(oldest);
      this.#outdated.delete(oldest);
      this.drop(forgotten);
    }
  }
}
