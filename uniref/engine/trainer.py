"""One stage of a training, from its first step or from a checkpoint to its last."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from uniref.core.atomic import atomic_folder
from uniref.core.batch import Batch
from uniref.core.errors import CheckpointError, UniRefError
from uniref.core.heap import keep_freed_memory
from uniref.data.loader import TrainLoader
from uniref.engine import state as states
from uniref.engine.build import build
from uniref.engine.monitor import Listener, Monitor, Silent
from uniref.engine.step import Stepper
from uniref.engine.stop import Stop
from uniref.engine.validate import validate
from uniref.engine.world import World
from uniref.model.referring import ReferringModel
from uniref.model.tokenizer import TextTokenizer
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
class _Progress:
    done: int = 0
    counters: Counters = field(default_factory=Counters)


class StageTrainer:
    """Trains a stage.

    Args:
        job: Everything it needs to know.
        resume: Checkpoint to continue from; None = from the start.

    Raises:
        UniRefError: Data, initial weights or the checkpoint cannot be used.
        UsageError: Recipe, data and devices do not go together.
    """

    def __init__(self, job: StageJob, resume: states.Saved | None) -> None:
        self.job = job
        self.stage = job.recipe.stages[job.name]
        self.world = job.world
        self.listener: Listener = job.listener if job.world.main else Silent()
        if self.stage.precision == "float32" and job.world.device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        if job.world.device.type == "cpu":
            keep_freed_memory()
        if job.recipe.run.threads is not None:
            torch.set_num_threads(job.recipe.run.threads)
        seed = stage_seed(job.recipe, job.name)
        built = build(self.stage, job.name, seed, job.start, load=resume is None)
        self.tokenizer: TextTokenizer | None = built.tokenizer
        self.stepper = Stepper(self.stage, built.model, job.world, seed)
        self._progress = _Progress()
        self.listener.say(f"{job.name}: {_trained_share(built.model)}")
        if resume is None:
            for note in built.notes:
                self.listener.say(f"{job.name}: {note}")
        else:
            self._restore(resume)
        self._adapter_base = self._open_adapter_base()
        self.loader = TrainLoader(
            self.stage.data,
            job.root,
            seed=seed,
            units_per_step=self.stage.units,
            unit_size=self.stage.micro_batch,
            start_step=self._progress.done,
            end_step=self.stage.steps,
            rank=job.world.rank,
            world_size=job.world.size,
            tokenizer=built.tokenizer,
            pin_memory=job.world.device.type == "cuda",
            on_skip=job.listener.warn,
        )
        job.folder.mkdir(parents=True, exist_ok=True)
        self.monitor = Monitor(
            job.folder, job.name, self.stage, job.recipe.run, job.world, self.listener, self._progress.done
        )

    def run(self) -> bool:
        """Train to the end of the stage and write `final`.

        Returns:
            False where it was asked to stop before; the state is saved.

        Raises:
            UniRefError: Too many steps without a finite loss, a file cannot be written, or the data failed.
        """
        try:
            finished = self._steps()
        finally:
            self.loader.close()
            self.monitor.close()
        if finished:
            self._export(FINAL, {})
        return finished

    def _steps(self) -> bool:
        steps = iter(self.loader)
        counters, stage = self._progress.counters, self.stage
        before = asdict(counters)
        while self._progress.done < stage.steps:
            began = time.perf_counter()
            batches = next(steps)
            waited = time.perf_counter() - began
            result = self.stepper.step(batches, self._progress.done, self.job.stop.requested)
            self._progress.done += 1
            done = self._progress.done
            counters.skipped_samples = before["skipped_samples"] + self.loader.skipped
            counters.redrawn_samples = before["redrawn_samples"] + self.loader.redrawn
            self.monitor.add(result, waited)
            if result.overflow:
                counters.overflows += 1
            elif not result.applied:
                self._bad_step(batches, result.loss, result.norm)
            else:
                counters.bad_in_row = 0
            last = done == stage.steps
            if done % self.job.recipe.run.log_every == 0 or last or result.stop:
                self.monitor.flush(done, self._shared_counters())
            evaluation = stage.evaluation
            if evaluation is not None and evaluation.data and (done % evaluation.every == 0 or last):
                self._timed(self._evaluate)
            if done % stage.checkpoint.every == 0 or last or result.stop:
                self._timed(self.save)
            if result.stop and not last:
                return False
            if counters.bad_in_row >= self.job.recipe.run.max_bad_steps:
                self.save()
                raise UniRefError(
                    f"{self.job.name}: {counters.bad_in_row} steps in a row without a finite loss and gradient, up to "
                    f"step {done}; the state is saved in {self.job.folder / CHECKPOINTS}. Lower optim.lr, or set "
                    "precision: float32; metrics.jsonl names the samples"
                )
        return True

    def _bad_step(self, batches: list[Batch], loss: float, norm: float) -> None:
        counters, done = self._progress.counters, self._progress.done
        counters.bad_steps += 1
        counters.bad_in_row += 1
        ids = [name for batch in batches for name in batch.ids]
        everyone = [name for part in self.world.gather(ids) for name in part]
        self.listener.warn(
            f"{self.job.name} step {done}: loss {loss:.4g}, gradient norm {norm:.4g}: not applied "
            f"(samples {', '.join(everyone[:8])}{' ...' if len(everyone) > 8 else ''})"
        )
        self.monitor.event(done, what="step not applied", loss=str(loss), norm=str(norm), samples=everyone)

    def _shared_counters(self) -> dict[str, int]:
        """Counters for the log: those of steps are the same on every process, so only the main one tells them."""
        counters = self._progress.counters
        samples = {"skipped_samples": counters.skipped_samples, "redrawn_samples": counters.redrawn_samples}
        if not self.world.main:
            return samples
        return samples | {"bad_steps": counters.bad_steps, "overflows": counters.overflows}

    def _timed(self, work: Callable[[], object]) -> None:
        began = time.monotonic()
        work()
        self.monitor.pause(time.monotonic() - began)

    # --- evaluation --------------------------------------------------------------------------------------------------

    def _evaluate(self) -> None:
        evaluation = self.stage.evaluation
        assert evaluation is not None
        tensors = self.stepper.averaged()
        value: float | None = None
        with self.world.main_first():
            if self.world.main:
                value = self._evaluate_here(tensors)
        value = self.world.gather(value)[0]
        counters = self._progress.counters
        if value is not None and (counters.best is None or value > counters.best):
            counters.best, counters.best_step = value, self._progress.done
            self._export(BEST, {"metric": evaluation.best or "first", "value": value}, tensors)

    def _evaluate_here(self, tensors: dict[str, torch.Tensor]) -> float:
        evaluation = self.stage.evaluation
        assert evaluation is not None
        done = self._progress.done
        found = validate(self.stage, tensors, self.tokenizer, self.job.root, self.world.device, self.stepper.precision)
        self.monitor.evaluated(done, found.results)
        for picture in found.pictures:
            self.monitor.picture(done, picture.name, picture.image)
        found.write_pictures(self.job.folder / "pictures" / f"step-{done:08d}")
        return found.best(evaluation.best)

    # --- state -------------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint; every process has to call it."""
        counters = self.world.gather(asdict(self._progress.counters))
        tensors, state = self.stepper.averaged(), self.stepper.state()
        facts = {
            "stage": self.job.name,
            "processes": self.world.size,
            "counters": counters,
            "stage_hash": self.job.recipe.stage_hash(self.job.name),
            "recipe": self.job.recipe.decisive(self.job.name),
        }
        folder = self.job.folder / CHECKPOINTS
        with self.world.main_first():
            if self.world.main:
                states.save(folder, self._progress.done, state, facts, lambda work: self._write(work, tensors, {}))
                states.keep_last(folder, self.stage.checkpoint.keep)

    def _restore(self, saved: states.Saved) -> None:
        facts = saved.facts
        try:
            counters, processes = list(facts["counters"]), int(facts["processes"])
            mine = counters[self.world.rank] if self.world.rank < len(counters) else dict(counters[0])
            if processes != self.world.size:
                mine = _redealt(counters, self.world.rank)
            self._progress = _Progress(saved.step, Counters(**mine))
            self.stepper.restore(read_tensors(saved.folder), states.load(saved))
        except (KeyError, TypeError, ValueError, AssertionError, RuntimeError) as error:
            raise CheckpointError(
                f"{saved.folder}: does not fit the recipe ({str(error).splitlines()[0]}); "
                "continue with the recipe of the run, or start another --out"
            ) from None
        self.listener.say(f"{self.job.name}: continuing at step {saved.step} of {self.stage.steps} ({saved.folder})")
        for line in _differences(facts.get("recipe", {}), self.job.recipe.decisive(self.job.name)):
            self.listener.warn(f"{self.job.name}: the recipe has changed since the checkpoint: {line}")
        if processes != self.world.size:
            micro = self.stage.units // self.world.size
            self.listener.warn(
                f"{self.job.name}: {self.world.size} processes instead of {processes}: each now does {micro} batches a "
                f"step instead of {self.stage.units // processes}. Samples, global batch and learning rates stay; "
                "sums are rounded in another order, so the result is equal but not bit for bit"
            )

    def _export(self, name: str, facts: dict[str, Any], tensors: dict[str, torch.Tensor] | None = None) -> None:
        tensors = tensors if tensors is not None else self.stepper.averaged()
        with self.world.main_first():
            if self.world.main:
                with atomic_folder(self.job.folder / name, overwrite=True) as work:
                    self._write(work, tensors, facts)

    def _write(self, folder: Path, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        source = {"trained": self.job.recipe.description, "stage": self.job.name, "step": self._progress.done, **facts}
        config = BundleConfig(model=self.stage.model, sides=self.stage.sides, source=source)
        if self._adapter_base is not None:
            self._adapter_base.save(folder, tensors, config, self.tokenizer)
        else:
            save_bundle(folder, tensors, config, self.tokenizer)

    def _open_adapter_base(self) -> AdapterBase | None:
        """What checkpoints are adapters over, if they are; every process has to call it, the main one writes them."""
        base = self.stage.checkpoint.adapter_of
        if base is None:
            return None
        tensors = self.stepper.weights()
        with self.world.main_first():
            if not self.world.main:
                return None
            where = f"stages.{self.job.name}.checkpoint.adapter_of"
            return AdapterBase.of(base, tensors, self.stepper.model.frozen_names(), where)


def _trained_share(model: ReferringModel) -> str:
    total = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return f"trains {trained:,} of {total:,} parameters ({trained / total:.1%})"


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
    return [] if then == now else [f"{path}: {then!r}, now {now!r}"]
