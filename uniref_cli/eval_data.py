"""What `uniref eval` evaluates: data and checkpoint as named, or as a training recipe has them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from uniref.core.errors import UsageError


def named_data(given: Sequence[str], recipe: Path | None) -> list[str]:
    """Names of `--data`, or of a recipe's evaluation.

    Raises:
        UsageError: Neither or both, or the recipe evaluates nothing.
    """
    names = [name.strip() for text in given for name in text.split(",") if name.strip()]
    if names and recipe is not None:
        raise UsageError("give either --data or --recipe")
    if recipe is not None:
        names = list(_evaluated_stage(recipe)[1])
    if not names:
        raise UsageError("nothing to evaluate; name prepared splits with --data dataset/split")
    return list(dict.fromkeys(names))


def trained_checkpoint(recipe: Path) -> Path:
    """What `uniref train RECIPE` leaves at the end of the stage whose evaluation `named_data` names.

    Raises:
        UsageError: It is not there.
    """
    folder = Path("runs") / recipe.stem / _evaluated_stage(recipe)[0] / "final"
    if not folder.is_dir():
        raise UsageError(f"{folder}: the recipe's model is not there (train it first); name one with --checkpoint")
    return folder


def _evaluated_stage(recipe: Path) -> tuple[str, Sequence[str]]:
    """Name and data of a recipe's last stage that evaluates. Raises UsageError."""
    from uniref.recipe.load import load_recipe

    stages = [(name, stage.evaluation.data) for name, stage in load_recipe(recipe).stages.items() if stage.evaluation]
    if not stages or not stages[-1][1]:
        raise UsageError(f"{recipe}: no stage has evaluation.data; name the data with --data")
    return stages[-1]
