/**
 * Masks as COCO run lengths: counts of 0s and 1s in turn, column after column, 0s first.
 *
 * A mask in the page is a Uint8Array of 0 and 1, row after row: pixel (x, y) is at y * width + x.
 *
 * @typedef {{size: [number, number], counts: number[]}} Rle  size is [height, width]
 * @typedef {{x0: number, y0: number, x1: number, y1: number}} Bounds  x1 and y1 are the first outside
 * @typedef {{width: number, height: number, data: Uint8Array}} Mask
 */

/** @param {number} width @param {number} height @returns {Mask} */
export function emptyMask(width, height) {
  return { width, height, data: new Uint8Array(width * height) };
}

/** @param {Rle} rle @returns {Mask} */
export function decode(rle) {
  const [height, width] = rle.size;
  const mask = emptyMask(width, height);
  let position = 0;
  rle.counts.forEach((count, run) => {
    if (run % 2) {
      // a run of 1s goes down its columns
      for (let i = position; i < position + count;) {
        const x = Math.floor(i / height);
        const end = Math.min((x + 1) * height, position + count);
        let at = (i - x * height) * width + x;
        for (; i < end; i++, at += width) mask.data[at] = 1;
      }
    }
    position += count;
  });
  if (position !== width * height) throw new Error(`a mask of ${position} pixels, not of ${width} x ${height}`);
  return mask;
}

/** @param {Mask} mask @returns {Rle} */
export function encode(mask) {
  const { width, height, data } = mask;
  const counts = [];
  let value = 0;
  let length = 0;
  for (let x = 0; x < width; x++) {
    for (let y = 0, at = x; y < height; y++, at += width) {
      if (data[at] !== value) {
        counts.push(length);
        value = data[at];
        length = 0;
      }
      length++;
    }
  }
  counts.push(length);
  return { size: [height, width], counts };
}

/** Number of pixels, without decoding. @param {Rle} rle */
export function area(rle) {
  let sum = 0;
  for (let run = 1; run < rle.counts.length; run += 2) sum += rle.counts[run];
  return sum;
}

/** The smallest box that holds every pixel, null for an empty mask. @param {Mask} mask @returns {Bounds | null} */
export function bounds(mask) {
  const { width, height, data } = mask;
  let x0 = width,
    x1 = 0,
    y0 = height,
    y1 = 0;
  for (let y = 0; y < height; y++) {
    const first = data.indexOf(1, y * width);
    if (first < 0) break;
    if (first >= (y + 1) * width) {
      y = Math.floor(first / width) - 1;
      continue;
    }
    const last = data.lastIndexOf(1, (y + 1) * width - 1);
    x0 = Math.min(x0, first - y * width);
    x1 = Math.max(x1, last - y * width + 1);
    y0 = Math.min(y0, y);
    y1 = y + 1;
  }
  return x1 > x0 ? { x0, y0, x1, y1 } : null;
}
