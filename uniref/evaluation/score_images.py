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
from uniref.data.index import Index, Sample
from uniref.evaluation.benchmark import Benchmark
from uniref.evaluation.image_predictions import Prediction
from uniref.evaluation.masks_on_disk import BadMask, read_binary
from uniref.evaluation.metrics.images import Overlap, box_iou, overlap
from uniref.evaluation.metrics.masks import Mask


@dataclass(frozen=True)
class Item:
    """One scored sample: an expression, or a query image."""

    sample: int
    key: str
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

    @property
    def overlap(self) -> Overlap:
        """For the measures."""
        return Overlap(self.intersection, self.union, self.pixels)

    @property
    def share(self) -> float:
        """How much of the image the object covers."""
        return self.truth / self.pixels


Scored = dict[str, Any]
"""`items`: `Item`s or detections, as plain values; `missing` and `problems`: lines for people."""


def score_block(benchmark: Benchmark, unit: int, predictions: Sequence[Prediction]) -> Scored:
    """Score the samples of a unit; nothing is raised for what is wrong with single predictions."""
    items: list[dict[str, Any]] = []
    missing: list[str] = []
    problems: list[str] = []
    for sample, prediction in zip(benchmark.samples(unit), predictions, strict=True):
        key = benchmark.key(sample)
        if benchmark.protocol.task == Task.DETECTION:
            items.append(_detections(sample, prediction))
        elif prediction is None:
            missing.append(f"{key}: no prediction")
        else:
            try:
                items.append(asdict(_item(benchmark, sample, key, prediction)))
            except BadMask as error:
                problems.append(f"{prediction if isinstance(prediction, Path) else key}: {error}")
    return {"items": items, "missing": missing, "problems": problems}


def _item(benchmark: Benchmark, sample: Sample, key: str, prediction: dict[str, Any] | Path) -> Item:
    index = benchmark.index
    media = index.media(sample.media)
    size = (media.height, media.width)
    truth, box = _truth(index, sample)
    mask = predicted_mask(prediction, size)
    shared = overlap(mask, truth)
    predicted_box = None if isinstance(prediction, Path) else prediction.get("box")
    return Item(
        sample=sample.row,
        key=key,
        media=media.name,
        text=benchmark.text(sample),
        category=sample.category,
        intersection=shared.intersection,
        union=shared.union,
        pixels=shared.pixels,
        truth=int(truth.sum()),
        predicted=int(mask.sum()),
        box_iou=None if predicted_box is None else box_iou(predicted_box, box),
    )


def _truth(index: Index, sample: Sample) -> tuple[Mask, list[float]]:
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


def predicted_mask(prediction: dict[str, Any] | Path, size: tuple[int, int]) -> Mask:
    """The mask, bool [H, W]. Raises BadMask."""
    if isinstance(prediction, Path):
        return read_binary(prediction, size)
    found = tuple(prediction["size"])
    if found != size:
        raise BadMask(f"is {found[1]} x {found[0]}, the image {size[1]} x {size[0]}")
    counts = prediction["counts"]
    try:
        encoded = counts.encode("ascii") if isinstance(counts, str) else b""
        if rle.covered(encoded) != size[0] * size[1]:
            raise ValueError("its run lengths do not fill the image")
        return rle.decode(encoded, *size)
    except ValueError as error:
        raise BadMask(f"is damaged ({error})") from None


def truth_mask(benchmark: Benchmark, sample: Sample) -> Mask:
    """What a sample's prediction should be, bool [H, W]."""
    return _truth(benchmark.index, sample)[0]


def _detections(sample: Sample, prediction: Prediction) -> dict[str, Any]:
    found = prediction if isinstance(prediction, dict) else {"boxes": [], "scores": [], "classes": []}
    return {"sample": sample.row} | {name: found[name] for name in ("boxes", "scores", "classes")}


def coco_form(
    benchmark: Benchmark, items: Sequence[dict[str, Any]]
) -> tuple[dict[str, Any], list[dict[str, Any]], bool]:
    """Truth and detections as pycocotools takes them.

    Returns:
        Truth, detections, and whether all categories were made one, as the model knows a single class.
    """
    index = benchmark.index
    categories = sorted(index.manifest.categories) or [0]
    classes = {int(c) for item in items for c in item["classes"]}
    agnostic = len(categories) > 1 and max(classes, default=0) == 0
    images, annotations, detections = [], [], []
    for item in items:
        sample = index.sample(item["sample"])
        media = index.media(sample.media)
        images.append({"id": sample.row, "height": media.height, "width": media.width})
        for row in media.objects:
            thing, found = index.object(row), index.annotations(row)
            x0, y0, x1, y1 = (float(value) for value in found.boxes[0])
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": sample.row,
                    "category_id": 1 if agnostic else thing.category,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": float(found.areas[0]),
                    "iscrowd": int(thing.crowd),
                }
            )
        for box, score, number in zip(item["boxes"], item["scores"], item["classes"], strict=True):
            x0, y0, x1, y1 = box
            detections.append(
                {
                    "image_id": sample.row,
                    "category_id": 1 if agnostic else categories[int(number)],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "score": score,
                }
            )
    used = [1] if agnostic else categories
    truth = {"images": images, "annotations": annotations, "categories": [{"id": n, "name": str(n)} for n in used]}
    return truth, detections, agnostic
