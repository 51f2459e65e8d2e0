"""Time lines: bins that do not grow with a video."""

from __future__ import annotations

import numpy as np
import pytest

from uniref.inference.results import FrameResult
from uniref.inference.timeline import MOST_BINS, Timeline

NOTHING, ALL = np.zeros((1, 1), np.bool_), np.ones((1, 1), np.bool_)


def frame(index: int, present: dict[int, bool], scores: dict[int, float]) -> FrameResult:
    masks = {number: ALL if there else NOTHING for number, there in present.items()}
    return FrameResult(index, np.zeros((1, 1), np.uint8), masks, scores, {})


def test_a_short_video_has_a_bin_per_frame() -> None:
    timeline = Timeline()
    timeline.add(frame(0, {1: False}, {1: 0.2}))
    timeline.add(frame(1, {1: True, 12: True}, {1: 0.8, 12: 0.5}))
    timeline.add(frame(2, {1: True}, {}))  # damaged, say; and 12 is gone
    assert timeline.summary() == {
        "frames_per_bin": 1,
        "objects": {
            "1": {"present": [0.0, 1.0, 1.0], "score": [0.2, 0.8, None]},
            "12": {"present": [0.0, 1.0, 0.0], "score": [None, 0.5, None]},
        },
    }


@pytest.mark.parametrize("frames", [MOST_BINS, MOST_BINS + 1, 1000, 5 * MOST_BINS + 3])
def test_long_videos_share_bins(frames: int) -> None:
    timeline = Timeline()
    present = [index % 7 < 3 for index in range(frames)]
    for index, there in enumerate(present):
        later = {2: True} if index >= frames // 2 else {}
        timeline.add(frame(index, {1: there} | later, {1: index / frames}))
    summary = timeline.summary()
    per_bin = summary["frames_per_bin"]
    assert MOST_BINS // 2 <= len(summary["objects"]["1"]["present"]) <= MOST_BINS
    blocks = [range(start, min(start + per_bin, frames)) for start in range(0, frames, per_bin)]
    expected = [np.mean([present[i] for i in block]) for block in blocks]
    assert summary["objects"]["1"]["present"] == pytest.approx(expected, abs=1e-3)
    scores = [np.mean([i / frames for i in block]) for block in blocks]
    assert summary["objects"]["1"]["score"] == pytest.approx(scores, abs=1e-3)
    late = summary["objects"]["2"]
    assert len(late["present"]) == len(blocks)
    assert (late["present"][0], late["present"][-1], late["score"][-1]) == (0, 1, None)


def test_nothing_is_a_time_line_too() -> None:
    assert Timeline().summary() == {"frames_per_bin": 1, "objects": {}}
