"""What a training lacks is known before its first step, whichever stage lacks it."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.conftest import MakeRecipe
from tests.engine.test_run import go
from uniref.core.errors import CheckpointError, UniRefError, UsageError
from uniref.data.index import Index
from uniref.engine.requirements import check_requirements, find_problems
from uniref.recipe.load import load_recipe
from uniref.recipe.recipe import Recipe


@pytest.fixture
def two_stages(make_recipe: MakeRecipe, tmp_path: Path) -> Path:
    """A recipe of two stages, of which the second starts from the first."""
    content = load_recipe(make_recipe(steps=2)).model_dump(mode="json")
    second = json.loads(json.dumps(content["stages"]["only"])) | {"init": {"stage": "only"}}
    path = tmp_path / "two.yaml"
    path.write_text(json.dumps({"run": content["run"], "stages": {"only": content["stages"]["only"], "later": second}}))
    return path


def loaded(path: Path, *overrides: str) -> Recipe:
    return load_recipe(path, overrides)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "stages.later.init.mask_encoder=nowhere.pth",
            r"stages\.later\.init\.mask_encoder: nowhere\.pth: no such file",
        ),
        ("stages.later.init.text=nowhere", r"stages\.later\.init\.text: nowhere: no such folder"),
        ("stages.later.data.sources=[{index: ris/train}, {index: gone/train}]", "gone/train: is not an index"),
        ("stages.later.evaluation={data: [gone/val]}", "gone/val: is not prepared in"),
        (
            "stages.later.evaluation={data: [ris/train], best: foo}",
            r"evaluation\.best: 'foo' is not a metric of this data; expected one of .*mIoU, .*oIoU",
        ),
        (
            "stages.later.init={model: smal, stage: null}",
            r"stages\.later\.init\.model: smal: no such checkpoint; did you mean small\?",
        ),
        ("stages.later.model.mask_encoder=null", r"fss/train: is trained as fss, but model\.mask_encoder is null"),
        ("stages.later.frozen=['nothing']", r"stages\.later\.frozen: 'nothing' matches no parameter"),
        ("stages.later.optim.groups={a: {match: nothing}}", "'nothing' matches no parameter of the model"),
    ],
)
@pytest.mark.slow
def test_what_a_later_stage_lacks_stops_the_run_before_the_first(
    two_stages: Path, root: Path, tmp_path: Path, override: str, message: str
) -> None:
    with pytest.raises(UniRefError, match=message):
        go(two_stages, root, tmp_path / "run", override)
    assert not (tmp_path / "run").exists()


def test_all_problems_are_named_at_once(two_stages: Path, root: Path, tmp_path: Path) -> None:
    recipe = loaded(two_stages, "stages.*.init.text=nowhere", "stages.later.evaluation={data: [gone/val]}")
    problems = [str(problem) for problem in find_problems(recipe, ["only", "later"], root, tmp_path)]
    assert len(problems) == 3
    assert "gone/val" in problems[0]  # data, which are checked in a moment, come first
    with pytest.raises(UniRefError, match=r"gone/val.*; stages\.only\.init\.text.*; stages\.later\.init\.text"):
        check_requirements(recipe, ["only", "later"], root, tmp_path)
    with pytest.raises(UniRefError, match="gone/val"):
        check_requirements(recipe, ["only", "later"], root)  # data alone, as before a download


def test_an_evaluation_that_the_model_cannot_do(two_stages: Path, root: Path, tmp_path: Path) -> None:
    sources = "stages.*.data.sources=[{index: ris/train}]"
    changes = ("stages.later.model.mask_encoder=null", "stages.later.evaluation={data: [vos/train]}")
    recipe = loaded(two_stages, sources, *changes)
    with pytest.raises(UsageError, match=r"vos/train is evaluated as vos, but model\.mask_encoder is null"):
        check_requirements(recipe, ["only", "later"], root, tmp_path)


@pytest.mark.slow
def test_weights_that_do_not_fit_are_noticed_without_building_the_model(
    two_stages: Path, root: Path, tmp_path: Path
) -> None:
    def file(tensors: dict[str, Any]) -> str:
        torch.save(tensors, tmp_path / "weights.pth")
        return f"stages.later.init.mask_encoder={tmp_path / 'weights.pth'}"

    recipe = loaded(two_stages, file({"conv1.weight": torch.zeros(8, 3, 7, 7)}))
    with pytest.raises(CheckpointError, match="is not a ResNet-18 of these sizes"):
        check_requirements(recipe, ["only", "later"], root, tmp_path)
    # what fits is accepted, although nothing is loaded
    go(two_stages, root, tmp_path / "run", "stages.only.steps=1", "stages.later.steps=1")
    final = tmp_path / "run/later/final"
    check_requirements(loaded(two_stages, f"stages.only.init.model={final}"), ["only", "later"], root, tmp_path)
    other = loaded(two_stages, f"stages.only.init.model={final}", "stages.only.model.transformer.ffn_dim=32")
    with pytest.raises(
        CheckpointError, match=r"stages\.only\.init: .*does not fit the stage's model: it has other sizes"
    ):
        check_requirements(other, ["only"], root, tmp_path)


@pytest.mark.slow
def test_a_stage_that_is_resumed_needs_no_initial_weights(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    path = make_recipe(steps=2)
    go(path, root, tmp_path / "first")
    shutil.move(tmp_path / "first/only/final", tmp_path / "start")
    start = f"stages.only.init.model={tmp_path / 'start'}"
    go(path, root, tmp_path / "run", start)
    shutil.rmtree(tmp_path / "run/only/final")
    (tmp_path / "start/model.safetensors").unlink()
    _, heard = go(path, root, tmp_path / "run", start, "stages.only.steps=3", resume="auto")
    assert any("resuming at step 2" in line for line in heard.lines)


@pytest.mark.slow
def test_all_checkpoints_damaged_stops_and_keeps_them(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    path = make_recipe(steps=4)
    go(path, root, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/only/final")
    folder = tmp_path / "run/only/checkpoints"
    for file in folder.glob("*/training.pt"):
        file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"damaged: .*training\.pt.*no other checkpoint in .* is intact, and all"):
        go(path, root, tmp_path / "run", resume="auto")
    assert [each.name for each in sorted(folder.iterdir())] == ["step-00000002", "step-00000004"]


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="wandb is installed")
def test_a_logger_that_is_not_installed_is_named_first(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"run\.loggers: wandb is not installed; pip install wandb"):
        go(make_recipe(), root, tmp_path / "run", "run.loggers=[tensorboard, wandb]")


@pytest.mark.parametrize(
    "where", ["stages.later.data.sources=[{index: ris/train}]", "stages.later.evaluation={data: [ris/train]}"]
)
def test_images_of_a_later_stage_that_are_gone_or_damaged(
    two_stages: Path, root: Path, tmp_path: Path, where: str
) -> None:
    """A disk that is not mounted: the index is there, its images are not."""
    shutil.copytree(root, tmp_path / "data")
    sources = "stages.only.data.sources=[{index: fss/train}]"
    recipe = loaded(two_stages, sources, "stages.later.data.sources=[{index: fss/train}]", where)
    assert not find_problems(recipe, ["only", "later"], tmp_path / "data", tmp_path)
    index = Index.open(tmp_path / "data/index/ris/train")
    image = Path(index.media(index.sample(len(index) - 1).media).path)
    content = image.read_bytes()
    image.write_bytes(content[: len(content) // 2])
    with pytest.raises(UniRefError, match=f"{image.name}: "):
        check_requirements(recipe, ["only", "later"], tmp_path / "data", tmp_path)
    image.unlink()
    with pytest.raises(UniRefError, match=f"{image.name}: "):
        check_requirements(recipe, ["only", "later"], tmp_path / "data", tmp_path)


@pytest.mark.parametrize("override", ["stages.*.frozen=['[']", "stages.*.optim.groups={a: {match: '('}}"])
def test_what_is_no_regular_expression_is_named(two_stages: Path, override: str) -> None:
    key = override.partition("=")[0].replace("*", "only")
    with pytest.raises(UniRefError, match=rf"{re.escape(key)}.*is not a regular expression"):
        loaded(two_stages, override)
