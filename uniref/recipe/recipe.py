"""A recipe: the stages of a training, one after the other."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import Field, model_validator

from uniref.recipe.base import Strict
from uniref.recipe.stage import StageConfig


class RunConfig(Strict):
    """How a training is watched and kept going. Nothing here changes its result."""

    log_every: int = Field(20, ge=1)
    """Steps between two log lines; each tells the mean over its steps."""
    tensorboard: bool = True
    wandb: str | None = None
    """Project name; needs the wandb package and its account. Null: not used."""
    max_bad_steps: int = Field(20, ge=1)
    """The training stops, with its state saved, after so many steps in a row without a finite loss and gradient."""
    threads: int | None = Field(None, ge=1)
    """Threads of a process on a CPU; null = PyTorch's choice."""
    timeout_minutes: int = Field(30, ge=1)
    """How long processes wait for each other before they give up."""


class Recipe(Strict):
    """What `uniref train` is given, after `extends`, `defaults` and `--set`."""

    description: str = ""
    seed: int = Field(0, ge=0, lt=2**31)
    run: RunConfig = Field(default_factory=RunConfig)
    stages: dict[str, StageConfig] = Field(min_length=1)
    """In the order of training."""

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        earlier: list[str] = []
        for name, stage in self.stages.items():
            if not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"stages.{name}: use letters, digits, - and _ in the name of a stage")
            if stage.init.stage is not None and stage.init.stage not in earlier:
                known = ", ".join(earlier) or "none: it is the first"
                raise ValueError(f"stages.{name}.init.stage: {stage.init.stage!r} is no earlier stage ({known})")
            earlier.append(name)
        return self

    def stage_hash(self, name: str) -> str:
        """SHA-256 (hexadecimal) of everything that decides a stage's result."""
        return hashlib.sha256(json.dumps(self.decisive(name), sort_keys=True).encode()).hexdigest()

    def decisive(self, name: str) -> dict[str, Any]:
        """The stage as plain values, without what has no influence on the result."""
        content = self.stages[name].model_dump(mode="json")
        for ignored in ("checkpoint", "evaluation", "sides"):
            content.pop(ignored)
        content["embedding_cache"] = content["embedding_cache"] is not None
        for ignored in ("workers", "prefetch"):
            content["data"].pop(ignored)
        return {"seed": self.seed, **content}
