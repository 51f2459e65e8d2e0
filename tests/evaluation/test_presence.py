"""`uniref eval --calibrate`: the threshold of presence, measured on phrases of present and absent objects."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uniref import Predictor
from uniref.core.progress import silent
from uniref.evaluation import presence
from uniref.evaluation.dataset import open_dataset
from uniref.evaluation.presence import PresenceScores, choose_threshold, measure_presence
from uniref.weights.checkpoint_config import read_config
from uniref_cli.app import run

PHRASES = {
    "a": ["the red dog", "a cat on the left"],
    "b": ["the blue dogs", "a tree"],
    "c": ["a tall house", "the thing"],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three pictures with two phrases each, prepared as own data."""
    source = tmp_path / "own"
    for folder in ("images", "masks"):
        (source / folder).mkdir(parents=True)
    lines = ["image,object,text"]
    for number, (name, phrases) in enumerate(PHRASES.items()):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
        Image.fromarray(pixels).save(source / "images" / f"{name}.png")
        labels = np.zeros((48, 64), np.uint8)
        labels[4:20, 4:20], labels[24:40, 30:50] = 1, 2
        Image.fromarray(labels).save(source / "masks" / f"{name}.png")
        lines += [f"{name},{place},{text}" for place, text in enumerate(phrases, start=1)]
    (source / "phrases.csv").write_text("\n".join(lines) + "\n")
    data = tmp_path / "data"
    request = ["prepare-data", "custom", "--root", str(data), "--source", str(source), "--name", "own", "--task", "ris"]
    assert run([*request, "--quiet"]) == 0
    return data


def split_of(root: Path) -> str:
    (folder,) = (root / "index" / "own").iterdir()
    return f"own/{folder.name}"


@pytest.fixture
def own_checkpoint(checkpoint: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    return folder


def test_the_threshold_that_separates_best() -> None:
    scores = PresenceScores([0.9, 0.8, 0.55, 0.2], [0.5, 0.4, 0.3, 0.1])
    chosen = choose_threshold(scores, "a/b", None)
    assert 0.5 <= chosen.threshold < 0.55
    assert (chosen.data, chosen.present, chosen.absent) == ("a/b", 4, 4)
    point = next(point for point in chosen.curve if point.threshold == chosen.threshold)
    assert (point.precision, point.recall, point.false_alarms) == (1.0, 0.75, 0.0)
    assert [point.threshold for point in chosen.curve] == sorted(point.threshold for point in chosen.curve)
    assert chosen.curve[-1].precision is None  # nothing is answered


@pytest.mark.parametrize(("most", "threshold"), [(0.0, 0.5), (0.25, 0.4), (0.5, 0.3), (1.0, 0.0)])
def test_the_lowest_threshold_with_few_false_alarms(most: float, threshold: float) -> None:
    scores = PresenceScores([0.9, 0.6], [0.5, 0.4, 0.3, 0.1])
    assert choose_threshold(scores, "a/b", most).threshold == threshold


def test_absent_phrases_share_no_noun_with_the_image(root: Path) -> None:
    pictures = presence._with_absent(presence._pictures(open_dataset(root, split_of(root))))
    assert [picture.present for picture in pictures] == [tuple(phrases) for phrases in PHRASES.values()]
    absent = [set(picture.absent) for picture in pictures]
    # "the blue dogs" and "the red dog" have a noun in common; "the thing" has none
    assert absent[0] == {"a tree", "a tall house"}
    assert absent[1] <= {"a cat on the left", "a tall house"}
    assert len(absent[1]) == 2
    assert absent[2] <= {"the red dog", "a cat on the left", "the blue dogs", "a tree"}
    assert len(absent[2]) == 2
    again = presence._with_absent(presence._pictures(open_dataset(root, split_of(root))))
    assert again == pictures


def test_scores_are_those_of_the_predictor(root: Path, checkpoint: Path) -> None:
    predictor, dataset = Predictor.from_pretrained(checkpoint, "cpu"), open_dataset(root, split_of(root))
    scores = measure_presence(predictor, dataset, silent)
    assert len(scores.present) == 6
    assert len(scores.absent) == 6
    with Image.open(root.parent / "own" / "images" / "a.png") as image:
        pixels = np.array(image)
    short, long = dataset.protocol.sides
    expected = predictor.segment_image(pixels, PHRASES["a"], short_side=short, long_side=long)
    assert scores.present[:2] == pytest.approx([result.score for result in expected], abs=1e-5)


def test_the_command_stores_the_threshold_and_predict_uses_it(
    root: Path, own_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, before = (own_checkpoint / "model.safetensors").read_bytes(), read_config(own_checkpoint)
    request = [
        "eval",
        "--calibrate",
        "--checkpoint",
        str(own_checkpoint),
        "--data",
        split_of(root),
        "--root",
        str(root),
    ]
    assert run([*request, "--short-side", "64", "--false-alarms", "0", "--device", "cpu", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    config = read_config(own_checkpoint)
    assert config.presence is not None
    assert config.presence.threshold == record["threshold"]
    assert config.presence.absent == 6
    assert config.model_copy(update={"presence": None}) == before
    assert (own_checkpoint / "model.safetensors").read_bytes() == weights
    assert Predictor.from_pretrained(own_checkpoint, "cpu").score_threshold == record["threshold"]
    # once more, by the other rule
    assert run([*request, "--short-side", "64", "--device", "cpu"]) == 0
    assert "best balanced accuracy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--checkpoint", "small"], "small is not a folder of yours"),
        ([], "name the checkpoint"),
        (["--checkpoint", "CHECKPOINT", "--submission"], "leave out --submission"),
        (["--checkpoint", "CHECKPOINT", "--shard", "1/2"], "leave out --shard"),
        (["--checkpoint", "CHECKPOINT", "--data", "own/other"], "takes one split"),
    ],
)
def test_what_cannot_be_calibrated(
    options: list[str], message: str, root: Path, own_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [str(own_checkpoint) if option == "CHECKPOINT" else option for option in options]
    assert run(["eval", "--calibrate", "--data", split_of(root), "--root", str(root), *named]) == 2
    assert message in capsys.readouterr().err


def test_false_alarms_belong_to_calibrate(root: Path, own_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", "--checkpoint", str(own_checkpoint), "--data", split_of(root), "--false-alarms", "0.1"]) == 2
    assert "belongs to --calibrate" in capsys.readouterr().err
