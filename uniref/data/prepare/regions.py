"""One object's mask in one frame: run lengths with box and area, made from label maps, polygons, run lengths, masks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uniref.core import rle
from uniref.core.types import BoolMask, LabelMap
from uniref.data.prepare.job import BadRecord
from uniref.media.image import ImageProblem, open_image

VOID = 255
"""The value of a label map for pixels that do not count."""
_ELLIPSE_CORNERS = 64


@dataclass(frozen=True)
class Region:
    """One object in one frame."""

    counts: bytes
    """Compressed run lengths (COCO)."""
    box: tuple[float, float, float, float]
    """(x0, y0, x1, y1), pixels."""
    area: int
    """Pixels."""


def region_of_counts(counts: bytes, height: int, width: int) -> Region:
    """Compressed run lengths of an image of `height` x `width` pixels as a region."""
    return Region(counts, rle.box(counts, height, width), rle.area(counts, height, width))


def region_of_segmentation(segmentation: Any, height: int, width: int) -> Region | None:
    """COCO polygons or run lengths as a region; None where nothing of them is in the image.

    Raises:
        ValueError: Neither kind, or not of this size.
    """
    counts = rle.from_segmentation(segmentation, height, width)
    region = None if counts is None else region_of_counts(counts, height, width)
    return region if region is not None and region.area else None


def region_of_mask(mask: BoolMask) -> Region | None:
    """A mask, bool [H, W], as a region; None where it is empty."""
    return region_of_counts(rle.encode(mask), *mask.shape) if mask.any() else None


def empty_region(height: int, width: int) -> Region:
    """The mask of an object that is not in the image; it says that the frame was annotated."""
    return Region(rle.encode(np.zeros((height, width), np.bool_)), (0, 0, 0, 0), 0)


def merge_regions(parts: Sequence[Region], height: int, width: int) -> Region:
    """The union of regions of one frame."""
    if len(parts) == 1:
        return parts[0]
    return region_of_counts(rle.merge([part.counts for part in parts], height, width), height, width)


def read_label_map(path: Path) -> LabelMap:
    """Object ids, uint8 [H, W]: the index plane of a palette PNG, or the values of a grey one.

    Raises:
        BadRecord: Missing, damaged, or a colour image (its colours say nothing about ids).
    """
    try:
        with open_image(path) as image:
            if image.mode not in ("P", "L", "1"):
                raise BadRecord(f"is a {image.mode} image; a label map is a palette or 8-bit grey PNG")
            return np.asarray(image).astype(np.uint8)
    except ImageProblem as problem:
        raise BadRecord(str(problem)) from None


def regions(labels: LabelMap, void: bool = False) -> dict[int, Region]:
    """Every object of a label map in one pass over the pixels; 0 is background and 255 void.

    Args:
        labels: Object ids, uint8 [H, W].
        void: Whether to return the void region too, as `VOID`.
    """
    from pycocotools import mask as coco

    # runs of equal values, column by column as in COCO's run lengths
    height, width = labels.shape
    flat = labels.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([[0], changes])
    ends = np.concatenate([changes, [flat.size]])
    values = flat[starts]
    found = {}
    for value in np.unique(values):
        if value == 0 or (value == VOID and not void):
            continue
        # the value's own runs, with the gaps between them
        own = values == value
        first, last = starts[own], ends[own]
        edges = np.stack([first, last], axis=1).reshape(-1)
        runs = np.diff(edges, prepend=0, append=flat.size)
        if runs[-1] == 0:
            runs = runs[:-1]
        record = coco.frPyObjects({"size": [height, width], "counts": runs.tolist()}, height, width)
        counts = bytes(record["counts"])
        found[int(value)] = Region(counts, rle.box(counts, height, width), int((last - first).sum()))
    return found


def paste_mask(part: BoolMask, left: int, top: int, height: int, width: int) -> BoolMask:
    """A part of a mask, bool [h, w], at its place in an image: bool [height, width].

    Raises:
        BadRecord: It does not fit in.
    """
    if left < 0 or top < 0 or top + part.shape[0] > height or left + part.shape[1] > width:
        raise BadRecord(f"its mask ({part.shape[1]} x {part.shape[0]} at {left}, {top}) leaves the image")
    mask = np.zeros((height, width), np.bool_)
    mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    return mask


def ellipse_polygon(x: float, y: float, rx: float, ry: float, degrees: float = 0.0) -> list[float]:
    """The outline of an ellipse as a polygon [x, y, ...] of 64 corners.

    Args:
        x: Centre, pixels.
        y: Centre, pixels.
        rx: Radius before the rotation, pixels.
        ry: Radius before the rotation, pixels.
        degrees: Rotation, clockwise in the image.

    Raises:
        BadRecord: Something is not finite or negative.
    """
    if not all(map(math.isfinite, (x, y, rx, ry, degrees))) or rx < 0 or ry < 0:
        raise BadRecord("is not a valid circle or ellipse")
    turn = math.radians(degrees)
    outline = []
    for corner in range(_ELLIPSE_CORNERS):
        angle = 2 * math.pi * corner / _ELLIPSE_CORNERS
        dx, dy = rx * math.cos(angle), ry * math.sin(angle)
        outline += [x + dx * math.cos(turn) - dy * math.sin(turn), y + dx * math.sin(turn) + dy * math.cos(turn)]
    return outline
