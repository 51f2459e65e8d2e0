"""Checkpoints of a stage: written whole or not at all, verified when read, the last few kept.

`step-00002000/` holds a checkpoint folder that `uniref predict` accepts, `training.pt` with everything else that the
next step depends on, and `manifest.json` with the checksums of both."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from uniref.core.atomic import atomic_folder, remove_written
from uniref.core.errors import CheckpointError, UniRefError
from uniref.core.files import first_line, sha256, writing
from uniref.core.json_files import read_json
from uniref.core.signals import StopRequest
from uniref.engine.distributed import World
from uniref.engine.reporter import Reporter
from uniref.engine.step import TrainStep
from uniref.model.text import TextTokenizer
from uniref.recipe.recipe import Recipe
from uniref.weights.adapter import AdapterBase
from uniref.weights.checkpoint import (
    ADAPTER,
    CONFIG,
    TOKENIZER,
    WEIGHTS,
    CheckpointMetadata,
    read_tensors,
    save_checkpoint,
)
from uniref.weights.safe_load import read_pickled

CHECKPOINTS, FINAL, BEST = "checkpoints", "final", "best"


@dataclass(frozen=True)
class StageJob:
    """What one stage's training needs to know."""

    recipe: Recipe
    name: str
    root: Path
    """Data root."""
    folder: Path
    """Of the stage: checkpoints, logs, `final`."""
    world: World
    reporter: Reporter
    stop: StopRequest
    start: Path | None = None
    """Checkpoint folder of the stage before, where the recipe starts from one."""


@dataclass
class Counters:
    """What went wrong on the way, and how good it has become. Everything here is part of the state."""

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
    best_step: int = 0


@dataclass
class StageProgress:
    """How far a stage is."""

    done: int = 0
    """Steps."""
    evaluated: int = 0
    """The step of the last evaluation that came to its end."""
    counters: Counters = field(default_factory=Counters)


