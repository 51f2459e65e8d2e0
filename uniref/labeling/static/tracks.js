/**
 * Per object and frame: is there a mask, its score, its area, was it given. Kept up to date by the server's changes.
 *
 * @typedef {{score: Float32Array, area: Int32Array, given: Uint8Array}} Track
 *   score is NaN where no mask is stored; area 0 is a frame in which the object is not seen
 */

export class Tracks {
  /** @type {Map<number, Track>} */
  #tracks = new Map();

  /** @param {number} frames */
  constructor(frames) {
    this.frames = frames;
    this.revision = 0;
  }

  /** @param {number | null} object @returns {Track | undefined} */
  get(object) {
    return object === null ? undefined : this.#tracks.get(object);
  }

  /**
   * @param {import("./api.js").TimelineChanges} changes
   * @returns {Set<number> | "all"} frames whose masks are other ones now
   */
  apply(changes) {
    this.revision = changes.revision;
    /** @type {Set<number>} */
    const frames = new Set();
    if (changes.full) this.#tracks.clear();
    for (const [object, first, last] of changes.removed ?? []) {
      const track = this.#track(object);
      const end = Math.min(last, this.frames - 1);
      for (let frame = Math.max(0, first); frame <= end; frame++) {
        if (!Number.isNaN(track.score[frame])) frames.add(frame);
        track.score[frame] = NaN;
        track.area[frame] = 0;
        track.given[frame] = 0;
      }
    }
    for (const [id, change] of Object.entries(changes.objects)) {
      const track = this.#track(Number(id));
      change.frames.forEach((frame, i) => {
        track.score[frame] = change.scores[i] ?? 1;
        track.area[frame] = change.areas[i];
        track.given[frame] = change.given[i] ? 1 : 0;
        frames.add(frame);
      });
    }
    return changes.full ? "all" : frames;
  }

  /**
   * The next frame with a given mask of an object.
   *
   * @param {number} object
   * @param {number} frame
   * @param {1 | -1} step
   */
  nextGiven(object, frame, step) {
    const track = this.#tracks.get(object);
    for (let i = frame + step; track && i >= 0 && i < this.frames; i += step) if (track.given[i]) return i;
    return null;
  }

  /**
   * The next frame at which an object needs a look: the lowest score of a stretch in which the score is clearly under
   * what the object usually has (or the object is gone), after `frame`, from the beginning again after the last one.
   *
   * @param {number} object @param {number} frame
   */
  nextWeak(object, frame) {
    const track = this.#tracks.get(object);
    const scores = track ? [...track.score.filter((score) => !Number.isNaN(score))].sort((a, b) => a - b) : [];
    if (!track || !scores.length) return null;
    const limit = scores[Math.floor(scores.length / 2)] * 0.85;
    const weak = [];
    for (let i = 0; i < this.frames;) {
      let lowest = -1;
      const low = () => track.score[i] < limit || (track.area[i] === 0 && !Number.isNaN(track.score[i]));
      for (; i < this.frames && low(); i++) if (lowest < 0 || track.score[i] < track.score[lowest]) lowest = i;
      if (lowest >= 0) weak.push(lowest);
      else i++;
    }
    // a track without such a stretch: its lowest score
    if (!weak.length) return track.score.indexOf(scores[0]);
    return weak.find((i) => i > frame) ?? weak[0];
  }

  /** @param {number} object @returns {Track} */
  #track(object) {
    let track = this.#tracks.get(object);
    if (!track) {
      track = {
        score: new Float32Array(this.frames).fill(NaN),
        area: new Int32Array(this.frames),
        given: new Uint8Array(this.frames),
      };
      this.#tracks.set(object, track);
    }
    return track;
  }
}
