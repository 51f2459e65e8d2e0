"""Frames of an index's media, from pictures and from video files of containers with and without an index."""

from pathlib import Path

import numpy as np
import pytest

from tests.data import toy
from uniref.core.errors import MediaError
from uniref.core.tasks import Task
from uniref.data.frames import frames_in_order, read_frames
from uniref.data.index import Index
from uniref.media.ffmpeg import run_ffmpeg


@pytest.mark.parametrize("form", ["pictures", "mp4", "avi"])
def test_frames_are_the_same_however_they_are_read(form: str, tmp_path: Path) -> None:
    name = toy.clips(tmp_path, Task.VOS, 1, frames=40, as_file=form != "pictures")
    media = Index.open(tmp_path / "index" / name).media(0)
    if form == "avi":  # under its old name: content counts
        other = tmp_path / "other.avi"
        assert run_ffmpeg(["-i", str(media.path), "-c:v", "mpeg4", "-q:v", "2", "-bf", "2", str(other)])[0] == 0
        other.replace(media.path)
    whole = dict(frames_in_order(media))
    assert list(whole) == list(range(40))
    for chosen in ([0], [39], [5, 5, 3], [2, 38, 20], [31, 30]):
        for frame, image in zip(chosen, read_frames(media, chosen), strict=True):
            assert np.array_equal(image, whole[frame])
    assert [frame for frame, _ in frames_in_order(media, 37)] == [37, 38, 39]


def test_a_frame_that_is_missing_is_named(tmp_path: Path) -> None:
    name = toy.clips(tmp_path, Task.VOS, 1, frames=40, as_file=True)
    media = Index.open(tmp_path / "index" / name).media(0)
    media.path.write_bytes(media.path.read_bytes()[: media.path.stat().st_size * 2 // 3])
    with pytest.raises(MediaError, match=r"frame \d+ cannot be decoded"):
        list(frames_in_order(media))
    with pytest.raises(MediaError, match=r"0\.mp4.* can be decoded|frame 39 cannot be decoded"):
        read_frames(media, [39])
