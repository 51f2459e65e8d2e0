"""Texts in videos in two passes: what the evaluation predicts is what a user of `segment_video` gets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.conftest import DATA
from uniref import Predictor
from uniref.core.tasks import Task
from uniref.data.frames import read_frames
from uniref.evaluation.dataset import open_dataset
from uniref.evaluation.predict_two_pass import MediaFrames
from uniref.media.mask import read_mask
from uniref_cli import app


def test_masks_are_those_of_two_passes(checkpoint: Path, root: Path, tmp_path: Path) -> None:
    line = ["eval", "--checkpoint", str(checkpoint), "--data", DATA[Task.RVOS], "--root", str(root), "--device", "cpu"]
    line += ["--out", str(tmp_path), "--workers", "1", "--limit", "1", "--short-side", "32", "--save-predictions"]
    assert app.run([*line, "--two-pass"]) == 0
    (entry,) = json.loads((tmp_path / "results.json").read_text())["benchmarks"]
    assert entry["protocol"]["two_pass"]
    assert "in two passes, both ways: not the published protocol" in entry["notes"]
    # another request is not mixed with it
    assert app.run(line) == 2
    # the same by hand
    dataset = open_dataset(root, DATA[Task.RVOS], 1, 1)
    items = dataset.items(0)
    media = dataset.index.media(items[0].sample.media)
    frames = read_frames(media, range(media.length))
    short, long = 32, max(32, dataset.protocol.sides[1])
    expected = Predictor.from_pretrained(checkpoint, "cpu").segment_video(
        frames, [dataset.text(item) for item in items], two_pass=True, short_side=short, long_side=long
    )
    written = {item.name: sorted(tmp_path.rglob(f"{item.name}/*.png")) for item in items}
    assert all(len(files) == media.length for files in written.values())
    for position, result in enumerate(expected):
        for number, item in enumerate(items, start=1):
            assert np.array_equal(read_mask(written[item.name][position]) > 0, result.masks[number])


def test_frames_of_an_index_backwards(root: Path) -> None:
    index = open_dataset(root, DATA[Task.RVOS], 1, 1).index
    clip = MediaFrames(index.media(0), 1)
    forwards = list(clip.forwards())
    assert [frame.index for frame in forwards] == [1, 2, 3, 4]
    backwards = list(clip.backwards(3))
    assert [frame.index for frame in backwards] == [3, 2, 1]
    for frame in backwards:
        assert np.array_equal(frame.image, forwards[frame.index - 1].image)
    assert (clip.count(), clip.count(3), 0 in clip, 4 in clip) == (4, 3, False, True)


def test_it_is_for_texts_in_videos(checkpoint: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["eval", "--checkpoint", str(checkpoint), "--root", str(root), "--two-pass"]
    assert app.run([*line, "--data", DATA[Task.VOS]]) == 2
    assert f"--two-pass: is for texts in videos; {DATA[Task.VOS]} holds none" in capsys.readouterr().err
