/**
 * The list of objects, and what the selected one is in this frame. Rows are kept and changed in place, so that a name
 * being typed survives news from the server.
 *
 * @typedef {import("./app.js").App} App
 * @typedef {import("./api.js").LabelObject} LabelObject
 */

import * as actions from "./actions.js";

const KINDS = { mask: "painted", box: "boxed", points: "pointed at", example: "by example", text: "text" };

export class ObjectList {
  /** @type {Map<number, HTMLLIElement>} */
  #rows = new Map();

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.list = /** @type {HTMLElement} */ (document.getElementById("object-list"));
    app.store.on(["objects", "selected", "waiting"], () => this.#show());
    app.store.on(["objects", "selected", "frame", "tracks"], () => this.#showFrame());
    app.store.on(["selected", "objects"], () => this.#scrollToSelected());
    const form = /** @type {HTMLFormElement} */ (document.getElementById("describe"));
    const input = /** @type {HTMLInputElement} */ (document.getElementById("describe-text"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const { selected } = app.store.state;
      const text = input.value.trim();
      if (!text || selected === null) return;
      input.blur();
      actions.describe(app, selected, text);
    });
    app.store.on(["selected", "objects"], () => {
      const object = app.store.object(app.store.state.selected);
      // what was not found in one frame may be in another
      const sought = object && !object.prompts.length && !/^object \d+$/.test(object.name) ? object.name : "";
      if (document.activeElement !== input) input.value = object?.text ?? sought;
    });
    /** @type {HTMLButtonElement} */ (document.getElementById("clear")).onclick = () => actions.clearMask(app);
  }

  #show() {
    const { objects, selected } = this.app.store.state;
    /** @type {HTMLElement} */ (document.getElementById("first-steps")).hidden = objects.length > 0;
    for (const [id, row] of this.#rows) {
      if (!objects.some((object) => object.id === id)) {
        row.remove();
        this.#rows.delete(id);
      }
    }
    objects.forEach((object, i) => {
      let row = this.#rows.get(object.id);
      if (!row) this.#rows.set(object.id, (row = this.#makeRow(object.id)));
      if (this.list.children[i] !== row) this.list.insertBefore(row, this.list.children[i] ?? null);
      this.#update(row, object, i, object.id === selected);
    });
  }

  /** @param {number} id @returns {HTMLLIElement} */
  #makeRow(id) {
    const { app } = this;
    const row = document.createElement("li");
    row.className = "object";
    const colour = Object.assign(document.createElement("input"), { type: "color", className: "colour" });
    const name = Object.assign(document.createElement("input"), {
      type: "text",
      className: "name",
      maxLength: 100,
      spellcheck: false,
    });
    const score = Object.assign(document.createElement("span"), { className: "score" });
    const eye = iconButton("eye", "eye");
    const trash = iconButton("trash", "delete");
    const prompt = Object.assign(document.createElement("span"), { className: "prompt" });
    row.append(colour, name, score, eye, trash, prompt);
    row.addEventListener("pointerdown", () => app.store.set({ selected: id }));
    name.addEventListener("focus", () => app.store.set({ selected: id }));
    name.addEventListener("keydown", (event) => {
      if (event.key === "Enter") name.blur();
      if (event.key === "Escape") {
        name.value = app.store.object(id)?.name ?? "";
        name.blur();
      }
    });
    name.addEventListener("change", () => {
      if (name.value.trim()) actions.updateObject(app, id, { name: name.value.trim() });
      else name.value = app.store.object(id)?.name ?? "";
    });
    colour.addEventListener("change", () => actions.updateObject(app, id, { colour: colour.value }));
    eye.onclick = () => actions.updateObject(app, id, { visible: !app.store.object(id)?.visible });
    trash.onclick = () => actions.removeObject(app, id);
    return row;
  }

