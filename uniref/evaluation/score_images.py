"""Predictions for images against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uniref.core import rle
from uniref.core.errors import UniRefError
from uniref.core.tasks import Task
from uniref.core.types import BoolMask
from uniref.data.index import Index, Sample
from uniref.evaluation.benchmark import Benchmark, Case
from uniref.evaluation.image_predictions import Prediction
from uniref.evaluation.masks_on_disk import BadMask, read_binary
from uniref.evaluation.metrics.images import Overlap, box_iou, overlap
from uniref.evaluation.score_boxes import detections


@dataclass(frozen=True)
class Item:
    """One scored case: an expression, or a query image."""

    sample: int
    name: str
    media: str
    text: str
    category: int
    intersection: int
    union: int
    pixels: int
    truth: int
    """Pixels of the object."""
    predicted: int
    box_iou: float | None
    missing: bool
    """No prediction was there; it counts as an empty one."""

    @property
    def overlap(self) -> Overlap:
        """For the measures."""
        return Overlap(self.intersection, self.union, self.pixels)

    @property
    def score(self) -> float:
        """IoU."""
        return self.overlap.iou

    @property
    def share(self) -> float:
        """How much of the image the object covers."""
        return self.truth / self.pixels


Scored = dict[str, Any]
"""`items`: `Item`s or detections, as plain values; `missing` and `problems`: lines for people."""


def score_block(benchmark: Benchmark, unit: int, predictions: Sequence[Prediction]) -> Scored:
    """Score the cases of a unit; nothing is raised for what is wrong with single predictions.

    A missing mask counts as an empty one (the published protocol of RefCOCO), and is listed.
    """
    items: list[dict[str, Any]] = []
    missing: list[str] = []
    problems: list[str] = []
    for case, prediction in zip(benchmark.cases(unit), predictions, strict=True):
        if benchmark.protocol.task == Task.DETECTION:
            items.append(detections(case.sample, prediction))
            continue
        if prediction is None:
            missing.append(case.name)
        try:
            items.append(asdict(_item(benchmark, case, prediction)))
        except BadMask as error:
            problems.append(f"{prediction if isinstance(prediction, Path) else case.name}: {error}")
    return {"items": items, "missing": missing, "problems": problems}


def _item(benchmark: Benchmark, case: Case, prediction: Prediction) -> Item:
    media = benchmark.index.media(case.sample.media)
    truth, box = _truth(benchmark.index, case.sample)
    mask = predicted_mask(prediction, (media.height, media.width))
    shared = overlap(mask, truth)
    predicted_box = prediction.get("box") if isinstance(prediction, dict) else None
    return Item(
        sample=case.sample.row,
        name=case.name,
        media=media.name,
        text=benchmark.text(case),
        category=case.sample.category,
        intersection=shared.intersection,
        union=shared.union,
        pixels=shared.pixels,
        truth=int(truth.sum()),
        predicted=int(mask.sum()),
        box_iou=None if predicted_box is None else box_iou(predicted_box, box),
        missing=prediction is None,
    )


def truth_mask(benchmark: Benchmark, sample: Sample) -> BoolMask:
    """What a sample's prediction should be, bool [H, W]."""
    return _truth(benchmark.index, sample)[0]


def _truth(index: Index, sample: Sample) -> tuple[BoolMask, list[float]]:
    """Union of the sample's objects, and the box around theirs."""
    media = index.media(sample.media)
    mask = np.zeros((media.height, media.width), np.bool_)
    boxes = []
    for row in sample.objects:
        annotations = index.annotations(row)
        part = annotations.mask(0) if len(annotations) else None
        if part is None:
            raise UniRefError(f"{sample.id}: has no mask; prepare the data set again")
        mask |= part
        boxes.append(annotations.boxes[0])
    if not boxes:
        return mask, [0.0] * 4
    stacked = np.stack(boxes).astype(float)
    return mask, [*stacked[:, :2].min(0).tolist(), *stacked[:, 2:].max(0).tolist()]


def predicted_mask(prediction: Prediction, size: tuple[int, int]) -> BoolMask:
    """The mask, bool [H, W]; empty where there is no prediction. Raises BadMask."""
    if prediction is None:
        return np.zeros(size, np.bool_)
    if isinstance(prediction, Path):
        return read_binary(prediction, size)
    found = tuple(prediction["size"])
    if found != size:
        raise BadMask(f"is {found[1]} x {found[0]}, the image {size[1]} x {size[0]}")
    counts = prediction["counts"]
    try:
        encoded = counts.encode("ascii") if isinstance(counts, str) else b""
        return rle.decode(encoded, *size)
    except ValueError as error:
        raise BadMask(f"is damaged ({error})") from None
