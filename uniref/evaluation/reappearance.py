"""Numbers of MOSEv2: its own J and F, and the same where objects have disappeared and where they are back.

As its evaluator computes them (henghuiding/MOSE-api, `MOSEv2/sam2_rcms/tools/score.py`), with its names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from statistics import fmean

from uniref.evaluation.track_scores import TrackScore

HEADLINE = "J&F_new"
"""J, and F within a tolerance that depends on the object's size."""


def reappearance_numbers(tracks: Sequence[TrackScore]) -> dict[str, float]:
    """Means over objects, 0..1.

    Returns:
        `J&F_new`, `J`, `F_new`; `J&F_new disappearance` and `J&F_new reappearance` where any object disappears or
        comes back; `F` and `J&F` within the image's tolerance.
    """
    j, f, adaptive = (
        fmean(fmean(values) for values in column)
        for column in (
            [track.region for track in tracks],
            [track.boundary for track in tracks],
            [track.adaptive or [] for track in tracks],
        )
    )
    out = {HEADLINE: (j + adaptive) / 2, "J": j, "F_new": adaptive}
    kinds = [_of_segments(track) for track in tracks if len(track.absent) < len(track.frames)]
    for place, name in enumerate(("disappearance", "reappearance")):
        if part := [kind[place] for kind in kinds if kind[place] is not None]:
            out[f"{HEADLINE} {name}"] = fmean(value for value in part if value is not None)
    return out | {"F": f, "J&F": (j + f) / 2}


def _of_segments(track: TrackScore) -> tuple[float | None, float | None]:
    """J&F_new of an object while it is gone and after it came back: means over segments; None where there is none."""
    gone: list[float] = []
    back: list[float] = []
    for visible, segment in _segments(track):
        if segment.start:  # what an object is at first is neither
            j, f = (fmean(values[segment]) for values in (track.region, track.adaptive or []))
            (back if visible else gone).append((j + f) / 2)
    return fmean(gone) if gone else None, fmean(back) if back else None


def _segments(track: TrackScore) -> Iterator[tuple[bool, slice]]:
    """Successive scored frames in all of which the object is visible, or in none."""
    start = 0
    for visible, group in groupby(share > 0 for share in track.ground_truth_share):
        stop = start + len(list(group))
        yield visible, slice(start, stop)
        start = stop
