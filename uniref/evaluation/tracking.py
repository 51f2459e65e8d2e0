"""Numbers of BURST: HOTA, DetA and AssA, means over classes.

The published evaluator compares the boxes around masks: its BURST class hands boxes to a function that takes masks or
boxes (`burstapi/thirdparty/trackeval/datasets/burst_helpers/burst_base.py`). Its numbers are the ones that papers
report; those of the masks themselves are given beside them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

import numpy as np

from uniref.evaluation.metrics.hota import HotaCounts, hota_counts
from uniref.evaluation.track_scores import TrackScore

ABOUT_BOXES = (
    "HOTA, DetA and AssA compare the boxes around masks, as the published evaluator does; those that end in `masks` "
    "compare the masks"
)


def tracking_numbers(tracks: Sequence[TrackScore]) -> dict[str, float]:
    """HOTA, DetA and AssA, 0..1: means over all classes, over the common and over the uncommon ones; the same with
    the overlap of masks."""
    # objects that can be confused: those of a class in a video
    groups: dict[tuple[int, str], list[TrackScore]] = defaultdict(list)
    for track in tracks:
        groups[track.category, track.name].append(track)
    common = {track.category: track.seen for track in tracks}
    out: dict[str, float] = {}
    for end, name in (("", "box_overlaps"), (" masks", "overlaps")):
        # all videos of a class together
        classes: dict[int, HotaCounts] = {}
        for (category, _), group in groups.items():
            counts = _counts(sorted(group, key=lambda track: int(track.key)), name)
            classes[category] = classes[category] + counts if category in classes else counts
        # means over classes
        values = {category: counts.values() for category, counts in classes.items()}
        for kind, chosen in (("", (True, False, None)), (" common", (True,)), (" uncommon", (False,))):
            if part := [each for category, each in values.items() if common[category] in chosen]:
                out |= {f"{metric}{kind}{end}": fmean(each[metric] for each in part) for metric in part[0]}
    return out


def _counts(group: Sequence[TrackScore], name: str) -> HotaCounts:
    overlaps = [[getattr(track, name)[other.key] for other in group] for track in group]
    present = np.array([track.ground_truth_share for track in group]).T > 0
    predicted = np.array([track.predicted_share for track in group]).T > 0
    return hota_counts(np.array(overlaps).transpose(2, 0, 1), present, predicted)
