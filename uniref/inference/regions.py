"""Boxes and points that show objects.

Coordinates are pixels of the image, x to the right, y down, from 0, as SAM takes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from uniref.core.errors import UsageError

Box = Sequence[float]
"""x0, y0, x1, y1."""
Points = Sequence[Sequence[float]]
"""(x, y) or (x, y, label): label 1, or none, is on the object, 0 beside it."""

_SLACK = 1.0  # pixels that a box or point may lie outside of the image, for other tools' rounding


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
