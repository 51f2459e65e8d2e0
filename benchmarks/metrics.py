"""J and F against the straightforward implementation, in one process.

    python -m benchmarks.metrics [--height 480 --width 854] [--frames 12]

The straightforward implementation takes each object of a frame separately and dilates its full-frame boundary by a
disk: with OpenCV, where that is installed (as the official functions do), and with SciPy.
"""

from __future__ import annotations

import argparse
import importlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.evaluation import oracle
from uniref.evaluation.metrics.masks import boundary_radius, score_labels

Scores = list[tuple[float, float]]


def with_opencv(cv2: Any, prediction: np.ndarray, ground_truth: np.ndarray) -> tuple[float, float]:
    """As `oracle.scores`, with OpenCV's dilation."""
    predicted, true = oracle.boundaries(prediction), oracle.boundaries(ground_truth)
    shape = oracle.disk(boundary_radius(*ground_truth.shape)).astype(np.uint8)
    near_true, near_predicted = (cv2.dilate(x.astype(np.uint8), shape) for x in (true, predicted))
    region = oracle.region(prediction, ground_truth)
    if not predicted.any() or not true.any():
        return region, float(predicted.any() == true.any())
    precision = (predicted & (near_true > 0)).sum() / predicted.sum()
    recall = (true & (near_predicted > 0)).sum() / true.sum()
    return region, float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def timed(work: Callable[[np.ndarray, np.ndarray], Scores], pairs: Sequence[Any]) -> tuple[float, np.ndarray]:
    """CPU seconds of this process (one thread) and scores, [frames, objects, 2]."""
    begun = time.process_time()
    scores = [work(prediction, ground_truth) for prediction, ground_truth in pairs]
    return time.process_time() - begun, np.array(scores)


def label_maps(frames: int, height: int, width: int, objects: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Moving disks of several sizes, and the same slightly displaced with a rough edge."""
    ys, xs = np.mgrid[:height, :width]
    noise = np.random.default_rng(0)
    pairs = []
    for t in range(frames):
        ground_truth, prediction = (np.zeros((height, width), np.uint8) for _ in range(2))
        for n in range(1, objects + 1):
            radius = height * (0.05 + 0.09 * n)
            y, x = height * (0.25 + 0.2 * n), width * n / (objects + 1) + 3 * t
            angle = np.arctan2(ys - y, xs - x)
            distance = np.hypot(ys - y, xs - x)
            ground_truth[distance < radius * (1 + 0.1 * np.sin(5 * angle))] = n
            wobble = 0.1 * np.sin(5 * angle + 0.1) + 0.03 * np.sin(23 * angle + noise.random())
            prediction[distance < radius * (1 + wobble)] = n
        pairs.append((prediction, ground_truth))
    return pairs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=854)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--objects", type=int, default=3)
    options = parser.parse_args()
    ids = range(1, options.objects + 1)
    pairs = label_maps(options.frames, options.height, options.width, options.objects)

    def each(score: Callable[[np.ndarray, np.ndarray], tuple[float, float]]) -> Callable[..., Scores]:
        return lambda prediction, ground_truth: [score(prediction == n, ground_truth == n) for n in ids]

    ways: dict[str, Callable[..., Scores]] = {"SciPy, full frames": each(oracle.scores)}
    try:
        cv2 = importlib.import_module("cv2")
        cv2.setNumThreads(1)
        ways["OpenCV, full frames"] = each(lambda prediction, ground_truth: with_opencv(cv2, prediction, ground_truth))
    except ImportError:
        print("OpenCV is not installed: only SciPy's dilation is compared")
    count = options.frames * options.objects
    fast = lambda p, t: [(s.region, s.boundary) for s in score_labels(p, t, list(ids))]  # noqa: E731
    timed(fast, pairs[:1])
    runs = [timed(fast, pairs) for _ in range(3)]
    seconds, found = min(runs, key=lambda run: run[0])
    print(f"{options.height} x {options.width}, {options.objects} objects, {options.frames} frames, one process")
    print(f"{'uniref':<22} {seconds / count * 1e3:8.3f} ms per object and frame")
    for name, work in ways.items():
        slow, expected = timed(work, pairs)
        largest = float(np.abs(found - expected).max())
        assert largest < 1e-9 and not math.isnan(largest)
        print(f"{name:<22} {slow / count * 1e3:8.3f} ms   {slow / seconds:6.1f}x   largest difference {largest:.1g}")


if __name__ == "__main__":
    main()
