/**
 * Drawing into masks at the resolution of the video.
 *
 * @typedef {import("./rle.js").Mask} Mask
 * @typedef {import("./rle.js").Bounds} Bounds
 */

/**
 * Sets the pixels whose centres are within `radius` of the line from (x0, y0) to (x1, y1), and the pixel under each
 * end, so that the finest brush leaves a mark.
 *
 * @param {Mask} mask @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1
 * @param {number} radius @param {0 | 1} value
 * @returns {Bounds | null} what may have changed
 */
export function paintLine(mask, x0, y0, x1, y1, radius, value) {
  const { width, height, data } = mask;
  const box = {
    x0: Math.max(0, Math.floor(Math.min(x0, x1) - radius)),
    y0: Math.max(0, Math.floor(Math.min(y0, y1) - radius)),
    x1: Math.min(width, Math.ceil(Math.max(x0, x1) + radius) + 1),
    y1: Math.min(height, Math.ceil(Math.max(y0, y1) + radius) + 1),
  };
  if (box.x1 <= box.x0 || box.y1 <= box.y0) return null;
  const dx = x1 - x0,
    dy = y1 - y0;
  const length = dx * dx + dy * dy;
  for (let y = box.y0; y < box.y1; y++) {
    for (let x = box.x0; x < box.x1; x++) {
      const px = x + 0.5 - x0,
        py = y + 0.5 - y0;
      const along = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
      const ex = px - along * dx,
        ey = py - along * dy;
      if (ex * ex + ey * ey <= radius * radius) data[y * width + x] = value;
    }
  }
  for (const [x, y] of [
    [x0, y0],
    [x1, y1],
  ]) {
    if (x >= 0 && y >= 0 && x < width && y < height) data[Math.floor(y) * width + Math.floor(x)] = value;
  }
  return box;
}

/**
 * Sets the pixels whose centres are inside a polygon (even-odd).
 *
 * @param {Mask} mask @param {[number, number][]} points @param {0 | 1} value
 */
export function fillPolygon(mask, points, value) {
  const { width, height, data } = mask;
  for (let y = 0; y < height; y++) {
    const middle = y + 0.5;
    /** @type {number[]} */
    const crossings = [];
    points.forEach(([ax, ay], i) => {
      const [bx, by] = points[(i + 1) % points.length];
      if (ay <= middle !== by <= middle) crossings.push(ax + ((middle - ay) / (by - ay)) * (bx - ax));
    });
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const first = Math.max(0, Math.ceil(crossings[i] - 0.5));
      const end = Math.min(width, Math.ceil(crossings[i + 1] - 0.5));
      if (end > first) data.fill(value, y * width + first, y * width + end);
    }
  }
}

/**
 * A mask as a picture: the colour where it is 1, nothing elsewhere; only `box` is drawn again.
 *
 * @param {CanvasRenderingContext2D} context  of a canvas with the mask's size
 * @param {Mask} mask @param {[number, number, number]} colour @param {Bounds} box
 */
export function drawPixels(context, mask, colour, box) {
  const width = box.x1 - box.x0,
    height = box.y1 - box.y0;
  if (width <= 0 || height <= 0) return;
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const value = (255 << 24) | (colour[2] << 16) | (colour[1] << 8) | colour[0];
  for (let y = 0; y < height; y++) {
    const row = (box.y0 + y) * mask.width + box.x0;
    for (let x = 0; x < width; x++) if (mask.data[row + x]) pixels[y * width + x] = value;
  }
  context.putImageData(image, box.x0, box.y0);
}

/** #rrggbb as three numbers. @param {string} colour @returns {[number, number, number]} */
export function rgb(colour) {
  const value = parseInt(colour.slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}
