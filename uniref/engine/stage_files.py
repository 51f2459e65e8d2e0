"""What a stage leaves in its folder: checkpoints to continue from, `best` and `final` to predict with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from uniref.core.atomic import atomic_folder
from uniref.core.errors import CheckpointError, UniRefError
from uniref.core.files import first_line
from uniref.engine import state as states
from uniref.engine.listener import Listener
from uniref.engine.step import Stepper
from uniref.engine.stop import Stop
from uniref.engine.world import World
from uniref.model.text import TextTokenizer
from uniref.recipe.recipe import Recipe
from uniref.weights.adapter_base import AdapterBase
from uniref.weights.bundle import BundleConfig, read_tensors, save_bundle

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
    listener: Listener
    stop: Stop
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


class StageFiles:
    """Writes and reads them.

    Args:
        job: Which stage.
        stepper: Model and optimiser.
        tokenizer: Of the text encoder.
        listener: Told what is continued, and what has changed since.
    """

    def __init__(self, job: StageJob, stepper: Stepper, tokenizer: TextTokenizer | None, listener: Listener) -> None:
        self._job, self._stepper, self._tokenizer, self._listener = job, stepper, tokenizer, listener
        self._stage, self._world = job.recipe.stages[job.name], job.world
        self._adapter_base: AdapterBase | None = None
        self._told: set[str] = set()
        """Files of others that were named."""

    def save(self, progress: StageProgress) -> None:
        """Write a checkpoint; every process has to call it."""
        counters = self._world.gather(asdict(progress.counters))
        tensors, state = self._stepper.averaged(), self._stepper.state()
        facts = {
            "stage": self._job.name,
            "processes": self._world.size,
            "counters": counters,
            "evaluated": progress.evaluated,
            "stage_hash": self._job.recipe.stage_hash(self._job.name),
            "recipe": self._job.recipe.decisive(self._job.name),
        }
        folder, done = self._job.folder / CHECKPOINTS, progress.done
        with self._world.main_first():
            if self._world.main:
                states.save(folder, done, state, facts, lambda work: self._write(work, tensors, {"step": done}))
                for name in states.keep_last(folder, self._stage.checkpoint.keep, done):
                    if name not in self._told:
                        self._told.add(name)
                        self._listener.warn(f"{name}: is kept; no training wrote it")

    def restore(self, saved: states.Saved) -> StageProgress:
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
            self._stepper.restore(read_tensors(saved.folder), states.load(saved))
        except UniRefError:
            raise
        except Exception as error:  # noqa: BLE001 - PyTorch's and ours, whatever a damaged state makes of them
            raise CheckpointError(
                f"{saved.folder}: does not fit the recipe ({first_line(error)}); "
                "continue with the recipe of the run, or start another --out"
            ) from None
        name, units = self._job.name, self._stage.units
        self._listener.say(f"{name}: continuing at step {saved.step} of {self._stage.steps} ({saved.folder})")
        for line in _differences(facts.get("recipe", {}), self._job.recipe.decisive(name)):
            self._listener.warn(f"{name}: the recipe has changed since the checkpoint: {line}")
        if processes != size:
            self._listener.warn(
                f"{name}: {size} processes instead of {processes}: each now does {units // size} batches a "
                f"step instead of {units // processes}. Samples, global batch and learning rates stay; "
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
        tensors = tensors if tensors is not None else self._stepper.averaged()
        with self._world.main_first():
            if self._world.main:
                with atomic_folder(self._job.folder / name, True, lambda folder: states.WRITTEN) as work:
                    self._write(work, tensors, facts)

    def open_adapter_base(self) -> None:
        """Find what checkpoints are adapters over, if they are; every process has to call it before the first is
        written. Raises CheckpointError."""
        base = self._stage.checkpoint.adapter_of
        if base is None:
            return
        tensors = self._stepper.weights()
        with self._world.main_first():
            if self._world.main:
                where = f"stages.{self._job.name}.checkpoint.adapter_of"
                self._adapter_base = AdapterBase.of(base, tensors, self._stepper.model.frozen_names(), where)

    def _write(self, folder: Path, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        source = {"trained": self._job.recipe.description, "stage": self._job.name, **facts}
        config = BundleConfig(model=self._stage.model, sides=self._stage.sides, source=source)
        if self._adapter_base is not None:
            self._adapter_base.save(folder, tensors, config, self._tokenizer)
        else:
            save_bundle(folder, tensors, config, self._tokenizer)


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
