"""Which of the objects that a model detects a box or points show."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_iou

from uniref.inference.regions import Region
from uniref.model.mask_head import STRIDE

if TYPE_CHECKING:
    from uniref.inference.inference_model import Frame, MaskPredictions

_GOOD_SHARE = 0.5  # of the best score, that a mask at a point needs: of good masks the smallest is meant
_LEAST_FIT = 0.1  # of a box, below which no detected object is meant


def best_candidate(region: Region, candidates: MaskPredictions, frame: Frame) -> int | None:
    """Which of the detected objects a region shows.

    By a box: the one whose box overlaps it most, weighted by the share of its mask inside. By points alone: the
    smallest of the good masks that hold all points on the object, and none beside it.

    Args:
        region: Checked.
        candidates: All objects of the image, best first.
        frame: The image.

    Returns:
        The row, or None where no object fits.
    """
    assert candidates.boxes is not None
    height, width = (-(-side // STRIDE) for side in frame.size)
    masks = candidates.logits[:, :height, :width] > 0
    areas = masks.flatten(1).sum(1).float().cpu()
    scores = torch.tensor(candidates.scores)
    # masks that are not empty, and hold the points
    fits = areas > 0
    for points, held in ((region.points, True), (region.background, False)):
        for x, y in points:
            fits &= (_logits_at(candidates.logits, x, y, frame) > 0).cpu() == held
    if not fits.any():
        return None
    if region.box is None:
        good = fits & (scores >= _GOOD_SHARE * scores[fits].max())
        return int(torch.where(good, areas, math.inf).argmin())
    # the overlap of boxes, and how much of the mask is inside
    overlap = box_iou(candidates.boxes, torch.tensor([region.box]))[:, 0]
    inside = (masks & _box_mask(region.box, frame, masks)).flatten(1).sum(1).float().cpu() / areas.clamp(min=1)
    fit = torch.where(fits, overlap * inside, -1.0)
    best = int(fit.argmax())
    return best if fit[best] > _LEAST_FIT else None


def _logits_at(logits: Tensor, x: float, y: float, frame: Frame) -> Tensor:
    """Mask logits [N, h, w] at the pixel of the image that holds a point, upsampled as masks are: [N]."""
    scale_x, scale_y = frame.size[1] / frame.original[1], frame.size[0] / frame.original[0]
    column = min(math.floor(x), frame.original[1] - 1) + 0.5
    row = min(math.floor(y), frame.original[0] - 1) + 0.5
    height, width = logits.shape[-2] * STRIDE, logits.shape[-1] * STRIDE
    place = logits.new_tensor([2 * column * scale_x / width - 1, 2 * row * scale_y / height - 1])
    grid = place.expand(len(logits), 1, 1, 2)
    return F.grid_sample(logits[:, None], grid, padding_mode="border", align_corners=False)[:, 0, 0, 0]


def _box_mask(box: tuple[float, float, float, float], frame: Frame, masks: Tensor) -> Tensor:
    """Bool [h, w], the pixels of masks at stride 4 whose centres are in a box of the image."""
    scale_x, scale_y = frame.original[1] / frame.size[1] * STRIDE, frame.original[0] / frame.size[0] * STRIDE
    xs = (torch.arange(masks.shape[-1], device=masks.device) + 0.5) * scale_x
    ys = (torch.arange(masks.shape[-2], device=masks.device) + 0.5) * scale_y
    return ((ys >= box[1]) & (ys <= box[3]))[:, None] & ((xs >= box[0]) & (xs <= box[2]))[None]
