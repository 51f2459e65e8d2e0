"""The five recipes of docs/extending.md work as they are written."""

from __future__ import annotations

import csv
import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.extensions.test_plugins import install
from tests.tiny import tiny_config
from uniref.data.index import Index
from uniref.data.prepare import datasets
from uniref.data.prepare.catalog import data_sets
from uniref.inference.sinks import SINKS, MaskSink
from uniref.model.build import build_model
from uniref.recipe.load import load_recipe
from uniref.recipe.model import BackboneConfig, ModelConfig
from uniref_cli import app, prepare

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/extending.md").read_text("utf-8")


def code(heading: str, language: str = "python") -> str:
    """The code block of a section."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    match = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert match, heading
    return match[1]


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The new file is in the folder of data sets; returns published files of four photos."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more/pets.py").write_text(code("A data set"), encoding="utf-8")
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(tmp_path / "more")])
    importlib.invalidate_caches()
    data_sets.cache_clear()
    prepare.declared_options.cache_clear()
    for folder in ("photos", "masks"):
        (tmp_path / "files" / folder).mkdir(parents=True)
    for number in range(4):
        mask = np.zeros((64, 96), np.uint8)
        mask[16:48, 8 * number + 8 : 8 * number + 48] = 255
        Image.fromarray(mask).save(tmp_path / f"files/masks/{number}.png")
        Image.fromarray(np.dstack([mask // 2 + 40] * 3)).save(tmp_path / f"files/photos/{number}.png")
    phrases = {f"{number}.png": f"the pet number {number}" for number in range(4)}
    for split, names in {"train": ["0.png", "1.png", "2.png"], "val": ["3.png"]}.items():
        own = {name: phrases[name] for name in names}
        (tmp_path / f"files/{split}.json").write_text(json.dumps(own), encoding="utf-8")
    yield tmp_path / "files"
    sys.modules.pop("uniref.data.prepare.datasets.pets", None)
    data_sets.cache_clear()
    prepare.declared_options.cache_clear()


def prepared(pets: Path) -> Path:
    root = pets.parent / "data"
    command = ["prepare-data", "pets", "--root", str(root), "--source", str(pets), "--workers", "1", "--quiet"]
    assert app.run(command) == 0
    return root


def test_a_data_set(pets: Path) -> None:
    index = Index.open(prepared(pets) / "index/pets/train")
    assert [index.expression(row).text for row in range(3)] == [f"the pet number {number}" for number in range(3)]
    assert Index.open(pets.parent / "data/index/pets/val").expression(0).text == "the pet number 3"
    mask = index.annotations(index.sample(1).objects[0]).mask(0)
    assert mask is not None
    assert mask.sum() == 32 * 40


def test_a_backbone_of_timm(tmp_path: Path) -> None:
    stages = "{a: {data: {sources: [{index: a/train}]}, optim: {lr: 1e-4}, steps: 1, global_batch: 2}}"
    (tmp_path / "recipe.yaml").write_text(f"{code('A backbone', 'yaml')}stages: {stages}\n", encoding="utf-8")
    config = load_recipe(tmp_path / "recipe.yaml").stages["a"].model
    assert isinstance(config, ModelConfig)
    model: Any = build_model(tiny_config(backbone=config.backbone))
    assert model.backbone.widths == [40, 80, 160, 320]


@pytest.fixture
def backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's network is imported, as in a script."""
    (tmp_path / "my_backbone.py").write_text(code("A backbone"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_backbone", raising=False)
    importlib.import_module("my_backbone")


@pytest.mark.usefixtures("backbone")
def test_a_backbone_of_ones_own() -> None:
    model: Any = build_model(tiny_config(backbone=BackboneConfig(name="four_stages")))
    maps = model.backbone(torch.rand(1, 3, 64, 96))
    assert [tuple(x.shape[1:]) for x in maps] == [(16, 16, 24), (32, 8, 12), (64, 4, 6), (128, 2, 3)]


@pytest.mark.slow
@pytest.mark.usefixtures("backbone")
def test_a_loss_in_a_training_with_the_data_set_and_the_backbone(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", "my_losses", code("A loss"), "[uniref.losses]\ndecided = my_losses:Decided\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    root = prepared(pets)
    changes = {
        "stages.refer.init.stage": "null",
        "stages.refer.steps": "1",
        "stages.refer.evaluation": "null",
        "defaults.data.workers": "0",
        "defaults.model.backbone.name": "four_stages",
        "stages.refer.data.sources": "[{index: pets/train}]",
        "stages.refer.loss.plugins": "[{name: decided, options: {weight: 0.5}}]",
    }
    options = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    command = ["train", str(ROOT / "recipes/debug.yaml"), "--root", str(root), "--out", str(tmp_path / "run")]
    command += ["--stage", "refer"]
    assert app.run([*command, *options, "--device", "cpu"]) == 0
    lines = (tmp_path / "run/refer/metrics.jsonl").read_text("utf-8")
    assert "decided" in lines


def test_an_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SINKS, "areas", MaskSink)  # put back afterwards
    exec(code("An output"), {"__name__": "areas"})  # noqa: S102 - our own page
    options = ["--text", "the blue cup", "--save", "areas", "--out", str(tmp_path / "out"), "--quiet"]
    assert app.run(["predict", str(ROOT / "examples/table.jpg"), *options, "--device", "cpu"]) == 0
    rows = list(csv.DictReader((tmp_path / "out/table/areas.csv").open(encoding="utf-8")))
    assert [row["object"] for row in rows] == ["the blue cup"]
    assert int(rows[0]["pixels"]) > 1000


def test_a_fusion() -> None:
    names: dict[str, Any] = {"__name__": "my_fusion"}
    exec(code("A fusion"), names)  # noqa: S102 - our own page
    predictor, fusion = names["predictor"], names["checkpoint"].model.fusion
    image = np.asarray(Image.open(ROOT / "examples/table.jpg").convert("RGB"))
    first = predictor.segment_image(image, "the blue cup")
    assert first.mask.any()
    # its gate is closed: the text changes nothing; open, it does
    assert predictor.segment_image(image, "the green apple").score == first.score
    torch.nn.init.normal_(fusion.gate)
    opened = names["Predictor"](names["checkpoint"])
    assert opened.segment_image(image, "the blue cup").score != opened.segment_image(image, "the green apple").score
