"""Masks as polygons: outlines along the edges of pixels, made simpler, with holes cut in by a slit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from uniref.core.boxes import mask_bounds
from uniref.core.types import BoolMask

Ring = npt.NDArray[np.float64]
"""Closed outline, [N, 2]: x and y in pixels, from the image's upper left corner; the last point is not repeated."""

_STEPS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])  # east, south, west, north: the object is to the right


def mask_polygons(mask: BoolMask, tolerance: float = 0.5) -> list[Ring]:
    """Polygons that cover a mask: one per connected part (by edges of pixels), largest first.

    A hole is joined to the outline around it by a slit of no width, so that a polygon filled by any rule (even-odd or
    non-zero) leaves it out.

    Args:
        mask: Bool [H, W].
        tolerance: How far a simplified outline may be from the middle of the pixels' edges, in pixels; 0 keeps every
            corner of every pixel, and so do parts of which a simpler outline would miss over 2 % of the area.
    """
    region = mask_bounds(mask)
    if region is None:
        return []
    from scipy import ndimage

    rows, cols = region
    part = mask[rows, cols]
    parts, count = ndimage.label(part)
    # rings of every part: one outline, which runs clockwise, and holes
    outlines: list[list[Ring]] = [[] for _ in range(count)]
    for ring, (row, col) in _trace(part):
        holes = outlines[parts[row, col] - 1]
        holes.insert(0 if _area(ring) > 0 else len(holes), ring)
    outlines.sort(key=lambda rings: -_area(rings[0]))
    offset = np.array([cols.start, rows.start])
    return [_cut_holes(_simplified(rings, tolerance)) + offset for rings in outlines]


def join_polygons(polygons: Sequence[Ring]) -> Ring:
    """One outline of several parts, joined by slits of no width, for formats with one outline per object."""
    joined = polygons[0]
    for ring in polygons[1:]:
        joined = _joined(joined, ring)
    return joined


def _trace(mask: BoolMask) -> list[tuple[Ring, tuple[int, int]]]:
    """Every outline along the edges of pixels, each with a pixel of the object beside it; [N, 2] corners."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    # edges by direction, each as its start and the pixel at its right
    starts, pixels, directions = [], [], []
    neighbours = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])
    for turn, (neighbour, corner) in enumerate(zip(neighbours, ((0, 0), (1, 0), (1, 1), (0, 1)), strict=True)):
        ys, xs = np.nonzero(inside & ~neighbour)
        starts.append(np.stack([xs + corner[0], ys + corner[1]], 1))
        pixels.append(np.stack([ys, xs], 1))
        directions.append(np.full(len(xs), turn))
    start, pixel, direction = np.concatenate(starts), np.concatenate(pixels), np.concatenate(directions)
    # the edge that follows: a right turn keeps parts apart that touch at a corner
    width = mask.shape[1] + 1
    keys = (start[:, 1] * width + start[:, 0]) * 4 + direction
    order = np.argsort(keys)
    end = start + _STEPS[direction]
    following = np.full(len(keys), -1)
    for turn in (3, 0, 1):  # the last that exists counts
        wanted = (end[:, 1] * width + end[:, 0]) * 4 + (direction + turn) % 4
        index = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
        exists = keys[order[index]] == wanted
        following[exists] = order[index][exists]
    # walk along every ring; only corners are kept
    straight = direction[following] == direction
    rings, done, next_edge = [], np.zeros(len(keys), np.bool_), following.tolist()
    for first in range(len(keys)):
        if done[first]:
            continue
        ring = [first]
        while (edge := next_edge[ring[-1]]) != first:
            ring.append(edge)
        done[ring] = True
        corners = end[ring][~straight[ring]]
        rings.append((corners.astype(np.float64), (int(pixel[first, 0]), int(pixel[first, 1]))))
    return rings


def _simplified(rings: Sequence[Ring], tolerance: float) -> list[Ring]:
    """The rings of a part with fewer points; as they are where they would lose too much."""
    if tolerance <= 0:
        return list(rings)
    simple = [_fewer_points(_middles(ring), tolerance) for ring in rings]
    exact = sum(_area(ring) for ring in rings)
    fits = all(len(ring) >= 3 for ring in simple) and abs(sum(_area(ring) for ring in simple) - exact) <= 0.02 * exact
    return simple if fits else list(rings)


def _middles(corners: Ring) -> Ring:
    """The middle of every pixel's edge on a ring: a slope of stairs becomes a straight line."""
    sides = np.roll(corners, -1, 0) - corners
    lengths = np.abs(sides).sum(1).astype(int)
    starts = np.repeat(corners, lengths, 0)
    steps = np.repeat(np.sign(sides), lengths, 0)
    along = np.arange(len(starts)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    middles: Ring = starts + steps * (along[:, None] + 0.5)
    return middles


def _fewer_points(ring: Ring, tolerance: float) -> Ring:
    """Douglas and Peucker's simplification of a closed ring."""
    # two points that stay: the first, and the one furthest from it
    far = int(((ring - ring[0]) ** 2).sum(1).argmax())
    closed = np.concatenate([ring, ring[:1]])
    keep = np.zeros(len(closed), np.bool_)
    keep[[0, far, len(ring)]] = True
    spans = [(0, far), (far, len(ring))]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        offsets = closed[first + 1 : last] - closed[first]
        side = closed[last] - closed[first]
        length = float(np.hypot(*side))
        distances = (
            np.abs(offsets[:, 0] * side[1] - offsets[:, 1] * side[0]) / length if length else np.hypot(*offsets.T)
        )
        index = int(distances.argmax())
        if distances[index] > tolerance:
            middle = first + 1 + index
            keep[middle] = True
            spans += [(first, middle), (middle, last)]
    return ring[keep[:-1]]


def _cut_holes(rings: Sequence[Ring]) -> Ring:
    """An outline with its holes as one ring."""
    outline = rings[0]
    for hole in rings[1:]:
        outline = _joined(outline, hole)
    return outline


def _joined(first: Ring, second: Ring) -> Ring:
    """Two rings as one, there and back between the points that are nearest to each other (of the second's first 64)."""
    step = max(1, len(second) // 64)
    distances = ((first[:, None] - second[None, ::step]) ** 2).sum(2)
    start, index = np.unravel_index(int(distances.argmin()), distances.shape)
    turned = np.roll(second, -int(index) * step, 0)
    return np.concatenate([first[: start + 1], turned, turned[:1], first[start:]])


def _area(ring: Ring) -> float:
    """Area inside a ring, in pixels; negative where it runs anticlockwise (y points down)."""
    x, y = ring.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)
