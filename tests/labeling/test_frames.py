"""Any frame by its index: the same as in order, with bounded memory."""

from __future__ import annotations

import io
import random
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from tests.labeling.clips import STREET, write_clip
from uniref import MediaError, UsageError
from uniref.labeling import frames as frames_module
from uniref.labeling.frames import FrameReader
from uniref.media.source import MediaSource


@pytest.mark.parametrize("ahead", [50, 2])  # reads on, and seeks
def test_any_order_gives_the_frames_in_order(ahead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "_AHEAD", ahead)
    monkeypatch.setattr(frames_module, "_CACHED_FRAMES", 1)  # the two last ones only
    wanted = {frame.index: frame.image for frame in MediaSource(STREET).frames()}
    reader = FrameReader(STREET)
    assert reader.count == len(wanted) == 48
    order = [47, 0, 1, 2, 30, 29, 28, *random.Random(3).sample(range(48), 12)]  # noqa: S311 - no secret
    for index in order:
        frame = reader.read(index)
        assert frame.index == index
        assert np.array_equal(frame.image, wanted[index]), index
        assert len(reader._cursor._frames) <= 2
    reader.close()


def test_pictures_for_the_page() -> None:
    reader = FrameReader(STREET)
    height, width = reader.size
    for data, size in (
        (reader.jpeg(3), (width, height)),
        (reader.jpeg(3, 100), (100, round(height * 100 / width))),
        (reader.jpeg(3, 10_000), (width, height)),
        (reader.thumbnail(3), (round(width * 96 / height), 96)),
    ):
        image = Image.open(io.BytesIO(data))
        assert (image.format, image.size) == ("JPEG", size)
    error = np.asarray(Image.open(io.BytesIO(reader.jpeg(3)))).astype(int) - reader.read(3).image
    assert np.abs(error).mean() < 4
    for index in (-1, 48):
        with pytest.raises(UsageError, match=r"street\.mp4 has frames 0 to 47"):
            reader.read(index)
    reader.close()


def test_jpegs_in_memory_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "_CACHED_JPEGS", 20_000)
    reader = FrameReader(STREET)
    for index in range(20):
        reader.thumbnail(index)
    kept = reader._jpegs._items
    assert 0 < sum(map(len, kept.values())) <= 20_000
    assert len(kept) < 20
    reader.close()


def test_a_fingerprint_tells_videos_apart_but_not_places(tmp_path: Path) -> None:
    one, other = write_clip(tmp_path / "a.mp4", 2), write_clip(tmp_path / "b.mp4", 3)
    moved = tmp_path / "elsewhere" / "c.mp4"
    moved.parent.mkdir()
    moved.write_bytes(one.read_bytes())
    prints = [FrameReader(path).fingerprint() for path in (one, other, moved)]
    assert prints[0] == prints[2] != prints[1]


def test_a_cut_off_video_has_the_frames_that_can_be_decoded(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.ts", tmp_path / "cut.ts"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(STREET), "-c", "copy", str(whole)]
    subprocess.run(command, check=True)
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    reader = FrameReader(path)
    assert 0 < reader.count < 48
    assert reader.read(reader.count - 1).index == reader.count - 1
    reader.close()


def test_what_is_not_a_video(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"nowhere\.mp4"):
        FrameReader(tmp_path / "nowhere.mp4")
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with pytest.raises(MediaError, match=r"text\.mp4"):
        FrameReader(text)
