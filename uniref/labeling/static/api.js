/**
 * The server's HTTP interface. Every error is one line for the user.
 *
 * @typedef {import("./rle.js").Rle} Rle
 * @typedef {{frame: number, kind: "text" | "mask" | "box" | "points" | "example", text?: string,
 *   box?: [number, number, number, number] | null, points?: [number, number, 0 | 1][] | null}} Prompt
 * @typedef {{id: number, name: string, colour: string, visible: boolean, text: string | null, prompts: Prompt[],
 *   stale_from: number | null}} LabelObject
 * @typedef {{kind: "load" | "suggest" | "run" | "export", frame: number, done: number, total: number,
 *   direction?: string}} Job
 * @typedef {{name: string, folder: string, formats: string[], files: number, next: string | null,
 *   notes?: string[]}} Export
 * @typedef {{video: {name: string, frames: number, fps: number, width: number, height: number}, project: string,
 *   revision: number, objects: LabelObject[], job: Job | null, error: string | null, undo: string | null,
 *   redo: string | null, exports: Export[], model: {checkpoint: string, device: string | null},
 *   formats: string[], notes?: string[]}} ServerState
 * @typedef {{object: number, kind: "given" | "tracked", score: number | null, rle: Rle}} ServerMask
 * @typedef {{revision: number, objects: Record<string, {frames: number[], scores: (number | null)[], areas: number[],
 *   given: boolean[]}>, removed: [number, number, number][], full: boolean}} TimelineChanges
 */

export class ApiError extends Error {
  /** @param {string} line @param {number} [status]  of HTTP, none where there was no answer */
  constructor(line, status) {
    super(line);
    this.status = status;
  }
}

/** @typedef {"up" | "down" | "refused"} Link  "refused": the server does not know this page's token */

/** @param {Response} response */
async function check(response) {
  if (response.ok) return response;
  let line = `${response.status} ${response.statusText}`;
  try {
    line = (await response.json()).error || line;
  } catch {
    // not from the server itself: the status has to do
  }
  throw new ApiError(line, response.status);
}

export class Api {
  /** Requests that change something are sent one after the other, in the order of the user's actions. */
  #last = /** @type {Promise<any>} */ (Promise.resolve());

  /** @param {string} path @param {AbortSignal} [signal] @returns {Promise<any>} */
  async get(path, signal) {
    return (await this.#fetch(path, { signal })).json();
  }

  /** @param {string} path @param {AbortSignal} [signal] @returns {Promise<ImageBitmap>} */
  async picture(path, signal) {
    return createImageBitmap(await (await this.#fetch(path, { signal })).blob());
  }

  /**
   * @param {"POST" | "PATCH" | "DELETE"} method @param {string} path
   * @param {object | FormData} [body]
   * @returns {Promise<any>}
   */
  send(method, path, body) {
    const send = async () => {
      const form = body instanceof FormData;
      const headers = body && !form ? { "Content-Type": "application/json" } : undefined;
      const response = await this.#fetch(path, { method, headers, body: form ? body : body && JSON.stringify(body) });
      const text = await response.text();
      return text ? JSON.parse(text) : {};
    };
    const sent = this.#last.then(send, send);
    this.#last = sent.catch(() => {});
    return sent;
  }

  /** Resolves when all that was sent so far is answered. @returns {Promise<void>} */
  async settled() {
    await this.#last;
  }

  /** Stops what runs, at once: it does not wait for requests sent before. */
  async stop() {
    await this.#fetch("api/stop", { method: "POST" });
  }

  /**
   * Calls `onEvent` whenever something changed, and `onLink` whenever the link to the server changes.
   *
   * @param {() => void} onEvent
   * @param {(link: Link) => void} onLink
   */
  listen(onEvent, onLink) {
    const source = new EventSource("api/events");
    source.onopen = () => onLink("up");
    source.onmessage = onEvent;
    source.onerror = async () => {
      // the browser tries again by itself, except after an answer that is an error
      const answered = source.readyState === EventSource.CLOSED;
      onLink(answered && (await this.#refused()) ? "refused" : "down");
      if (answered) setTimeout(() => this.listen(onEvent, onLink), 2000);
    };
  }

  /** An `EventSource` does not tell the status of its answer: this asks again. */
  async #refused() {
    try {
      await this.get("api/state");
    } catch (error) {
      return error instanceof ApiError && error.status === 403;
    }
    return false;
  }

  /** @param {string} path @param {RequestInit} options */
  async #fetch(path, options) {
    let response;
    try {
      response = await fetch(path, options);
    } catch (error) {
      if (/** @type {Error} */ (error).name === "AbortError") throw error;
      throw new ApiError("the server does not answer: is uniref label still running?");
    }
    return check(response);
  }
}