  /** @param {HTMLLIElement} row @param {LabelObject} object @param {number} index @param {boolean} selected */
  #update(row, object, index, selected) {
    const [colour, name, , eye, trash, prompt] = /** @type {any[]} */ ([...row.children]);
    row.classList.toggle("selected", selected);
    row.classList.toggle("hidden", !object.visible);
    row.setAttribute("aria-current", String(selected));
    if (document.activeElement !== name) name.value = object.name;
    name.setAttribute("aria-label", `Name of object ${index + 1}`);
    colour.value = object.colour;
    colour.setAttribute("aria-label", `Colour of ${object.name}`);
    label(eye, object.visible ? `Hide ${object.name}` : `Show ${object.name}`, "H");
    eye.querySelector("use").setAttribute("href", object.visible ? "#i-eye" : "#i-eye-off");
    label(trash, `Remove ${object.name}`, "Shift+Delete");
    const waiting = selected ? this.app.store.state.waiting : null;
    prompt.textContent = waiting ? `${waiting} …` : promptLine(object);
    prompt.title = prompt.textContent;
    prompt.classList.toggle("whole", !waiting && !object.prompts.length);
    if (index < 9) row.title = `Select with ${index + 1}`;
  }

  /** Scores in this frame, and what the selected object is in it. */
  #showFrame() {
    const { objects, selected, frame } = this.app.store.state;
    for (const object of objects) {
      const track = this.app.tracks.get(object.id);
      const cell = /** @type {HTMLElement} */ (this.#rows.get(object.id)?.querySelector(".score"));
      const stored = track && !Number.isNaN(track.score[frame]);
      cell.textContent = !stored ? "–" : track.area[frame] ? track.score[frame].toFixed(2) : "gone";
      cell.title = stored ? "Score in this frame" : "Not segmented in this frame";
    }
    const object = this.app.store.object(selected);
    /** @type {HTMLElement} */ (document.getElementById("selected")).hidden = !object;
    if (!object) return;
    const track = this.app.tracks.get(object.id);
    const given = Boolean(track?.given[frame]);
    const kind = /** @type {HTMLElement} */ (document.getElementById("selected-kind"));
    const stored = track && !Number.isNaN(track.score[frame]);
    const what = !stored ? "not segmented" : given ? "given" : track.area[frame] ? "followed" : "not seen";
    const pixels = stored && track.area[frame] ? `, ${track.area[frame].toLocaleString("en")} pixels` : "";
    kind.textContent = `Frame ${frame}: ${what}${pixels}`;
    /** @type {HTMLElement} */ (document.getElementById("clear")).hidden = !given;
  }

  #scrollToSelected() {
    const { selected } = this.app.store.state;
    if (selected !== null) this.#rows.get(selected)?.scrollIntoView({ block: "nearest" });
  }
}

/** What an object was found by. @param {LabelObject} object */
function promptLine(object) {
  const parts = [];
  const text = object.text ?? object.prompts.find((prompt) => prompt.text)?.text;
  if (text) parts.push(`“${text}”`);
  /** @type {Map<string, number[]>} */
  const frames = new Map();
  for (const { kind, frame } of object.prompts) {
    if (kind !== "text") frames.set(kind, [...(frames.get(kind) ?? []), frame]);
  }
  for (const [kind, at] of frames) {
    const list = at.length > 4 ? `${at.slice(0, 3).join(", ")} and ${at.length - 3} more` : at.join(", ");
    parts.push(`${/** @type {any} */ (KINDS)[kind]} in ${list}`);
  }
  return parts.join(" · ") || "no prompt yet: paint it or draw a box";
}

/** @param {string} icon @param {string} className */
function iconButton(icon, className) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = `icon ${className}`;
  button.innerHTML = `<svg><use href="#i-${icon}"/></svg>`;
  return button;
}

/** @param {HTMLButtonElement} button @param {string} text @param {string} key */
function label(button, text, key) {
  button.setAttribute("aria-label", text);
  button.title = `${text} (${key})`;
}
