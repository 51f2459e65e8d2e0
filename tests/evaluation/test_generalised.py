"""Expressions for several or no objects (gRefCOCO): metrics against the published loop, written out plainly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare
from tests.evaluation.conftest import Score
from tests.evaluation.masks import Masks, write_masks
from tests.tiny import tiny_sam_config
from uniref.core.errors import UniRefError
from uniref.evaluation import evaluate
from uniref.evaluation.dataset import EvalItem, open_dataset
from uniref.evaluation.metrics.images import GeneralisedOverlap, generalised, overlap
from uniref.evaluation.prediction_files import foreign_predictions
from uniref.inference.predictor import Predictor
from uniref.media.image import read_image
from uniref.model.sam import UniRefSam
from uniref.model.text import TextTokenizer
from uniref.model.uniref import UniRef
from uniref.weights.checkpoint import Checkpoint
from uniref.weights.checkpoint_config import CheckpointMetadata
from uniref_cli import app


def published(predictions: list[tuple[np.ndarray, np.ndarray, bool, bool]]) -> dict[str, float]:
    """The definition, expression by expression; (mask, truth, expression without a target, none predicted)."""
    total, inner, outer = 0.0, 0, 0
    counts = {"TP": 0, "FN": 0, "TN": 0, "FP": 0}
    targeted = []
    for mask, truth, empty, refused in predictions:
        both, either = int((mask & truth).sum()), int((mask | truth).sum())
        if empty:
            counts["TP" if refused else "FN"] += 1
            total += refused
            outer += 0 if refused else either
            continue
        counts["FP" if refused else "TN"] += 1
        both = 0 if refused else both
        targeted.append(both / either if either else 0.0)
        total, inner, outer = total + targeted[-1], inner + both, outer + either
    out = {"gIoU": total / len(predictions), "cIoU": inner / outer}
    out["N-acc"] = counts["TP"] / (counts["TP"] + counts["FN"])
    out["T-acc"] = counts["TN"] / (counts["TN"] + counts["FP"])
    return out | {f"P@{x}": sum(iou >= x for iou in targeted) / len(targeted) for x in (0.7, 0.8, 0.9)}


def test_metrics_are_the_published_ones() -> None:
    rng = np.random.default_rng(3)
    cases = []
    for number in range(200):
        truth = rng.random((9, 11)) < 0.3
        empty = number % 3 == 0
        mask = truth ^ (rng.random((9, 11)) < rng.random() * 0.4)
        refused = bool(rng.random() < 0.3)
        cases.append((mask, truth & (not empty), empty, refused))
    cases.append((np.zeros((9, 11), bool), np.zeros((9, 11), bool), False, False))  # a target of crowds alone
    exact = np.ones((10, 10), bool)
    cases.append((exact, exact, False, False))
    seven = exact.copy()
    seven[:3] = False
    cases.append((seven, exact, False, False))  # an IoU of exactly 0.7 counts
    found = generalised([GeneralisedOverlap(overlap(m, t), empty, not refused) for m, t, empty, refused in cases])
    assert found == pytest.approx(published(cases), abs=1e-12)


def test_kinds_that_do_not_occur_have_no_accuracy() -> None:
    mask = np.ones((3, 3), bool)
    nothing = GeneralisedOverlap(overlap(~mask, ~mask), True, False)
    assert generalised([nothing]) == {"gIoU": 1, "cIoU": 1, "N-acc": 1}
    assert "N-acc" not in generalised([GeneralisedOverlap(overlap(mask, mask), False, True)])


def test_masks_of_another_tool(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    """An empty mask says that nothing is there."""
    build.grefcoco(tmp_path / "g")
    index = prepare("grefcoco", tmp_path / "g", "val")
    dataset = open_dataset(tmp_path / "data", "grefcoco/val")

    def change(item: EvalItem, frame: int, masks: Masks) -> Masks:
        left, right = build.box_mask(0, 0, build.H, 16), build.box_mask(0, 0, build.H, 20)
        return {1: {"90": masks[1] & left, "91": masks[1] & False, "100": right}.get(item.name, masks[1])}

    path = write_masks(dataset, tmp_path / "p", change)
    numbers = score("grefcoco/val", path)["numbers"]
    truth = {item.name: dataset.index for item in dataset.all_items()}
    assert set(truth) == {"80", "90", "91", "100", "80~2"}
    area = [index.annotations(row).mask(0).sum() for row in index.sample(1).objects]
    half = area[0] / sum(area)
    assert numbers["gIoU"] == pytest.approx((1 + half + 0 + 0 + 1) / 5)
    inner, outer = area[0] + area[0], area[0] + 2 * sum(area) + 20 * build.H
    assert numbers["cIoU"] == pytest.approx(inner / outer)
    assert (numbers["N-acc"], numbers["T-acc"]) == (0.5, pytest.approx(2 / 3))
    # run lengths may carry the answer of a classifier beside the mask
    everything = build.run_lengths(build.box_mask(0, 0, build.H, build.W))
    lines = [{"key": name, **everything, "no_target": name in ("100", "80~2", "80")} for name in truth]
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines/all.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    second = score("grefcoco/val", tmp_path / "lines")["numbers"]
    pixels = build.H * build.W
    assert second["gIoU"] == pytest.approx((0 + 2 * sum(area) / pixels + 1 + 1) / 5)
    assert second["cIoU"] == pytest.approx(2 * sum(area) / (3 * pixels))
    assert (second["N-acc"], second["T-acc"]) == (1, pytest.approx(2 / 3))
    # a text is no truth value
    (tmp_path / "lines/all.jsonl").write_text(json.dumps(lines[0] | {"no_target": "false"}))
    with pytest.raises(UniRefError, match=r"all\.jsonl: line 1: no_target: must be true or false"):
        foreign_predictions(dataset, tmp_path / "lines")
    # files that are no masks of this data are named, with what to do
    (tmp_path / "lines/all.jsonl").rename(tmp_path / "all.zip")
    (tmp_path / "lines/11.PNG").write_bytes(b"")
    with pytest.raises(UniRefError, match=r"11\.PNG: names of masks end in \.png; rename it"):
        foreign_predictions(dataset, tmp_path / "lines")
    with pytest.raises(UniRefError, match=r"all\.zip: is a file; unpack it, and name the folder"):
        foreign_predictions(dataset, tmp_path / "all.zip")


@pytest.fixture
def grefcoco(tmp_path: Path, prepare: Prepare) -> Path:
    """The prepared root."""
    build.grefcoco(tmp_path / "g")
    prepare("grefcoco", tmp_path / "g", "val")
    return tmp_path / "data"


def test_a_model_answers_with_all_instances_joined(
    model: UniRef, tokenizer: TextTokenizer, grefcoco: Path, tmp_path: Path
) -> None:
    found = evaluate(model, tokenizer, grefcoco, ["grefcoco/val"], sides=(48, 96))["grefcoco/val"]
    dataset = open_dataset(grefcoco, "grefcoco/val")
    predictor = Predictor(Checkpoint(model, tokenizer, CheckpointMetadata(model=model.config)), "cpu")
    image = read_image(dataset.index.media(0).path)
    cases = []
    for item in dataset.all_items():
        results = predictor.segment_image(
            image, dataset.text(item), short_side=48, long_side=96, score_threshold=0.3, all_instances=True
        )
        mask = np.zeros(image.shape[:2], bool)
        for result in results:
            mask |= result.mask
        truth = np.zeros_like(mask)
        for row in item.sample.objects:
            truth |= dataset.index.annotations(row).mask(0)
        cases.append((mask, truth, item.sample.no_target, not results))
    assert found["gIoU"] == pytest.approx(published(cases)["gIoU"], abs=1e-12)
    assert found["N-acc"] == published(cases)["N-acc"]


def test_the_threshold_decides_whether_there_is_a_target(
    checkpoint: Path, grefcoco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["eval", "--checkpoint", str(checkpoint), "--data", "grefcoco/val", "--root", str(grefcoco), "--json"]
    command += ["--short-side", "48", "--long-side", "96"]
    for threshold, accuracies in (("0", (0, 1)), ("1", (1, 0))):
        out = tmp_path / f"out-{threshold}"
        code = app.run([*command, "--out", str(out), "--score-threshold", threshold])
        said = capsys.readouterr()
        assert code == 0, said.err
        record = json.loads(said.out.splitlines()[-1])
        assert record["protocol"]["threshold"] == float(threshold)
        assert (record["numbers"]["N-acc"], record["numbers"]["T-acc"]) == accuracies
    assert record["numbers"]["gIoU"] == pytest.approx(2 / 5)
    assert (tmp_path / "out-1/report.html").is_file()


def test_thresholds_where_there_are_none(
    checkpoint: Path, grefcoco: Path, prepare: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build.refcoco(tmp_path / "r", splits=("train", "val"))
    prepare("refcoco", tmp_path / "r", "val")
    fixed = ["eval", "--root", str(grefcoco), "--out", str(tmp_path / "o"), "--score-threshold", "0.5"]
    assert app.run([*fixed, "--data", "refcoco/val", "--checkpoint", str(checkpoint)]) == 2
    assert "--score-threshold: is not used for refcoco/val" in capsys.readouterr().err
    assert app.run([*fixed, "--data", "grefcoco/val", "--predictions", str(tmp_path)]) == 2
    assert "--score-threshold: is for a model" in capsys.readouterr().err


def test_a_calibrated_threshold_is_the_default(
    checkpoint: Path, grefcoco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Measured on the data set's own expressions for nothing."""
    folder = tmp_path / "calibrated"
    shutil.copytree(checkpoint, folder)
    fixed = ["eval", "--checkpoint", str(folder), "--data", "grefcoco/val", "--root", str(grefcoco)]
    fixed += ["--short-side", "48", "--long-side", "96", "--json"]
    assert app.run([*fixed, "--calibrate", "--false-alarms", "0"]) == 0
    calibrated = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (calibrated["present"], calibrated["absent"]) == (3, 2)
    assert app.run([*fixed, "--out", str(tmp_path / "out")]) == 0
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record["protocol"]["threshold"] == calibrated["threshold"] != 0.3
    assert record["numbers"]["N-acc"] == 1


def test_a_sam_answers_with_its_one_mask(tokenizer: TextTokenizer, grefcoco: Path) -> None:
    torch.manual_seed(0)
    found = evaluate(UniRefSam(tiny_sam_config()), tokenizer, grefcoco, ["grefcoco/val"])["grefcoco/val"]
    assert next(iter(found)) == "gIoU"
