"""Metrics of images: referring expressions, few-shot segmentation, detected boxes.

Referring expressions (RefCOCO, G-Ref): overall IoU (also called cumulative IoU, cIoU), mean IoU (gIoU) and Pr@X, as
defined by Hu et al., "Segmentation from Natural Language Expressions" (ECCV 2016); with several or no targets, by Liu
et al., "GRES: Generalized Referring Expression Segmentation" (CVPR 2023). Few-shot segmentation: mIoU over
classes and FB-IoU, as in Rakelly et al., "Conditional Networks for Few-Shot Semantic Segmentation" (ICLR workshop
2018). Boxes: COCO's AP (Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from uniref.core.types import BoolMask
from uniref.evaluation.metrics.masks import check_size

PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""IoU thresholds X of Pr@X."""
BOX_METRICS = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large", "AR@1", "AR@10", "AR@100")
GENERALISED_PRECISIONS = (0.7, 0.8, 0.9)
_SMOOTH = 1e-6


@dataclass(frozen=True)
class Overlap:
    """Overlap of a predicted and a ground-truth mask, in pixels."""

    intersection: int
    union: int
    pixels: int
    """Of the image."""

    @property
    def iou(self) -> float:
        """(I + 1e-6) / (U + 1e-6), 0..1; 1 where both are empty."""
        return (self.intersection + _SMOOTH) / (self.union + _SMOOTH)


def overlap(prediction: BoolMask, ground_truth: BoolMask) -> Overlap:
    """Overlap of two masks, bool [H, W].

    Raises:
        UniRefError: The sizes differ.
    """
    check_size(prediction, (ground_truth.shape[0], ground_truth.shape[1]))
    both, either = np.count_nonzero(prediction & ground_truth), np.count_nonzero(prediction | ground_truth)
    return Overlap(int(both), int(either), ground_truth.size)


