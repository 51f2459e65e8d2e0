"""Detected boxes against the truth: records of images, pycocotools' form, and how well each image went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from uniref.core.errors import UniRefError
from uniref.data.index import Sample
from uniref.evaluation.benchmark import Benchmark
from uniref.evaluation.image_predictions import Prediction
from uniref.evaluation.metrics.images import box_ious

Boxes = list[list[float]]
"""x0, y0, x1, y1 in pixels each."""


@dataclass(frozen=True)
class BoxItem:
    """One image of detection data with at least one object."""

    sample: int
    media: str
    ious: Sequence[float]
    """For every object the IoU of the detection that fits best (of its category, where the model knows several)."""
    truth: Boxes
    predicted: Boxes
    """The most confident detections, as many as there are objects."""

    @property
    def score(self) -> float:
        """Mean of `ious`."""
        return fmean(self.ious)


def detections(sample: Sample, prediction: Prediction) -> dict[str, Any]:
    """The record of an image; without a prediction nothing was detected."""
    found = prediction if isinstance(prediction, dict) else {"boxes": [], "scores": [], "classes": []}
    return {"sample": sample.row} | {name: found[name] for name in ("boxes", "scores", "classes")}


def box_items(benchmark: Benchmark, records: Sequence[dict[str, Any]]) -> list[BoxItem]:
    """How well the objects of each image were found, for reports; AP is the measure."""
    index = benchmark.index
    places = None if class_agnostic(records) else {n: i for i, n in enumerate(sorted(index.manifest.categories))}
    items = []
    for record in records:
        media = index.media(record["sample"])
        rows = benchmark.things(media)
        if not rows:
            continue
        truth = [[float(value) for value in index.annotations(row).boxes[0]] for row in rows]
        overlaps = box_ious(truth, record["boxes"])
        if places is not None:
            wanted = [places.get(index.object(row).category, -1) for row in rows]
            overlaps *= np.equal.outer(wanted, np.asarray(record["classes"], np.int64))
        order = np.argsort(np.negative(record["scores"]), kind="stable").tolist()
        predicted = [record["boxes"][place] for place in order[: len(rows)]]
        items.append(BoxItem(media.row, media.name, overlaps.max(1, initial=0.0).tolist(), truth, predicted))
    return items


def coco_form(benchmark: Benchmark, items: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Truth and detections as pycocotools takes them; all categories are one where the model knows a single class."""
    index = benchmark.index
    categories = [1] if class_agnostic(items) else sorted(index.manifest.categories) or [0]
    one = len(categories) == 1
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for item in items:
        media = index.media(item["sample"])
        images.append({"id": media.row, "height": media.height, "width": media.width})
        for row in media.objects:
            thing, found = index.object(row), index.annotations(row)
            x0, y0, x1, y1 = (float(value) for value in found.boxes[0])
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": media.row,
                    "category_id": categories[0] if one else thing.category,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": float(found.areas[0]),
                    "iscrowd": int(thing.crowd),
                }
            )
        for place, ((x0, y0, x1, y1), score) in enumerate(zip(item["boxes"], item["scores"], strict=True)):
            number = 0 if one else int(item["classes"][place])
            if number >= len(categories):
                raise UniRefError(
                    f"{benchmark.data}: has {len(categories)} categories, the model more; it was trained on others"
                )
            detections.append(
                {
                    "image_id": media.row,
                    "category_id": categories[number],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "score": score,
                }
            )
    named = [{"id": number, "name": str(number)} for number in categories]
    return {"images": images, "annotations": annotations, "categories": named}, detections


def class_agnostic(items: Sequence[dict[str, Any]]) -> bool:
    """Whether the detections come from a model that knows a single class."""
    return any(item["classes"] is None for item in items)
