"""What a folder is read as."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uniref.core.errors import MediaError
from uniref.media.source import MediaSource, Selection


def folder_of(tmp_path: Path, *names: str) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in names:
        if name.endswith((".mp4", ".gif", ".txt")):
            (folder / name).write_bytes(b"x")
        else:
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / name)
    return folder


def test_a_folder_of_videos_with_stray_images_is_told(tmp_path: Path) -> None:
    source = MediaSource(folder_of(tmp_path, "a.mp4", "b.mp4", "x.png", "y.png", "notes.txt", ".c.mp4"))
    assert source.frame_count == 2
    [note] = source.notes
    assert "is read as one video of 2 frames, its images; the 2 videos in it (a.mp4, ...) are left out" in note
    assert note.endswith("as in " + str(tmp_path / "clips/*.mp4") + ")")


def test_a_folder_of_videos_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"holds no frames, but 1 video; name them, for example as .*clips/\*\.gif"):
        MediaSource(folder_of(tmp_path, "a.gif"))


def test_frames_that_would_share_their_outputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"holds 000\.jpg and 000\.png, two files for one frame"):
        MediaSource(folder_of(tmp_path, "000.jpg", "000.png", "001.jpg"))


def test_frames_keep_their_sizes_and_the_first_change_is_told(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "0.png", "1.png", "2.png")
    Image.fromarray(np.zeros((6, 4, 3), np.uint8)).save(folder / "1.png")
    source = MediaSource(folder)
    assert [frame.image.shape[:2] for frame in source.frames(Selection())] == [(8, 8), (6, 4), (8, 8)]
    assert source.resized == "4 x 6 from 1.png on"
    assert source.notes == ()