def box_iou(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> npt.NDArray[np.float64]:
    """IoU of every box of `a` with every box of `b`.

    Args:
        a: N boxes (x0, y0, x1, y1), in pixels.
        b: M boxes.

    Returns:
        float64 [N, M], 0..1; 0 where both are empty.
    """
    first, second = (np.asarray(boxes, np.float64).reshape(-1, 4) for boxes in (a, b))
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def referring(overlaps: Sequence[Overlap], box_ious: Sequence[float | None] = ()) -> dict[str, float]:
    """RefCOCO's metrics: oIoU (cIoU), mIoU (gIoU), Pr@0.5 ... Pr@0.9, and box accuracy where boxes were predicted.

    Args:
        overlaps: One per expression, at least one.
        box_ious: IoU of the predicted box and the object's box; None where no box was predicted.

    Returns:
        Metric -> value, 0..1.
    """
    ious = np.array([o.iou for o in overlaps])
    out = {"oIoU": overall_iou(overlaps), "mIoU": float(ious.mean())}
    out |= {f"P@{limit}": float((ious > limit).mean()) for limit in PRECISIONS}
    boxes = [value for value in box_ious if value is not None]
    if boxes:
        out["box accuracy"] = sum(value >= 0.5 for value in boxes) / len(boxes)
    return out


@dataclass(frozen=True)
class GeneralisedOverlap:
    """Overlap for an expression that may have no target, and for which no target may be predicted."""

    overlap: Overlap
    """Of the masks as they are."""
    no_target: bool
    """The expression refers to nothing."""
    answered: bool
    """A target is predicted."""

    @property
    def counted(self) -> tuple[int, int]:
        """Intersection and union as they count: none where both have no target, no intersection where one has."""
        if self.no_target and not self.answered:
            return 0, 0
        both = 0 if self.no_target or not self.answered else self.overlap.intersection
        return both, self.overlap.union

    @property
    def iou(self) -> float:
        """0..1; 1 where there is no target and none is predicted."""
        if self.no_target:
            return float(not self.answered)
        both, either = self.counted
        return both / either if either else 0.0


def generalised(scores: Sequence[GeneralisedOverlap]) -> dict[str, float]:
    """gRefCOCO's metrics: gIoU, cIoU, N-acc, T-acc, and Pr@0.7 ... Pr@0.9 over expressions with a target.

    N-acc is the share of expressions without a target for which none is predicted, T-acc that of the others for which
    one is; each is left out where there are no such expressions.

    Args:
        scores: One per expression, at least one.

    Returns:
        Metric -> value, 0..1.
    """
    ious = np.array([score.iou for score in scores])
    counted = [score.counted for score in scores]
    union = sum(either for _, either in counted)
    out = {"gIoU": float(ious.mean()), "cIoU": sum(both for both, _ in counted) / union if union else 1.0}
    # whether there is a target at all
    absent = np.array([score.no_target for score in scores])
    answered = np.array([score.answered for score in scores])
    if absent.any():
        out["N-acc"] = float((~answered[absent]).mean())
    if not absent.all():
        out["T-acc"] = float(answered[~absent].mean())
        out |= {f"P@{limit}": float((ious[~absent] >= limit).mean()) for limit in GENERALISED_PRECISIONS}
    return out


def reasoning(overlaps: Sequence[Overlap]) -> dict[str, float]:
    """ReasonSeg's metrics: gIoU, the mean of I / (U + 1e-5), 1 where U is 0; and cIoU, sum of I / (sum of U + 1e-10).

    Args:
        overlaps: One per image, at least one.

    Returns:
        Metric -> value, 0..1.
    """
    ious = [each.intersection / (each.union + 1e-5) + (each.union == 0) for each in overlaps]
    both, either = sum(each.intersection for each in overlaps), sum(each.union for each in overlaps)
    return {"gIoU": float(np.mean(ious)), "cIoU": both / (either + 1e-10)}


def overall_iou(overlaps: Iterable[Overlap]) -> float:
    """Sum of intersections over sum of unions, 0..1; 1 where everything is empty."""
    pairs = [(o.intersection, o.union) for o in overlaps]
    union = sum(u for _, u in pairs)
    return sum(i for i, _ in pairs) / union if union else 1.0


def few_shot(overlaps: Sequence[Overlap], classes: Sequence[int]) -> dict[str, float]:
    """FSS-1000's metrics: mIoU over classes, FB-IoU, and the image-level numbers of the released system.

    FB-IoU is the mean of the overall IoU of the foreground and that of the background.

    Args:
        overlaps: One per query image, at least one.
        classes: Its class.

    Returns:
        Metric -> value, 0..1.
    """
    by_class: dict[int, list[Overlap]] = {}
    for number, each in zip(classes, overlaps, strict=True):
        by_class.setdefault(number, []).append(each)
    background = [Overlap(o.pixels - o.union, o.pixels - o.intersection, o.pixels) for o in overlaps]
    return {
        "mIoU": float(np.mean([overall_iou(part) for part in by_class.values()])),
        "FB-IoU": (overall_iou(overlaps) + overall_iou(background)) / 2,
        "image mIoU": float(np.mean([o.iou for o in overlaps])),
        "image oIoU": overall_iou(overlaps),
    }


def box_precision(ground_truth: dict[str, Any], detections: Sequence[dict[str, Any]]) -> dict[str, float]:
    """COCO's AP at IoU 0.5..0.95 and its companions; sizes that do not occur are left out.

    By faster-coco-eval where that is installed, else by pycocotools: the numbers are equal.

    Args:
        ground_truth: COCO annotation file as a dict: `images`, `annotations`, `categories`.
        detections: `image_id`, `category_id`, `bbox` (x, y, width, height in pixels) and `score` each.

    Returns:
        Metric -> value, 0..1.
    """
    coco, coco_eval = _coco_classes()
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports by printing
        annotations = coco()
        annotations.dataset = ground_truth
        annotations.createIndex()
        if not detections:
            return dict.fromkeys(BOX_METRICS, 0.0)
        evaluation = coco_eval(annotations, annotations.loadRes(list(detections)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = zip(BOX_METRICS, np.asarray(evaluation.stats)[: len(BOX_METRICS)].tolist(), strict=True)
    return {name: value for name, value in values if value >= 0}  # -1: nothing of this size


def _coco_classes() -> tuple[Any, Any]:
    """COCO's classes of annotations and of their evaluation, the fastest that are installed."""
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        return COCO, COCOeval
    return COCO, COCOeval_faster