class Checkpointer:
    """Writes and reads them.

    Args:
        job: Which stage.
        train_step: Model and optimiser.
        tokenizer: Of the text encoder.
        reporter: Told what is continued, and what has changed since.
    """

    def __init__(
        self, job: StageJob, train_step: TrainStep, tokenizer: TextTokenizer | None, reporter: Reporter
    ) -> None:
        self._job, self._train_step, self._tokenizer, self._reporter = job, train_step, tokenizer, reporter
        self._stage, self._world = job.recipe.stages[job.name], job.world
        self._adapter_base: AdapterBase | None = None
        self._told: set[str] = set()
        """Files of others that were named."""

    def save(self, progress: StageProgress) -> None:
        """Write a checkpoint; every process has to call it."""
        counters = self._world.gather(asdict(progress.counters))
        tensors, state = self._train_step.averaged(), self._train_step.state()
        facts = {
            "stage": self._job.name,
            "processes": self._world.size,
            "counters": counters,
            "evaluated": progress.evaluated,
            "stage_hash": self._job.recipe.stage_hash(self._job.name),
            "recipe": self._job.recipe.decisive(self._job.name),
        }
        folder, done = self._job.folder / CHECKPOINTS, progress.done
        with self._world.on_main_process():
            if self._world.main:
                write_checkpoint(folder, done, state, facts, lambda work: self._write(work, tensors, {"step": done}))
                for name in keep_last(folder, self._stage.checkpoint.keep, done):
                    if name not in self._told:
                        self._told.add(name)
                        self._reporter.warn(f"{name}: is kept; no training wrote it")

    def restore(self, saved: SavedCheckpoint) -> StageProgress:
        """Continue from a checkpoint; returns how far it was.

        Raises:
            CheckpointError: It is of another model or recipe.
        """
        facts, size, rank = saved.facts, self._world.size, self._world.rank
        try:
            counters, processes = list(facts["counters"]), int(facts["processes"])
            mine = dict(counters[rank]) if processes == size else _redealt(counters, rank)
            # a checkpoint that does not say was written after its evaluation
            progress = StageProgress(saved.step, int(facts.get("evaluated", saved.step)), Counters(**mine))
            self._train_step.restore(read_tensors(saved.folder), read_training_state(saved))
        except UniRefError:
            raise
        except Exception as error:  # noqa: BLE001 - PyTorch's and ours, whatever a damaged state makes of them
            raise CheckpointError(
                f"{saved.folder}: does not fit the recipe ({first_line(error)}); "
                "continue with the recipe of the run, or start another --out"
            ) from None
        name, per_step = self._job.name, self._stage.micro_batches_per_step
        self._reporter.say(f"{name}: continuing at step {saved.step} of {self._stage.steps} ({saved.folder})")
        for line in _differences(facts.get("recipe", {}), self._job.recipe.decisive(name)):
            self._reporter.warn(f"{name}: the recipe has changed since the checkpoint: {line}")
        if processes != size:
            self._reporter.warn(
                f"{name}: {size} processes instead of {processes}: each now does {per_step // size} batches a "
                f"step instead of {per_step // processes}. Samples, global batch and learning rates stay; "
                "sums are rounded in another order, so the result is equal but not bit for bit"
            )
        return progress

    def export(self, name: str, facts: dict[str, Any], tensors: dict[str, torch.Tensor] | None = None) -> None:
        """Write a checkpoint folder to predict with; every process has to call it.

        Args:
            name: Of the folder.
            facts: What the folder says of itself: `step`, and more.
            tensors: Weights; None = those that are exported now.
        """
        tensors = tensors if tensors is not None else self._train_step.averaged()
        with self._world.on_main_process():
            if self._world.main:
                with atomic_folder(self._job.folder / name, True, lambda folder: WRITTEN) as work:
                    self._write(work, tensors, facts)

    def open_adapter_base(self) -> None:
        """Find what checkpoints are adapters over, if they are; every process has to call it before the first is
        written. Raises CheckpointError."""
        base = self._stage.checkpoint.adapter_of
        if base is None:
            return
        tensors = self._train_step.weights()
        with self._world.on_main_process():
            if self._world.main:
                where = f"stages.{self._job.name}.checkpoint.adapter_of"
                self._adapter_base = AdapterBase.of(base, tensors, self._train_step.model.frozen_names(), where)

    def _write(self, folder: Path, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        source = {"trained": self._job.recipe.description, "stage": self._job.name, **facts}
        config = CheckpointMetadata(model=self._stage.model, sides=self._stage.sides, source=source)
        if self._adapter_base is not None:
            self._adapter_base.save(folder, tensors, config, self._tokenizer)
        else:
            save_checkpoint(folder, tensors, config, self._tokenizer)


def stage_seed(recipe: Recipe, name: str) -> int:
    """Every stage draws its own random numbers: the recipe's seed and the stage's place."""
    return (recipe.seed + 7_919 * list(recipe.stages).index(name)) % 2**31


def _redealt(counters: list[dict[str, Any]], rank: int) -> dict[str, Any]:
    """Counters of one process where their number has changed: what was counted by each goes to the first."""
    mine = dict(counters[0])
    for key in ("skipped_samples", "redrawn_samples"):
        mine[key] = sum(each[key] for each in counters) if rank == 0 else 0
    return mine


def _differences(then: Any, now: Any, path: str = "") -> list[str]:
    """`optim.lr: 0.001, now 0.0005`, one line each."""
    if isinstance(then, dict) and isinstance(now, dict):
        return [
            line
            for key in sorted(then.keys() | now.keys())
            for line in _differences(then.get(key), now.get(key), f"{path}.{key}" if path else key)
        ]
    return [] if then == now else [f"{path}: {then!r:.80}, now {now!r:.80}"]


MANIFEST, TRAINING = "manifest.json", "training.pt"
WRITTEN = frozenset((WEIGHTS, ADAPTER, CONFIG, TOKENIZER, MANIFEST, TRAINING))
"""Every file that a checkpoint may hold; others in its folder are a user's."""
_LAST = 10**9  # steps
_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint whose checksums are right."""

    folder: Path
    step: int
    """Optimiser steps done."""
    facts: dict[str, Any]
    """What the manifest says besides: stage, number of processes, counters, decisive part of the recipe."""


def write_checkpoint(
    folder: Path,
    step: int,
    state: Mapping[str, Any],
    facts: Mapping[str, Any],
    write_model: Callable[[Path], None],
) -> Path:
    """Write a checkpoint; its name appears when everything is on the disk.

    Args:
        folder: Of all checkpoints.
        step: Steps done.
        state: Goes into `training.pt`: tensors and plain values only.
        facts: Goes into the manifest: plain values.
        write_model: Writes the model's files into the folder that it is given.
    """
    target = folder / f"step-{step:08d}"
    with atomic_folder(target, True, lambda folder: WRITTEN) as work:
        write_model(work)
        with writing(work / TRAINING):
            torch.save(dict(state), work / TRAINING)
        files = {path.name: sha256(path) for path in sorted(work.iterdir())}
        content = {"step": step, "files": files, **facts}
        (work / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    return target


def checkpoint_folders(folder: Path) -> list[Path]:
    """Checkpoints of a folder, oldest first."""
    found = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)]
    return sorted(found, key=_step_of)


def keep_last(folder: Path, count: int, step: int) -> list[str]:
    """Delete all but the newest `count` checkpoints up to a step, and all after it: they are damaged, or of a course
    that was left by going back to an earlier one. Returns what stays in them because no training wrote it."""
    found = checkpoint_folders(folder)
    kept = [path for path in found if _step_of(path) <= step][-count:]
    left = []
    for path in found:
        if path not in kept:
            left += [f"{path / name}" for name in remove_written(path, WRITTEN)]
    return left


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def verify_checkpoint(folder: Path) -> SavedCheckpoint:
    """Read a checkpoint's manifest and compare the checksums.

    Raises:
        CheckpointError: It is none, or it is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise CheckpointError(f"{folder}: not a checkpoint of a training (no {MANIFEST})")
    facts = read_json(path, CheckpointError)
    step, files = (facts.pop("step", None), facts.pop("files", None)) if isinstance(facts, dict) else (None, None)
    if type(step) is not int or not 0 <= step <= _LAST or not isinstance(files, dict):
        raise CheckpointError(f"{path}: damaged (it names no step and files)")
    if _NAME.fullmatch(folder.name) and step != _step_of(folder):
        raise CheckpointError(f"{path}: damaged (it says step {step}, its folder {_step_of(folder)})")
    if not _is_plausible(facts):
        raise CheckpointError(f"{path}: damaged (its numbers of processes or counters are none)")
    for name, digest in files.items():
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder}: damaged: {name} is missing")
        try:
            actual = sha256(folder / name)
        except UniRefError as error:
            raise CheckpointError(str(error)) from None
        if actual != digest:
            raise CheckpointError(f"{folder}: damaged: the checksum of {name} is wrong")
    return SavedCheckpoint(folder, step, facts)


