/**
 * What the page shows: the server's state, and the page's own (the frame, the tool, ...). Parts of the page subscribe
 * to the names that they draw.
 *
 * @typedef {import("./api.js").LabelObject} LabelObject
 * @typedef {import("./api.js").ServerState & {
 *   frame: number, shown: number, selected: number | null, tool: string, brush: number, opacity: number,
 *   masksShown: boolean, playing: boolean, follow: boolean, message: Message | null,
 *   link: import("./api.js").Link, looking: boolean, waiting: string | null, hover: number | null, sought: Sought | null,
 *   unfound: number | null, notesSeen: string}} State
 * @typedef {{text: string, good?: boolean, kind?: string}} Message  kind: of the request that failed
 * @typedef {{object: number, frame: number, box: [number, number, number, number] | null,
 *   points: [number, number, 0 | 1][]}} Sought  what nothing was found by, so far
 */

const KEPT = /** @type {const} */ (["frame", "selected", "tool", "brush", "opacity", "follow", "notesSeen"]); // over a reload

export class Store {
  /** @type {{names: Set<string>, call: () => void}[]} */
  #subscribers = [];
  /** @type {Set<string>} */
  #changed = new Set();
  #scheduled = false;

  /** @param {State} state */
  constructor(state) {
    this.state = state;
  }

  /**
   * Changes values; subscribers of those that differ are called once, before the next picture is drawn.
   *
   * @param {Partial<State>} values
   */
  set(values) {
    for (const [name, value] of Object.entries(values)) {
      if (/** @type {any} */ (this.state)[name] === value) continue;
      /** @type {any} */ (this.state)[name] = value;
      this.#changed.add(name);
    }
    this.#schedule();
  }

  /** Calls subscribers of a name whose content changed in place ("masks", "tracks"). @param {string[]} names */
  touch(...names) {
    for (const name of names) this.#changed.add(name);
    this.#schedule();
  }

  /** @param {string[]} names @param {() => void} call  called at once, and whenever one of the names changes */
  on(names, call) {
    this.#subscribers.push({ names: new Set(names), call });
    call();
  }

  /** @param {number | null} id @returns {LabelObject | undefined} */
  object(id) {
    return this.state.objects.find((object) => object.id === id);
  }

  #schedule() {
    if (this.#scheduled || !this.#changed.size) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      const changed = this.#changed;
      this.#changed = new Set();
      for (const { names, call } of this.#subscribers) {
        for (const name of names) {
          if (changed.has(name)) {
            call();
            break;
          }
        }
      }
      if (KEPT.some((name) => changed.has(name))) remember(this.state);
    });
  }
}

/**
 * The page's own values as they were before a reload of the same project.
 *
 * @param {import("./api.js").ServerState} server
 * @returns {State}
 */
export function initialState(server) {
  const kept = recall(server.project);
  const height = server.video.height;
  return {
    ...server,
    frame: Math.min(Math.max(0, kept.frame ?? 0), server.video.frames - 1),
    shown: -1,
    selected: server.objects.some((object) => object.id === kept.selected)
      ? kept.selected
      : (server.objects[0]?.id ?? null),
    tool: kept.tool ?? "brush",
    brush: kept.brush ?? Math.max(2, Math.round(height / 45)),
    opacity: kept.opacity ?? 45,
    masksShown: true,
    playing: false,
    follow: kept.follow ?? true,
    message: null,
    link: "up",
    looking: false,
    waiting: null,
    hover: null,
    sought: null,
    unfound: null, // an object made for a prompt that found nothing
    notesSeen: kept.notesSeen ?? "",
  };
}

/** @param {State} state */
function remember(state) {
  const values = Object.fromEntries(KEPT.map((name) => [name, state[name]]));
  try {
    sessionStorage.setItem("uniref-label", JSON.stringify({ project: state.project, values }));
  } catch {
    // a browser without storage forgets
  }
}

/** @param {string} project @returns {any} */
function recall(project) {
  try {
    const kept = JSON.parse(sessionStorage.getItem("uniref-label") ?? "null");
    return kept?.project === project ? kept.values : {};
  } catch {
    return {};
  }
}
