/**
 * A row of the timeline: an object's score as a filled curve, given masks as diamonds, nothing where nothing is stored,
 * a thin line where the object is not seen, stripes where its masks are older than its prompts.
 *
 * @typedef {{first: number, span: number, frames: number, width: number, scale: number}} Axis
 *   `span` frames from `first` on are shown, of `frames`, in `width` CSS pixels, each `scale` wide
 * @typedef {{object: import("./api.js").LabelObject, track: import("./tracks.js").Track | undefined, top: number,
 *   axis: Axis}} Row
 */

import { colours } from "./theme.js";

/** Height of a row, as in style.css. */
export const TRACK = 26;

/** @param {CanvasRenderingContext2D} context @param {Row} row */
export function drawTrack(context, row) {
  const { object, track, top, axis } = row;
  context.fillStyle = colours().line;
  context.fillRect(0, top + TRACK - 1, axis.width, 1);
  if (!track) return;
  drawScores(context, columns(track, axis), object, top);
  if (object.stale_from !== null) drawStale(context, object.stale_from, row);
  drawGiven(context, track, row);
}

/**
 * Columns of at least one pixel; of several frames in one the lowest score counts, so that no failure is hidden.
 *
 * @param {import("./tracks.js").Track} track @param {Axis} axis
 */
function columns(track, axis) {
  const found = [];
  const step = Math.max(1, Math.ceil(1 / axis.scale));
  const end = Math.min(axis.frames, Math.ceil(axis.first + axis.span));
  for (let frame = Math.floor(axis.first / step) * step; frame < end; frame += step) {
    let score = Infinity;
    let seen = true;
    for (let i = frame; i < Math.min(frame + step, end); i++) {
      if (Number.isNaN(track.score[i])) continue;
      if (track.score[i] < score) score = track.score[i];
      if (!track.area[i]) seen = false;
    }
    if (score !== Infinity)
      found.push({ x: (frame - axis.first) * axis.scale, width: step * axis.scale + 0.3, score, seen });
  }
  return found;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {{x: number, width: number, score: number, seen: boolean}[]} found
 * @param {import("./api.js").LabelObject} object @param {number} top
 */
function drawScores(context, found, object, top) {
  const bottom = top + TRACK - 4.5;
  const height = TRACK - 9;
  context.fillStyle = object.colour;
  context.globalAlpha = object.visible ? 0.32 : 0.14;
  context.beginPath(); // one shape: neighbours that overlap by a hair do not show
  for (const { x, width, score, seen } of found) {
    if (seen) context.rect(x, bottom - score * height, width, score * height);
  }
  context.fill();
  context.globalAlpha = object.visible ? 1 : 0.45;
  for (const { x, width, score, seen } of found) {
    context.fillRect(x, seen ? bottom - score * height - 0.75 : bottom - 0.75, width, 1.5);
  }
  context.globalAlpha = 1;
}

/** @param {CanvasRenderingContext2D} context @param {number} from  the first outdated frame @param {Row} row */
function drawStale(context, from, { top, axis }) {
  const left = Math.max(0, (from - axis.first) * axis.scale);
  const right = Math.min(axis.width, (axis.frames - axis.first) * axis.scale);
  if (right <= left) return;
  context.save();
  context.beginPath();
  context.rect(left, top + 3, right - left, TRACK - 7);
  context.clip();
  context.strokeStyle = colours().faint;
  context.globalAlpha = 0.55;
  context.lineWidth = 1;
  context.beginPath();
  for (let x = Math.floor(left / 7) * 7 - TRACK; x < right; x += 7) {
    context.moveTo(x, top + TRACK);
    context.lineTo(x + TRACK, top);
  }
  context.stroke();
  context.restore();
}

/** @param {CanvasRenderingContext2D} context @param {import("./tracks.js").Track} track @param {Row} row */
function drawGiven(context, track, { object, top, axis }) {
  const end = Math.min(axis.frames, Math.ceil(axis.first + axis.span));
  const size = 5;
  context.fillStyle = object.colour;
  context.strokeStyle = colours().text;
  context.lineWidth = 1.4;
  let frame = track.given.indexOf(1, Math.floor(axis.first));
  while (frame >= 0 && frame < end) {
    const x = (frame + 0.5 - axis.first) * axis.scale;
    const y = top + TRACK / 2 - 0.5;
    context.beginPath();
    context.moveTo(x, y - size);
    context.lineTo(x + size, y);
    context.lineTo(x, y + size);
    context.lineTo(x - size, y);
    context.closePath();
    context.fill();
    context.stroke();
    frame = track.given.indexOf(1, frame + 1);
  }
}
