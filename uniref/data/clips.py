"""Which two frames of a clip are shown."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from uniref.data.index import Annotations


def presence(annotations: list[Annotations], length: int) -> npt.NDArray[np.bool_]:
    """In which frames any of the objects has a mask that is not empty: bool [length]."""
    present = np.zeros(length, np.bool_)
    for each in annotations:
        masked = np.array([counts is not None for counts in each.counts], np.bool_)
        present[each.frames[masked & (each.areas > 0)]] = True
    return present


def draw_pair(rng: np.random.Generator, present: npt.NDArray[np.bool_], reach: int) -> tuple[int, int] | None:
    """Two frames in their order that show one object.

    As the released system draws, given that its draw is accepted: a frame uniformly, another one uniformly from those
    at most `reach` away, both again until they have an object in common.

    Args:
        rng: Advanced by one number.
        present: Whether an object is in a frame, bool [objects, frames].
        reach: Largest distance, at least 1.

    Returns:
        The earlier and the later frame; the same twice in a clip of one frame; None where no two frames share an
        object.
    """
    length = present.shape[1]
    if length == 1:
        return (0, 0) if present.any() else None
    places = np.arange(length)
    neighbours = np.minimum(places, reach) + np.minimum(length - 1 - places, reach)
    first, second = np.concatenate(
        [
            np.stack([shared := np.flatnonzero((present[:, :-gap] & present[:, gap:]).any(0)), shared + gap])
            for gap in range(1, min(reach, length - 1) + 1)
        ],
        axis=1,
    )
    if not len(first):
        return None
    sums = np.cumsum(1 / neighbours[first] + 1 / neighbours[second])  # either may have been drawn first
    chosen = min(int(np.searchsorted(sums, rng.random() * sums[-1], side="right")), len(sums) - 1)
    return int(first[chosen]), int(second[chosen])
