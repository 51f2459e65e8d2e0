"""J and F of MOSEv2, whose contour tolerance adapts to the size of the object.

Ding et al., "MOSEv2: A More Challenging Dataset for Video Object Segmentation in Complex Scenes", arXiv 2508.05630, as
its evaluator computes them (henghuiding/MOSE-api, `MOSEv2/sam2_rcms/tools/metricsv2.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from uniref.core.types import BoolMask
from uniref.evaluation.metrics.masks import BOUNDARY_TOLERANCE, check_size, pack_masks

_OBJECT_TOLERANCE = 0.1
"""Radius within which boundaries match, as a share of the square root of the object's area."""


@dataclass(frozen=True)
class AdaptiveScore:
    """MOSEv2's scores of a predicted mask, 0..1."""

    region: float
    """J, with one pixel added to intersection and union; 1 where both are empty."""
    boundary: float
    """F within the tolerance of the image."""
    adaptive: float
    """F within that of the object, where it is smaller."""


def score_adaptive(prediction: BoolMask, ground_truth: BoolMask) -> AdaptiveScore:
    """MOSEv2's scores of one mask.

    Args:
        prediction: Bool [H, W].
        ground_truth: Bool [H, W].

    Raises:
        UniRefError: The sizes differ.
    """
    size = (ground_truth.shape[0], ground_truth.shape[1])
    check_size(prediction, size)
    of_image = BOUNDARY_TOLERANCE * float(np.linalg.norm(size))
    predicted, true = pack_masks([prediction, ground_truth], math.ceil(of_image))
    union = (predicted.bits | true.bits).bit_count()
    region = ((predicted.bits & true.bits).bit_count() + 1) / (union + 1)
    of_object = math.ceil(_OBJECT_TOLERANCE * math.sqrt(true.bits.bit_count()))
    # the evaluator rounds the image's radius up only where it also needs the object's
    if not of_object or of_object >= of_image:
        boundary = predicted.compare_edges(true, of_image)
        return AdaptiveScore(region, boundary, boundary)
    boundary = predicted.compare_edges(true, math.ceil(of_image))
    return AdaptiveScore(region, boundary, predicted.compare_edges(true, of_object))
