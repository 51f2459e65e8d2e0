/**
 * The keyboard: one table for what keys do and for the help that shows them.
 *
 * @typedef {import("./app.js").App} App
 * @typedef {{app: App, tools: import("./tools.js").Tools, player: import("./player.js").Player,
 *   stage: import("./canvas.js").Stage}} Page
 * @typedef {{keys: string[], shown?: string[], about: string,
 *   act?: (page: Page, event: KeyboardEvent) => void}} Shortcut
 *   keys as in `KeyboardEvent.key`, with "Ctrl+" and "Shift+" before; without `act` the mouse does it
 */

import * as actions from "./actions.js";
import { openExport } from "./dialogs.js";
import { toggleRun } from "./panels.js";
import { TOOLS } from "./tools.js";

/** @param {string} id @returns {any} */
const element = (id) => document.getElementById(id);

/** @type {Record<string, Shortcut[]>} */
export const SHORTCUTS = {
  Objects: [
    { keys: ["t"], about: "Add an object by text", act: () => element("text").select() },
    { keys: ["n"], about: "Next stroke or box: a new object", act: () => element("new-object").click() },
    {
      keys: [..."123456789"],
      shown: ["1", "…", "9"],
      about: "Select an object",
      act: ({ app }, event) => select(app, Number(event.key) - 1),
    },
    { keys: ["h"], about: "Hide or show the selected object", act: ({ app }) => toggleVisible(app) },
    {
      keys: ["m"],
      about: "Hide or show all masks",
      act: ({ app: { store } }) => store.set({ masksShown: !store.state.masksShown }),
    },
    { keys: ["Delete"], about: "Take this frame's given mask back", act: ({ app }) => actions.clearMask(app) },
    { keys: ["Shift+Delete"], about: "Remove the selected object", act: ({ app }) => remove(app) },
  ],
  Segment: [
    { keys: ["s"], about: "Segment what is out of date; stop", act: ({ app }) => toggleRun(app) },
    { keys: ["Shift+S"], about: "Selected object, from here forwards", act: ({ app }) => actions.run(app, "forwards") },
    {
      keys: ["Shift+A"],
      about: "Selected object, from here backwards",
      act: ({ app }) => actions.run(app, "backwards"),
    },
    { keys: ["Ctrl+z"], about: "Undo", act: ({ app }) => actions.history(app, "undo") },
    { keys: ["Ctrl+Shift+Z", "Ctrl+y"], about: "Redo", act: ({ app }) => actions.history(app, "redo") },
    { keys: ["x"], about: "Export", act: ({ app }) => openExport(app) },
  ],
  Tools: [
    ...TOOLS.map((tool) => ({
      keys: [tool.key.toLowerCase()],
      about: tool.name,
      act: (/** @type {Page} */ { app }) => app.store.set({ tool: tool.id }),
    })),
    {
      keys: ["[", "]"],
      about: "Smaller, larger brush",
      act: ({ app }, event) => resizeBrush(app, event.key === "]" ? 1 : -1),
    },
    { keys: ["Enter"], about: "Close the polygon", act: ({ tools }) => tools.closePolygon() },
    { keys: ["Backspace"], about: "Take its last corner back", act: ({ tools }) => tools.removeCorner() },
    { keys: ["Escape"], about: "Drop what is being drawn, or was not found", act: dropDrawn },
    { keys: [], shown: ["Alt", "right button"], about: "Erase, or exclude, for one stroke" },
  ],
  Frames: [
    { keys: [" "], shown: ["Space"], about: "Play, pause", act: ({ player }) => player.toggle() },
    {
      keys: ["ArrowLeft", "ArrowRight"],
      shown: ["←", "→"],
      about: "One frame",
      act: ({ player }, event) => player.step(sign(event)),
    },
    {
      keys: ["Shift+ArrowLeft", "Shift+ArrowRight"],
      shown: ["Shift", "← →"],
      about: "Ten frames",
      act: ({ player }, event) => player.step(10 * sign(event)),
    },
    {
      keys: ["Home", "End"],
      about: "First, last frame",
      act: ({ app }, event) => actions.goTo(app, event.key === "Home" ? 0 : Infinity),
    },
    {
      keys: ["PageUp", "PageDown"],
      shown: ["Page ↑", "Page ↓"],
      about: "Previous, next given mask",
      act: ({ player }, event) => player.jumpGiven(event.key === "PageUp" ? -1 : 1),
    },
    { keys: ["w"], about: "Next weak frame", act: ({ player }) => player.jumpWeak() },
    { keys: ["g"], about: "Go to a frame number", act: () => element("frame-number").select() },
  ],
  View: [
    {
      keys: ["+", "=", "-"],
      shown: ["+", "-"],
      about: "Zoom the frame",
      act: (_, event) => element(event.key === "-" ? "zoom-out" : "zoom-in").click(),
    },
    { keys: ["0"], about: "Fit the frame", act: () => element("zoom-value").click() },
    { keys: [], shown: ["wheel"], about: "Zoom; with the middle button: move" },
    { keys: [], shown: ["Ctrl", "wheel"], about: "Zoom the timeline (pointer on it)" },
    { keys: ["d"], about: "Light, dark, as the system", act: () => element("theme").click() },
    { keys: ["?"], about: "This help", act: () => element("help").click() },
  ],
};

