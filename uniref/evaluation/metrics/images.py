"""Measures over single masks: referring expressions and few-shot segmentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uniref.core.types import BoolMask
from uniref.evaluation.metrics.masks import check_size

PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.9)
_SMOOTH = 1e-6


@dataclass(frozen=True)
class Overlap:
    """Pixels that a prediction and the truth share."""

    intersection: int
    union: int
    pixels: int
    """Of the image."""

    @property
    def iou(self) -> float:
        """(I + 1e-6) / (U + 1e-6): 1 where both are empty."""
        return (self.intersection + _SMOOTH) / (self.union + _SMOOTH)


def overlap(prediction: BoolMask, truth: BoolMask) -> Overlap:
    """Count what two masks, bool [H, W], share.

    Raises:
        UniRefError: The sizes differ.
    """
    check_size(prediction, (truth.shape[0], truth.shape[1]))
    both, either = np.count_nonzero(prediction & truth), np.count_nonzero(prediction | truth)
    return Overlap(int(both), int(either), truth.size)


def box_iou(a: Sequence[float], b: Sequence[float]) -> float:
    """IoU of two boxes (x0, y0, x1, y1)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / areas if areas > 0 else 0.0


def box_ious(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> npt.NDArray[np.float64]:
    """`box_iou` of every box of `a` with every one of `b`: [len(a), len(b)]."""
    one, other = (np.asarray(boxes, np.float64).reshape(-1, 4) for boxes in (a, b))
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (one, other)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def referring(overlaps: Sequence[Overlap], box_ious: Sequence[float | None] = ()) -> dict[str, float]:
    """RefCOCO's measures: oIoU, mIoU, P@0.5 ... P@0.9, and box accuracy where boxes were predicted.

    Args:
        overlaps: One an expression, at least one.
        box_ious: IoU of the best box and the object's box; None where no box was predicted.
    """
    ious = np.array([o.iou for o in overlaps])
    out = {"oIoU": overall_iou(overlaps), "mIoU": float(ious.mean())}
    out |= {f"P@{limit}": float((ious > limit).mean()) for limit in PRECISIONS}
    boxes = [value for value in box_ious if value is not None]
    if boxes:
        out["box accuracy"] = sum(value >= 0.5 for value in boxes) / len(boxes)
    return out


def overall_iou(overlaps: Iterable[Overlap]) -> float:
    """Sum of intersections over sum of unions; 1 where everything is empty."""
    pairs = [(o.intersection, o.union) for o in overlaps]
    union = sum(u for _, u in pairs)
    return sum(i for i, _ in pairs) / union if union else 1.0


def few_shot(overlaps: Sequence[Overlap], classes: Sequence[int]) -> dict[str, float]:
    """FSS-1000's measures: mIoU over classes, FB-IoU, and the image-level figures of the released system.

    Args:
        overlaps: One a query image, at least one.
        classes: Its class.
    """
    by_class: dict[int, list[Overlap]] = {}
    for number, one in zip(classes, overlaps, strict=True):
        by_class.setdefault(number, []).append(one)
    ground = [Overlap(o.pixels - o.union, o.pixels - o.intersection, o.pixels) for o in overlaps]
    return {
        "mIoU": float(np.mean([overall_iou(part) for part in by_class.values()])),
        "FB-IoU": (overall_iou(overlaps) + overall_iou(ground)) / 2,
        "image mIoU": float(np.mean([o.iou for o in overlaps])),
        "image oIoU": overall_iou(overlaps),
    }
