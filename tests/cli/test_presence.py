"""`uniref predict` on inputs without the object."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from uniref.media.mask import read_mask
from uniref.weights.checkpoint_config import Presence, PresencePoint, read_config, write_config
from uniref_cli.app import run

Predict = Callable[..., int]


@pytest.fixture
def predict(tmp_path: Path, checkpoint: Path) -> Predict:
    """Run the command with the tiny checkpoint, or another, at 64 px into tmp_path/out."""

    def call(*arguments: object, model: Path = checkpoint) -> int:
        fixed = ["--checkpoint", model, "--out", tmp_path / "out", "--short-side", 64]
        return run(["predict", *map(str, [*arguments, *fixed])])

    return call


@pytest.fixture
def calibrated(checkpoint: Path, tmp_path: Path) -> Path:
    """The tiny checkpoint with a calibrated threshold that nothing reaches."""
    folder = tmp_path / "calibrated"
    shutil.copytree(checkpoint, folder)
    config = read_config(folder)
    point = PresencePoint(threshold=1, precision=None, recall=0, false_alarms=0)
    presence = Presence(threshold=1, rule="test", data="a/b", present=1, absent=1, curve=(point,))
    write_config(folder, config.model_copy(update={"presence": presence}))
    return folder


def objects(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())["objects"]


def test_an_absent_object_of_an_image_is_reported_and_its_outputs_are_complete(
    predict: Predict, png: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = (png, "--text", "the red car", "--score-threshold", 1, "--fail-if-absent")
    out = tmp_path / "out" / "picture"
    for _ in range(2):  # the second time it is done already
        assert predict(*command) == 1
        said = capsys.readouterr()
        assert f'{png}: object 1 ("the red car"): not found (best score 0.' in said.err
        assert "threshold 1.00)" in said.err
        about = objects(out)["1"]
        assert about["present"] is False
        assert about["frames_present"] == 0
        assert about["frames_predicted"] == 1
        assert 0 < about["best_score"] < 1
        assert not read_mask(out / "mask.png").any()
        assert (out / "overlay.png").is_file()
    assert predict(png, "--text", "the red car", "--score-threshold", 1, "--overwrite") == 0
    assert 'object 1 ("the red car"): not found (best score 0.' in capsys.readouterr().out


def test_a_threshold_of_zero_always_answers(predict: Predict, png: Path, tmp_path: Path) -> None:
    assert predict(png, "--text", "the red car", "--score-threshold", 0, "--fail-if-absent", "--save", "rle") == 0
    about = objects(tmp_path / "out" / "picture")["1"]
    assert about["present"] is True
    assert about["frames_present"] == 1


def test_an_absent_support_object_and_an_absent_object_of_a_video(
    predict: Predict, png: Path, mask_png: Path, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    assert predict(png, "--support", f"{png}={mask_png}", "--score-threshold", 1, "--fail-if-absent") == 1
    assert not read_mask(tmp_path / "out" / "picture" / "mask.png").any()
    for name, option in (("clip", "--propagate"), ("other", "--no-propagate")):
        clip = make_video(frames=2, name=f"{name}.mp4")
        assert predict(clip, "--text", "a dog", option, "--score-threshold", 1, "--fail-if-absent") == 1
        about = objects(tmp_path / "out" / name)["1"]
        assert (about["present"], about["frames_present"], about["frames_predicted"]) == (False, 0, 2)


def test_inputs_that_lack_an_object_are_counted(
    predict: Predict, png: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = []
    for name in ("a.png", "b.png", "c.png"):
        shutil.copy(png, tmp_path / name)
        names.append(tmp_path / name)
    records = [{"input": str(names[0]), "score_threshold": 0}, {"input": str(names[1])}, {"input": str(names[2])}]
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps(records))
    assert predict("--prompts", prompts, "--text", "a dog", "--score-threshold", 1, "--fail-if-absent", "--json") == 1
    said = capsys.readouterr()
    assert [json.loads(line)["objects"]["1"]["present"] for line in said.out.splitlines()] == [True, False, False]
    assert "2 of 3 inputs lack an object" in said.err


def test_the_checkpoint_s_calibrated_threshold_is_the_default(
    predict: Predict, calibrated: Path, png: Path, mask_png: Path, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    assert predict(png, "--text", "a dog", "--fail-if-absent", model=calibrated) == 1
    assert predict(png, "--text", "a dog", "--fail-if-absent", "--score-threshold", 0, "--overwrite") == 0
    # in videos it decides whether a text is found; objects that are followed keep the published 0.3
    clip = make_video(frames=2)
    assert predict(clip, "--text", "a dog", "--mask", mask_png, model=calibrated) == 0
    summary = json.loads((tmp_path / "out" / "clip" / "summary.json").read_text())
    assert summary["options"]["score_threshold"] == 0.3
    assert summary["options"]["start_threshold"] == 1
    assert summary["objects"]["2"]["frames_present"] == 0
    assert np.count_nonzero(read_mask(tmp_path / "out" / "clip" / "masks" / "00000.png")) > 0


def test_all_instances_of_a_text_by_option_and_by_record(
    predict: Predict, png: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = tmp_path / "prompts.json"
    record = {"input": str(png), "text": ["a dog", "7=a cat"], "score_threshold": 0, "all": True}
    prompts.write_text(json.dumps([record]))
    assert predict("--prompts", prompts, "--save", "rle,npz,overlay") == 0
    out = tmp_path / "out" / "picture"
    found = objects(out)
    assert found["1"]["instance"] == 1
    assert found["7"]["instance"] == 1
    assert {about["text"] for about in found.values()} == {"a dog", "a cat"}
    assert len(found) > 2
    assert '2 ("a dog" #2): 1 of 1' in capsys.readouterr().out
    lines = [json.loads(line) for line in (out / "masks.jsonl").read_text().splitlines()]
    assert [(line["object_id"], line["instance"]) for line in lines][:2] == [(1, 1), (2, 2)]
    with np.load(out / "masks.npz") as archive:
        assert archive["ids"].tolist() == sorted(map(int, found))
    assert predict(png, "--text", "a dog", "--all", "--score-threshold", 1, "--overwrite", "--fail-if-absent") == 1
