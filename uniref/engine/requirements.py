"""What the stages of a recipe need, checked before the first step: data, initial weights, parts of the model.

A training takes days: whatever its last stage lacks has to be known before its first one begins.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from uniref.core.errors import CheckpointError, UniRefError
from uniref.data.train.sources import open_sources
from uniref.engine.checkpointer import CHECKPOINTS, FINAL, checkpoint_folders
from uniref.engine.loggers import check_loggers
from uniref.engine.optim import parameter_groups
from uniref.engine.stage_model import build_without_memory, check_sources
from uniref.engine.validate import check_data, check_images
from uniref.extensions.plugins import loss_hooks, source_hooks
from uniref.recipe.recipe import Recipe
from uniref.weights.catalog import closest_name
from uniref.weights.initial_weights import missing_weights, named_weights

_NAMED = 6  # problems in one message


def check_requirements(recipe: Recipe, names: Sequence[str], root: Path, out: Path | None = None) -> None:
    """Check the data, the initial weights and the parts of the model of several stages; nothing is trained or written.

    Args:
        recipe: Resolved.
        names: Stages that are to be trained.
        root: Data root.
        out: Folder of the run, where stages that are not among `names` have left their weights. None: only data are
            checked, which is quick and needs no weights.

    Raises:
        UniRefError: Something is missing, damaged or does not fit, of any stage; several problems are listed.
    """
    problems = find_problems(recipe, names, root, out)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        texts = list(dict.fromkeys(map(str, problems)))
        more = f"; and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
        raise type(problems[0])("; ".join(texts[:_NAMED]) + more)


def find_problems(recipe: Recipe, names: Sequence[str], root: Path, out: Path | None) -> list[UniRefError]:
    """What `check_requirements` raises, one error each. Data of all stages come first: they are checked in a moment."""
    problems: list[UniRefError] = []
    with _collected(problems):
        check_loggers(recipe.run.loggers)
    for name in names:
        with _collected(problems):
            loss_hooks(recipe.stages[name])
    # data of training and evaluation; a source that is missing does not hide the others
    for name in names:
        stage = recipe.stages[name]
        for source in stage.data.sources:
            with _collected(problems):
                opened = open_sources(stage.data.model_copy(update={"sources": (source,)}), root, source_hooks)
                check_sources(opened, stage)
                for each in opened:
                    check_images(each.index)
        with _collected(problems):
            check_data(stage, root)
    # weights, and whether they fit
    for name in names if out is not None else ():
        assert out is not None
        missing = list(_missing_weights(recipe, name, names, out))
        problems += missing
        if not missing:
            with _collected(problems):
                _check_model(recipe, name, out)
    return problems


@contextlib.contextmanager
def _collected(problems: list[UniRefError]) -> Iterator[None]:
    """A block whose error goes into a list."""
    try:
        yield
    except UniRefError as error:
        problems.append(error)


def _is_resumed(out: Path, name: str) -> bool:
    """Whether a stage has checkpoints, which take the place of its initial weights."""
    return bool(checkpoint_folders(out / name / CHECKPOINTS))


def _missing_weights(recipe: Recipe, name: str, names: Sequence[str], out: Path) -> Iterator[UniRefError]:
    """Initial weights of a stage that do not exist, each with how to get it."""
    stage = recipe.stages[name]
    # the stage before, unless it is trained first
    before = stage.init.stage
    if before is not None and before not in names and not (out / before / FINAL).is_dir():
        yield UniRefError(
            f"{out / before / FINAL}: stage {name} starts from stage {before}, which is not done; train it first, or "
            f"set stages.{name}.init.stage=null and init.model to a checkpoint"
        )
    # folders and files that the recipe names
    entries = {each.path: each.entry.name for each in missing_weights(recipe, [name])}
    for key, path, kinds in named_weights(stage):
        if path.exists() or (_is_resumed(out, name) and key != "init.text"):
            continue
        kind = {"text": "folder", "file": "file"}.get(kinds[0], "checkpoint")
        how = (
            f"make it with 'uniref convert {entries[path]} {path} --download', or add --download, which fetches "
            f"{entries[path]}"
            if path in entries
            else f"name a {kind} that exists" + (", or make one with 'uniref convert'" if kind == "checkpoint" else "")
        )
        near = closest_name(str(path)) if key == "init.model" and path not in entries else ""
        yield CheckpointError(
            f"stages.{name}.{key}: {path}: no such {kind}; {f'did you mean {near}? ' * bool(near)}{how}"
        )


def _check_model(recipe: Recipe, name: str, out: Path) -> None:
    """Raise UniRefError where weights, tokenizer, frozen parameters or optimiser groups do not fit a stage's model."""
    stage = recipe.stages[name]
    before = stage.init.stage
    start = None if before is None else out / before / FINAL
    start = start if start is not None and start.is_dir() else None
    model = build_without_memory(stage, name, start, load=not _is_resumed(out, name))
    parameter_groups(model, stage.optim)
