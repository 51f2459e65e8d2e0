"""Statistics of per-frame metrics of one object: mean, recall and decay, stability over time, and optimal assignment.

Mean, recall and decay are those of DAVIS (Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video
Object Segmentation", CVPR 2016), V that of LVOS (Hong et al., "LVOS: A Benchmark for Long-term Video Object
Segmentation", ICCV 2023), the assignment that of DAVIS's unsupervised protocol (Caelles et al., "The 2019 DAVIS
Challenge on VOS: Unsupervised Multi-Object Segmentation").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RECALL_THRESHOLD = 0.5
_QUARTERS = 4


@dataclass(frozen=True)
class FrameStatistics:
    """Statistics of one metric of one object over the frames that are scored."""

    mean: float
    recall: float
    """Share of frames above 0.5."""
    decay: float
    """Mean of the first quarter minus mean of the last; neighbouring quarters share a frame."""


def statistics(values: Sequence[float]) -> FrameStatistics:
    """Mean, recall and decay of one metric.

    Args:
        values: One per frame, 0..1, at least one.

    Raises:
        ValueError: No frames.
    """
    if not len(values):
        raise ValueError("no frames to score")
    x = np.asarray(values, np.float64)
    edges = np.round(np.linspace(1, len(x), _QUARTERS + 1) + 1e-10).astype(int) - 1
    first, last = x[: edges[1] + 1], x[edges[-2] :]
    return FrameStatistics(float(x.mean()), float((x > RECALL_THRESHOLD).mean()), float(first.mean() - last.mean()))


def deviation(regions: Sequence[float], boundaries: Sequence[float]) -> float:
    """V of LVOS: standard deviation of (J + F) / 2 over frames, its variance rounded to 4 digits. Lower is better."""
    both = (np.asarray(regions, np.float64) + np.asarray(boundaries, np.float64)) / 2
    return math.sqrt(round(float(((both - both.mean()) ** 2).mean()), 4))


def jitter(regions: Sequence[float], boundaries: Sequence[float]) -> float:
    """Mean change of (J + F) / 2 from one scored frame to the next, 0..1; 0 for a single frame. Lower is better."""
    both = (np.asarray(regions, np.float64) + np.asarray(boundaries, np.float64)) / 2
    return float(np.abs(np.diff(both)).mean()) if len(both) > 1 else 0.0


def temporal_overlap(
    truth: Sequence[float], prediction: Sequence[float], regions: Sequence[float]
) -> tuple[float, float]:
    """tIoU and vIoU of Long-RVOS: how well the frames that show an object are found, alone and weighted by J.

    Args:
        truth: Pixels, or share of the frame, of the object per frame.
        prediction: The same of its prediction.
        regions: J per frame, 0..1.

    Returns:
        Frames where both are visible over frames where either is; sum of J over the former, over the number of the
        latter. Both 1 where neither is ever visible.
    """
    seen, found = np.asarray(truth) > 0, np.asarray(prediction) > 0
    either, both = int((seen | found).sum()), seen & found
    if not either:
        return 1.0, 1.0
    return int(both.sum()) / either, float(np.asarray(regions, np.float64)[both].sum()) / either


@dataclass(frozen=True)
class PixelAccuracy:
    """A and R of ReVOS, means over the frames of one expression, 0..1."""

    accuracy: float
    """Share of the pixels that are right."""
    robustness: float
    """1 - wrongly predicted pixels / foreground pixels, at least 0."""


def pixel_accuracy(
    truth: Sequence[float],
    prediction: Sequence[float],
    regions: Sequence[float],
    foreground: Sequence[float],
    pixels: int,
    white: int = 1,
) -> PixelAccuracy:
    """A and R of ReVOS (VISA, ECCV 2024).

    The published evaluator compares ground-truth masks of 0 and 1 with predicted ones of 0 and 255 as they are: a
    predicted pixel is never right, and each wrong one counts 255 times. `white=255` gives its numbers, which papers
    report. (It also counts, once, predicted pixels that several of an expression's objects share: left out here.)

    Args:
        truth: Share of the frame that the target covers, per frame.
        prediction: Share of the frame that its prediction covers.
        regions: J per frame.
        foreground: Pixels of all foreground of the frame.
        pixels: Of a frame.
        white: Value of the predicted pixels.
    """
    g, p, j = (np.asarray(values, np.float64) * 1.0 for values in (truth, prediction, regions))
    # from J to pixels
    union = np.round((g + p) / (1 + j) * pixels)
    both = np.round((g + p) * pixels) - union
    wrong = np.round(p * pixels) - both
    right = pixels - union + (both if white == 1 else 0)
    robustness = np.maximum(1 - white * wrong / (np.asarray(foreground, np.float64) + 1e-6), 0)
    return PixelAccuracy(float((right / pixels).mean()), float(robustness.mean()))


def best_assignment(scores: Sequence[Sequence[float]]) -> list[int]:
    """The prediction of each object that maximises the sum of scores (DAVIS, unsupervised protocol).

    Args:
        scores: [N objects][P predictions].

    Returns:
        A prediction for each object, or -1 where there are fewer predictions than objects.
    """
    from scipy.optimize import linear_sum_assignment

    matrix = np.asarray(scores, np.float64).reshape(len(scores), -1)
    chosen = [-1] * len(matrix)
    for row, column in zip(*linear_sum_assignment(-matrix), strict=True):
        chosen[int(row)] = int(column)
    return chosen
