"""Where a training's metrics go besides `metrics.jsonl`: TensorBoard, Weights & Biases."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from uniref.core.errors import UsageError
from uniref.recipe.recipe import RunConfig, StageConfig


class MetricSink(Protocol):
    """Takes the metrics of a stage; a further kind is a class of this form in `open_loggers` and in `run.loggers`."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Numbers by name (`terms/loss_mask`) after a step."""

    def image(self, name: str, image: npt.NDArray[np.uint8], step: int) -> None:
        """An image, uint8 [H, W, 3]."""

    def close(self) -> None:
        """The stage is over, or was stopped."""


class TensorBoardSink:
    """Event files in `tensorboard/` of the stage; those of steps after `start` are superseded."""

    def __init__(self, folder: Path, start: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """As of `MetricSink`."""
        for key, value in values.items():
            self._writer.add_scalar(key, value, step)

    def image(self, name: str, image: npt.NDArray[np.uint8], step: int) -> None:
        """As of `MetricSink`."""
        self._writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """As of `MetricSink`."""
        self._writer.close()


class WandbSink:
    """A run of Weights & Biases; WANDB_MODE=offline keeps it in the stage's folder."""

    def __init__(self, project: str, name: str, folder: Path, stage: StageConfig) -> None:
        check_loggers(("wandb",))
        import wandb  # type: ignore[import-not-found]

        self._wandb, config = wandb, stage.model_dump(mode="json")
        self._run: Any = wandb.init(project=project, name=name, dir=str(folder), config=config, resume="allow")

    def log(self, values: Mapping[str, float], step: int) -> None:
        """As of `MetricSink`."""
        self._run.log(dict(values), step=step)

    def image(self, name: str, image: npt.NDArray[np.uint8], step: int) -> None:
        """As of `MetricSink`."""
        self._run.log({name: self._wandb.Image(image)}, step=step)

    def close(self) -> None:
        """As of `MetricSink`."""
        self._run.finish()


def check_loggers(names: tuple[str, ...]) -> None:
    """Raise UsageError where a logger's package is not installed; nothing is imported."""
    if "wandb" in names and importlib.util.find_spec("wandb") is None:
        raise UsageError("run.loggers: wandb is not installed; pip install wandb, or leave it out of run.loggers")


def open_loggers(run: RunConfig, name: str, folder: Path, stage: StageConfig, start: int) -> list[MetricSink]:
    """The loggers that a recipe names.

    Args:
        run: Configuration.
        name, folder, stage: Of the stage.
        start: Steps done before.

    Raises:
        UsageError: A logger's package is not installed.
    """
    sinks: list[MetricSink] = []
    if "tensorboard" in run.loggers:
        sinks.append(TensorBoardSink(folder, start))
    if "wandb" in run.loggers:
        sinks.append(WandbSink(run.wandb_project, name, folder, stage))
    return sinks
