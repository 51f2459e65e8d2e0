from pathlib import Path

import pytest
import torch

from tests.marks import slow_except
from uniref.model.build import build_model
from uniref.recipe.load import load_recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
QUICK = [path for path in RECIPES if path.stem in ("r50", "small")]


@pytest.mark.parametrize(
    "path",
    slow_except([path for path in RECIPES if path.stem in ("r50", "small")], RECIPES),
    ids=lambda path: path.stem,
)
@pytest.mark.slow
def test_shipped_recipe_builds_its_models(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.description
    for stage in recipe.stages.values():
        with torch.device("meta"):
            model = build_model(stage.model)
        assert all(parameter.is_meta for parameter in model.parameters())


@pytest.mark.parametrize("name", ["r50", "swinl", "roberta-r50"])
def test_schedule_is_the_published_one(name: str) -> None:
    """SPEC section 9: data and ratios, global batches, learning rates, steps."""
    stages = load_recipe(RECIPES[0].parent / f"{name}.yaml").stages
    table = [
        (
            key,
            stage.global_batch,
            stage.optim.lr,
            stage.steps,
            stage.optim.schedule.milestones,
            [source.ratio for source in stage.data.sources],
        )
        for key, stage in stages.items()
    ]
    assert table == [
        ("pretrain", 64, 2e-4, 340741, (312346,), [1]),
        ("image-a", 32, 2e-4, 90000, (75000,), [1, 1]),
        ("image-b", 32, 2e-5, 30000, (), [1, 1, 0.05]),
        ("video", 32, 1e-4, 90000, (75000,), [0.8, 0.6, 0.4, 0.2, 1, 1]),
    ]
    assert all(stage.optim.weight_decay == 0.05 and stage.optim.clip_norm == 0.1 for stage in stages.values())
    assert [stage.init.stage for stage in stages.values()] == [None, "pretrain", "image-a", "image-b"]
    assert stages["pretrain"].model.classes == 365
    assert stages["pretrain"].model.fusion is None
    assert stages["image-a"].model.mask_encoder is None
    assert stages["video"].frozen == (r"text_encoder\.body\.",)
