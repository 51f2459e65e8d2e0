"""Videos whose frames have times of their own."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.media.containers import present
from uniref.media.video_colors import BT709, ColorTags
from uniref.media.video_write import VideoStyle, VideoWriter

FRAMES = [np.full((48, 64, 3), value, np.uint8) for value in (10, 60, 110, 160, 210)]


def test_frames_are_shown_when_they_are_to_be(tmp_path: Path) -> None:
    times = [0.0, 1 / 90000, 0.5, 0.7, 100.25]
    writer = VideoWriter(tmp_path / "a.mp4", (48, 64), 25, time_base=Fraction(1, 90000))
    for frame, time in zip(FRAMES, times, strict=True):
        writer.write(frame, time, 0.1)
    writer.close()
    written = present(tmp_path / "a.mp4")
    assert written.times == pytest.approx(times, abs=1e-5)
    assert [round(float(frame.mean()), -1) for frame in written.frames] == [10, 60, 110, 160, 210]


def test_times_that_do_not_grow_lose_no_frame(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", (48, 64), 25, time_base=Fraction(1, 1000))
    for frame, time in zip(FRAMES, [0.0, 0.0, 0.0, -5.0, 0.2], strict=True):
        writer.write(frame, time)
    writer.close()
    assert present(tmp_path / "a.mp4").times == pytest.approx([0, 0.001, 0.002, 0.003, 0.2], abs=1e-4)


def test_without_times_the_rate_counts(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", (48, 64), 30000 / 1001)
    for frame in FRAMES:
        writer.write(frame)
    writer.close()
    assert present(tmp_path / "a.mp4").times == pytest.approx([i * 1001 / 30000 for i in range(5)], abs=1e-5)


@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt470bg", "bt2020nc", "smpte240m", "fcc", None, "ycgco"])
@pytest.mark.parametrize("full", [False, True])
def test_colours_come_back(matrix: str | None, full: bool, tmp_path: Path) -> None:
    """Written with a matrix and its tag, read by ffmpeg with the tag."""
    colours = np.array([(200, 30, 30), (30, 160, 30), (30, 30, 200), (128, 128, 128)], np.uint8)
    frame = np.repeat(np.repeat(colours[None], 48, 0), 16, 1)
    writer = VideoWriter(
        tmp_path / "a.mp4", (48, 64), 25, look=VideoStyle(ColorTags(matrix, None, None, full), Fraction(4, 3))
    )
    for _ in range(3):
        writer.write(frame)
    writer.close()
    written = present(tmp_path / "a.mp4")
    assert written.aspect == Fraction(4, 3)
    assert written.tags["matrix"] == {None: "unknown", "ycgco": BT709.matrix}.get(matrix, matrix)
    centres = written.frames[1][24, 8::16].astype(int)
    assert np.abs(centres - colours).max() <= 4
