"""Evaluation during training: the published metrics on a few samples, and images of some predictions."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from uniref.core.errors import UsageError
from uniref.core.tasks import Task
from uniref.data.frames import read_frame, read_frames, union_mask
from uniref.data.index import Index, Media, Sample
from uniref.evaluation import evaluate
from uniref.evaluation.dataset import open_dataset
from uniref.inference.predictor import Predictor
from uniref.media.draw import draw_overlay
from uniref.model.build import build_model
from uniref.model.text import TextTokenizer
from uniref.recipe.recipe import StageConfig
from uniref.weights.checkpoint import Checkpoint, CheckpointMetadata, without_initialisation

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
            open_dataset(root, name, limit=stage.evaluation.limit)


class _StopRequested(Exception):
    """To stop."""


def validate(
    stage: StageConfig,
    tensors: Mapping[str, Tensor],
    tokenizer: TextTokenizer | None,
    root: Path,
    device: torch.device,
    precision: str,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Validation | None:
    """Evaluate weights as the stage's recipe says.

    Args:
        stage: With `evaluation`.
        tensors: The weights, on the CPU; a model of its own is made of them, so that training is not disturbed.
        tokenizer: Of the text encoder.
        root: Data root.
        device, precision: As in training.
        stop_requested: Looked at between blocks of pictures and between videos.

    Returns:
        What was found; None where it was asked to stop before that.

    Raises:
        UniRefError: The data cannot be used.
    """
    assert stage.evaluation is not None
    model = without_initialisation(lambda: build_model(stage.model))
    model.load_state_dict(dict(tensors))
    model.to(device).eval()

    def until_stopped(items: Iterable[T], description: str, total: int | None, unit: str = "") -> Generator[T]:
        for item in items:
            yield item
            if stop_requested():
                raise _StopRequested

    try:
        results = evaluate(
            model,
            tokenizer,
            root,
            stage.evaluation.data,
            limit=stage.evaluation.limit,
            sides=stage.sides,
            precision=precision,
            progress=until_stopped,
        )
    except _StopRequested:
        return None
    predictor = Predictor(
        Checkpoint(model, tokenizer, CheckpointMetadata(model=stage.model, sides=stage.sides)), str(device), precision
    )
    pictures = tuple(
        picture
        for name in stage.evaluation.data
        for picture in sample_pictures(predictor, Index.open(root / "index" / name), stage.evaluation.pictures)
    )
    return Validation(results, pictures)


_GAP = 4  # white pixels between two pictures
_FRAMES = 5  # of a clip, until the one that is shown


@dataclass(frozen=True)
class Picture:
    """One sample."""

    name: str
    image: npt.NDArray[np.uint8]
    """[H, W, 3]: what was given (for masks and supports), the truth, the prediction."""
    words: str


def sample_pictures(predictor: Predictor, index: Index, count: int) -> Iterator[Picture]:
    """Draw the first samples of an index; detection data has nothing to refer by and gives none.

    Args:
        predictor: The model.
        index: The data.
        count: How many.
    """
    if index.manifest.task is Task.DETECTION:
        return
    # samples far apart: neighbours often share their picture
    for row in sorted({int(x) for x in np.linspace(0, len(index) - 1, count)}) if count else ():
        sample = index.sample(row)
        panels, words = _panels(predictor, index, sample)
        height = max(len(panel) for panel in panels)
        padded = [np.pad(p, ((0, height - len(p)), (0, _GAP), (0, 0)), constant_values=255) for p in panels]
        yield Picture(f"{index.manifest.name}:{row}", np.concatenate(padded, axis=1)[:, :-_GAP], words)


def _panels(predictor: Predictor, index: Index, sample: Sample) -> tuple[list[npt.NDArray[np.uint8]], str]:
    media = index.media(sample.media)
    if index.manifest.task is Task.VOS:
        return _clip_panels(predictor, index, sample)
    image, truth = read_frame(media, 0), _mask(index, sample, media, 0)
    given = []
    if index.manifest.task is Task.FSS:
        other = index.sample(_another(index, sample))
        shown = index.media(other.media)
        support = (read_frame(shown, 0), _mask(index, other, shown, 0))
        result = predictor.segment_image(image, support=[support])
        given, words = [draw_overlay(support[0], {1: support[1]})], "the same kind of object"
    else:
        words = index.expression(sample.expressions[0]).text
        result = predictor.segment_image(image, text=words)
    panels = [*given, draw_overlay(image, {1: truth}), draw_overlay(image, {1: result.mask})]
    return panels, f"{words} (IoU {_iou(truth, result.mask):.2f}, score {result.score:.2f})"


def _clip_panels(predictor: Predictor, index: Index, sample: Sample) -> tuple[list[npt.NDArray[np.uint8]], str]:
    media = index.media(sample.media)
    count = min(_FRAMES, media.length)
    images = read_frames(media, range(count))
    tracks = [index.annotations(row) for row in sample.objects]
    first = {k: m for k, track in enumerate(tracks, 1) if (m := union_mask([track], 0)) is not None}
    results = list(predictor.segment_video(images, masks={0: first})) if first else []
    if not results:
        return [images[0]], "no object in the first frame"
    last = {k: m for k, track in enumerate(tracks, 1) if (m := union_mask([track], count - 1)) is not None}
    found = {k: results[-1].labels == k for k in first}
    overlap = np.mean([_iou(last.get(k, np.zeros_like(mask)), found[k]) for k, mask in first.items()])
    panels = [draw_overlay(images[0], first), draw_overlay(images[-1], last), draw_overlay(images[-1], found)]
    return panels, f"{len(first)} masks followed for {count} frames (mean IoU {overlap:.2f})"


def _mask(index: Index, sample: Sample, media: Media, frame: int) -> npt.NDArray[np.bool_]:
    mask = union_mask([index.annotations(row) for row in sample.objects], frame)
    return np.zeros((media.height, media.width), np.bool_) if mask is None else mask


def _another(index: Index, sample: Sample) -> int:
    rows = np.flatnonzero(index.sample_column("category") == sample.category)
    others = rows[rows != sample.row]
    return int(others[0]) if len(others) else sample.row


def _iou(truth: npt.NDArray[np.bool_], found: npt.NDArray[np.bool_]) -> float:
    union = (truth | found).sum()
    return float((truth & found).sum() / union) if union else 1.0
