"""The straightforward way: one object at a time, full frames, morphological dilation, plain loops."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage


def boundaries(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    here = padded[:-1, :-1]
    return (here != padded[:-1, 1:]) | (here != padded[1:, :-1]) | (here != padded[1:, 1:])


def disk(radius: int) -> np.ndarray:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(y * y + x * x <= radius * radius)


def region(prediction: np.ndarray, truth: np.ndarray) -> float:
    union = int((prediction | truth).sum())
    return int((prediction & truth).sum()) / union if union else 1.0


def contour(prediction: np.ndarray, truth: np.ndarray) -> float:
    height, width = truth.shape
    shape = disk(math.ceil(0.008 * math.sqrt(height**2 + width**2)))
    drawn, wanted = boundaries(prediction), boundaries(truth)
    if not drawn.any() or not wanted.any():
        return float(drawn.any() == wanted.any())
    precision = (drawn & ndimage.binary_dilation(wanted, shape)).sum() / drawn.sum()
    recall = (wanted & ndimage.binary_dilation(drawn, shape)).sum() / wanted.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def scores(prediction: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    return region(prediction, truth), contour(prediction, truth)
