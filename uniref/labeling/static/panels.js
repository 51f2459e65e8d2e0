/**
 * The header, the bar above the frame, adding by text, segmenting with its progress, and messages.
 *
 * @typedef {import("./app.js").App} App
 * @typedef {import("./canvas.js").Stage} Stage
 */

import * as actions from "./actions.js";
import { time } from "./player.js";
import { TOOLS } from "./tools.js";

/** @param {string} id @returns {any} */
const element = (id) => document.getElementById(id);

/** @param {App} app */
export function initHeader(app) {
  const { store } = app;
  const { video } = store.state;
  document.title = `${video.name} · uniref label`;
  element("video-name").textContent = video.name;
  const seconds = video.frames / video.fps;
  const parts = [
    `${video.frames.toLocaleString("en")} frame${video.frames === 1 ? "" : "s"}`,
    `${video.width} × ${video.height}`,
  ];
  if (video.frames > 1)
    parts.push(
      `${Number(video.fps.toFixed(2))} frames per second`,
      seconds < 60 ? `${seconds.toFixed(1)} s` : time(seconds),
    );
  element("video-facts").textContent = parts.join(" · ");
  element("video-facts").title = `Saved in ${store.state.project}`;
  store.on(["model"], () => {
    const { checkpoint, device } = store.state.model;
    const short = checkpoint?.split(/[\\/]/).filter(Boolean).slice(-2).join("/");
    element("model").textContent = [short, device].filter(Boolean).join(" · ");
    element("model").title = checkpoint ?? "";
  });
  for (const what of /** @type {const} */ (["undo", "redo"])) {
    const key = what === "undo" ? "Ctrl+Z" : "Ctrl+Shift+Z";
    element(what).onclick = () => actions.history(app, what);
    store.on([what], () => {
      const label = store.state[what];
      element(what).disabled = !label;
      element(what).title = label ? `${what === "undo" ? "Undo" : "Redo"}: ${label} (${key})` : `Nothing to ${what}`;
    });
  }
}

/** @param {App} app @param {Stage} stage */
export function initStageBar(app, stage) {
  const { store } = app;
  const bar = element("tools");
  for (const tool of TOOLS) {
    const button = document.createElement("button");
    button.type = "button";
    button.id = `tool-${tool.id}`;
    button.setAttribute("role", "radio");
    button.setAttribute("aria-label", tool.name);
    button.title = `${tool.name} (${tool.key})`;
    button.innerHTML = `<svg><use href="#i-${tool.id}"/></svg>`;
    button.onclick = () => store.set({ tool: tool.id });
    bar.append(button);
  }
  // one stop for Tab, arrows between the tools
  bar.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const at = TOOLS.findIndex((tool) => tool.id === store.state.tool);
    const next = TOOLS[(at + step + TOOLS.length) % TOOLS.length].id;
    store.set({ tool: next });
    element(`tool-${next}`).focus();
  });
  store.on(["tool"], () => {
    const { tool } = store.state;
    for (const { id, hint } of TOOLS) {
      element(`tool-${id}`).setAttribute("aria-checked", String(id === tool));
      element(`tool-${id}`).tabIndex = id === tool ? 0 : -1;
      if (id === tool) element("hint").textContent = element("hint").title = hint;
    }
    element("brush-size").hidden = tool !== "brush" && tool !== "eraser";
  });
  element("brush").max = String(Math.max(40, Math.round(store.state.video.height / 3)));
  element("brush").oninput = () => store.set({ brush: Number(element("brush").value) });
  store.on(["brush"], () => {
    element("brush").value = String(store.state.brush);
    element("brush-value").textContent = `${store.state.brush} px`;
  });
  element("opacity").oninput = () => store.set({ opacity: Number(element("opacity").value), masksShown: true });
  store.on(
    ["opacity", "masksShown"],
    () => (element("opacity").value = store.state.masksShown ? store.state.opacity : 0),
  );
  store.on(["selected", "objects"], () => showTarget(app));
  initZoom(app, stage);
}

/** Which object strokes and boxes are for. @param {App} app */
function showTarget(app) {
  const object = app.store.object(app.store.state.selected);
  const target = element("target");
  const dot = document.createElement("i");
  const name = document.createElement("span");
  if (object) dot.style.background = object.colour;
  name.textContent = object ? object.name : "New object";
  target.classList.toggle("new", !object);
  target.title = object
    ? `Strokes and boxes are for ${object.name} (N: for a new object)`
    : "The next stroke or box makes a new object";
  target.replaceChildren(dot, name);
  element("new-object").setAttribute("aria-pressed", String(!object));
}

