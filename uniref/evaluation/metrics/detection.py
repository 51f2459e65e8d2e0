"""COCO box average precision, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

NAMES = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large", "AR@1", "AR@10", "AR@100")


def box_precision(truth: dict[str, Any], detections: Sequence[dict[str, Any]]) -> dict[str, float]:
    """AP at IoU 0.5..0.95 and its companions; sizes that do not occur are left out.

    Args:
        truth: COCO annotation file as a dict: `images`, `annotations`, `categories`.
        detections: `image_id`, `category_id`, `bbox` (x, y, width, height in pixels) and `score` each.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports by printing
        known = COCO()
        known.dataset = truth
        known.createIndex()
        if not detections:
            return dict.fromkeys(NAMES, 0.0)
        evaluation = COCOeval(known, known.loadRes(list(detections)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = zip(NAMES, evaluation.stats[: len(NAMES)].tolist(), strict=True)
    return {name: value for name, value in values if value >= 0}  # -1: nothing of this size
