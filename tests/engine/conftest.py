"""A training that takes a second: a tiny model, a few drawn samples of several tasks, six steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.data import toy
from tests.tiny import tiny_config
from uniref.core.tasks import Task
from uniref.recipe.load import load_recipe
from uniref.recipe.recipe import Recipe

MakeRecipe = Callable[..., Path]


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with `ris/train`, `fss/train`, `vos/train` and `rvos/train`."""
    folder = tmp_path_factory.mktemp("data")
    toy.images(folder, Task.RIS, toy.scenes(8), "ris")
    toy.images(folder, Task.FSS, toy.scenes(8), "fss", per_class=4)
    toy.clips(folder, Task.VOS, 4, "vos")
    toy.clips(folder, Task.RVOS, 4, "rvos")
    return folder


@pytest.fixture
def make_recipe(tmp_path: Path) -> MakeRecipe:
    """Write a recipe: `make_recipe(steps=6, **stage)`; returns its path."""

    def make(name: str = "tiny", **changes: object) -> Path:
        stage: dict[str, object] = {
            "model": tiny_config().model_dump(mode="json"),
            "data": {
                "workers": 0,
                "augment": {"short_sides": [64], "max_long_side": 128, "crop": 0},
                "sources": [{"index": f"{task}/train"} for task in ("ris", "fss", "vos", "rvos")],
            },
            "optim": {"lr": 1e-3, "schedule": {"warmup_steps": 2}},
            "global_batch": 4,
            "micro_batch": 2,
            "steps": 6,
            "checkpoint": {"every": 2, "keep": 3},
        }
        content = {
            "description": "six steps",
            "run": {"log_every": 2, "loggers": [], "threads": 1},
            "stages": {"only": stage | changes},
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
        return path

    return make


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> Recipe:
    """The same, loaded."""
    return load_recipe(make_recipe())