/** @param {App} app @param {Stage} stage */
function initZoom(app, stage) {
  const zoom = (/** @type {() => void} */ change) => () => {
    change();
    app.store.touch("view");
    stage.draw();
  };
  element("zoom-in").onclick = zoom(() => stage.view.zoom(1.4));
  element("zoom-out").onclick = zoom(() => stage.view.zoom(1 / 1.4));
  element("zoom-value").onclick = zoom(() => stage.view.fit());
  app.store.on(["view"], () => (element("zoom-value").textContent = `${Math.round(stage.view.scale * 100)}%`));
}

/** @param {App} app */
export function initAdd(app) {
  const { store } = app;
  const input = element("text");
  const add = () => {
    const text = input.value.trim();
    if (!text) return input.focus();
    input.value = "";
    input.blur();
    return actions.addByText(app, text);
  };
  element("add").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    add();
  });
  element("try-text").onclick = () => {
    input.value = element("try-text").textContent;
    input.focus();
    input.select();
  };
  element("new-object").onclick = () => {
    store.set({
      selected: null,
      tool: ["brush", "polygon", "box", "points"].includes(store.state.tool) ? store.state.tool : "brush",
    });
    element("new-object").blur(); // keys are for the page again
  };
}

/** @param {App} app */
export function initRun(app) {
  const { store } = app;
  element("run").onclick = () => toggleRun(app);
  element("run-forwards").onclick = () => actions.run(app, "forwards");
  element("run-backwards").onclick = () => actions.run(app, "backwards");
  element("follow").onchange = () => store.set({ follow: element("follow").checked, looking: false });
  store.on(["follow"], () => (element("follow").checked = store.state.follow));
  store.on(["job", "objects", "selected", "link"], () => {
    const { job, objects, selected, link } = store.state;
    const running = job?.kind === "run";
    const stale = objects.some((object) => object.stale_from !== null);
    element("run-label").textContent = running ? "Stop" : "Segment";
    element("run").classList.toggle("stop", running);
    const busy = job?.kind === "run" || job?.kind === "export" || link !== "up";
    element("run").disabled = !running && (!stale || busy);
    element("run").title = running
      ? "Stop (S)"
      : stale
        ? "Follow every object through the frames that are older than its prompts (S)"
        : store.state.video.frames === 1
          ? "Nothing to follow: there is only one frame"
          : "Nothing to do: every frame is up to date";
    element("run-forwards").disabled = element("run-backwards").disabled = busy || selected === null;
  });
  store.on(["job", "waiting"], () => showProgress(app));
  element("message-close").onclick = () => store.set({ message: null });
  store.on(["message", "link"], () => showMessage(app));
}

/** @param {App} app */
export function toggleRun(app) {
  const { job, link } = app.store.state;
  if (link !== "up") return null; // the message says so
  if (job?.kind === "export") {
    app.store.set({ message: { text: "Masks are being exported: segment when that is done.", good: true } });
    return null;
  }
  return job?.kind === "run" ? actions.stop(app) : actions.run(app);
}

/** @param {App} app */
function showProgress(app) {
  const { job, waiting, frame } = app.store.state;
  element("progress").hidden = !job && !waiting;
  const bar = element("progress-bar");
  if (job && (job.kind === "run" || job.kind === "export") && job.total) {
    bar.max = job.total;
    bar.value = job.done;
    const texts = { run: `Segmenting frame ${job.frame}`, export: "Exporting" };
    element("progress-text").textContent = texts[job.kind];
    element("progress-count").textContent = `${job.done} of ${job.total}`;
  } else {
    bar.removeAttribute("value");
    const loading = job?.kind === "load" ? "Loading the model …" : "";
    element("progress-text").textContent = loading || (waiting ? `${waiting} in frame ${frame} …` : "Working …");
    element("progress-count").textContent = "";
  }
}

/** Errors stay until they are dismissed or something else is done; good news goes by itself. @param {App} app */
function showMessage(app) {
  const { message, link } = app.store.state;
  const shown = link === "up" ? message : { text: NO_LINK[link], good: false };
  element("message").hidden = !shown;
  element("message").classList.toggle("good", Boolean(shown?.good));
  element("message-text").textContent = shown?.text ?? "";
  clearTimeout(fading);
  if (message?.good) fading = window.setTimeout(() => app.store.set({ message: null }), 4000);
}
let fading = 0;
const NO_LINK = {
  down: "The server does not answer. Is uniref label still running? What was done is saved; draw when it is back.",
  refused: "uniref label was started again: open the address that it printed. What was done is saved.",
};

/** What is to be known of the video, until it is dismissed. @param {App} app */
export function initNotes(app) {
  const { store } = app;
  store.on(["notes", "notesSeen"], () => {
    const notes = store.state.notes ?? [];
    element("notes").hidden = !notes.length || store.state.notesSeen === JSON.stringify(notes);
    element("notes-list").replaceChildren(
      ...notes.map((note) => Object.assign(document.createElement("li"), { textContent: note })),
    );
  });
  element("notes-close").onclick = () => store.set({ notesSeen: JSON.stringify(store.state.notes ?? []) });
}
