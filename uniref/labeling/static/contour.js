/**
 * Outlines of masks: closed lines around every region and hole, in pixels of the video.
 *
 * @typedef {import("./rle.js").Mask} Mask
 */

import { bounds } from "./rle.js";

// directions east, south, west, north, with the region on the right hand
const STEP_X = [1, 0, -1, 0];
const STEP_Y = [0, 1, 0, -1];

/**
 * Every outline as a flat list x0, y0, x1, y1, ... that goes through the middles of pixel edges, so that steps of one
 * pixel become slopes. Regions touching by a corner are apart.
 *
 * @param {Mask} mask
 * @returns {number[][]}
 */
export function contours(mask) {
  const box = bounds(mask);
  if (!box) return [];
  const { width, height, data } = mask;
  const inside = (/** @type {number} */ x, /** @type {number} */ y) =>
    x >= 0 && y >= 0 && x < width && y < height && data[y * width + x] === 1;
  const seen = new Uint8Array(width * height); // upper edges that a line went along
  const lines = [];
  for (let y = box.y0; y < box.y1; y++) {
    for (let x = box.x0; x < box.x1; x++) {
      if (!seen[y * width + x] && inside(x, y) && !inside(x, y - 1)) lines.push(trace(x, y, inside, seen, width));
    }
  }
  return lines;
}

/**
 * One outline, from the upper edge of pixel (startX, startY) on.
 *
 * @param {number} startX @param {number} startY
 * @param {(x: number, y: number) => boolean} inside
 * @param {Uint8Array} seen @param {number} width
 */
function trace(startX, startY, inside, seen, width) {
  const points = [];
  let x = startX,
    y = startY,
    direction = 0,
    turned = true;
  do {
    if (direction === 0) seen[y * width + x] = 1;
    const middleX = x + STEP_X[direction] / 2;
    const middleY = y + STEP_Y[direction] / 2;
    x += STEP_X[direction];
    y += STEP_Y[direction];
    const next = turn(x, y, direction, inside);
    // of a straight run only its first and last middle are kept
    if (turned || next !== direction) points.push(middleX, middleY);
    turned = next !== direction;
    direction = next;
  } while (x !== startX || y !== startY || direction !== 0);
  return points;
}

/**
 * Where the outline goes on from the corner (x, y): right where the pixel ahead on the right is outside, left where
 * both are inside.
 *
 * @param {number} x @param {number} y @param {number} direction
 * @param {(x: number, y: number) => boolean} inside
 */
function turn(x, y, direction, inside) {
  // the pixels around the corner: ahead on the left and on the right
  const ahead = [
    [x, y - 1, x, y],
    [x, y, x - 1, y],
    [x - 1, y, x - 1, y - 1],
    [x - 1, y - 1, x, y - 1],
  ][direction];
  if (!inside(ahead[2], ahead[3])) return (direction + 1) % 4;
  return inside(ahead[0], ahead[1]) ? (direction + 3) % 4 : direction;
}

/** The outlines as one path. @param {number[][]} lines */
export function toPath(lines) {
  const path = new Path2D();
  for (const line of lines) {
    path.moveTo(line[0], line[1]);
    for (let i = 2; i < line.length; i += 2) path.lineTo(line[i], line[i + 1]);
    path.closePath();
  }
  return path;
}
