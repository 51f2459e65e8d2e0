"""Evaluation in the course of a training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.engine.conftest import MakeRecipe
from tests.engine.test_run import go
from uniref.core.errors import UsageError
from uniref.engine.validate import Validation
from uniref.weights.bundle import load_bundle, read_config


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
    assert load_bundle(folder / "final").config.sides == (64, 128)
    assert any("ris/train: oIoU" in line for line in heard.lines)


def test_an_unknown_measure_is_named() -> None:
    found = Validation({"a/val": {"oIoU": 0.5, "mIoU": 0.4}}, ())
    assert found.best(None) == 0.5
    assert found.best("mIoU") == 0.4
    with pytest.raises(UsageError, match=r"evaluation\.best: 'IoU' is no measure of this data; use one of mIoU, oIoU"):
        found.best("IoU")
