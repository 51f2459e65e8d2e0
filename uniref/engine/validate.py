"""Evaluation in the course of a training: the published measures on a few samples, and pictures of some."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from uniref.core.errors import UsageError
from uniref.data.index import Index
from uniref.engine.pictures import Picture, sample_pictures
from uniref.evaluation import evaluate
from uniref.evaluation.benchmark import open_benchmark
from uniref.inference.predictor import Predictor
from uniref.model.build import build_model
from uniref.model.text import TextTokenizer
from uniref.recipe.stage import StageConfig
from uniref.weights.bundle import Bundle, BundleConfig, uninitialised

T = TypeVar("T")


@dataclass(frozen=True)
class Validation:
    """What an evaluation found."""

    results: dict[str, dict[str, float]]
    """`dataset/split` -> measure -> value."""
    pictures: tuple[Picture, ...]

    def best(self, name: str | None) -> float:
        """The number that decides which checkpoint is best: the measure of this name, averaged over the data sets that
        have it, or the headline of each, averaged.

        Raises:
            UsageError: No data set has the measure.
        """
        found = [
            next(iter(v.values())) if name is None else v[name] for v in self.results.values() if not name or name in v
        ]
        if not found:
            known = sorted({key for values in self.results.values() for key in values})
            raise UsageError(f"evaluation.best: {name!r} is no measure of this data; use one of {', '.join(known)}")
        return sum(found) / len(found)

    def write_pictures(self, folder: Path) -> None:
        """Write the pictures into a folder as PNG, with their words."""
        folder.mkdir(parents=True, exist_ok=True)
        for picture in self.pictures:
            info = PngInfo()
            info.add_text("Description", f"{picture.name}: {picture.words}")
            name = picture.name.replace("/", "-").replace(":", "-")
            Image.fromarray(picture.image).save(folder / f"{name}.png", pnginfo=info)


def check_data(stage: StageConfig, root: Path) -> None:
    """See that what a stage is evaluated on is there, before it trains.

    Raises:
        UsageError: A name is not `dataset/split`.
        UniRefError: Not prepared, damaged, or nothing to evaluate.
    """
    if stage.evaluation is not None:
        for name in stage.evaluation.data:
            open_benchmark(root, name, limit=stage.evaluation.limit)


class _Asked(Exception):
    """To stop."""


def validate(
    stage: StageConfig,
    tensors: Mapping[str, Tensor],
    tokenizer: TextTokenizer | None,
    root: Path,
    device: torch.device,
    precision: str,
    asked_to_stop: Callable[[], bool] = lambda: False,
) -> Validation | None:
    """Evaluate weights as the stage's recipe says.

    Args:
        stage: With `evaluation`.
        tensors: The weights, on the CPU; a model of its own is made of them, so that training is not disturbed.
        tokenizer: Of the text encoder.
        root: Data root.
        device, precision: As in training.
        asked_to_stop: Looked at between blocks of pictures and between videos.

    Returns:
        What was found; None where it was asked to stop before that.

    Raises:
        UniRefError: The data cannot be used.
    """
    assert stage.evaluation is not None
    model = uninitialised(lambda: build_model(stage.model))
    model.load_state_dict(dict(tensors))
    model.to(device).eval()

    def until_asked(items: Iterable[T], description: str, total: int | None, unit: str = "") -> Generator[T]:
        for item in items:
            yield item
            if asked_to_stop():
                raise _Asked

    try:
        results = evaluate(
            model,
            tokenizer,
            root,
            stage.evaluation.data,
            limit=stage.evaluation.limit,
            sides=stage.sides,
            precision=precision,
            progress=until_asked,
        )
    except _Asked:
        return None
    predictor = Predictor(
        Bundle(model, tokenizer, BundleConfig(model=stage.model, sides=stage.sides)), str(device), precision
    )
    pictures = tuple(
        picture
        for name in stage.evaluation.data
        for picture in sample_pictures(predictor, Index.open(root / "index" / name), stage.evaluation.pictures)
    )
    return Validation(results, pictures)
