/**
 * The dialogs: export, and an object by an example picture.
 *
 * @typedef {import("./app.js").App} App
 */

import * as actions from "./actions.js";

/** What each format is, for those that the server offers. @type {Record<string, string>} */
const FORMATS = {
  masks: "PNG per frame, object numbers",
  overlay: "video with tinted objects",
  gif: "tinted objects as an animation",
  custom: "folder to fine-tune on",
  coco: "COCO, YouTube-VIS: run lengths",
  rle: "a JSON line per mask",
  polygons: "COCO with polygons",
  yolo: "Ultralytics labels",
  mots: "MOTS PNG",
  cvat: "annotations to upload",
  npz: "NumPy label arrays",
  cutout: "objects on transparency, PNG",
  webm: "transparent video (VP9)",
  prores: "transparent video (ProRes 4444)",
  mattes: "soft mattes, a grey PNG per frame",
  "matte-video": "soft mattes as a video",
};
const USUAL = ["masks", "overlay"];

/** @param {string} id @returns {any} */
const element = (id) => document.getElementById(id);

/** @param {App} app */
export function initExport(app) {
  const { store } = app;
  const dialog = element("export-dialog");
  element("formats").append(
    ...sorted(store.state.formats).map((format) => {
      const label = document.createElement("label");
      const box = Object.assign(document.createElement("input"), {
        type: "checkbox",
        value: format,
        checked: USUAL.includes(format),
      });
      const text = document.createElement("span");
      const about = document.createElement("small");
      about.textContent = FORMATS[format] ?? "";
      text.append(format, about);
      label.append(box, text);
      return label;
    }),
  );
  element("export").onclick = () => openExport(app);
  element("export-form").addEventListener("submit", async (/** @type {SubmitEvent} */ event) => {
    if (/** @type {HTMLButtonElement} */ (event.submitter)?.value !== "start") return;
    event.preventDefault(); // the dialog stays, its list shows what was written
    const formats = [...dialog.querySelectorAll("#formats input:checked")].map((box) => box.value);
    if (!formats.length) return;
    showError(null);
    const error = await actions.exportMasks(app, formats, element("export-name").value.trim());
    showError(error);
    if (error) element("export-name").select();
    else element("export-name").value = ""; // names are not used twice
  });
  element("export-name").addEventListener("input", () => showError(null));
  store.on(["error"], () => dialog.open && showError(store.state.error)); // of the export itself
  const update = () => {
    const exporting = store.state.job?.kind === "export";
    const none = !dialog.querySelector("#formats input:checked");
    const { job, objects } = store.state;
    let reason = none ? "Choose a format first" : "";
    if (!objects.length) reason = "There is no object yet";
    if (job !== null && !exporting) reason = "Stop the run first, or wait until it is done";
    element("export-start").disabled = Boolean(reason) || exporting;
    element("export-start").title = reason;
    element("export-start").textContent = exporting ? "Exporting …" : "Export";
  };
  element("formats").addEventListener("change", update);
  store.on(["job", "objects"], update);
  store.on(["exports"], () => {
    listExports(app);
    if (dialog.open) element("exports-section").scrollIntoView({ block: "start" });
  });
  store.on(["objects"], () => {
    const stale = store.state.objects.filter((object) => object.stale_from !== null).map((object) => object.name);
    element("export-stale").hidden = !stale.length;
    element("export-stale").textContent =
      `Not up to date: ${stale.join(", ")}. Segment first, or export what is there.`;
  });
}

/** @param {string | null} error */
function showError(error) {
  element("export-error").hidden = !error;
  element("export-error").textContent = error ?? "";
  element("export-name").setAttribute("aria-invalid", String(Boolean(error)));
}

/** In the order of `FORMATS`. @param {string[]} formats */
function sorted(formats) {
  const rank = (/** @type {string} */ format) => Object.keys(FORMATS).indexOf(format) + 1 || 99;
  return [...formats].sort((a, b) => rank(a) - rank(b));
}

/** @param {App} app */
export function openExport(app) {
  const { project } = app.store.state;
  element("export-where").textContent = `Into ${project}/exports/`;
  showError(null);
  element("export-dialog").showModal();
}

/** @param {App} app */
function listExports(app) {
  const { exports } = app.store.state;
  element("exports-section").hidden = !exports.length;
  element("exports").replaceChildren(
    ...[...exports].reverse().map(({ name, folder, formats, files, next, notes }) => {
      const item = document.createElement("li");
      const title = document.createElement("b");
      title.textContent = name;
      item.append(title, ` ${formats.join(", ")} · ${files.toLocaleString("en")} file${files === 1 ? "" : "s"}`);
      for (const line of [folder, next]) {
        if (!line) continue;
        const code = document.createElement("code");
        code.textContent = line;
        item.append(code);
      }
      for (const note of notes ?? [])
        item.append(Object.assign(document.createElement("p"), { className: "note", textContent: note }));
      return item;
    }),
  );
}

/** @param {App} app */
export function initExample(app) {
  element("example").onclick = () => element("example-dialog").showModal();
  element("example-form").addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
    if (/** @type {HTMLButtonElement} */ (event.submitter)?.value !== "start") return;
    const [image] = element("example-image").files;
    const [mask] = element("example-mask").files;
    actions.addByExample(app, image, mask, element("example-name").value.trim());
    element("example-form").reset();
  });
}
