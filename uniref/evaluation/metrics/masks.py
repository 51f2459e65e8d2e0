"""Region similarity J and contour accuracy F of masks, as the DAVIS benchmark defines them.

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation" (CVPR 2016). J is the IoU
of two masks. F is the harmonic mean of precision and recall of their boundaries, which match within a disk of 0.8 % of
the image's diagonal.

Masks are cropped to what they cover and packed into one long integer each: rows one after the other with a gap of
empty bits, first pixel in the highest bit. A shift then moves the whole mask, a dilation by a disk is a few dozen of
them, and counting pixels is counting bits. The results are exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from uniref.core.boxes import mask_bounds
from uniref.core.errors import UniRefError
from uniref.core.types import BoolMask, LabelMap

BOUNDARY_TOLERANCE = 0.008
"""Radius of the disk within which boundaries match, as a share of the image's diagonal."""


@dataclass(frozen=True)
class MaskScore:
    """J and F of a predicted mask."""

    region: float
    """J: intersection over union, 0..1; 1 where both are empty."""
    boundary: float
    """F: harmonic mean of the boundary's precision and recall, 0..1."""

    @property
    def mean(self) -> float:
        """J&F."""
        return (self.region + self.boundary) / 2


def boundary_radius(height: int, width: int) -> int:
    """Tolerance of boundaries in an image of this size, in pixels."""
    return math.ceil(BOUNDARY_TOLERANCE * math.hypot(height, width))


