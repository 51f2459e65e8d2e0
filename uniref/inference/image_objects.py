"""Objects of one image: their results, all instances that one reference means, and several objects as one frame.

Axes: N objects or queries, H x W the original image, h x w masks at stride 4.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from uniref.inference.inference_model import Frame, InferenceModel, MaskPredictions
from uniref.inference.results import FrameResult, ImageResult
from uniref.model.mask_head import STRIDE
from uniref.model.structures import ProjectedReference

INSTANCE_SHARE = 0.4
"""An instance has more than this share of the best instance's score, where no threshold is given."""
_SAME_IOU, _SAME_SHARE = 0.7, 0.8
"""Two masks are one object if they overlap by this IoU, or if this share of the smaller one lies in the other."""


def image_results(
    model: InferenceModel, frame: Frame, predictions: MaskPredictions, threshold: float | None, probabilities: bool
) -> list[ImageResult]:
    """One result per row of `predictions`.

    Args:
        model: That predicted them.
        frame: The image.
        predictions: N objects of it.
        threshold: A score that is not above it means that the object is not there; None: all are there.
        probabilities: Results hold masks with soft edges too.
    """
    masks = model.image_masks(predictions, frame).cpu()
    soft = model.image_probabilities(predictions, frame).cpu() if probabilities else None
    results = []
    for row, (score, mask) in enumerate(zip(predictions.scores, masks, strict=True)):
        present = threshold is None or score > threshold
        # an object that is not there has the score and box of the best query, and no pixel
        box, shown = predictions.box(row, mask), mask if present else torch.zeros_like(mask)
        probability = None if soft is None else (soft[row] if present else torch.zeros_like(soft[row])).numpy()
        results.append(ImageResult(shown.numpy(), score, box, present, probability))
    return results


def find_instances(
    model: InferenceModel,
    frame: Frame,
    reference: ProjectedReference,
    start: float,
    threshold: float | None,
    limit: int,
) -> MaskPredictions:
    """All objects that one reference means.

    Args:
        model: A UniRef++.
        frame: The image or frame of a video.
        reference: Of one text, or of support images.
        start: There are instances if the best score is above it; else the best query is returned alone.
        threshold: Scores of instances are above it; None: above `INSTANCE_SHARE` of the best.
        limit: At most this many.

    Returns:
        Instances, best first; at least one row.

    Raises:
        UsageError: A SAM model has one answer per reference.
    """
    least = (lambda best: INSTANCE_SHARE * best) if threshold is None else (lambda best: threshold)
    found = model.candidates(frame, reference, least)
    if found.scores[0] <= start:
        return found.rows([0])
    height, width = (-(-side // STRIDE) for side in frame.size)
    masks = found.logits[:, :height, :width] > 0
    return found.rows(distinct(masks, limit) or [0])


def distinct(masks: Tensor, limit: int) -> list[int]:
    """Rows of masks, bool [N, h, w], that are not empty and mean other objects than all kept rows before them."""
    flat = masks.flatten(1).float()
    areas = flat.sum(1)
    kept: list[int] = []
    for row in areas.nonzero().flatten().tolist():
        common, others = flat[kept] @ flat[row], areas[kept]
        overlap = common / (others + areas[row] - common)
        contained = common / torch.minimum(others, areas[row])
        if not ((overlap > _SAME_IOU) | (contained > _SAME_SHARE)).any():
            kept.append(row)
            if len(kept) == limit:
                break
    return kept


def as_frame(results: Mapping[int, ImageResult], instance_of: Mapping[int, int] | None = None) -> FrameResult:
    """Objects of an image as a frame: object id -> result. Where they overlap, the label map shows the most confident.

    Raises:
        ValueError: There is no object.
    """
    size = next(iter(results.values())).mask.shape
    labels = np.zeros(size, np.uint8)
    for number, result in sorted(results.items(), key=lambda item: item[1].score):
        labels[result.mask] = number
    return FrameResult(
        index=0,
        labels=labels,
        masks={n: r.mask for n, r in results.items()},
        scores={n: r.score for n, r in results.items()},
        boxes={n: r.box for n, r in results.items()},
        instance_of=dict(instance_of or {}),
        probabilities={n: r.probability for n, r in results.items() if r.probability is not None},
    )
