"""A training run: the stages of a recipe, in a folder that can be continued at any moment.

OUT/recipe.yaml          the recipe, resolved
OUT/STAGE/checkpoints/   step-00002000, ...
OUT/STAGE/metrics.jsonl, tensorboard/, pictures/
OUT/STAGE/best, final    checkpoint folders for `uniref predict`
OUT/report.html          when the last stage is done
OUT/stopped              while a run that was asked to stop waits to be continued
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import yaml

from uniref.core.atomic import exclusive
from uniref.core.errors import CheckpointError, UniRefError, UsageError
from uniref.core.json_files import read_json
from uniref.engine.checkpointer import (
    CHECKPOINTS,
    FINAL,
    MANIFEST,
    SavedCheckpoint,
    StageJob,
    latest_checkpoint,
    verify_checkpoint,
)
from uniref.engine.distributed import join, stop_training_on_signals
from uniref.engine.report import write_report
from uniref.engine.reporter import Reporter
from uniref.engine.trainer import StageTrainer
from uniref.recipe.recipe import Recipe
from uniref.weights.checkpoint import read_config

STOPPED = "stopped"


@dataclass(frozen=True)
class TrainRequest:
    """What to train."""

    recipe: Recipe
    root: Path
    """Data root."""
    out: Path
    """Folder of the run."""
    stages: tuple[str, ...] = ()
    """Only these; empty = all."""
    resume: str | None = None
    """`auto`, or a checkpoint folder of this run."""
    device: str = "auto"


@dataclass(frozen=True)
class RunResult:
    """How a run ended."""

    out: Path
    signal: int
    """By which it was stopped, with its state saved; 0 = it is done."""


def train(request: TrainRequest, reporter: Reporter) -> RunResult:
    """Train a recipe's stages one after the other; stages that are done are passed over when resuming.

    Args:
        request: What to train.
        reporter: Of the main process.

    Raises:
        UsageError: The folder holds a run and `resume` is not given; a stage or device does not exist.
        UniRefError: Data, weights or checkpoints cannot be used; another process is at work in the folder.
    """
    names = _stages(request)
    with join(request.device, request.recipe.run.timeout_minutes) as world, contextlib.ExitStack() as stack:
        with world.on_main_process():
            if world.main:
                stack.enter_context(exclusive(request.out, "trained"))
                _check_out(request, names)
                request.out.mkdir(parents=True, exist_ok=True)
                content = yaml.safe_dump(request.recipe.model_dump(mode="json"), sort_keys=False)
                (request.out / "recipe.yaml").write_text(content, "utf-8")
                (request.out / STOPPED).unlink(missing_ok=True)
        stop = stack.enter_context(stop_training_on_signals(reporter.warn if world.main else _nothing))
        for name in names:
            job = StageJob(
                recipe=request.recipe,
                name=name,
                root=request.root,
                folder=request.out / name,
                world=world,
                reporter=reporter,
                stop=stop,
                start=_start(request, name),
            )
            if not _train_stage(job, request):
                number = max(world.gather(stop.signal))  # perhaps another process was asked
                if world.main:
                    (request.out / STOPPED).write_text(f"signal {number}\n", "utf-8")
                    reporter.say(f"stopped; continue with --resume auto --out {request.out}")
                return RunResult(request.out, number)
        with world.on_main_process():
            if world.main:
                reporter.say(f"report: {write_report(request.out, request.recipe)}")
    return RunResult(request.out, 0)


def _train_stage(job: StageJob, request: TrainRequest) -> bool:
    """Whether the stage came to its end."""
    stage = job.recipe.stages[job.name]
    resume = None
    if request.resume == "auto":
        final = job.folder / FINAL
        if final.is_dir() and _steps_of(final) >= stage.steps:
            if job.world.main:
                job.reporter.say(f"{job.name}: is done ({final})")
            return True
        resume = _latest(job)
    elif request.resume is not None:
        resume = verify_checkpoint(Path(request.resume))
        if resume.facts.get("stage") != job.name:
            # a later stage of the same run starts from the one that was resumed
            resume = _latest(job) if _stage_of(Path(request.resume)) in job.recipe.stages else None
    return StageTrainer(job, resume).run()


def _latest(job: StageJob) -> SavedCheckpoint | None:
    """The newest intact checkpoint, as the main process sees it."""
    found = latest_checkpoint(job.folder / CHECKPOINTS, job.reporter.warn) if job.world.main else None
    return job.world.gather(found)[0]


def _steps_of(final: Path) -> int:
    try:
        return int(read_config(final).source.get("step", 0))
    except (CheckpointError, TypeError, ValueError):
        return 0


def _stages(request: TrainRequest) -> tuple[str, ...]:
    known = tuple(request.recipe.stages)
    for name in request.stages:
        if name not in known:
            raise UsageError(f"--stage {name}: the recipe has no such stage (it has {', '.join(known)})")
    if request.resume not in (None, "auto"):
        stage = _stage_of(Path(str(request.resume)))
        if stage not in known or (request.stages and stage not in request.stages):
            raise UsageError(f"--resume {request.resume}: is no checkpoint of a stage that is to be trained ({stage})")
        if not request.stages:
            return known[known.index(stage) :]
    return tuple(name for name in known if not request.stages or name in request.stages)


def _stage_of(checkpoint: Path) -> str | None:
    try:
        facts = read_json(checkpoint / MANIFEST)
    except UniRefError:
        return None
    stage = facts.get("stage") if isinstance(facts, dict) else None
    return stage if isinstance(stage, str) else None


def _start(request: TrainRequest, name: str) -> Path | None:
    """The final weights of the stage that a stage starts from."""
    before = request.recipe.stages[name].init.stage
    if before is None:
        return None
    return request.out / before / FINAL


def _check_out(request: TrainRequest, names: tuple[str, ...]) -> None:
    if request.resume is not None:
        return
    for name in names:
        folder = request.out / name
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"{folder}: holds a training; continue it with --resume auto, or choose another --out")
    first = request.recipe.stages[names[0]].init.stage
    if first is not None and not (request.out / first / FINAL).is_dir():
        raise UniRefError(
            f"{request.out / first / FINAL}: stage {names[0]} starts from stage {first}, which is not done; train it "
            f"first, or set stages.{names[0]}.init.stage=null and init.model to a checkpoint"
        )


def _nothing(line: str) -> None:
    del line
