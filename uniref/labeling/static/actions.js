/**
 * What a user can do, as verbs. Tools, panels and keys call these; each tells the server and shows its errors.
 *
 * @typedef {import("./app.js").App} App
 * @typedef {import("./rle.js").Mask} Mask
 */

import { encode } from "./rle.js";

/**
 * Does something and shows the line that it fails with, until something of its kind succeeds.
 *
 * @param {App} app @param {"prompt" | "object" | "run" | "history"} kind @param {() => Promise<any>} act
 */
async function attempt(app, kind, act) {
  try {
    const result = await act();
    await app.refresh();
    app.succeeded(kind);
    return result;
  } catch (error) {
    app.store.set({ message: { text: /** @type {Error} */ (error).message, kind }, waiting: null });
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
  made = null;
  if (selected !== null && name === undefined) return selected;
  const { unfound, video } = app.store.state;
  const text = app.store.object(unfound)?.prompts.some((prompt) => prompt.kind === "text");
  if (!text || video.frames === 1) await dropUnfound(app); // a run looks for a text in later frames
  const { id } = await app.api.send("POST", "api/objects", name ? { name } : {});
  await app.refresh();
  app.store.set({ selected: id });
  made = id;
  return id;
}

/** The object that was made for the last prompt, if one was. @type {number | null} */
let made = null;

/** Removes the object that was made for a prompt which found nothing. @param {App} app */
async function dropUnfound(app) {
  const { unfound } = app.store.state;
  app.store.set({ unfound: null });
  if (unfound === null || !app.store.object(unfound)) return;
  if (app.tracks.get(unfound)?.area.some((area) => area > 0)) return; // painted, or found by a run
  await app.api.send("DELETE", `api/objects/${unfound}`);
}

/** Takes points and boxes that found nothing away, with the object that was made for them. @param {App} app */
export function drop(app) {
  const { selected, unfound } = app.store.state;
  app.store.set({ sought: null, message: null });
  if (unfound === null || unfound !== selected) return Promise.resolve(null);
  return attempt(app, "object", async () => {
    await dropUnfound(app);
    await app.refresh();
  });
}

/**
 * Sends a prompt that the model answers in this frame, and says what came of it.
 *
 * @param {App} app @param {number} object @param {"text" | "region" | `example?frame=${number}`} kind
 * @param {object} body @param {string} what  is looked for, in words
 * @returns {Promise<boolean>} whether it was found
 */
async function suggest(app, object, kind, body, what) {
  app.store.set({ waiting: `Looking for ${what}`, message: null });
  const answer = await app.api.send("POST", `api/objects/${object}/${kind}`, body).catch(async (error) => {
    // what was made for a prompt that cannot be used goes with it
    if (made === object) await app.api.send("DELETE", `api/objects/${object}`).catch(() => {});
    throw error;
  });
  app.store.set({ waiting: null });
  if (answer.message || !answer.found) {
    const more = kind === "region" ? ". Points (K) add to it, Escape drops it." : "";
    const line = (answer.message ?? "not found in this frame") + more;
    app.store.set({ message: { text: `${what[0].toUpperCase()}${what.slice(1)}: ${line}` } });
  }
  const { unfound } = app.store.state;
  if (answer.found && unfound === object) app.store.set({ unfound: null });
  // an object without a mask was made for this prompt
  if (!answer.found && !app.tracks.get(object)?.area.some((area) => area > 0)) app.store.set({ unfound: object });
  return answer.found;
}

/** A new object by its text. @param {App} app @param {string} text */
export function addByText(app, text) {
  const { frame } = app.store.state;
  return attempt(app, "prompt", async () => {
    const object = await target(app, text.slice(0, 60));
    await suggest(app, object, "text", { frame, text }, `“${text}”`);
  });
}

/** @param {App} app @param {number} object @param {string} text */
export function describe(app, object, text) {
  const { frame } = app.store.state;
  return attempt(app, "prompt", () => suggest(app, object, "text", { frame, text }, `“${text}”`));
}

/**
 * Looks for what is in a box or at points; they stay, to be added to, until something is found.
 *
 * @param {App} app
 * @param {[number, number, number, number] | null} box
 * @param {[number, number, 0 | 1][]} points
 */
export function setRegion(app, box, points) {
  const { frame } = app.store.state;
  if (!box && !points.some(([, , positive]) => positive)) {
    app.store.set({ message: { text: "Click on the object first, then on what does not belong to it.", good: true } });
    return Promise.resolve(null);
  }
  const parts = points.length ? [points.length === 1 ? "at the point" : `at the ${points.length} points`] : [];
  if (box) parts.unshift("in the box");
  return attempt(app, "prompt", async () => {
    const object = await target(app);
    app.store.set({ sought: { object, frame, box, points } });
    const body = { frame, box, points: points.length ? points : null };
    const found = await suggest(app, object, "region", body, `an object ${parts.join(" and ")}`);
    if (found) {
      await app.refresh(); // its prompts are drawn from now on
      app.store.set({ sought: null });
    }
  });
}

/** @param {App} app @param {File} image @param {File} mask @param {string} name */
export function addByExample(app, image, mask, name) {
  const { frame } = app.store.state;
  return attempt(app, "prompt", async () => {
    const object = await target(app, name || image.name.replace(/\.[^.]*$/, ""));
    const form = new FormData();
    form.append("image", image);
    form.append("mask", mask);
    await suggest(app, object, `example?frame=${frame}`, form, "the example");
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
  return attempt(app, "prompt", async () => {
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
  return attempt(app, "prompt", () => app.api.send("DELETE", `api/objects/${selected}/mask?frame=${frame}`));
}

/** @param {App} app @param {number} object @param {{name?: string, colour?: string, visible?: boolean}} values */
export function updateObject(app, object, values) {
  return attempt(app, "object", () => app.api.send("PATCH", `api/objects/${object}`, values));
}

/** @param {App} app @param {number} object */
export function removeObject(app, object) {
  return attempt(app, "object", async () => {
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
  const { frame, selected } = app.store.state;
  app.store.set({ message: null, playing: false, looking: false });
  const body = direction ? { frame, direction, objects: selected === null ? undefined : [selected] } : {};
  return attempt(app, "run", async () => {
    const nothing = await nothingToRun(app, Boolean(direction));
    if (nothing) app.store.set({ message: { text: nothing, good: true } });
    else await app.api.send("POST", "api/run", body);
  });
}

/** Why there is nothing to segment, if so. @param {App} app @param {boolean} again  also what is up to date */
async function nothingToRun(app, again) {
  if (app.store.state.video.frames === 1) return "There is only one frame: nothing to follow.";
  const stale = () => app.store.state.objects.some((object) => object.stale_from !== null);
  if (again || stale()) return null;
  // a stroke may be on its way
  await app.api.settled();
  await app.refresh();
  if (stale()) return null;
  const { objects } = app.store.state;
  return objects.some((object) => object.prompts.length)
    ? "Nothing to do: every frame is up to date."
    : "There is no object yet: type what it is, paint it, or draw a box around it.";
}

/** @param {App} app */
export function stop(app) {
  return attempt(app, "run", () => app.api.stop());
}

/** @param {App} app @param {"undo" | "redo"} what */
export function history(app, what) {
  return attempt(app, "history", async () => {
    const label = app.store.state[what];
    if (!label) return;
    await app.api.send("POST", `api/${what}`);
    app.store.set({ message: { text: `${what === "undo" ? "Undone" : "Done again"}: ${label}`, good: true } });
  });
}

/**
 * Starts an export.
 *
 * @param {App} app @param {string[]} formats @param {string} name
 * @returns {Promise<string | null>} the line that it fails with
 */
export async function exportMasks(app, formats, name) {
  try {
    await app.api.send("POST", "api/export", name ? { formats, name } : { formats });
    await app.refresh();
  } catch (error) {
    return /** @type {Error} */ (error).message;
  }
  return null;
}
