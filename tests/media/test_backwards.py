"""Frames read from the last to the first are those that are read from the first to the last."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uniref.media import source as sources
from uniref.media.ffmpeg import run_ffmpeg
from uniref.media.source import MediaSource, Selection

MakeVideo = Callable[..., Path]


def check(source: MediaSource, selection: Selection, last: int) -> list[int]:
    """That both directions agree; returns the indices, backwards."""
    forwards = {frame.index: frame for frame in source.frames(selection) if frame.index <= last}
    backwards = list(source.frames_backwards(selection, last))
    for frame in backwards:
        assert np.array_equal(frame.image, forwards[frame.index].image)
        assert (frame.name, frame.seconds) == (forwards[frame.index].name, forwards[frame.index].seconds)
    return [frame.index for frame in backwards]


@pytest.fixture
def in_pieces_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("_IN_MEMORY", "_IN_MEMORY_UNSEEKABLE"):
        monkeypatch.setattr(sources, limit, 3 * 48 * 64 * 3)


@pytest.mark.usefixtures("in_pieces_of_three")
def test_a_file_with_an_index(make_video: MakeVideo, tmp_path: Path) -> None:
    clip = tmp_path / "keys.mp4"
    coded = ["-c:v", "libx264", "-g", "20", "-x264-params", "scenecut=0:open-gop=0", str(clip)]
    assert run_ffmpeg(["-i", str(make_video(frames=80)), *coded])[0] == 0
    source = MediaSource(clip)  # long enough that the decoder seeks
    assert source.video is not None
    assert source.video.seekable
    assert check(source, Selection(), 79) == list(range(79, -1, -1))
    assert check(source, Selection("3", stride=4), 75) == list(range(75, 2, -4))
    assert check(source, Selection("5"), 5) == [5]


@pytest.mark.usefixtures("in_pieces_of_three")
def test_a_file_without_an_index(make_video: MakeVideo, tmp_path: Path) -> None:
    stream = tmp_path / "clip.ts"
    assert run_ffmpeg(["-i", str(make_video(frames=20)), "-c", "copy", str(stream)])[0] == 0
    source = MediaSource(stream)
    assert source.video is not None
    assert not source.video.seekable
    assert check(source, Selection(stride=3), 18) == [18, 15, 12, 9, 6, 3, 0]


def test_a_folder_with_a_damaged_frame(picture: np.ndarray, tmp_path: Path) -> None:
    for number in range(4):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"\x89PNG")
    assert check(MediaSource(tmp_path), Selection(), 3) == [3, 1, 0]


@pytest.mark.usefixtures("in_pieces_of_three")
def test_damage_in_the_middle_of_a_video(make_video: MakeVideo) -> None:
    path = make_video(frames=40, size=(240, 320))
    data = bytearray(path.read_bytes())
    middle = data.find(b"mdat") + (len(data) - data.find(b"mdat")) // 2
    data[middle : middle + 60] = b"\xff" * 60
    path.write_bytes(data)
    source = MediaSource(path)
    damaged = {frame.index for frame in source.frames(Selection()) if frame.damaged}
    found = [frame.index for frame in source.frames_backwards(Selection(), 39)]
    assert found == sorted(found, reverse=True)
    assert damaged
    assert sorted({*damaged, *found}) == list(range(40))
    assert not damaged & set(found)
