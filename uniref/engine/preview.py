"""`uniref train --preview`: what a stage's first samples look like."""

from __future__ import annotations

from pathlib import Path

from uniref.core.errors import UsageError
from uniref.data.preview import write_preview
from uniref.engine.build import make_tokenizer
from uniref.engine.stage_files import FINAL, stage_seed
from uniref.model.text import TextTokenizer
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
        tokenizer=_tokenizer(recipe, name, out),
    )
    return path


def _tokenizer(recipe: Recipe, name: str, out: Path) -> TextTokenizer | None:
    """As in training; where the stage before is not trained yet, the one that it will hand on."""
    stage = recipe.stages[name]
    before = stage.init.stage
    final = None if before is None else out / before / FINAL
    if before is None or stage.init.text is not None or (final is not None and final.is_dir()):
        return make_tokenizer(stage, name, final)
    return _tokenizer(recipe, before, out)
