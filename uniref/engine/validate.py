"""Evaluation during training: the published metrics on a few samples, and images of some predictions."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from uniref.core.errors import UsageError
from uniref.core.files import writing
from uniref.core.tasks import Task, missing_part
from uniref.data.frames import read_frame, read_frames, union_mask
from uniref.data.index import Index, Media, Sample
from uniref.engine.distributed import World
from uniref.evaluation import evaluate
from uniref.evaluation.dataset import open_dataset
from uniref.evaluation.results import metric_names
from uniref.inference.predictor import Predictor
from uniref.media.draw import draw_overlay
from uniref.model.build import build_model
from uniref.model.text import TextTokenizer
from uniref.recipe.recipe import StageConfig
from uniref.weights.checkpoint import Checkpoint, without_initialisation
from uniref.weights.checkpoint_config import CheckpointMetadata

T = TypeVar("T")
_SHARDS = ".evaluation"  # folder of the stage's processes
_GAP = 4  # white pixels between two images
_FRAMES = 5  # of a clip, until the one that is shown


@dataclass(frozen=True)
class SampleImage:
    """The prediction for one sample."""

    name: str
    image: npt.NDArray[np.uint8]
    """[H, W, 3], side by side: reference (masks and supports), ground truth, prediction."""
    caption: str


@dataclass(frozen=True)
class Validation:
    """Results of an evaluation during training."""

    results: dict[str, dict[str, float]]
    """`dataset/split` -> metric -> value."""
    images: tuple[SampleImage, ...]

    def best(self, name: str | None) -> float:
        """The number that decides which checkpoint is best: the metric of this name, averaged over the data sets that
        have it, or (None) the first metric of each, averaged.

        Raises:
            UsageError: No data set has the metric.
        """
        values = [
            next(iter(v.values())) if name is None else v[name] for v in self.results.values() if not name or name in v
        ]
        if not values:  # a size, say, that no object of the data has
            _check_metric(str(name), {key for metrics in self.results.values() for key in metrics})
        return sum(values) / len(values)

    def write_images(self, folder: Path) -> None:
        """Write the images into a folder as PNG, with their captions as `Description`."""
        folder.mkdir(parents=True, exist_ok=True)
        for sample in self.images:
            info = PngInfo()
            info.add_text("Description", f"{sample.name}: {sample.caption}")
            name = sample.name.replace("/", "-").replace(":", "-")
            Image.fromarray(sample.image).save(folder / f"{name}.png", pnginfo=info)


def check_data(stage: StageConfig, root: Path) -> None:
    """Check what a stage is evaluated on, before it trains.

    Raises:
        UsageError: A name is not `dataset/split`, or the model lacks a part that the data need.
        UniRefError: Not prepared, damaged, or nothing to evaluate.
    """
    if stage.evaluation is None:
        return
    metrics: set[str] = set()
    for name in stage.evaluation.data:
        dataset = open_dataset(root, name, limit=stage.evaluation.limit)
        task = dataset.protocol.task
        metrics |= set(metric_names(dataset.protocol))
        check_images(dataset.index)
        part = missing_part(task, stage.model, text_only=True)
        if part is not None:
            raise UsageError(
                f"evaluation.data: {name} is evaluated as {task.value}, but model.{part} is null; leave it out"
            )
    if stage.evaluation.data and stage.evaluation.best is not None:
        _check_metric(stage.evaluation.best, metrics)


def check_images(index: Index) -> None:
    """Decode a few images of a data set: a disk that is not mounted is known before the training.

    Raises:
        UniRefError: One is missing or damaged.
    """
    last = len(index) - 1
    for row in sorted({0, last // 2, last}) if last >= 0 else ():
        read_frame(index.media(index.sample(row).media), 0)


def _check_metric(name: str, metrics: Collection[str]) -> None:
    if name not in metrics:
        raise UsageError(
            f"evaluation.best: {name!r} is not a metric of this data; expected one of {', '.join(sorted(metrics))}"
        )


class _StopRequested(Exception):
    """The evaluation was asked to stop."""


def validate(
    stage: StageConfig,
    tensors: Mapping[str, Tensor],
    tokenizer: TextTokenizer | None,
    root: Path,
    precision: str,
    folder: Path,
    world: World,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Validation | None:
    """Evaluate weights as the stage's recipe says, and draw a few predictions; every process has to call it.

    The processes share the shards of each data set, and the main one merges their scores, to the same numbers as one
    process alone.

    Args:
        stage: With `evaluation`.
        tensors: The weights, on the CPU, equal on all processes; they are loaded into a separate model, so that
            training is not disturbed.
        tokenizer: Of the text encoder.
        root: Data root.
        precision: As in training.
        folder: Of the stage, which all processes see; it holds the scores meanwhile, where there are several.
        world: The processes.
        stop_requested: Checked between blocks of images and between videos.

    Returns:
        The results, on the main process; None on the others, and where any process was asked to stop before the end.

    Raises:
        UniRefError: The data cannot be used.
    """
    assert stage.evaluation is not None
    # a model with these weights
    model = without_initialisation(lambda: build_model(stage.model))
    model.load_state_dict(dict(tensors))
    model.to(world.device).eval()

    def until_stopped(items: Iterable[T], description: str, total: int | None, unit: str = "") -> Generator[T]:
        for item in items:
            yield item
            if stop_requested():
                raise _StopRequested

    run = partial(
        evaluate,
        model,
        tokenizer,
        root,
        stage.evaluation.data,
        limit=stage.evaluation.limit,
        sides=stage.sides,
        precision=precision,
        progress=until_stopped,
    )
    with _shared_folder(folder, world) as shards:
        # each process its part of the shards
        stopped = False
        with world.together():
            if world.size > 1:
                try:
                    run(out=shards, part=(world.rank, world.size))
                except _StopRequested:
                    stopped = True
        if any(world.gather(stopped)) or not world.main:
            return None
        # the published metrics of all of them
        try:
            results = run(out=shards)
        except _StopRequested:
            return None
    # a few predictions as images
    metadata = CheckpointMetadata(model=stage.model, sides=stage.sides)
    predictor = Predictor(Checkpoint(model, tokenizer, metadata), str(world.device), precision)
    images = tuple(
        image
        for name in stage.evaluation.data
        for image in sample_images(predictor, Index.open(root / "index" / name), stage.evaluation.pictures)
    )
    return Validation(results, images)


@contextlib.contextmanager
def _shared_folder(folder: Path, world: World) -> Iterator[Path | None]:
    """An empty folder that all processes share for a block, made and removed by the main one; None for one process."""
    if world.size == 1:
        yield None
        return
    path = folder / _SHARDS
    with world.on_main_process():
        if world.main:
            with writing(path):
                shutil.rmtree(path, ignore_errors=True)  # of a run that was killed
                path.mkdir(parents=True)
    try:
        yield path
    finally:
        if world.main:
            shutil.rmtree(path, ignore_errors=True)


def sample_images(predictor: Predictor, index: Index, count: int) -> Iterator[SampleImage]:
    """Predict and draw samples of an index; detection data have no reference and give none.

    Args:
        predictor: The model.
        index: The data.
        count: How many.
    """
    if index.manifest.task is Task.DETECTION:
        return
    # samples far apart: neighbours often share their image
    for row in sorted({int(x) for x in np.linspace(0, len(index) - 1, count)}) if count else ():
        sample = index.sample(row)
        panels, caption = _panels(predictor, index, sample)
        height = max(len(panel) for panel in panels)
        padded = [np.pad(p, ((0, height - len(p)), (0, _GAP), (0, 0)), constant_values=255) for p in panels]
        yield SampleImage(f"{index.manifest.name}:{row}", np.concatenate(padded, axis=1)[:, :-_GAP], caption)


def _panels(predictor: Predictor, index: Index, sample: Sample) -> tuple[list[npt.NDArray[np.uint8]], str]:
    """Reference, ground truth and prediction of a sample, and a caption."""
    media = index.media(sample.media)
    if index.manifest.task is Task.VOS:
        return _video_panels(predictor, index, sample)
    image, ground_truth = read_frame(media, 0), _mask(index, sample, media, 0)
    references = []
    if index.manifest.task is Task.FSS:
        other = index.sample(_another(index, sample))
        other_media = index.media(other.media)
        support = (read_frame(other_media, 0), _mask(index, other, other_media, 0))
        result = predictor.segment_image(image, support=[support])
        references, text = [draw_overlay(support[0], {1: support[1]})], "the same kind of object"
    else:
        text = index.expression(sample.expressions[0]).text
        result = predictor.segment_image(image, text=text)
    panels = [*references, draw_overlay(image, {1: ground_truth}), draw_overlay(image, {1: result.mask})]
    return panels, f"{text} (IoU {_iou(ground_truth, result.mask):.2f}, score {result.score:.2f})"


def _video_panels(predictor: Predictor, index: Index, sample: Sample) -> tuple[list[npt.NDArray[np.uint8]], str]:
    media = index.media(sample.media)
    count = min(_FRAMES, media.length)
    images = read_frames(media, range(count))
    tracks = [index.annotations(row) for row in sample.objects]
    first = {k: m for k, track in enumerate(tracks, 1) if (m := union_mask([track], 0)) is not None}
    results = list(predictor.segment_video(images, masks={0: first})) if first else []
    if not results:
        return [images[0]], "no object in the first frame"
    last = {k: m for k, track in enumerate(tracks, 1) if (m := union_mask([track], count - 1)) is not None}
    predicted = {k: results[-1].labels == k for k in first}
    overlap = np.mean([_iou(last.get(k, np.zeros_like(mask)), predicted[k]) for k, mask in first.items()])
    panels = [draw_overlay(images[0], first), draw_overlay(images[-1], last), draw_overlay(images[-1], predicted)]
    return panels, f"{len(first)} masks followed for {count} frames (mean IoU {overlap:.2f})"


def _mask(index: Index, sample: Sample, media: Media, frame: int) -> npt.NDArray[np.bool_]:
    mask = union_mask([index.annotations(row) for row in sample.objects], frame)
    return np.zeros((media.height, media.width), np.bool_) if mask is None else mask


def _another(index: Index, sample: Sample) -> int:
    """Row of another sample of the same category."""
    rows = np.flatnonzero(index.sample_column("category") == sample.category)
    others = rows[rows != sample.row]
    return int(others[0]) if len(others) else sample.row


def _iou(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0