/** @param {Page} page */
export function initKeys(page) {
  /** @type {Map<string, Shortcut>} */
  const table = new Map();
  for (const shortcut of Object.values(SHORTCUTS).flat()) for (const key of shortcut.keys) table.set(key, shortcut);
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (belongsTo(target, event.key)) {
      if (event.key === "Escape") target.blur();
      return;
    }
    const shortcut = table.get(keyName(event));
    if (!shortcut?.act) return;
    event.preventDefault();
    shortcut.act(page, event);
  });
  // what was clicked leaves the keys to the page, so that Space plays
  document.addEventListener("click", (event) => {
    const clicked = /** @type {HTMLElement} */ (event.target).closest(
      "button, input[type=range], input[type=checkbox]",
    );
    if (event.detail && clicked instanceof HTMLElement && !clicked.closest("dialog")) clicked.blur();
  });
  fillHelp();
  element("help").onclick = () => element("help-dialog").showModal();
  for (const dialog of document.querySelectorAll("dialog")) {
    // a click beside a dialog closes it
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }
}

/** @param {KeyboardEvent} event  "a", "Shift+A", "Ctrl+z", "?" */
function keyName(event) {
  const third = event.getModifierState("AltGraph"); // "[" on many keyboards
  if (event.altKey && !third) return "";
  const control = (event.ctrlKey || event.metaKey) && !third ? "Ctrl+" : "";
  // capital letters and named keys tell of Shift; "?" and "+" need it on some keyboards and not on others
  const letter = /^[a-zA-Z]$/.test(event.key);
  const shift = event.shiftKey && (event.key.length > 1 || letter) ? "Shift+" : "";
  // Caps Lock turns letters around
  const key = !letter ? event.key : event.shiftKey ? event.key.toUpperCase() : event.key.toLowerCase();
  return control + shift + key;
}

/** Keys that a focused control needs for itself. @param {HTMLElement} target @param {string} key */
function belongsTo(target, key) {
  if (target instanceof HTMLInputElement) {
    if (target.type === "range") return /^(Arrow|Page|Home|End)/.test(key);
    return target.type === "checkbox" ? key === " " : target.type !== "color";
  }
  return target.tagName === "BUTTON" && (key === " " || key === "Enter");
}

function fillHelp() {
  for (const [title, shortcuts] of Object.entries(SHORTCUTS)) {
    const section = document.createElement("section");
    const heading = document.createElement("h3");
    const list = document.createElement("dl");
    heading.textContent = title;
    for (const { keys, shown, about } of shortcuts) {
      const row = document.createElement("div");
      const names = document.createElement("dt");
      const text = document.createElement("dd");
      for (const [i, key] of (shown ?? keys.slice(0, 2)).entries()) {
        if (i) names.append(" ");
        if (key === "…") names.append(key);
        else names.append(...key.split(/(?<=.)\+/).flatMap((part) => [keyCap(part), " "]));
      }
      text.textContent = about;
      row.append(names, text);
      list.append(row);
    }
    section.append(heading, list);
    element("key-columns").append(section);
  }
}

/** @param {string} key */
function keyCap(key) {
  const cap = document.createElement("kbd");
  cap.textContent = key.length === 1 ? key.toUpperCase() : key;
  return cap;
}

/** @param {KeyboardEvent} event */
function sign(event) {
  return event.key === "ArrowRight" ? 1 : -1;
}

/** @param {Page} page */
function dropDrawn({ app, tools }) {
  if (!tools.cancel()) actions.drop(app);
}

/** @param {App} app @param {number} index */
function select(app, index) {
  const object = app.store.state.objects[index];
  if (object) app.store.set({ selected: object.id });
}

/** @param {App} app */
function toggleVisible(app) {
  const object = app.store.object(app.store.state.selected);
  if (object) actions.updateObject(app, object.id, { visible: !object.visible });
}

/** @param {App} app */
function remove(app) {
  const { selected } = app.store.state;
  if (selected !== null) actions.removeObject(app, selected);
}

/** @param {App} app @param {1 | -1} direction */
function resizeBrush(app, direction) {
  const { brush, tool } = app.store.state;
  const most = Number(element("brush").max);
  const step = Math.max(1, Math.round(brush * 0.15));
  const next = Math.min(most, Math.max(1, brush + direction * step));
  app.store.set({ brush: next, tool: tool === "eraser" ? tool : "brush" });
}
