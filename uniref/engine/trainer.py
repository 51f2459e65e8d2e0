"""Training: the stages of a recipe one after the other, each a loop of steps, evaluations and checkpoints.

OUT/recipe.yaml          the recipe, resolved
OUT/STAGE/checkpoints/   step-00002000, ...
OUT/STAGE/metrics.jsonl, tensorboard/, pictures/
OUT/STAGE/best, final    checkpoint folders for `uniref predict`
OUT/report.html          when the last stage is done
OUT/stopped              while a run that was asked to stop waits to be resumed
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import yaml
from torch import Tensor

from uniref.core.atomic import exclusive
from uniref.core.batch import Batch
from uniref.core.device import autocast, keep_freed_memory
from uniref.core.errors import UniRefError
from uniref.core.signals import StopRequest
from uniref.data.train.loader import LoadingStoppedError, TrainLoader
from uniref.engine.checkpointer import (
    BEST,
    CHECKPOINTS,
    FINAL,
    Checkpointer,
    StageProgress,
)
from uniref.engine.distributed import (
    World,
    full_tensor,
    gradient_sync,
    join,
    processes_of_stage,
    stop_training_on_signals,
)
from uniref.engine.loss_module import ground_truth_boxes
from uniref.engine.optim import StepResult, TrainState, global_norm, set_rates
from uniref.engine.report import write_report
from uniref.engine.reporter import MetricLogger, Reporter, SilentReporter, non_finite_samples
from uniref.engine.request import (
    TrainRequest,
    check_out,
    check_unused,
    is_finished,
    requested_stages,
    resume_point,
    weights_of_stage_before,
)
from uniref.engine.requirements import check_requirements
from uniref.engine.stage_model import build_stage_model, train_mode
from uniref.engine.validate import validate
from uniref.extensions.plugins import source_hooks
from uniref.weights.initial_weights import adopt_models

STOPPED = "stopped"
_STREAM = 1_000_003  # keeps the random streams of different seeds apart


@dataclass(frozen=True)
class RunResult:
    """How a run ended."""

    out: Path
    signal: int
    """The signal that stopped it, with its state saved; 0 = it is done."""


def train(request: TrainRequest, reporter: Reporter) -> RunResult:
    """Train a recipe's stages one after the other; finished stages are skipped when resuming.

    Args:
        request: What to train.
        reporter: Of the main process.

    Raises:
        UsageError: The folder holds a run and `resume` is not given; a stage or device does not exist.
        UniRefError: Data, weights or checkpoints cannot be used; another process is training in the folder.
    """
    request = replace(request, recipe=adopt_models(request.recipe))
    names = requested_stages(request)
    with join(request.device, request.recipe.run.timeout_minutes) as world, contextlib.ExitStack() as stack:
        # claim the folder, check what all stages need, and write the resolved recipe
        with world.on_main_process():
            if world.main:
                check_out(request)
                stack.enter_context(exclusive(request.out, "trained"))
                check_unused(request, names)
                left = [name for name in names if not (request.resume == "auto" and is_finished(request, name))]
                check_requirements(request.recipe, left, request.root, request.out)
                request.out.mkdir(parents=True, exist_ok=True)
                content = yaml.safe_dump(request.recipe.model_dump(mode="json"), sort_keys=False)
                (request.out / "recipe.yaml").write_text(content, "utf-8")
                (request.out / STOPPED).unlink(missing_ok=True)
        stop = stack.enter_context(stop_training_on_signals(reporter.warn if world.main else SilentReporter().warn))
        # stage after stage; a stop request ends the run with its state saved
        for name in names:
            if request.resume == "auto" and is_finished(request, name):
                if world.main:
                    reporter.say(f"{name}: is done ({request.out / name / FINAL})")
            elif not _train_stage(request, name, world, reporter, stop):
                number = max(world.gather(stop.signal))  # perhaps another process was asked
                if world.main:
                    (request.out / STOPPED).write_text(f"signal {number}\n", "utf-8")
                    reporter.say(f"stopped; resume with --resume auto --out {request.out}")
                return RunResult(request.out, number)
        # curves and results of all stages
        with world.on_main_process():
            if world.main:
                reporter.say(f"report: {write_report(request.out, request.recipe)}")
    return RunResult(request.out, 0)


def _train_stage(request: TrainRequest, name: str, world: World, reporter: Reporter, stop: StopRequest) -> bool:
    """Train a stage on as many processes as its batch can feed; the others wait, without a time limit.

    Returns:
        On every process: False where it was asked to stop before the end; the state is saved.
    """
    used = processes_of_stage(request.recipe.stages[name], world.size, name)
    if used < world.size and world.main:
        reporter.say(f"{name}: uses {used} of {world.size} processes, one per micro batch of a step; the others wait")
    members = world.first(used)
    finished = members is None or StageTrainer(request, name, members, reporter, stop).run()
    world.wait()
    return all(world.gather(finished))


class StageTrainer:
    """Trains one stage, from its first step or from a checkpoint to its last.

    Args:
        request: What to train.
        name: Of the stage.
        world: The processes that train together.
        reporter: Of the main process.
        stop: Whether this process was asked to stop.

    Raises:
        UniRefError: Data, initial weights or the checkpoint cannot be used.
        UsageError: Recipe, data and devices do not fit together.
    """

    def __init__(self, request: TrainRequest, name: str, world: World, reporter: Reporter, stop: StopRequest) -> None:
        recipe = request.recipe
        self.name, self.stage, self.run_config = name, recipe.stages[name], recipe.run
        self.root, self.folder = request.root, request.out / name
        self.world, self.stop = world, stop
        self.reporter: Reporter = reporter if world.main else SilentReporter()
        resume = resume_point(request, name, world, reporter)
        # settings of the process
        if self.stage.precision == "float32" and world.device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        if world.device.type == "cpu":
            keep_freed_memory()
        if recipe.run.threads is not None:
            torch.set_num_threads(recipe.run.threads)
        # model, optimiser and checkpoints
        seed = recipe.stage_seed(name)
        built = build_stage_model(self.stage, name, seed, weights_of_stage_before(request, name), load=resume is None)
        self.tokenizer = built.tokenizer
        self.state = TrainState(self.stage, built.model, world, seed)
        self.checkpointer = Checkpointer(self.folder, recipe, name, self.state, built.tokenizer, self.reporter)
        self.reporter.say(f"{name}: {self.state.trained_share()}")
        if resume is None:
            self.progress = StageProgress()
            for note in built.notes:
                self.reporter.say(f"{name}: {note}")
        else:
            self.progress = self.checkpointer.restore(resume)
        self.checkpointer.open_adapter_base()
        # data
        self.loader = TrainLoader(
            self.stage.data,
            request.root,
            seed=seed,
            micro_batches_per_step=self.stage.micro_batches_per_step,
            micro_batch_size=self.stage.micro_batch,
            start_step=self.progress.done,
            end_step=self.stage.steps,
            rank=world.rank,
            world_size=world.size,
            tokenizer=built.tokenizer,
            pin_memory=world.device.type == "cuda",
            on_skip=reporter.warn,
            open_hooks=source_hooks,
            stop_requested=lambda: stop.requested,
            patience=30.0 * recipe.run.timeout_minutes,  # half of what other processes wait for this one
        )
        for source in self.loader.sources:
            absent = source.config.language is not None and source.config.language.absent
            if source.without_target and not absent:
                count = f"{source.without_target:,} of {len(source.index):,} samples"
                self.reporter.say(f"{name}: {source.name}: {count} are left out: their expressions refer to nothing")
        # log files
        self.folder.mkdir(parents=True, exist_ok=True)
        self.metrics = MetricLogger(self.folder, name, self.stage, recipe.run, world, self.reporter, self.progress.done)

    def run(self) -> bool:
        """Train to the end of the stage and write `final`.

        Returns:
            False where it was asked to stop before; the state is saved.

        Raises:
            UniRefError: Too many steps without a finite loss, a file cannot be written, or the data failed.
        """
        try:
            if not self._evaluate_if_due():  # the run was stopped before this evaluation
                return False
            steps = iter(self.loader)
            while self.progress.done < self.stage.steps:
                # wait for the data, then one optimiser step
                began = time.perf_counter()
                batches = self._next_batches(steps)
                if batches is None:
                    return False
                waited = time.perf_counter() - began
                result = train_step(self.state, batches, self.progress.done, self.stop.requested)
                self.progress.done += 1
                self._count(batches, result)
                # log
                done, last = self.progress.done, self.progress.done == self.stage.steps
                self.metrics.log_step(result, waited)
                if done % self.run_config.log_every == 0 or last or result.stop:
                    self.metrics.flush(done, self._counters_to_log())
                # evaluate, save, and stop where asked to
                stopped = result.stop or not self._evaluate_if_due()
                if done % self.stage.checkpoint.every == 0 or last or stopped:
                    self.checkpointer.save(self.progress)
                if stopped and not (last and not self._is_evaluation_due()):
                    return False
                self._give_up_if_hopeless()
        finally:
            self.loader.close()
            self.metrics.close()
        self.checkpointer.export(FINAL, {"step": self.progress.done})
        return True

    def _next_batches(self, steps: Iterator[list[Batch]]) -> list[Batch] | None:
        """The batches of the next step; None where a process was asked to stop while it waited: the state is saved.

        Raises:
            UniRefError: A process cannot load its data; the state is saved.
        """
        batches, problem = None, None
        try:
            batches = next(steps)
        except LoadingStoppedError:
            pass
        except UniRefError as error:
            problem = error
        # all processes agree on what happens
        failed, left = self.world.sum_numbers(problem is not None, batches is None)
        if left and self.progress.done:
            self.checkpointer.save(self.progress)
        if failed:
            messages = self.world.gather(None if problem is None else str(problem))
            reason = next(message for message in messages if message is not None)
            raise UniRefError(reason + (self._saved() if self.progress.done else "")) from problem
        return None if left else batches

    # --- evaluation --------------------------------------------------------------------------------------------------

    def _is_evaluation_due(self) -> bool:
        evaluation, done = self.stage.evaluation, self.progress.done
        if evaluation is None or not evaluation.data or done <= self.progress.evaluated:
            return False
        return done % evaluation.every == 0 or done == self.stage.steps

    def _evaluate_if_due(self) -> bool:
        """Evaluate, and export the best weights so far.

        Returns:
            False where it was asked to stop meanwhile: the evaluation is then left for later.

        Raises:
            UniRefError: The evaluation failed; the state is saved, and resumes with the evaluation.
        """
        if not self._is_evaluation_due():
            return True
        try:
            return self._evaluate()
        except UniRefError as error:
            if not self.progress.done:
                raise
            if not self.checkpointer.is_saved(self.progress):
                self.checkpointer.save(self.progress)
            raise UniRefError(f"evaluation at step {self.progress.done}: {error}{self._saved()}") from error

    def _saved(self) -> str:
        return f"; the state is saved, resume with --resume auto ({self.name}, step {self.progress.done})"

    def _evaluate(self) -> bool:
        """As `_evaluate_if_due`, of an evaluation that is due."""
        evaluation, done = self.stage.evaluation, self.progress.done
        assert evaluation is not None
        # running statistics of batch norms differ between processes; the main one's are evaluated
        for buffer in self.state.model.buffers():
            self.world.broadcast(full_tensor(buffer))
        tensors = self.state.averaged()
        # all processes share the evaluation
        validation = validate(
            self.stage,
            tensors,
            self.tokenizer,
            self.root,
            self.state.precision,
            self.folder,
            self.world,
            stop_requested=lambda: self.stop.requested,
        )
        value: float | None = None
        with self.world.on_main_process():
            if self.world.main and validation is not None:
                self.metrics.log_evaluation(done, validation.results)
                for sample in validation.images:
                    self.metrics.log_image(done, sample.name, sample.image)
                validation.write_images(self.folder / "pictures" / f"step-{done:08d}")
                value = validation.best(evaluation.best)
        value = self.world.gather(value)[0]
        if value is None:
            return False
        # the best checkpoint so far
        self.progress.evaluated = done
        counters = self.progress.counters
        if counters.best is None or value > counters.best:
            counters.best = value
            metadata = {"step": done, "metric": evaluation.best or "first", "value": value}
            self.checkpointer.export(BEST, metadata, tensors)
        return True

    # --- steps that go wrong -----------------------------------------------------------------------------------------

    def _count(self, batches: list[Batch], result: StepResult) -> None:
        """Count what went wrong in a step, and report a step that was not applied with its samples."""
        counters, done = self.progress.counters, self.progress.done
        counters.skipped_samples += self.loader.skipped
        counters.redrawn_samples += self.loader.redrawn
        self.loader.skipped = self.loader.redrawn = 0
        if result.overflow:
            counters.overflows += 1
        elif result.applied:
            counters.bad_in_row = 0
        else:
            counters.bad_steps += 1
            counters.bad_in_row += 1
            samples = non_finite_samples(self.world, batches, result)
            loss, norm = result.loss, result.norm
            self.reporter.warn(
                f"{self.name} step {done}: loss {loss:.4g}, gradient norm {norm:.4g}: not applied "
                f"(samples {', '.join(samples[:8])}{' ...' if len(samples) > 8 else ''})"
            )
            self.metrics.log_event(done, what="step not applied", loss=str(loss), norm=str(norm), samples=samples)

    def _give_up_if_hopeless(self) -> None:
        bad = self.progress.counters.bad_in_row
        if bad < self.run_config.max_bad_steps:
            return
        self.checkpointer.save(self.progress)
        raise UniRefError(
            f"{self.name}: {bad} steps in a row without a finite loss and gradient, up to "
            f"step {self.progress.done}; the state is saved in {self.folder / CHECKPOINTS}. Lower optim.lr, or set "
            "precision: float32; metrics.jsonl names the samples"
        )

    def _counters_to_log(self) -> dict[str, int]:
        """Counters of steps are the same on every process, so only the main one logs them."""
        counters = self.progress.counters
        samples = {"skipped_samples": counters.skipped_samples, "redrawn_samples": counters.redrawn_samples}
        if not self.world.main:
            return samples
        return samples | {"bad_steps": counters.bad_steps, "overflows": counters.overflows}


def train_step(state: TrainState, batches: Sequence[Batch], step: int, stop: bool = False) -> StepResult:
    """One optimiser step: forward and backward of this process's micro batches, gradient clipping, AdamW, EMA.

    Random numbers (dropout, stochastic depth) are a function of the seed and the micro batch's number in the training,
    whichever process it falls to: nothing about them has to be saved.

    Args:
        state: Model and optimiser; updated in place unless the loss or the gradient is not finite.
        batches: In the order of the sampler.
        step: Number of the step, from 0.
        stop: Whether this process was asked to stop.
    """
    began = time.perf_counter()
    stage, world = state.stage, state.world
    train_mode(state.model)
    set_rates(state.optimizer, stage.optim.schedule, step)
    batches = [batch.to(world.device) for batch in batches]
    # divisor of the proposals' losses: ground-truth boxes per micro batch, averaged over the whole step; at least 1
    [count] = world.sum_numbers(sum(map(ground_truth_boxes, batches)))
    boxes = max(1.0, count / stage.micro_batches_per_step)
    # gradients accumulate over the micro batches; the last one's backward pass exchanges them
    total = torch.zeros((), dtype=torch.float64, device=world.device)
    terms = []
    for index, batch in enumerate(batches):
        number = step * stage.micro_batches_per_step + index * world.size + world.rank
        torch.manual_seed(state.seed * _STREAM + number)
        with gradient_sync(state.network, index == len(batches) - 1):
            with autocast(world.device, state.precision):
                losses: dict[str, Tensor] = state.network(batch, boxes, step)
            loss = torch.stack([term.float() for term in losses.values()]).sum()
            state.scaler.scale(loss / len(batches)).backward()
        total += loss.detach()
        terms.append((batch.task.value, {name: term.detach() for name, term in losses.items()}))
    # all processes agree on the loss and on whether to stop; here the host waits for the device
    shared = world.sum(torch.stack([total / stage.micro_batches_per_step, total.new_full((), stop)]))
    state.scaler.unscale_(state.optimizer)
    norm = full_tensor(global_norm(state.parameters))
    mean, stops, norm_value = torch.stack([*shared, norm.to(shared)]).tolist()
    # clip and apply, where everything is finite
    finite = math.isfinite(norm_value) and math.isfinite(mean)
    if finite:
        if stage.optim.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(state.parameters, stage.optim.clip_norm, norm)
        state.scaler.step(state.optimizer)
        if state.ema is not None:
            state.ema.update(state.model)
    # a scale of 1 changes nothing: what is not finite then is the gradient itself
    overflow = not finite and state.scaler.is_enabled() and math.isfinite(mean) and state.scaler.get_scale() > 1
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    return StepResult(finite, overflow, mean, norm_value, bool(stops), terms, time.perf_counter() - began)
