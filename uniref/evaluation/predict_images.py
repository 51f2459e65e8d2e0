"""Running a model on blocks of images: referring expressions, few-shot queries, detection."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from uniref.core import rle
from uniref.core.atomic import write_text_atomic
from uniref.core.errors import UniRefError
from uniref.core.parallel import prefetch
from uniref.core.tasks import Task
from uniref.core.text import clean_text
from uniref.core.types import UInt8Image
from uniref.data.frames import read_frame
from uniref.data.index import Sample
from uniref.evaluation.benchmark import Benchmark, Case
from uniref.inference.predictor import Predictor
from uniref.inference.results import ImageResult
from uniref.model.structures import ProjectedReference

Record = dict[str, Any]
"""One line of a file of predictions: `key`, and `size`, `counts`, `box`, `score`, or lists of `boxes`, `scores` and
`classes` (None from a model that knows a single class)."""


def predict_block(predictor: Predictor, benchmark: Benchmark, unit: int, path: Path) -> None:
    """Predict the cases of a unit and write one JSON line each.

    Raises:
        UniRefError: An image is missing, or the checkpoint cannot do this task.
    """
    way = _WAYS[benchmark.protocol.task]
    records = list(way(predictor, benchmark, benchmark.cases(unit)))
    write_text_atomic(path, "".join(json.dumps(record) + "\n" for record in records))


def _images(benchmark: Benchmark, cases: Sequence[Case]) -> Iterator[tuple[list[Case], UInt8Image]]:
    """Cases that share an image, and the image, read ahead."""

    def read() -> Iterator[tuple[list[Case], UInt8Image]]:
        for row, group in groupby(cases, key=lambda case: case.sample.media):
            yield list(group), read_frame(benchmark.index.media(row), 0)

    return prefetch(read())


def _referring(predictor: Predictor, benchmark: Benchmark, cases: Sequence[Case]) -> Iterator[Record]:
    short, long = benchmark.protocol.sides
    for group, image in _images(benchmark, cases):
        texts = {case: benchmark.text(case) for case in group}
        asked = {case: text for case, text in texts.items() if has_words(text)}
        results = predictor.segment_image(image, list(asked.values()), short_side=short, long_side=long)
        found = dict(zip(asked, results, strict=True))
        nothing = ImageResult(np.zeros(image.shape[:2], np.bool_), 0.0, np.zeros(4, np.float32))
        for case in group:
            yield _mask_record(case, found.get(case, nothing))


def has_words(text: str) -> bool:
    """Whether the text encoder gets anything to read; a text without words finds nothing."""
    return bool(clean_text(text).strip())


def _few_shot(predictor: Predictor, benchmark: Benchmark, cases: Sequence[Case]) -> Iterator[Record]:
    short, long = benchmark.protocol.sides
    shown: tuple[int, ...] = ()
    reference: ProjectedReference = ()
    for group, image in _images(benchmark, cases):
        for case in group:
            supports = benchmark.supports_of(case.sample)
            rows = tuple(support.row for support in supports)
            if rows != shown:  # most queries of a class share theirs
                pairs = [_support(benchmark, support) for support in supports]
                reference, shown = predictor.encode_support(pairs, short, long), rows
            result = predictor.segment_image(image, support=reference, short_side=short, long_side=long)
            yield _mask_record(case, result)


def _support(benchmark: Benchmark, sample: Sample) -> tuple[UInt8Image, npt.NDArray[np.bool_]]:
    index = benchmark.index
    mask = index.annotations(sample.objects[0]).mask(0)
    if mask is None:
        raise UniRefError(f"{sample.id}: has no mask, and is needed as a support; prepare the data set again")
    return read_frame(index.media(sample.media), 0), mask


def _detection(predictor: Predictor, benchmark: Benchmark, cases: Sequence[Case]) -> Iterator[Record]:
    short, long = benchmark.protocol.sides
    for group, image in _images(benchmark, cases):
        for case in group:
            found = predictor.detect(image, short, long)
            yield {
                "key": case.name,
                "boxes": found.boxes.tolist(),
                "scores": found.scores.tolist(),
                "classes": found.classes.tolist() if predictor.classes > 1 else None,
            }


def _mask_record(case: Case, result: ImageResult) -> Record:
    return {
        "key": case.name,
        "size": list(result.mask.shape),
        "counts": rle.encode(result.mask).decode("ascii"),
        "box": [float(value) for value in result.box],
        "score": float(result.score),
    }


_WAYS = {Task.RIS: _referring, Task.FSS: _few_shot, Task.DETECTION: _detection}
