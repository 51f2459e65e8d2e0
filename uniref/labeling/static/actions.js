/**
 * What a user can do, as verbs. Tools, panels and keys call these; each tells the server and shows its errors.
 *
 * @typedef {import("./app.js").App} App
 * @typedef {import("./rle.js").Mask} Mask
 */

import { encode } from "./rle.js";

/** Does something and shows the line that it fails with. @param {App} app @param {() => Promise<any>} act */
export async function attempt(app, act) {
  try {
    const result = await act();
    await app.refresh();
    return result;
  } catch (error) {
    app.store.set({ message: { text: /** @type {Error} */ (error).message }, waiting: null });
    await app.refresh().catch(() => {});
    return null;
  }
}

/** Someone looks at a frame: a run is not followed to its end. @param {App} app @param {number} frame */
export function goTo(app, frame) {
  const { state } = app.store;
  const next = Math.min(state.video.frames - 1, Math.max(0, Math.round(frame)));
  app.store.set({ frame: next, looking: true });
}

/**
 * The object that the next prompt is for: the selected one, or a new one.
 *
 * @param {App} app @param {string} [name]
 * @returns {Promise<number>}
 */
async function target(app, name) {
  const { selected } = app.store.state;
  if (selected !== null && name === undefined) return selected;
  const { id } = await app.api.send("POST", "api/objects", name ? { name } : {});
  await app.refresh();
  app.store.set({ selected: id });
  return id;
}

/**
 * Sends a prompt that the model answers in this frame, and says what came of it.
 *
 * @param {App} app @param {number} object @param {"text" | "region"} kind @param {object} body @param {string} waiting
 */
async function suggest(app, object, kind, body, waiting) {
  app.store.set({ waiting, message: null });
  const answer = await app.api.send("POST", `api/objects/${object}/${kind}`, body);
  answered(app, answer);
}

/** @param {App} app @param {{found: boolean, message: string | null}} answer */
function answered(app, answer) {
  app.store.set({ waiting: null });
  if (answer.message) app.store.set({ message: { text: answer.message } });
  else if (!answer.found) app.store.set({ message: { text: "Nothing in this frame fits." } });
}

/** A new object by its text. @param {App} app @param {string} text */
export function addByText(app, text) {
  const { frame } = app.store.state;
  return attempt(app, async () => {
    const object = await target(app, text.slice(0, 60));
    await suggest(app, object, "text", { frame, text }, `Looking for “${text}”`);
  });
}

/** @param {App} app @param {number} object @param {string} text */
export function describe(app, object, text) {
  const { frame } = app.store.state;
  return attempt(app, () => suggest(app, object, "text", { frame, text }, `Looking for “${text}”`));
}

/**
 * @param {App} app
 * @param {[number, number, number, number] | null} box
 * @param {[number, number, 0 | 1][] | null} points
 */
export function setRegion(app, box, points) {
  const { frame } = app.store.state;
  return attempt(app, async () => {
    await suggest(app, await target(app), "region", { frame, box, points }, "Looking for what is there");
  });
}

/** @param {App} app @param {File} image @param {File} mask @param {string} name */
export function addByExample(app, image, mask, name) {
  const { frame } = app.store.state;
  return attempt(app, async () => {
    const object = await target(app, name || image.name.replace(/\.[^.]*$/, ""));
    const form = new FormData();
    form.append("image", image);
    form.append("mask", mask);
    app.store.set({ waiting: "Looking for the example", message: null });
    answered(app, await app.api.send("POST", `api/objects/${object}/example?frame=${frame}`, form));
  });
}

/**
 * Keeps a painted mask; without a selected object, of a new one.
 *
 * @param {App} app @param {number} frame @param {Mask} mask
 */
export function setMask(app, frame, mask) {
  const { selected } = app.store.state;
  if (selected !== null) app.showMask(frame, selected, mask);
  return attempt(app, async () => {
    const object = await target(app);
    if (selected === null) app.showMask(frame, object, mask);
    try {
      await app.api.send("POST", `api/objects/${object}/mask`, { frame, rle: encode(mask) });
    } finally {
      app.maskSent(frame, object, mask);
    }
  });
}

/** Takes the selected object's given mask in this frame back. @param {App} app */
export function clearMask(app) {
  const { selected, frame } = app.store.state;
  if (selected === null || !app.tracks.get(selected)?.given[frame]) return Promise.resolve(null);
  return attempt(app, () => app.api.send("DELETE", `api/objects/${selected}/mask?frame=${frame}`));
}

/** @param {App} app @param {number} object @param {{name?: string, colour?: string, visible?: boolean}} values */
export function updateObject(app, object, values) {
  return attempt(app, () => app.api.send("PATCH", `api/objects/${object}`, values));
}

/** @param {App} app @param {number} object */
export function removeObject(app, object) {
  return attempt(app, async () => {
    await app.api.send("DELETE", `api/objects/${object}`);
    const { selected, objects } = app.store.state;
    const rest = objects.filter(({ id }) => id !== object);
    if (selected === object) app.store.set({ selected: rest[0]?.id ?? null });
    app.store.set({ message: { text: "Object removed. Undo brings it back.", good: true } });
  });
}

/**
 * Segments: everything that is older than its prompts, or the selected object from this frame on.
 *
 * @param {App} app @param {"forwards" | "backwards"} [direction]
 */
export function run(app, direction) {
  const { frame, selected, objects } = app.store.state;
  if (!objects.length) {
    app.store.set({ message: { text: "There is no object yet: type what it is, paint it, or draw a box around it." } });
    return Promise.resolve(null);
  }
  app.store.set({ message: null, playing: false, looking: false });
  const body = direction ? { frame, direction, objects: selected === null ? undefined : [selected] } : {};
  return attempt(app, () => app.api.send("POST", "api/run", body));
}

/** @param {App} app */
export function stop(app) {
  return attempt(app, () => app.api.stop());
}

/** @param {App} app @param {"undo" | "redo"} what */
export function history(app, what) {
  return attempt(app, async () => {
    const label = app.store.state[what];
    if (!label) return;
    await app.api.send("POST", `api/${what}`);
    app.store.set({ message: { text: `${what === "undo" ? "Undone" : "Done again"}: ${label}`, good: true } });
  });
}

/** @param {App} app @param {string[]} formats @param {string} name */
export function exportMasks(app, formats, name) {
  return attempt(app, () => app.api.send("POST", "api/export", name ? { formats, name } : { formats }));
}
