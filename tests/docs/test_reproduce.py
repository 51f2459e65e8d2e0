"""docs/reproduce.md says what recipes and published tables say."""

from __future__ import annotations

from pathlib import Path

import pytest

from uniref.recipe.load import load_recipe
from uniref.weights.published import scores_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reproduce.md").read_text("utf-8")


@pytest.mark.parametrize("recipe", ["r50", "swinl"])
def test_stages_and_steps(recipe: str) -> None:
    stages = load_recipe(ROOT / f"recipes/{recipe}.yaml").stages
    assert [*stages] == ["pretrain", "image-a", "image-b", "video"]
    for name, stage in stages.items():
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"| {stage.steps:,} x {stage.global_batch} |" in row


@pytest.mark.parametrize(("row", "checkpoint"), [("ResNet-50", "video-joint R50"), ("Swin-L", "video-joint Swin-L")])
def test_published_numbers(row: str, checkpoint: str) -> None:
    numbers = " | ".join(str(value) for _, value in scores_of(checkpoint).values())
    assert f"| {row} | {numbers} |" in PAGE


def test_the_stages_that_start_from_the_published_detector() -> None:
    changes = ["stages.image-a.init.stage=null", "stages.image-a.init.model=checkpoints/pretrain-r50"]
    assert all(f"--set {change}" in PAGE for change in changes)
    recipe = load_recipe(ROOT / "recipes/r50.yaml", changes)
    assert str(recipe.stages["image-a"].init.model) == "checkpoints/pretrain-r50"
