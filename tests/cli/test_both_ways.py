"""`uniref predict --two-pass` and `--both-ways` as a user runs them, on files that are really encoded."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from uniref import Predictor
from uniref.inference.search import Search
from uniref.media.mask import read_mask
from uniref_cli.app import run

MakeVideo = Callable[..., Path]


@pytest.fixture
def predict(checkpoint: Path, tmp_path: Path) -> Callable[..., int]:
    """Run the command with the tiny checkpoint at 32 px into tmp_path/out."""

    def call(*arguments: object) -> int:
        fixed = ["--checkpoint", checkpoint, "--out", tmp_path / "out", "--short-side", 32, "--save", "masks"]
        return run(["predict", *map(str, [*arguments, *fixed])])

    return call


def labels(folder: Path) -> dict[str, np.ndarray]:
    return {path.stem: read_mask(path) for path in sorted((folder / "masks").iterdir())}


def test_a_mask_in_the_middle_and_a_text(
    predict, make_video: MakeVideo, mask_png: Path, disk: np.ndarray, checkpoint: Path, tmp_path: Path
) -> None:
    clip = make_video(frames=7)
    request = ("--mask", f"3:{mask_png}", "--text", "dog", "--start", 1, "--stride", 2, "--score-threshold", 0)
    assert predict(clip, *request, "--two-pass") == 0
    found = labels(tmp_path / "out" / "clip")
    expected = list(
        Predictor.from_pretrained(checkpoint, "cpu").segment_file(
            clip, "dog", {3: {1: disk}}, two_pass=True, start="1", stride=2, score_threshold=0.0, short_side=32
        )
    )
    assert list(found) == ["00001", "00003", "00005"]
    for mask, result in zip(found.values(), expected, strict=True):
        assert np.array_equal(mask, result.labels)
    summary = json.loads((tmp_path / "out" / "clip" / "summary.json").read_text())
    assert summary["options"]["two_pass"]
    assert summary["objects"]["1"]["frames_present"] == 3
    assert summary["objects"]["2"]["anchor_frame"] in (1, 3, 5)
    # what was kept meanwhile is gone
    assert sorted(path.name for path in (tmp_path / "out" / "clip").iterdir()) == [
        "masks",
        "preview.jpg",
        "summary.json",
    ]
    # another way is another request
    assert predict(clip, *request, "--both-ways", "--overwrite") == 0
    assert json.loads((tmp_path / "out" / "clip" / "summary.json").read_text())["options"]["both_ways"]


def test_records_choose_their_way(predict, make_video: MakeVideo, png: Path, mask_png: Path, tmp_path: Path) -> None:
    clip, jobs = make_video(frames=3), tmp_path / "jobs.jsonl"
    records = [
        {"input": str(clip), "name": "plain", "mask": f"1:{mask_png}", "both_ways": False},
        {"input": str(clip), "name": "both", "mask": f"1:{mask_png}"},
        {"input": str(png), "text": "dog", "two_pass": True},  # nothing to do for an image
    ]
    jobs.write_text("\n".join(map(json.dumps, records)))
    assert predict("--prompts", jobs, "--both-ways", "--score-threshold", 0) == 0
    frames = {
        name: json.loads((tmp_path / "out" / name / "summary.json").read_text())["objects"]["1"]["frames_predicted"]
        for name in ("plain", "both", "picture")
    }
    assert frames == {"plain": 2, "both": 3, "picture": 1}


@pytest.mark.parametrize("option", ["--two-pass", "--both-ways"])
def test_masks_are_needed(option: str, predict, make_video: MakeVideo, capsys) -> None:
    assert predict(make_video(frames=2), "--text", "dog", option, "--no-propagate") == 2
    said = capsys.readouterr().err
    assert f"{option}: follows objects by their masks; leave out --no-propagate" in said


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_first_pass_leaves_nothing(
    signum: int, code: int, predict, make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Search.look

    def stopping(search: Search, frame) -> None:
        look(search, frame)
        if frame.index == 1:
            signal.raise_signal(signum)

    monkeypatch.setattr(Search, "look", stopping)
    assert predict(make_video(frames=4), "--text", "dog", "--two-pass") == code
    assert list((tmp_path / "out").iterdir()) == []
