"""Checkpoints of a stage: written whole or not at all, verified when read, the last few kept.

`step-00002000/` holds a checkpoint folder that `uniref predict` accepts, `training.pt` with everything else that the
next step depends on, and `manifest.json` with the checksums of both.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from uniref.core.atomic import atomic_folder, remove_written
from uniref.core.errors import CheckpointError, UniRefError
from uniref.core.files import first_line, sha256, writing
from uniref.core.json_files import read_json
from uniref.engine.optim import TrainState
from uniref.engine.reporter import Reporter
from uniref.model.text import TextTokenizer
from uniref.recipe.language import upgrade_stage
from uniref.recipe.recipe import Recipe
from uniref.weights.adapter import AdapterBase
from uniref.weights.checkpoint import read_tensors, save_checkpoint
from uniref.weights.checkpoint_config import ADAPTER, CONFIG, TOKENIZER, WEIGHTS, CheckpointMetadata, read_config
from uniref.weights.safe_load import read_pickled

CHECKPOINTS, FINAL, BEST = "checkpoints", "final", "best"
MANIFEST, TRAINING = "manifest.json", "training.pt"
WRITTEN = frozenset((WEIGHTS, ADAPTER, CONFIG, TOKENIZER, MANIFEST, TRAINING))
"""Every file that a checkpoint may hold; others in its folder are a user's."""
_LAST = 10**9  # steps
_NAME = re.compile(r"step-(\d{8,})")


@dataclass
class Counters:
    """What went wrong on the way, and the best evaluation so far. Everything here is part of the state."""

    bad_steps: int = 0
    """Not applied, because a loss or gradient was not finite."""
    bad_in_row: int = 0
    overflows: int = 0
    """Not applied, because float16 gradients overflowed; their scale was lowered."""
    skipped_samples: int = 0
    """Could not be read; another was taken."""
    redrawn_samples: int = 0
    """Showed nothing of their object; another was taken."""
    best: float | None = None
    """The metric of the best evaluation."""


@dataclass
class StageProgress:
    """How far a stage is."""

    done: int = 0
    """Steps."""
    evaluated: int = 0
    """The step of the last evaluation that was completed."""
    counters: Counters = field(default_factory=Counters)


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint whose checksums are right."""

    folder: Path
    step: int
    """Optimiser steps done."""
    metadata: dict[str, Any]
    """The manifest's other entries: stage, number of processes, counters, decisive part of the recipe."""


