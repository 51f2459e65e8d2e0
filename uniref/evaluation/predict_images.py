"""Running a model on blocks of images: referring expressions, few-shot queries, detection."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from uniref.core import rle
from uniref.core.errors import UniRefError, UsageError
from uniref.core.tasks import Task
from uniref.core.threads import prefetch
from uniref.data.frames import read_frame
from uniref.data.index import Sample
from uniref.evaluation.benchmark import Benchmark
from uniref.evaluation.masks_on_disk import write_atomic
from uniref.inference.predictor import Predictor
from uniref.inference.results import ImageResult
from uniref.model.structures import ProjectedReference

Record = dict[str, Any]
"""One line of a file of predictions: `sample` (row), `key`, and `size`, `counts`, `box`, `score`, or lists of `boxes`,
`scores` and `classes`."""


def predict_block(predictor: Predictor, benchmark: Benchmark, unit: int, path: Path) -> None:
    """Predict the samples of a unit and write one JSON line each.

    Raises:
        UniRefError: An image is missing, or the checkpoint cannot do this task.
    """
    samples = benchmark.samples(unit)
    way = _WAYS[benchmark.protocol.task]
    records = list(way(predictor, benchmark, samples))
    write_atomic(path, "".join(json.dumps(record) + "\n" for record in records))


def _images(benchmark: Benchmark, samples: Iterable[Sample]) -> Iterator[tuple[list[Sample], Any]]:
    """Samples that share an image, and the image, read ahead."""
    index = benchmark.index

    def read() -> Iterator[tuple[list[Sample], Any]]:
        for row, group in groupby(samples, key=lambda sample: sample.media):
            yield list(group), read_frame(index.media(row), 0)

    return prefetch(read())


def _referring(predictor: Predictor, benchmark: Benchmark, samples: list[Sample]) -> Iterator[Record]:
    short, long = benchmark.protocol.sides
    for group, image in _images(benchmark, samples):
        texts = [benchmark.text(sample) for sample in group]
        for sample, result in zip(group, _by_text(predictor, image, texts, short, long), strict=True):
            yield _mask_record(benchmark, sample, result)


def _by_text(predictor: Predictor, image: Any, texts: list[str], short: int, long: int) -> list[ImageResult]:
    """Results of all texts; one without words finds nothing."""
    try:
        return predictor.segment_image(image, texts, short_side=short, long_side=long)
    except UsageError:
        if len(texts) > 1:
            return [result for text in texts for result in _by_text(predictor, image, [text], short, long)]
        if texts[0].strip(" .,'!?\"()*#:;-/"):
            raise
        return [ImageResult(np.zeros(image.shape[:2], bool), 0.0, np.zeros(4, np.float32))]


def _few_shot(predictor: Predictor, benchmark: Benchmark, samples: list[Sample]) -> Iterator[Record]:
    short, long = benchmark.protocol.sides
    shown: tuple[int, ...] = ()
    reference: ProjectedReference = ()
    for group, image in _images(benchmark, samples):
        for sample in group:
            supports = benchmark.supports_of(sample)
            rows = tuple(support.row for support in supports)
            if rows != shown:  # most queries of a class share theirs
                pairs = [_support(benchmark, support) for support in supports]
                reference, shown = predictor.encode_support(pairs, short, long), rows
            result = predictor.segment_image(image, support=reference, short_side=short, long_side=long)
            yield _mask_record(benchmark, sample, result)


def _support(benchmark: Benchmark, sample: Sample) -> tuple[Any, Any]:
    index = benchmark.index
    mask = index.annotations(sample.objects[0]).mask(0)
    if mask is None:
        raise UniRefError(f"{sample.id}: has no mask, and is needed as a support; prepare the data set again")
    return read_frame(index.media(sample.media), 0), mask


def _detection(predictor: Predictor, benchmark: Benchmark, samples: list[Sample]) -> Iterator[Record]:
    short, long = benchmark.protocol.sides
    for group, image in _images(benchmark, samples):
        for sample in group:
            found = predictor.detect(image, short, long)
            yield {
                "sample": sample.row,
                "key": benchmark.key(sample),
                "boxes": found.boxes.tolist(),
                "scores": found.scores.tolist(),
                "classes": found.classes.tolist(),
            }


def _mask_record(benchmark: Benchmark, sample: Sample, result: ImageResult) -> Record:
    return {
        "sample": sample.row,
        "key": benchmark.key(sample),
        "size": list(result.mask.shape),
        "counts": rle.encode(result.mask).decode("ascii"),
        "box": [float(value) for value in result.box],
        "score": float(result.score),
    }


_WAYS = {Task.RIS: _referring, Task.FSS: _few_shot, Task.DETECTION: _detection}
