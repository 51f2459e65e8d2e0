"""Running a model on shards of an evaluation data set, in this process or in one process per device."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from uniref.core import rle
from uniref.core.atomic import atomic_folder, write_text_atomic
from uniref.core.errors import UniRefError
from uniref.core.parallel import begin_worker, pool_map, prefetch
from uniref.core.tasks import Task
from uniref.core.text import has_words
from uniref.core.types import BoolMask, LabelMap, UInt8Image
from uniref.data.frames import frames_in_order, read_frame
from uniref.data.index import Sample
from uniref.data.protocol import Protocol
from uniref.evaluation.dataset import EvalDataset, EvalItem, frame_name
from uniref.evaluation.predict_two_pass import track_in_two_passes
from uniref.evaluation.prediction_files import block_path, write_png
from uniref.evaluation.shard_store import ShardStore
from uniref.inference.inference_model import Frame
from uniref.inference.predictor import Predictor
from uniref.inference.results import ImageResult
from uniref.inference.video import VideoTracker
from uniref.model.structures import ProjectedReference

Record = dict[str, Any]
"""One JSON line of predictions: `key`, and `size`, `counts`, `box`, `score`, or lists of `boxes`, `scores` and
`classes` (None from a model that predicts a single class)."""
FrameMasks = Iterator[tuple[int, list[BoolMask | LabelMap]]]
"""Frame index, and what each item's folder gets for it: a mask or a label map."""


def predict_shards(predictor: Predictor, store: ShardStore, shards: Sequence[int]) -> Iterator[int]:
    """Predict the shards that are not predicted yet, in order; yields each when it is done."""
    for shard in shards:
        if not store.is_predicted(shard):
            predict_shard(predictor, store, shard)
        yield shard


def predict_shard(predictor: Predictor, store: ShardStore, shard: int) -> None:
    """Predict a shard into its store.

    Raises:
        UniRefError: An image or a frame is missing, or the checkpoint does not support the task.
    """
    if store.dataset.protocol.is_video:
        _predict_video(predictor, store.dataset, shard, store.predictions)
    else:
        records = _IMAGE_TASKS[store.dataset.protocol.task](predictor, store.dataset, store.dataset.items(shard))
        path = block_path(store.predictions, shard)
        write_text_atomic(path, "".join(json.dumps(record) + "\n" for record in records))


# Images


def _images(dataset: EvalDataset, items: Sequence[EvalItem]) -> Iterator[tuple[list[EvalItem], UInt8Image]]:
    """Items that share an image, and the image, read ahead."""

    def read() -> Iterator[tuple[list[EvalItem], UInt8Image]]:
        for row, group in groupby(items, key=lambda item: item.sample.media):
            yield list(group), read_frame(dataset.index.media(row), 0)

    return prefetch(read())


def _predict_expressions(predictor: Predictor, dataset: EvalDataset, items: Sequence[EvalItem]) -> Iterator[Record]:
    """Referring expressions: all of an image at once."""
    for group, image in _images(dataset, items):
        texts = {item: text for item in group if has_words(text := dataset.text(item))}
        segment = _segment_instances if dataset.protocol.instances else _segment_best
        predictions = dict(zip(texts, segment(predictor, dataset.protocol, image, list(texts.values())), strict=True))
        nothing = ImageResult(np.zeros(image.shape[:2], np.bool_), 0.0, np.zeros(4, np.float32), present=False)
        for item in group:
            result = predictions.get(item, nothing)
            more = {"no_target": not result.present} if dataset.protocol.instances else {}
            yield _mask_record(item, result) | more


def _segment_best(predictor: Predictor, protocol: Protocol, image: UInt8Image, texts: list[str]) -> list[ImageResult]:
    """The best query's mask for every text."""
    short, long = protocol.sides
    return predictor.segment_image(image, texts, short_side=short, long_side=long)


def _segment_instances(
    predictor: Predictor, protocol: Protocol, image: UInt8Image, texts: list[str]
) -> list[ImageResult]:
    """The union of all objects that each text means, with the best one's score and box; not present where none is."""
    threshold = protocol.threshold
    short, long = protocol.sides
    # a SAM model has one answer per text
    if predictor.config.model is not None and predictor.config.model.family == "sam":
        return predictor.segment_image(image, texts, short_side=short, long_side=long, score_threshold=threshold)
    every = predictor.segment_image(
        image, texts, short_side=short, long_side=long, score_threshold=threshold, all_instances=True
    )
    nothing = ImageResult(np.zeros(image.shape[:2], np.bool_), 0.0, np.zeros(4, np.float32), present=False)
    return [_joined(found) if found else nothing for found in every]


