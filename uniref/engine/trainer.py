"""One stage of a training, from its first step or from a checkpoint to its last."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch

from uniref.core.batch import Batch
from uniref.core.errors import UniRefError, UsageError
from uniref.core.heap import keep_freed_memory
from uniref.core.tasks import Task
from uniref.data.train.loader import TrainLoader
from uniref.data.train.sources import TrainSource
from uniref.engine.checkpointer import (
    BEST,
    CHECKPOINTS,
    FINAL,
    Checkpointer,
    SavedCheckpoint,
    StageJob,
    StageProgress,
    stage_seed,
)
from uniref.engine.reporter import MetricLogger, Reporter, SilentReporter
from uniref.engine.stage_model import build
from uniref.engine.step import StepResult, TrainStep
from uniref.engine.validate import Validation, check_data, validate
from uniref.model.referring import ReferringModel
from uniref.recipe.recipe import StageConfig


class StageTrainer:
    """Trains a stage.

    Args:
        job: Everything it needs to know.
        resume: Checkpoint to continue from; None = from the start.

    Raises:
        UniRefError: Data, initial weights or the checkpoint cannot be used.
        UsageError: Recipe, data and devices do not go together.
    """

    def __init__(self, job: StageJob, resume: SavedCheckpoint | None) -> None:
        self.job = job
        self.stage = job.recipe.stages[job.name]
        self.world = job.world
        self.reporter: Reporter = job.reporter if job.world.main else SilentReporter()
        if self.stage.precision == "float32" and job.world.device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        if job.world.device.type == "cpu":
            keep_freed_memory()
        if job.recipe.run.threads is not None:
            torch.set_num_threads(job.recipe.run.threads)
        seed = stage_seed(job.recipe, job.name)
        built = build(self.stage, job.name, seed, job.start, load=resume is None)
        self.tokenizer = built.tokenizer
        self.train_step = TrainStep(self.stage, built.model, job.world, seed)
        self.files = Checkpointer(job, self.train_step, built.tokenizer, self.reporter)
        self.reporter.say(f"{job.name}: {_trained_share(built.model)}")
        if resume is None:
            self.progress = StageProgress()
            for note in built.notes:
                self.reporter.say(f"{job.name}: {note}")
        else:
            self.progress = self.files.restore(resume)
        self.files.open_adapter_base()
        self.loader = TrainLoader(
            self.stage.data,
            job.root,
            seed=seed,
            micro_batches_per_step=self.stage.micro_batches_per_step,
            micro_batch_size=self.stage.micro_batch,
            start_step=self.progress.done,
            end_step=self.stage.steps,
            rank=job.world.rank,
            world_size=job.world.size,
            tokenizer=built.tokenizer,
            pin_memory=job.world.device.type == "cuda",
            on_skip=job.reporter.warn,
        )
        _check_fit(self.loader.sources, self.stage)
        check_data(self.stage, job.root)
        job.folder.mkdir(parents=True, exist_ok=True)
        self.monitor = MetricLogger(
            job.folder, job.name, self.stage, job.recipe.run, job.world, self.reporter, self.progress.done
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
            self.files.export(FINAL, {"step": self.progress.done})
        return finished

    def _steps(self) -> bool:
        if not self._evaluate_if_due():  # the run was stopped before it came to that
            return False
        steps = iter(self.loader)
        while self.progress.done < self.stage.steps:
            began = time.perf_counter()
            batches = next(steps)
            waited = time.perf_counter() - began
            result = self.train_step.step(batches, self.progress.done, self.job.stop.requested)
            self.progress.done += 1
            self._count(batches, result)
            self.monitor.add(result, waited)
            done, last = self.progress.done, self.progress.done == self.stage.steps
            if done % self.job.recipe.run.log_every == 0 or last or result.stop:
                self.monitor.flush(done, self._shared_counters())
            stopped = result.stop or not self._evaluate_if_due()
            if done % self.stage.checkpoint.every == 0 or last or stopped:
                self.files.save(self.progress)
            if stopped and not (last and not self._is_evaluation_due()):
                return False
            self._give_up_if_hopeless()
        return True

    # --- steps that go wrong -----------------------------------------------------------------------------------------

    def _count(self, batches: list[Batch], result: StepResult) -> None:
        counters = self.progress.counters
        counters.skipped_samples += self.loader.skipped
        counters.redrawn_samples += self.loader.redrawn
        self.loader.skipped = self.loader.redrawn = 0
        if result.overflow:
            counters.overflows += 1
        elif not result.applied:
            counters.bad_steps += 1
            counters.bad_in_row += 1
            self._tell_bad_step(batches, result)
        else:
            counters.bad_in_row = 0

    def _tell_bad_step(self, batches: list[Batch], result: StepResult) -> None:
        done, loss, norm = self.progress.done, result.loss, result.norm
        guilty = [name for part in self.world.gather(_without_finite_loss(batches, result)) for name in part]
        # where every loss is finite, the gradient is not, and any batch may have made it so
        everyone = [
            name for part in self.world.gather([name for batch in batches for name in batch.ids]) for name in part
        ]
        names = guilty or everyone
        self.reporter.warn(
            f"{self.job.name} step {done}: loss {loss:.4g}, gradient norm {norm:.4g}: not applied "
            f"(samples {', '.join(names[:8])}{' ...' if len(names) > 8 else ''})"
        )
        self.monitor.event(done, what="step not applied", loss=str(loss), norm=str(norm), samples=names)

    def _give_up_if_hopeless(self) -> None:
        bad = self.progress.counters.bad_in_row
        if bad < self.job.recipe.run.max_bad_steps:
            return
        self.files.save(self.progress)
        raise UniRefError(
            f"{self.job.name}: {bad} steps in a row without a finite loss and gradient, up to "
            f"step {self.progress.done}; the state is saved in {self.job.folder / CHECKPOINTS}. Lower optim.lr, or set "
            "precision: float32; metrics.jsonl names the samples"
        )

    def _shared_counters(self) -> dict[str, int]:
        """Counters for the log: those of steps are the same on every process, so only the main one tells them."""
        counters = self.progress.counters
        samples = {"skipped_samples": counters.skipped_samples, "redrawn_samples": counters.redrawn_samples}
        if not self.world.main:
            return samples
        return samples | {"bad_steps": counters.bad_steps, "overflows": counters.overflows}

    # --- evaluation --------------------------------------------------------------------------------------------------

    def _is_evaluation_due(self) -> bool:
        evaluation, done = self.stage.evaluation, self.progress.done
        if evaluation is None or not evaluation.data or done <= self.progress.evaluated:
            return False
        return done % evaluation.every == 0 or done == self.stage.steps

    def _evaluate_if_due(self) -> bool:
        """False where it was asked to stop on the way: the evaluation is then left for later."""
        if not self._is_evaluation_due():
            return True
        evaluation, done, counters = self.stage.evaluation, self.progress.done, self.progress.counters
        assert evaluation is not None
        tensors = self.train_step.averaged()
        value: float | None = None
        with self.world.on_main_process():
            if self.world.main:
                found = validate(
                    self.stage,
                    tensors,
                    self.tokenizer,
                    self.job.root,
                    self.world.device,
                    self.train_step.precision,
                    asked_to_stop=lambda: self.job.stop.requested,
                )
                value = None if found is None else self._tell_evaluation(found)
        value = self.world.gather(value)[0]
        if value is None:
            return False
        self.progress.evaluated = done
        if counters.best is None or value > counters.best:
            counters.best, counters.best_step = value, done
            facts = {"step": done, "metric": evaluation.best or "first", "value": value}
            self.files.export(BEST, facts, tensors)
        return True

    def _tell_evaluation(self, found: Validation) -> float:
        evaluation, done = self.stage.evaluation, self.progress.done
        assert evaluation is not None
        self.monitor.evaluated(done, found.results)
        for picture in found.pictures:
            self.monitor.picture(done, picture.name, picture.image)
        found.write_pictures(self.job.folder / "pictures" / f"step-{done:08d}")
        return found.best(evaluation.best)


def _check_fit(sources: Sequence[TrainSource], stage: StageConfig) -> None:
    """What only the prepared data tell: whether the model has the parts and the classes that they need."""
    for source in sources:
        shows_masks = source.task in (Task.FSS, Task.VOS) or (source.task is Task.RVOS and source.text_only < 1)
        if shows_masks and stage.model.mask_encoder is None:
            raise UsageError(
                f"{source.name}: {source.task.value} refers by masks, but model.mask_encoder is null; give the model "
                "that part, or leave the source out"
            )
        classes = getattr(stage.model, "classes", 1)
        if len(source.classes) > classes:
            raise UsageError(
                f"{source.name}: has {len(source.classes)} categories, but model.classes is {classes}; set "
                f"model.classes={len(source.classes)}, or the source's `categories` to false"
            )


def _without_finite_loss(batches: Sequence[Batch], result: StepResult) -> list[str]:
    """Ids of the samples in batches whose loss is not finite."""
    return [
        name
        for batch, (_, terms) in zip(batches, result.terms, strict=True)
        if not all(math.isfinite(float(term)) for term in terms.values())
        for name in batch.ids
    ]


def _trained_share(model: ReferringModel) -> str:
    total = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return f"trains {trained:,} of {total:,} parameters ({trained / total:.1%})"
