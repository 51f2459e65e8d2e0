"""Videos whose frames are large are read by ffmpeg, which decodes no hundred frames ahead."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from uniref.media import video_read
from uniref.media.video_read import VideoFile

STREET = Path(__file__).parents[2] / "examples/street.mp4"


def test_large_frames_are_not_read_by_decord_and_are_the_same(monkeypatch) -> None:
    small = VideoFile(STREET)
    assert small._reader is not None
    monkeypatch.setattr(video_read, "_DECORD_PIXELS", 384 * 216 - 1)
    large = VideoFile(STREET)
    assert large._reader is None
    assert video_read.why_not_decord(large.info) == "large frames"
    for ours, theirs in zip(small.frames(3, 20, 2), large.frames(3, 20, 2), strict=True):
        assert (ours.index, ours.seconds, ours.duration) == (theirs.index, theirs.seconds, theirs.duration)
        assert np.array_equal(ours.image, theirs.image)