def _joined(found: Sequence[ImageResult]) -> ImageResult:
    """Objects as one: the union of their masks, with the score and box of the first."""
    return replace(found[0], mask=np.logical_or.reduce([each.mask for each in found]), probability=None)


def _predict_few_shot(predictor: Predictor, dataset: EvalDataset, items: Sequence[EvalItem]) -> Iterator[Record]:
    """Query images of few-shot segmentation."""
    short, long = dataset.protocol.sides
    encoded: tuple[int, ...] = ()
    reference: ProjectedReference = ()
    for group, image in _images(dataset, items):
        for item in group:
            supports = dataset.supports_of(item.sample)
            rows = tuple(support.row for support in supports)
            if rows != encoded:  # most queries of a class share their support images
                pairs = [_support(dataset, support) for support in supports]
                reference, encoded = predictor.encode_support(pairs, short, long), rows
            result = predictor.segment_image(image, support=reference, short_side=short, long_side=long)
            yield _mask_record(item, result)


def _support(dataset: EvalDataset, sample: Sample) -> tuple[UInt8Image, BoolMask]:
    index = dataset.index
    mask = index.annotations(sample.objects[0]).mask(0)
    if mask is None:
        raise UniRefError(f"{sample.id}: has no mask, and is needed as a support; prepare the data set again")
    return read_frame(index.media(sample.media), 0), mask


def _predict_boxes(predictor: Predictor, dataset: EvalDataset, items: Sequence[EvalItem]) -> Iterator[Record]:
    """Detections of every image."""
    short, long = dataset.protocol.sides
    for group, image in _images(dataset, items):
        for item in group:
            detections = predictor.detect(image, short, long)
            yield {
                "key": item.name,
                "boxes": detections.boxes.tolist(),
                "scores": detections.scores.tolist(),
                "classes": detections.classes.tolist() if predictor.classes > 1 else None,
            }


def _mask_record(item: EvalItem, result: ImageResult) -> Record:
    return {
        "key": item.name,
        "size": list(result.mask.shape),
        "counts": rle.encode(result.mask).decode("ascii"),
        "box": [float(value) for value in result.box],
        "score": float(result.score),
    }


_IMAGE_TASKS = {Task.RIS: _predict_expressions, Task.FSS: _predict_few_shot, Task.DETECTION: _predict_boxes}


# Videos


def _predict_video(predictor: Predictor, dataset: EvalDataset, shard: int, root: Path) -> None:
    """Predict every item of a video into its folder below `root`, which appears when the video is complete."""
    items = dataset.items(shard)
    media = dataset.index.media(items[0].sample.media)
    frames = prefetch(frames_in_order(media, min(dataset.first_frame(item.sample) for item in items)))
    # masks of all items, frame by frame
    if dataset.protocol.two_pass:
        predictions: FrameMasks = track_in_two_passes(predictor, dataset, items)
    elif dataset.protocol.task == Task.VOS:
        predictions = _track_masks(predictor, dataset, items, frames)
    elif dataset.one_mask:
        predictions = _track_expressions(predictor, dataset, items, frames)
    else:
        predictions = _track_expressions_together(predictor, dataset, items, frames)
    # a PNG per item and frame
    names = {f"{frame_name(media, t)}.png" for t in range(media.length)}
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(atomic_folder(root / item.name, True, lambda _: names)) for item in items]
        for t, masks in predictions:
            for folder, mask in zip(folders, masks, strict=True):
                write_png(folder / f"{frame_name(media, t)}.png", mask)


def _track_masks(
    predictor: Predictor, dataset: EvalDataset, items: list[EvalItem], frames: Iterator[tuple[int, UInt8Image]]
) -> FrameMasks:
    """Objects given by masks: a label map of their ids, or (SA-V) a mask of each."""
    short, long = dataset.protocol.sides
    threshold = dataset.protocol.threshold
    trackers = [
        predictor.track(score_threshold=threshold, short_side=short, long_side=long, exact_masks=False) for _ in items
    ]
    prompts = [given_masks(dataset, item) for item in items]
    for t, image in frames:
        out: list[BoolMask | LabelMap] = []
        encoded: Frame | None = None  # the image encoder runs once per frame
        for tracker, masks in zip(trackers, prompts, strict=True):
            encoded = encoded or tracker.encode(image)
            labels = tracker.step(image, masks.get(t), encoded).labels
            out.append(labels != 0 if dataset.one_mask else labels)
        yield t, out