def boundary_map(mask: BoolMask) -> BoolMask:
    """Pixels that differ from their right, lower or lower-right neighbour; outside the image nothing differs."""
    edges = np.zeros(mask.shape, np.bool_)
    edges[:, :-1] = mask[:, :-1] ^ mask[:, 1:]
    edges[:-1] |= mask[:-1] ^ mask[1:]
    edges[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edges


class PackedMask:
    """A cropped mask as integers.

    Args:
        mask: Bool [h, w], a crop that holds the mask, and one more pixel on every side unless the image ends there.
        radius: Tolerance of boundaries, in pixels.
    """

    def __init__(self, mask: BoolMask, radius: int) -> None:
        self._radius = radius
        self._stride = -(-(mask.shape[1] + radius) // 8) * 8  # the gap keeps a dilated row out of the next
        self.bits = _pack(mask, self._stride)
        self.edges = _pack(boundary_map(mask), self._stride)

    @cached_property
    def near_edges(self) -> int:
        """The boundary, dilated."""
        return self.edges_within(self._radius)

    def edges_within(self, radius: float) -> int:
        """The boundary, dilated by another disk, which reaches no further than the tolerance (see `disk_rows`)."""
        return _dilate(self.edges, self._stride, disk_rows(radius))

    def compare(self, ground_truth: PackedMask) -> MaskScore:
        """J and F against a mask of the same crop."""
        union = (self.bits | ground_truth.bits).bit_count()
        region = (self.bits & ground_truth.bits).bit_count() / union if union else 1.0
        return MaskScore(region, self.compare_edges(ground_truth))

    def compare_edges(self, ground_truth: PackedMask, radius: float | None = None) -> float:
        """F against a mask of the same crop, where boundaries match within `radius`; None = the tolerance."""
        predicted, true = self.edges.bit_count(), ground_truth.edges.bit_count()
        if not predicted or not true:
            return float(predicted == true)
        near_truth, near = (
            each.near_edges if radius is None else each.edges_within(radius) for each in (ground_truth, self)
        )
        precision = (self.edges & near_truth).bit_count() / predicted
        recall = (ground_truth.edges & near).bit_count() / true
        total = precision + recall
        return 2 * precision * recall / total if total else 0.0


def pack_masks(masks: Sequence[BoolMask], radius: int) -> list[PackedMask]:
    """Masks of one frame, cropped to what they cover together.

    Args:
        masks: Bool [H, W] each, all of one size.
        radius: Tolerance of boundaries, in pixels.
    """
    crop = _covered(np.logical_or.reduce(masks))
    return [PackedMask(mask[crop], radius) for mask in masks]


def _covered(mask: BoolMask) -> tuple[slice, slice]:
    """Rows and columns with something in them, and one more on every side; a corner where there is nothing."""
    region = mask_bounds(mask)
    if region is None:
        return slice(1), slice(1)
    rows, cols = region
    return slice(max(rows.start - 1, 0), rows.stop + 1), slice(max(cols.start - 1, 0), cols.stop + 1)


def score_masks(prediction: BoolMask, ground_truth: BoolMask, void: BoolMask | None = None) -> MaskScore:
    """J and F of one mask.

    Args:
        prediction: Bool [H, W].
        ground_truth: Bool [H, W].
        void: Bool [H, W]: pixels that do not count; they are background to both masks.

    Raises:
        UniRefError: The sizes differ.
    """
    size = (ground_truth.shape[0], ground_truth.shape[1])
    check_size(prediction, size)
    if void is not None:
        check_size(void, size)
        prediction, ground_truth = prediction & ~void, ground_truth & ~void
    predicted, true = pack_masks([prediction, ground_truth], boundary_radius(*size))
    return predicted.compare(true)


def score_labels(prediction: LabelMap, ground_truth: LabelMap, ids: Sequence[int]) -> list[MaskScore]:
    """J and F of every object of a frame, paired by id.

    Args:
        prediction: Label map.
        ground_truth: Label map.
        ids: The objects.

    Returns:
        One score per id.

    Raises:
        UniRefError: The sizes differ.
    """
    size = (ground_truth.shape[0], ground_truth.shape[1])
    check_size(prediction, size)
    radius = boundary_radius(*size)
    crop = _covered((prediction | ground_truth) != 0)
    prediction, ground_truth = prediction[crop], ground_truth[crop]
    scores = []
    for number in ids:
        predicted, true = pack_masks([prediction == number, ground_truth == number], radius)
        scores.append(predicted.compare(true))
    return scores


def score_pairs(
    predictions: Sequence[BoolMask],
    ground_truths: Sequence[BoolMask],
    size: tuple[int, int],
    void: BoolMask | None = None,
) -> npt.NDArray[np.float64]:
    """J and F of every prediction against every object of a frame.

    Args:
        predictions: P masks, bool [H, W].
        ground_truths: N masks, bool [H, W].
        size: (H, W).
        void: As for `score_masks`.

    Returns:
        [N, P, 2]: J and F.

    Raises:
        UniRefError: The sizes differ.
    """
    masks = [*predictions, *ground_truths]
    for mask in (*masks, *([] if void is None else [void])):
        check_size(mask, size)
    if void is not None:
        masks = [mask & ~void for mask in masks]
    if not predictions or not ground_truths:
        return np.zeros((len(ground_truths), len(predictions), 2))
    packed = pack_masks(masks, boundary_radius(*size))
    predicted, true = packed[: len(predictions)], packed[len(predictions) :]
    scores = [[(s.region, s.boundary) for s in (d.compare(w) for d in predicted)] for w in true]
    return np.array(scores)


def box_overlap(first: BoolMask, second: BoolMask) -> float:
    """IoU of the boxes around two masks, bool [H, W]; 0 where one of them is empty."""
    bounds, others = mask_bounds(first), mask_bounds(second)
    if bounds is None or others is None:
        return 0.0
    (rows, columns), (other_rows, other_columns) = bounds, others
    height = min(rows.stop, other_rows.stop) - max(rows.start, other_rows.start)
    width = min(columns.stop, other_columns.stop) - max(columns.start, other_columns.start)
    shared = max(height, 0) * max(width, 0)
    areas = [(y.stop - y.start) * (x.stop - x.start) for y, x in (bounds, others)]
    return float(shared / (sum(areas) - shared))


def check_size(mask: npt.NDArray[np.generic], size: tuple[int, int]) -> None:
    """Raise UniRefError unless a mask has this (height, width)."""
    if mask.shape != size:
        found = " x ".join(str(n) for n in reversed(mask.shape))
        raise UniRefError(f"a mask is {found} pixels, the ground truth {size[1]} x {size[0]}; masks are never resized")


def _pack(mask: BoolMask, stride: int) -> int:
    rows = np.zeros((mask.shape[0], stride // 8), np.uint8)
    packed = np.packbits(mask, axis=1)
    rows[:, : packed.shape[1]] = packed
    return int.from_bytes(rows.tobytes(), "big")


@lru_cache(maxsize=64)
def disk_rows(radius: float) -> tuple[tuple[int, int, int], ...]:
    """Rows of a disk around a pixel, as (offset of the row, first and last offset in it).

    A radius between two integers gives what scikit-image's `disk` and OpenCV's `dilate` make of it together, which the
    evaluator of MOSEv2 uses: the disk's samples begin at `-radius`, so that none of them is its centre, and the pixel
    is the one in the middle of the array.
    """
    axis = np.arange(-radius, radius + 1)
    inside = axis[:, None] ** 2 + axis**2 <= radius**2
    middle = len(axis) // 2
    rows = [(middle - row, np.flatnonzero(line)) for row, line in enumerate(inside) if line.any()]
    return tuple((row, middle - int(columns[-1]), middle - int(columns[0])) for row, columns in rows)


def _dilate(bits: int, stride: int, disk: Sequence[tuple[int, int, int]]) -> int:
    """Every bit becomes a disk. What leaves the image goes into the gap, beyond the ends, or is lost."""
    runs, run, length = {}, bits, 1
    for wanted in sorted({last - first + 1 for _, first, last in disk}):
        while length < wanted:  # every bit a run of `length` bits, to the right
            step = min(length, wanted - length)
            run |= run >> step
            length += step
        runs[wanted] = run
    out = 0
    for row, first, last in disk:
        shift = row * stride + first
        out |= runs[last - first + 1] >> shift if shift >= 0 else runs[last - first + 1] << -shift
    return out
