"""`uniref train --preview`: what a stage's first samples look like."""

from __future__ import annotations

from pathlib import Path

from uniref.core.errors import UsageError
from uniref.data.preview import write_preview
from uniref.engine.build import make_tokenizer
from uniref.engine.trainer import stage_seed
from uniref.recipe.recipe import Recipe


def preview_stage(recipe: Recipe, name: str, root: Path, out: Path, count: int) -> Path:
    """Draw the first samples that a stage trains on; returns the PNG.

    Raises:
        UsageError: The recipe has no such stage.
        UniRefError: The data cannot be used, or the PNG not be written.
    """
    if name not in recipe.stages:
        raise UsageError(f"--stage {name}: the recipe has no such stage (it has {', '.join(recipe.stages)})")
    stage = recipe.stages[name]
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"preview-{name}.png"
    write_preview(
        stage.data,
        root,
        path,
        count,
        seed=stage_seed(recipe, name),
        units_per_step=stage.units,
        unit_size=stage.micro_batch,
        tokenizer=make_tokenizer(stage, name),
    )
    return path
