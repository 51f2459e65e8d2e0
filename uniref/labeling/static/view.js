/** How the frame lies in the stage: scale and offset, in CSS pixels. */

const MARGIN = 14;
const MAX_SCALE = 40;

export class View {
  scale = 1;
  x = 0;
  y = 0;
  fitted = true;
  #stage = { width: 1, height: 1 };

  /** @param {number} width @param {number} height  of the video */
  constructor(width, height) {
    this.width = width;
    this.height = height;
  }

  /** The stage has another size. @param {number} width @param {number} height */
  resize(width, height) {
    this.#stage = { width, height };
    if (this.fitted) this.fit();
    else this.#keepInside();
  }

  fit() {
    const { width, height } = this.#stage;
    this.scale = Math.max(0.02, Math.min((width - 2 * MARGIN) / this.width, (height - 2 * MARGIN) / this.height));
    this.x = (width - this.width * this.scale) / 2;
    this.y = (height - this.height * this.scale) / 2;
    this.fitted = true;
  }

  /**
   * Zooms by a factor around a point of the stage, by default its middle.
   *
   * @param {number} factor
   * @param {[number, number]} [around]
   */
  zoom(factor, around = [this.#stage.width / 2, this.#stage.height / 2]) {
    const [x, y] = around;
    const scale = Math.min(MAX_SCALE, Math.max(0.05, this.scale * factor));
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
    this.#keepInside();
  }

  /** @param {number} dx @param {number} dy */
  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.fitted = false;
    this.#keepInside();
  }

  /** A point of the stage in pixels of the video. @param {number} x @param {number} y @returns {[number, number]} */
  toVideo(x, y) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }

  /** At least a corner of the frame stays to be seen. */
  #keepInside() {
    const { width, height } = this.#stage;
    const part = 60;
    this.x = Math.min(width - part, Math.max(part - this.width * this.scale, this.x));
    this.y = Math.min(height - part, Math.max(part - this.height * this.scale, this.y));
  }
}
