"""Masks of the index."""

from __future__ import annotations

from collections.abc import Sequence

from uniref.core import rle
from uniref.core.types import BoolMask
from uniref.data.index import Annotations


def union_mask(annotations: Sequence[Annotations], frame: int) -> BoolMask | None:
    """What several objects cover in a frame, bool [H, W]; None where none of them has a mask there."""
    found = [(each, each.at(frame)) for each in annotations]
    counts = [each.counts[place] for each, place in found if place is not None]
    parts = [part for part in counts if part is not None]
    if not parts:
        return None
    height, width = annotations[0].height, annotations[0].width
    return rle.decode(rle.merge(parts, height, width), height, width)
