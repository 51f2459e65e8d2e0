"""What a run trains, in which folder, and from which point it resumes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from uniref.core.errors import UsageError
from uniref.engine.checkpointer import (
    CHECKPOINTS,
    FINAL,
    SavedCheckpoint,
    latest_checkpoint,
    stage_of_checkpoint,
    steps_of_export,
    verify_checkpoint,
)
from uniref.engine.distributed import World
from uniref.engine.reporter import METRICS, Reporter
from uniref.recipe.recipe import Recipe


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


def requested_stages(request: TrainRequest) -> tuple[str, ...]:
    """The stages to train; from a checkpoint that is named, its stage and those after it.

    Raises:
        UsageError: A stage does not exist, or `resume` names no checkpoint of one that is to be trained.
    """
    names = request.recipe.select(request.stages)
    if request.resume in (None, "auto"):
        return names
    stage = stage_of_checkpoint(Path(str(request.resume)))
    if stage is None:
        raise UsageError(
            f"--resume {request.resume}: is not a checkpoint of a training; name a folder step-... or auto"
        )
    if stage not in names:
        raise UsageError(f"--resume {request.resume}: is a checkpoint of stage {stage}, which is not to be trained")
    return names if request.stages else names[names.index(stage) :]


def check_out(request: TrainRequest) -> None:
    """Raise UsageError where the run's folder cannot be one."""
    if file := next((each for each in (request.out, *request.out.parents) if each.is_file()), None):
        raise UsageError(f"--out {request.out}: {file} is a file; name a folder")


def check_unused(request: TrainRequest, names: tuple[str, ...]) -> None:
    """Raise UsageError where a new run would be written into the folder of another."""
    if request.resume is not None:
        return
    for name in names:
        folder = request.out / name
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"{folder}: holds a training; resume it with --resume auto, or choose another --out")


def weights_of_stage_before(request: TrainRequest, name: str) -> Path | None:
    """The final weights of the stage that a stage starts from."""
    before = request.recipe.stages[name].init.stage
    return None if before is None else request.out / before / FINAL


def is_finished(request: TrainRequest, name: str) -> bool:
    """Whether a stage has its final weights."""
    final = request.out / name / FINAL
    return final.is_dir() and steps_of_export(final) >= request.recipe.stages[name].steps


def resume_point(request: TrainRequest, name: str, world: World, reporter: Reporter) -> SavedCheckpoint | None:
    """The checkpoint that a stage is resumed from; None = it starts from the beginning.

    Raises:
        UniRefError: The checkpoint that is named is damaged, or all of the stage's are.
    """
    if request.resume is None:
        return None
    if request.resume != "auto":
        saved = verify_checkpoint(Path(request.resume))
        if saved.metadata.get("stage") == name:
            return saved
        # a later stage of the same run starts from the one that was resumed
        if stage_of_checkpoint(Path(request.resume)) not in request.recipe.stages:
            return None
    # the newest intact checkpoint, as the main process sees it
    latest = None
    with world.on_main_process():
        if world.main:
            latest = latest_checkpoint(request.out / name / CHECKPOINTS, reporter.warn)
            if latest is None and (request.out / name / METRICS).exists():
                reporter.warn(f"{request.out / name / CHECKPOINTS}: holds no checkpoint; {name} starts at step 1 again")
    return world.gather(latest)[0]
