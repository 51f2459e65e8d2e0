"""Initial weights of recipes: fetched, converted, and written to the paths that the recipe names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from uniref.core.atomic import atomic_file, atomic_folder
from uniref.core.errors import CheckpointError, UniRefError, UsageError
from uniref.recipe.recipe import Recipe, StageConfig
from uniref.weights.catalog import CATALOG, Kind, Weights, is_bundled
from uniref.weights.checkpoint_config import read_config
from uniref.weights.fetch import Access, fetch
from uniref.weights.locate import find_checkpoint

_MODELS = {Path("checkpoints/r50"): "video-joint-r50", Path("checkpoints/swinl"): "video-joint-swinl"}
"""Paths of converted models in the README and the recipes."""


class MissingWeights(NamedTuple):
    """Initial weights that a recipe names, that do not exist yet, and that the catalogue has."""

    path: Path
    entry: Weights
    text: Weights | None
    """Text encoder to add to a SAM."""

    def __str__(self) -> str:
        beside = f", with {self.text.name}" if self.text else ""
        return f"{self.path}: {self.entry.describe()}{beside}"


def missing_weights(recipe: Recipe, stages: Sequence[str] = ()) -> list[MissingWeights]:
    """Initial weights of a recipe that can be fetched.

    A path belongs to an entry of the catalogue by its last part: `weights/resnet50`, `weights/resnet18.pth`.

    Args:
        recipe: Resolved.
        stages: Only these; empty: all.
    """
    missing: dict[Path, MissingWeights] = {}
    for name, stage in recipe.stages.items():
        if stages and name not in stages:
            continue
        for _, path, kinds in named_weights(stage):
            entry = CATALOG.get(path.name.removesuffix(".pth")) or CATALOG.get(_MODELS.get(path, ""))
            by_name = str(path) in CATALOG  # fetched into the cache by `adopt_models`
            if entry is not None and entry.kind in kinds and not by_name and not path.exists():
                text = _text_of(stage) if entry.kind == "sam" else None
                missing.setdefault(path, MissingWeights(path, entry, text))
    return list(missing.values())


def named_weights(stage: StageConfig) -> Iterator[tuple[str, Path, tuple[Kind, ...]]]:
    """Initial weights that a stage names: the key, the path, and the kinds of weights that may be there."""
    init = stage.init
    named: tuple[tuple[str, Path | None, tuple[Kind, ...]], ...] = (
        ("init.model", init.model, ("model", "sam")),
        ("init.backbone", init.backbone, ("backbone", "model")),
        ("init.text", init.text, ("text",)),
        ("init.mask_encoder", init.mask_encoder, ("file",)),
        ("checkpoint.adapter_of", stage.checkpoint.adapter_of, ("sam",)),
    )
    for key, path, kinds in named:
        if path is not None:
            yield key, path, kinds


def _text_of(stage: StageConfig) -> Weights | None:
    if stage.model.text is None:
        return None
    return CATALOG["roberta-base" if stage.model.text.encoder.get("model_type") == "roberta" else "bert-base-uncased"]


def adopt_models(recipe: Recipe, access: Access | None = None) -> Recipe:
    """The recipe in which `init.model` is a folder, and stages that give no `model` have that of their checkpoint.

    `init.model` may be `small` or a name of the model zoo instead of a folder. The checkpoint's sizes, and `sides`
    where the recipe gives none, are those that it was trained with; so are those of later stages that start from such a
    stage. A folder that does not exist is left to the checks before a training.

    Args:
        recipe: As loaded.
        access: What may be done to get a checkpoint; None: nothing is fetched.

    Raises:
        UsageError: A name is in the catalogue, but not on this machine; or the checkpoint does not fit the data.
        CheckpointError: The checkpoint is damaged, or holds a backbone alone.
    """
    stages, adopted = dict(recipe.stages), set()
    for name, stage in recipe.stages.items():
        before, start = stage.init.stage, stage.init.model
        changes: dict[str, Any] = {}
        # a name becomes a folder, and gives its sizes where the recipe gives none
        if start is not None:
            named = is_bundled(str(start)) or str(start) in CATALOG
            folder = find_checkpoint(start, access) if named else start
            changes["init"] = stage.init.model_copy(update={"model": folder})
            if folder.is_dir() and "model" not in stage.model_fields_set:
                config = read_config(folder)
                if config.model is None:
                    raise CheckpointError(
                        f"stages.{name}.init.model: {folder}: holds a backbone; name it as init.backbone"
                    )
                changes |= {"model": config.model, "sides": stage.sides or config.sides}
                adopted.add(name)
        elif before in adopted and "model" not in stage.model_fields_set:
            changes |= {"model": stages[before].model, "sides": stage.sides or stages[before].sides}
            adopted.add(name)
        stages[name] = stage.model_copy(update=changes)
        try:
            stages[name].check_parts()
        except ValueError as error:
            raise UsageError(f"stages.{name}: {error}") from None
    return recipe.model_copy(update={"stages": stages})


def fetch_missing(missing: Sequence[MissingWeights], access: Access) -> None:
    """Fetch and convert initial weights to the paths that a recipe names. Safe to call from several processes.

    Raises:
        UniRefError: As `install`.
    """
    for each in missing:
        install(each.entry, each.path, access, text=each.text)


def install(entry: Weights, target: Path, access: Access, text: Weights | None = None, overwrite: bool = False) -> str:
    """Fetch an entry of the catalogue and write it in the form that training and prediction read.

    Args:
        entry: The entry.
        target: Folder to make; for an entry that recipes read as a file: the file.
        access: What may be done to get it.
        text: Text encoder to add to a SAM.
        overwrite: Replace an existing target.

    Returns:
        A message about the result.

    Raises:
        UsageError: The target exists, or the weights are not on this machine and downloads are not allowed.
        UniRefError: They could not be fetched, converted or written.
    """
    # fetch
    words = fetch(text, access) if text is not None else None
    source = fetch(entry, access)
    # write, one process at a time
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if target.exists() and not overwrite and os.environ.get("RANK"):
                return str(target)  # another process of this training has made it meanwhile
            if entry.kind == "text":
                _copy_folder(source, target, overwrite)
            elif entry.kind == "file":
                _copy_file(source, target, overwrite)
            else:
                from uniref.weights.convert import convert

                done = convert(source, target, text=words, overwrite=overwrite)
                return f"{target}: {done.kind}"
    except OSError as error:
        raise UniRefError(f"{target}: cannot be written ({error.strerror or error})") from None
    return f"{target}: {entry.title}"


def _copy_folder(source: Path, target: Path, overwrite: bool) -> None:
    files = {file.name for file in source.iterdir() if file.is_file()}
    with atomic_folder(target, overwrite, lambda _: files) as work:
        for name in sorted(files):
            shutil.copyfile(source / name, work / name)  # out of the hub's cache, which may be emptied


def _copy_file(source: Path, target: Path, overwrite: bool) -> None:
    if target.is_dir():
        raise UsageError(f"{target}: is a folder; name the file to write, for example {target / source.name}")
    if target.exists() and not overwrite:
        raise UsageError(f"{target}: already exists; choose another name or pass --overwrite")
    with atomic_file(target) as work:
        shutil.copyfile(source, work)