class Checkpointer:
    """Writes and restores the checkpoints of a stage, and exports its weights.

    Args:
        folder: Of the stage.
        recipe: The whole recipe.
        name: Of the stage.
        state: Model and optimiser.
        tokenizer: Of the text encoder.
        reporter: Gets a line about what is resumed, and what has changed since.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        name: str,
        state: TrainState,
        tokenizer: TextTokenizer | None,
        reporter: Reporter,
    ) -> None:
        self._folder, self._recipe, self._name = folder, recipe, name
        self._state, self._tokenizer, self._reporter = state, tokenizer, reporter
        self._stage, self._world = recipe.stages[name], state.world
        self._adapter_base: AdapterBase | None = None
        self._reported: set[str] = set()
        """Unexpected files that were named."""

    def save(self, progress: StageProgress) -> None:
        """Write a checkpoint; every process has to call it."""
        # every process contributes its counters and its part of the state
        counters = self._world.gather(asdict(progress.counters))
        tensors, state = self._state.averaged(), self._state.state_dict()
        metadata = {
            "stage": self._name,
            "processes": self._world.size,
            "counters": counters,
            "evaluated": progress.evaluated,
            "stage_hash": self._recipe.stage_hash(self._name),
            "recipe": self._recipe.decisive(self._name),
        }
        # the main process writes, and deletes older ones
        folder, done = self._folder / CHECKPOINTS, progress.done
        with self._world.on_main_process():
            if self._world.main:
                write_checkpoint(folder, done, state, metadata, lambda work: self._write(work, tensors, {"step": done}))
                for name in keep_last(folder, self._stage.checkpoint.keep, done):
                    if name not in self._reported:
                        self._reported.add(name)
                        self._reporter.warn(f"{name}: is kept; no training wrote it")

    def is_saved(self, progress: StageProgress) -> bool:
        """Whether this step has a checkpoint; every process has to call it."""
        return self._world.gather(_step_folder(self._folder / CHECKPOINTS, progress.done).is_dir())[0]

    def restore(self, saved: SavedCheckpoint) -> StageProgress:
        """Resume from a checkpoint; returns how far it was.

        Raises:
            CheckpointError: It is of another model or recipe.
        """
        metadata, size, rank = saved.metadata, self._world.size, self._world.rank
        # counters, weights and optimiser
        try:
            counters, processes = list(metadata["counters"]), int(metadata["processes"])
            own = dict(counters[rank]) if processes == size else _redistributed(counters, rank)
            names = {each.name for each in fields(Counters)}  # earlier versions had others too
            own = {key: value for key, value in own.items() if key in names}
            # a checkpoint that does not say was written after its evaluation
            evaluated = int(metadata.get("evaluated", saved.step))
            progress = StageProgress(saved.step, evaluated, Counters(**own))
            self._state.load_state_dict(read_tensors(saved.folder), read_training_state(saved))
        except UniRefError:
            raise
        except Exception as error:  # noqa: BLE001 - PyTorch's and ours, whatever a damaged state makes of them
            raise CheckpointError(
                f"{saved.folder}: does not fit the recipe ({first_line(error)}); "
                "resume with the recipe of the run, or start another --out"
            ) from None
        # report what differs from the run so far
        name, per_step = self._name, self._stage.micro_batches_per_step
        self._reporter.say(f"{name}: resuming at step {saved.step} of {self._stage.steps} ({saved.folder})")
        for line in _differences(upgrade_stage(metadata.get("recipe", {})), self._recipe.decisive(name)):
            self._reporter.warn(f"{name}: the recipe has changed since the checkpoint: {line}")
        if processes != size:
            self._reporter.warn(
                f"{name}: {size} processes instead of {processes}: each now does {per_step // size} micro batches per "
                f"step instead of {per_step // processes}. Samples, global batch and learning rates stay; "
                "sums are rounded in another order, so the result is equal but not bit for bit"
            )
        return progress

    def export(self, name: str, metadata: dict[str, Any], tensors: dict[str, torch.Tensor] | None = None) -> None:
        """Write a checkpoint folder to predict with; every process has to call it.

        Args:
            name: Of the folder.
            metadata: Goes into the folder's `config.json` as `source`: `step`, and more.
            tensors: Weights; None = the present (averaged) ones.
        """
        tensors = tensors if tensors is not None else self._state.averaged()
        with self._world.on_main_process():
            if self._world.main:
                with atomic_folder(self._folder / name, True, lambda folder: WRITTEN) as work:
                    self._write(work, tensors, metadata)

    def open_adapter_base(self) -> None:
        """Find the model that checkpoints are adapters over, if they are; every process has to call it before the first
        is written. Raises CheckpointError."""
        base = self._stage.checkpoint.adapter_of
        if base is None:
            return
        tensors = self._state.weights()
        with self._world.on_main_process():
            if self._world.main:
                key = f"stages.{self._name}.checkpoint.adapter_of"
                self._adapter_base = AdapterBase.of(base, tensors, self._state.model.frozen_names(), key)

    def _write(self, folder: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, Any]) -> None:
        source = {"trained": self._recipe.description, "stage": self._name, **metadata}
        config = CheckpointMetadata(model=self._stage.model, sides=self._stage.sides, source=source)
        if self._adapter_base is not None:
            self._adapter_base.save(folder, tensors, config, self._tokenizer)
        else:
            save_checkpoint(folder, tensors, config, self._tokenizer)


def _redistributed(counters: list[dict[str, Any]], rank: int) -> dict[str, Any]:
    """Counters of one process where their number has changed: what each counted goes to the first."""
    own = dict(counters[0])
    for key in ("skipped_samples", "redrawn_samples"):
        own[key] = sum(each[key] for each in counters) if rank == 0 else 0
    return own


def _differences(then: Any, now: Any, path: str = "") -> list[str]:
    """`optim.lr: 0.001, now 0.0005`, one line each."""
    if isinstance(then, dict) and isinstance(now, dict):
        return [
            line
            for key in sorted(then.keys() | now.keys())
            for line in _differences(then.get(key), now.get(key), f"{path}.{key}" if path else key)
        ]
    return [] if then == now else [f"{path}: {then!r:.80}, now {now!r:.80}"]


# --- folders of checkpoints ------------------------------------------------------------------------------------------


def _step_folder(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}"


def write_checkpoint(
    folder: Path,
    step: int,
    state: Mapping[str, Any],
    metadata: Mapping[str, Any],
    write_model: Callable[[Path], None],
) -> Path:
    """Write a checkpoint; its name appears when everything is on the disk.

    Args:
        folder: Of all checkpoints.
        step: Steps done.
        state: Goes into `training.pt`: tensors and plain values only.
        metadata: Goes into the manifest: plain values.
        write_model: Writes the model's files into the folder that it gets.
    """
    target = _step_folder(folder, step)
    with atomic_folder(target, True, lambda folder: WRITTEN) as work:
        write_model(work)
        with writing(work / TRAINING):
            torch.save(dict(state), work / TRAINING)
        files = {path.name: sha256(path) for path in sorted(work.iterdir())}
        content = {"step": step, "files": files, **metadata}
        (work / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    return target


def checkpoint_folders(folder: Path) -> list[Path]:
    """Checkpoints of a folder, oldest first."""
    named = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)]
    return sorted(named, key=_step_of)


def keep_last(folder: Path, count: int, step: int) -> list[str]:
    """Delete all but the newest `count` checkpoints up to a step, and all later ones: they are damaged, or were left
    behind by resuming from an earlier one. Returns the unexpected files that stay, because no training wrote them."""
    folders = checkpoint_folders(folder)
    kept = [path for path in folders if _step_of(path) <= step][-count:]
    unexpected = []
    for path in folders:
        if path not in kept:
            unexpected += [f"{path / name}" for name in remove_written(path, WRITTEN)]
    return unexpected


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def verify_checkpoint(folder: Path) -> SavedCheckpoint:
    """Read a checkpoint's manifest and compare the checksums.

    Raises:
        CheckpointError: It is not a checkpoint, or it is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise CheckpointError(f"{folder}: not a checkpoint of a training (no {MANIFEST})")
    # the manifest has to be plausible
    metadata = read_json(path, CheckpointError)
    step, files = None, None
    if isinstance(metadata, dict):
        step, files = metadata.pop("step", None), metadata.pop("files", None)
    if type(step) is not int or not 0 <= step <= _LAST or not isinstance(files, dict):
        raise CheckpointError(f"{path}: damaged (it names no step and files)")
    if _NAME.fullmatch(folder.name) and step != _step_of(folder):
        raise CheckpointError(f"{path}: damaged (it says step {step}, its folder {_step_of(folder)})")
    if not _is_plausible(metadata):
        raise CheckpointError(f"{path}: damaged (its number of processes or its counters are not valid)")
    # every file has to be there, with its checksum
    for name, digest in files.items():
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder}: damaged: {name} is missing")
        try:
            actual = sha256(folder / name)
        except UniRefError as error:
            raise CheckpointError(str(error)) from None
        if actual != digest:
            raise CheckpointError(f"{folder}: damaged: the checksum of {name} is wrong")
    return SavedCheckpoint(folder, step, metadata)


