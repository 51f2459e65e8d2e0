"""LVOS as the authors' evaluator of 2024 reads it.

The paper's evaluator (2023; the headline here) scores every frame of an object's range. The one that the authors
published in 2024 with LVOS v2, which papers since then use for v1 too, leaves the first and the last of them out and
has another list of unseen videos (LingyiHongfd/lvos-evaluation, `lvos/evaluation.py` and `unseen_videos.txt`).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from uniref.data.prepare.datasets.lvos import UNSEEN_2024
from uniref.evaluation.metrics.videos import deviation
from uniref.evaluation.track_scores import TrackScore

YEAR = " 2024"
"""Ends the names of its metrics."""
ABOUT_YEAR = (
    "J&F, J, F and V are as in the paper (2023); J&F 2024 and so on are those of the authors' evaluator of 2024, "
    "without the first and last frame of an object's range and with its 51 unseen videos"
)


def numbers_of_year(tracks: Sequence[TrackScore]) -> dict[str, float]:
    """J, F and V over objects of seen and of unseen videos, and their means; nothing where one of them lacks.

    Args:
        tracks: Of all videos, each with scores of its range (`counted`).

    Returns:
        `J&F 2024`, ..., `V unseen 2024` -> value, 0..1.
    """
    parts: dict[str, dict[str, float]] = {}
    for name in ("seen", "unseen"):
        inner = [_inner(track) for track in tracks if (track.media in UNSEEN_2024) == (name == "unseen")]
        scored = [(region, boundary) for region, boundary in inner if region]
        if not scored:
            return {}
        j, f = (fmean(fmean(track[place]) for track in scored) for place in (0, 1))
        v = fmean(deviation(region, boundary) for region, boundary in scored)
        parts[name] = {"J&F": (j + f) / 2, "J": j, "F": f, "V": v}
    overall = {f"{metric}{YEAR}": fmean(part[metric] for part in parts.values()) for metric in ("J&F", "J", "F", "V")}
    named = {f"{metric} {name}{YEAR}": value for name, part in parts.items() for metric, value in part.items()}
    return overall | named


def _inner(track: TrackScore) -> tuple[list[float], list[float]]:
    """J and F per frame, without the first and the last frame of the object's range."""
    ends = {track.counted[0], track.counted[-1]}
    kept = [position for position, frame in enumerate(track.frames) if frame not in ends]
    return [track.region[position] for position in kept], [track.boundary[position] for position in kept]
