"""Boxes and points that show objects, and the masks that a model finds for them.

Coordinates are pixels of the image, x to the right, y down, from 0, as SAM takes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_iou

from uniref.core.errors import UsageError
from uniref.model.mask_head import STRIDE

if TYPE_CHECKING:
    from uniref.inference.inference_model import Frame, MaskPredictions

Box = Sequence[float]
"""x0, y0, x1, y1."""
Points = Sequence[Sequence[float]]
"""(x, y) or (x, y, label): label 1, or none, is on the object, 0 beside it."""

_SLACK = 1.0  # pixels that a box or point may lie outside of the image, for other tools' rounding
_GOOD_SHARE = 0.5  # of the best score, that a mask at a point needs: of good masks the smallest is meant
_LEAST_FIT = 0.1  # of a box, below which no detected object is meant


@dataclass(frozen=True)
class Region:
    """A box, points, or both, that show one object in an image or frame."""

    box: tuple[float, float, float, float] | None = None
    """x0, y0, x1, y1."""
    points: tuple[tuple[float, float], ...] = ()
    """(x, y) on the object."""
    background: tuple[tuple[float, float], ...] = ()
    """(x, y) beside the object."""

    def check(self, size: tuple[int, int], name: str) -> Region:
        """The region clipped to an image of `size` (H, W).

        Args:
            size: Of the image.
            name: Of the object or option, for messages.

        Raises:
            UsageError: It is empty, not finite, or outside of the image.
        """
        height, width = size
        if self.box is None and not self.points:
            raise UsageError(f"{name}: give a box, or a point on the object")
        box = None
        if self.box is not None:
            x0, y0, x1, y1 = (_inside(v, width if i % 2 == 0 else height, size, name) for i, v in enumerate(self.box))
            if x1 <= x0 or y1 <= y0:
                raise UsageError(f"{name}: a box is x0,y0,x1,y1 with x0 < x1 and y0 < y1")
            box = (x0, y0, x1, y1)
        points, background = (
            tuple((_inside(x, width, size, name), _inside(y, height, size, name)) for x, y in points)
            for points in (self.points, self.background)
        )
        return Region(box, points, background)


def _inside(value: float, limit: int, size: tuple[int, int], name: str) -> float:
    if not math.isfinite(value):
        raise UsageError(f"{name}: {value} is not a coordinate")
    if not -_SLACK <= value <= limit + _SLACK:
        raise UsageError(f"{name}: {value:g} is outside of the image, which is {size[1]} x {size[0]}")
    return min(max(float(value), 0.0), float(limit))


def regions_of(boxes: Mapping[int, Box] | None, points: Mapping[int, Points] | None) -> dict[int, Region]:
    """Object id -> region, of boxes and points by object id; an object may have both. Raises UsageError."""
    regions = {}
    for number in {**(boxes or {}), **(points or {})}:
        corners = tuple(float(value) for value in (boxes or {}).get(number, ()))
        if len(corners) not in (0, 4):
            raise UsageError(f"object {number}: a box is x0, y0, x1, y1, not {len(corners)} numbers")
        on: list[tuple[float, float]] = []
        beside: list[tuple[float, float]] = []
        for point in (points or {}).get(number, ()):
            if len(point) not in (2, 3) or (len(point) == 3 and point[2] not in (0, 1)):
                raise UsageError(f"object {number}: a point is (x, y) or (x, y, label) with a label of 1 or 0")
            (on if len(point) == 2 or point[2] else beside).append((float(point[0]), float(point[1])))
        box = (corners[0], corners[1], corners[2], corners[3]) if corners else None
        regions[number] = Region(box, tuple(on), tuple(beside))
    return regions


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