def _is_plausible(metadata: Mapping[str, Any]) -> bool:
    """Whether a manifest's other entries have the types that training writes."""
    numbers = [metadata.get("processes", 1), metadata.get("evaluated", 0)]
    if not all(type(number) is int and 0 <= number <= _LAST for number in numbers):
        return False
    counters = metadata.get("counters", [])
    if not isinstance(counters, list) or not all(isinstance(each, dict) for each in counters):
        return False
    values = [value for each in counters for value in each.values()]
    return all(value is None or (isinstance(value, int | float) and math.isfinite(value)) for value in values)


def latest_checkpoint(folder: Path, warn: Callable[[str], None]) -> SavedCheckpoint | None:
    """The newest checkpoint that is intact; damaged ones are reported and skipped. None where there are none.

    Raises:
        CheckpointError: There are checkpoints, and all of them are damaged. They are left as they are.
    """
    folders = checkpoint_folders(folder)
    for path in reversed(folders):
        try:
            return verify_checkpoint(path)
        except CheckpointError as error:
            if path == folders[0]:
                raise CheckpointError(
                    f"{error}; no other checkpoint in {folder} is intact, and all are kept: restore one from a backup, "
                    "or train anew with another --out"
                ) from None
            warn(f"{error}; using the one before")
    return None


def read_training_state(saved: SavedCheckpoint) -> dict[str, Any]:
    """`training.pt` of a checkpoint: tensors on the CPU and plain values; nothing in it is executed.

    Raises:
        CheckpointError: It cannot be read.
    """
    path = saved.folder / TRAINING
    state = read_pickled(path, "delete its folder to resume from the checkpoint before it")
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: does not hold a training state")
    return state


def stage_of_checkpoint(folder: Path) -> str | None:
    """The stage that wrote a checkpoint; None where its manifest does not say."""
    try:
        metadata = read_json(folder / MANIFEST)
    except UniRefError:
        return None
    stage = metadata.get("stage") if isinstance(metadata, dict) else None
    return stage if isinstance(stage, str) else None


def steps_of_export(folder: Path) -> int:
    """The step of exported weights; 0 where they do not say."""
    try:
        return int(read_config(folder).source.get("step", 0))
    except (CheckpointError, TypeError, ValueError):
        return 0