def _is_plausible(facts: Mapping[str, Any]) -> bool:
    """Whether what a manifest says besides is of the kinds that training writes."""
    numbers = [facts.get("processes", 1), facts.get("evaluated", 0)]
    if not all(type(number) is int and 0 <= number <= _LAST for number in numbers):
        return False
    counters = facts.get("counters", [])
    if not isinstance(counters, list) or not all(isinstance(each, dict) for each in counters):
        return False
    values = [value for each in counters for value in each.values()]
    return all(value is None or (isinstance(value, int | float) and math.isfinite(value)) for value in values)


def latest_checkpoint(folder: Path, warn: Callable[[str], None]) -> SavedCheckpoint | None:
    """The newest checkpoint that is intact; a damaged one is told and passed over."""
    for path in reversed(checkpoint_folders(folder)):
        try:
            return verify_checkpoint(path)
        except CheckpointError as error:
            warn(f"{error}; using the one before")
    return None


def read_training_state(saved: SavedCheckpoint) -> dict[str, Any]:
    """`training.pt` of a checkpoint: tensors on the CPU and plain values; nothing in it is executed.

    Raises:
        CheckpointError: It cannot be read.
    """
    path = saved.folder / TRAINING
    state = read_pickled(path, "delete its folder to continue from the checkpoint before it")
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds no training state")
    return state