def given_masks(dataset: EvalDataset, item: EvalItem) -> dict[int, dict[int, BoolMask]]:
    """Masks that the protocol gives: frame -> object id -> mask, bool [H, W]. An object with files of its own is 1."""
    masks: dict[int, dict[int, BoolMask]] = {}
    for row in item.sample.objects:
        obj, annotations = dataset.index.object(row), dataset.index.annotations(row)
        if obj.crowd:
            continue
        frame = dataset.given_frame(row)
        position = annotations.at(frame)
        mask = None if position is None else annotations.mask(position)
        if mask is not None and mask.any():
            masks.setdefault(frame, {})[1 if dataset.one_mask else obj.source_id] = mask
    return masks


def _track_expressions(
    predictor: Predictor, dataset: EvalDataset, items: list[EvalItem], frames: Iterator[tuple[int, UInt8Image]]
) -> FrameMasks:
    """Expressions that are tracked independently: a mask each."""
    texts = {number: dataset.text(item) for number, item in enumerate(items, start=1)}
    tracker = _text_tracker(predictor, dataset, {number: text for number, text in texts.items() if has_words(text)})
    for t, image in frames:
        masks = tracker.step(image).masks
        yield t, [masks[number] if number in masks else np.zeros(image.shape[:2], np.bool_) for number in texts]


def _track_expressions_together(
    predictor: Predictor, dataset: EvalDataset, items: list[EvalItem], frames: Iterator[tuple[int, UInt8Image]]
) -> FrameMasks:
    """Expressions that share the pixels: a label map of their numbers, 1, 2, ... (Ref-DAVIS17)."""
    texts = [[dataset.index.expression(row).text for row in item.expressions] for item in items]
    trackers = [_text_tracker(predictor, dataset, dict(enumerate(some, start=1))) for some in texts]
    for t, image in frames:
        encoded = trackers[0].encode(image)
        yield t, [tracker.step(image, frame=encoded).labels for tracker in trackers]


def _text_tracker(predictor: Predictor, dataset: EvalDataset, texts: Mapping[int, str]) -> VideoTracker:
    protocol = dataset.protocol
    short, long = protocol.sides
    threshold = protocol.threshold if protocol.propagate else None
    return predictor.track(
        texts, propagate=protocol.propagate, score_threshold=threshold, short_side=short, long_side=long
    )


# One process per device


class DevicePool:
    """`predict_shards` on several devices; a context that ends its processes.

    Args:
        checkpoint: Folder that every process loads when it gets its first shard.
        devices: One process each.
        precision: As for `Predictor`.
    """

    def __init__(self, checkpoint: Path, devices: Sequence[str], precision: str) -> None:
        context = multiprocessing.get_context("spawn")
        names: Any = context.Queue()
        for name in devices:
            names.put(name)
        self._workers = len(devices)
        self._pool = ProcessPoolExecutor(
            self._workers, mp_context=context, initializer=_start_process, initargs=(names, checkpoint, precision)
        )

    def __enter__(self) -> DevicePool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __call__(self, store: ShardStore, shards: Sequence[int]) -> Iterator[int]:
        """Predict shards; yields each when it is done, in order."""
        yield from pool_map(self._pool, self._workers, _predict_in_process, ((store, shard) for shard in shards), 2)


_arguments: tuple[str, Path, str] | None = None
_predictor: Predictor | None = None


def _start_process(names: Any, checkpoint: Path, precision: str) -> None:
    global _arguments  # noqa: PLW0603 - what a worker process is for
    begin_worker()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _arguments = (names.get(), checkpoint, precision)


def _predict_in_process(task: tuple[ShardStore, int]) -> int:
    global _predictor  # noqa: PLW0603
    if _predictor is None:
        assert _arguments is not None
        device, checkpoint, precision = _arguments
        _predictor = Predictor.from_pretrained(checkpoint, device, precision)
    store, shard = task
    return next(predict_shards(_predictor, store, [shard]))
