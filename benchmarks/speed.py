"""Speed of prediction against the released procedure, in one process.

    python -m benchmarks.speed [--checkpoint DIR] [--height 480 --width 854] [--frames 4]

For each task: seconds a frame of both, their ratio, and the share of equal pixels.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from benchmarks.clips import moving_disks
from benchmarks.released_way import ReleasedWay
from benchmarks.weights import bundle
from uniref import Predictor

TEXT = "the red disk on the left"


def timed(results: Iterable[np.ndarray], skip: int) -> tuple[float, list[np.ndarray]]:
    """Median seconds a result after the first `skip`, and all results."""
    seconds, kept = [], []
    begun = time.perf_counter()
    for result in results:
        seconds.append(time.perf_counter() - begun)
        kept.append(result)
        begun = time.perf_counter()
    return float(np.median(seconds[skip:])), kept


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=854)
    parser.add_argument("--frames", type=int, default=4)
    options = parser.parse_args()
    loaded = bundle(options.checkpoint)
    assert loaded.tokenizer is not None
    old, new = ReleasedWay(loaded.model, loaded.tokenizer), Predictor(loaded, device="cpu")
    frames, masks = moving_disks(options.frames, options.height, options.width, objects=3)
    one = {1: masks[1]}

    def images() -> Iterable[np.ndarray]:
        return (new.segment_image(frame, TEXT, short_side=None).mask for frame in frames)

    def texts() -> Iterable[np.ndarray]:
        stream = new.segment_video(frames, TEXT, score_threshold=0.0, short_side=None)
        return (result.masks[1] for result in stream)

    def objects(given: dict[int, np.ndarray]) -> Iterable[np.ndarray]:
        stream = new.segment_video(frames, masks={0: given}, score_threshold=0.0, short_side=None)
        return (result.labels for result in stream)

    tasks = {
        "RIS": ((old.image(frame, TEXT) for frame in frames), images(), 1),
        "RVOS, propagated": (old.video_by_text(frames, TEXT), texts(), 1),
        "VOS, 1 object": (old.video_by_masks(frames, one), objects(one), 1),
        "VOS, 3 objects": (old.video_by_masks(frames, masks), objects(masks), 1),
    }
    print(f"{options.height} x {options.width}, {torch.get_num_threads()} threads, float32")
    print(f"{'task':<18} {'released way':>12} {'uniref':>8} {'ratio':>7}  equal pixels, frame by frame")
    for name, (slow, fast, skip) in tasks.items():
        before, expected = timed(slow, skip)
        after, found = timed(fast, skip)
        equal = " ".join(f"{float((a == b).mean()):.4f}" for a, b in zip(expected, found, strict=True))
        print(f"{name:<18} {before:>10.2f} s {after:>6.2f} s {before / after:>6.1f}x  {equal}", flush=True)


if __name__ == "__main__":
    main()
