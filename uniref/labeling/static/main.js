/** Opens the page: its data first, then every part of it. */

import { App } from "./app.js";
import { Stage } from "./canvas.js";
import { initExample, initExport } from "./dialogs.js";
import { initKeys } from "./keys.js";
import { ObjectList } from "./objects.js";
import { initAdd, initHeader, initNotes, initRun, initStageBar } from "./panels.js";
import { Player } from "./player.js";
import { initTheme } from "./theme.js";
import { Timeline } from "./timeline.js";
import { Tools } from "./tools.js";

/** @param {string} id @returns {any} */
const element = (id) => document.getElementById(id);

async function main() {
  const app = await App.open();
  initTheme(app.store);
  const stage = new Stage(app, element("stage"));
  const tools = new Tools(app, stage);
  initHeader(app);
  initStageBar(app, stage);
  initAdd(app);
  initRun(app);
  initNotes(app);
  initExport(app);
  initExample(app);
  new ObjectList(app);
  const player = new Player(app);
  const timeline = new Timeline(app);
  element("timeline-in").onclick = () => timeline.zoom(2);
  element("timeline-out").onclick = () => timeline.zoom(0.5);
  element("timeline-fit").onclick = () => timeline.fit();
  initKeys({ app, tools, player, stage });
  document.documentElement.dataset.ready = "true"; // for tests and screenshots
}

main().catch((error) => {
  const note = element("stage-note");
  note.hidden = false;
  note.textContent = error.message;
});
