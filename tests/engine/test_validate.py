"""Evaluation in the course of a training."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from PIL import Image

from tests.engine.conftest import MakeRecipe
from tests.engine.test_run import assert_equal, go, weights
from uniref.core.errors import UniRefError, UsageError
from uniref.data.index import Index
from uniref.data.prepare.catalog import data_sets
from uniref.data.protocol import OF_TASK
from uniref.engine.checkpointer import checkpoint_folders, verify_checkpoint
from uniref.engine.validate import Validation
from uniref.evaluation.results import metric_names
from uniref.weights.checkpoint import load_checkpoint
from uniref.weights.checkpoint_config import read_config


@pytest.mark.slow
def test_results_pictures_and_the_best_model(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    path = make_recipe(
        steps=2,
        sides=[64, 128],
        evaluation={"every": 1, "data": ["ris/train", "fss/train", "vos/train"], "limit": 3, "pictures": 1},
    )
    _, heard = go(path, root, tmp_path / "run")
    folder = tmp_path / "run/only"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    evaluations = [line for line in lines if line["kind"] == "evaluation"]
    assert [line["step"] for line in evaluations] == [1, 2]
    assert all(0 <= line["results"]["ris/train"]["oIoU"] <= 1 for line in evaluations)
    best = read_config(folder / "best")
    headline = [sum(next(iter(values.values())) for values in line["results"].values()) / 3 for line in evaluations]
    assert best.source["value"] == pytest.approx(max(headline))
    assert best.sides == (64, 128)
    pictures = sorted((folder / "pictures/step-00000002").glob("*.png"))
    assert len(pictures) == 3
    with Image.open(pictures[1]) as image:
        assert "IoU" in image.info["Description"]
    page = (tmp_path / "run/report.html").read_text()
    assert page.count("data:image/png") == 3
    assert load_checkpoint(folder / "final").config.sides == (64, 128)
    assert any("ris/train: oIoU" in line for line in heard.lines)


def test_missing_data_is_told_before_the_training(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    path = make_recipe(steps=2, evaluation={"every": 2, "data": ["ris/train", "ris/absent"]})
    with pytest.raises(UniRefError, match="ris/absent: is not prepared in"):
        go(path, root, tmp_path / "run")
    assert not list((tmp_path / "run").rglob("metrics.jsonl"))


@pytest.mark.slow
def test_a_request_to_stop_breaks_an_evaluation_off_and_it_is_made_up_for(
    make_recipe: MakeRecipe, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from uniref.evaluation import predict

    path = make_recipe(
        steps=4,
        sides=[64, 128],
        checkpoint={"every": 100, "keep": 1},
        evaluation={"every": 2, "data": ["vos/train", "ris/train"], "limit": 2, "pictures": 0},
    )
    go(path, root, tmp_path / "whole")
    original = predict.predict_shard

    def asked(*arguments: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        original(*arguments)

    monkeypatch.setattr(predict, "predict_shard", asked)
    outcome, _ = go(path, root, tmp_path / "run")
    assert outcome.signal == signal.SIGTERM
    (saved,) = checkpoint_folders(tmp_path / "run/only/checkpoints")
    assert verify_checkpoint(saved).step == 2
    monkeypatch.undo()
    lines = (tmp_path / "run/only/metrics.jsonl").read_text()
    assert '"evaluation"' not in lines
    outcome, _ = go(path, root, tmp_path / "run", resume="auto")
    assert outcome.signal == 0
    told = {
        name: [json.loads(line) for line in (tmp_path / name / "only/metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "run")
    }
    whole, parts = (
        [(line["step"], line["results"]) for line in told[name] if line["kind"] == "evaluation"]
        for name in ("whole", "run")
    )
    assert whole == parts
    assert [step for step, _ in whole] == [2, 4]


def test_an_unknown_measure_is_named() -> None:
    found = Validation({"a/val": {"oIoU": 0.5, "mIoU": 0.4}}, ())
    assert found.best(None) == 0.5
    assert found.best("mIoU") == 0.4
    with pytest.raises(
        UsageError, match=r"evaluation\.best: 'IoU' is not a metric of this data; expected one of mIoU, oIoU"
    ):
        found.best("IoU")


def test_every_protocol_says_its_metrics() -> None:
    """Those of every data set, by a perfect prediction: what `evaluation.best` is checked against."""
    for name, each in data_sets().items():
        protocol = each.protocol or OF_TASK.get(each.task)
        if protocol is not None:
            assert metric_names(protocol), name
            if name == "lvos":
                assert "J&F 2024" in metric_names(protocol)


@pytest.mark.slow
def test_an_evaluation_that_fails_keeps_the_steps_before_it(
    make_recipe: MakeRecipe, root: Path, tmp_path: Path
) -> None:
    """An image is damaged while the training runs; when it is whole again, the run resumes with the evaluation."""
    shutil.copytree(root, tmp_path / "data")
    evaluation = {"every": 3, "data": ["ris/train"], "pictures": 0}
    data = {"workers": 0, "augment": {"short_sides": [64], "max_long_side": 128}, "sources": [{"index": "fss/train"}]}
    path = make_recipe(steps=4, sides=[64, 128], data=data, checkpoint={"every": 100, "keep": 1}, evaluation=evaluation)
    go(path, tmp_path / "data", tmp_path / "whole")
    index = Index.open(tmp_path / "data/index/ris/train")
    image = Path(index.media(index.sample(1).media).path)  # not one of those that are looked at first
    content = image.read_bytes()
    image.write_bytes(content[:100])
    with pytest.raises(UniRefError, match=r"evaluation at step 3: .*; the state is saved, resume with --resume auto"):
        go(path, tmp_path / "data", tmp_path / "run")
    (saved,) = checkpoint_folders(tmp_path / "run/only/checkpoints")
    assert verify_checkpoint(saved).step == 3
    with pytest.raises(UniRefError, match="evaluation at step 3"):
        go(path, tmp_path / "data", tmp_path / "run", resume="auto")
    image.write_bytes(content)
    go(path, tmp_path / "data", tmp_path / "run", resume="auto")
    assert_equal(weights(tmp_path / "whole"), weights(tmp_path / "run"))


@pytest.mark.slow
def test_a_run_whose_checkpoints_are_gone_says_so(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    path = make_recipe(steps=2)
    go(path, root, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/only/checkpoints")
    shutil.rmtree(tmp_path / "run/only/final")
    _, heard = go(path, root, tmp_path / "run", resume="auto")
    assert any("checkpoints: holds no checkpoint; only starts at step 1 again" in line for line in heard.lines)
