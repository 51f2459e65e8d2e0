"""Scores of predictions for images: masks of expressions and few-shot queries, and detected boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from uniref.core import rle
from uniref.core.errors import UniRefError
from uniref.core.tasks import Task
from uniref.core.types import BoolMask
from uniref.data.index import Index, Sample
from uniref.evaluation.dataset import EvalDataset, EvalItem
from uniref.evaluation.metrics.images import GeneralisedOverlap, Overlap, box_iou, overlap
from uniref.evaluation.prediction_files import BadMask, ImagePrediction, read_binary

Boxes = list[list[float]]
"""x0, y0, x1, y1 in pixels each."""


# Masks


@dataclass(frozen=True)
class ImageScore:
    """Score of one item: an expression, or a query image."""

    sample: int
    name: str
    media: str
    text: str
    category: int
    intersection: int
    union: int
    pixels: int
    ground_truth_pixels: int
    """Pixels of the object."""
    predicted_pixels: int
    box_iou: float | None
    missing: bool
    """No prediction was there; it counts as an empty one."""
    group: int = -1
    """Kind of the expression."""
    no_target: bool | None = None
    """Whether the expression refers to nothing, where the protocol knows such expressions."""
    answered: bool = True
    """Whether a target is predicted; an empty mask alone says that none is."""

    @property
    def overlap(self) -> Overlap:
        """Of the two masks."""
        return Overlap(self.intersection, self.union, self.pixels)

    @property
    def generalised(self) -> GeneralisedOverlap:
        """With what is known and predicted of targets."""
        return GeneralisedOverlap(self.overlap, bool(self.no_target), self.answered)

    @property
    def score(self) -> float:
        """IoU, 0..1."""
        return self.overlap.iou if self.no_target is None else self.generalised.iou

    @property
    def share(self) -> float:
        """Share of the image that the object covers, 0..1."""
        return self.ground_truth_pixels / self.pixels


def score_images(dataset: EvalDataset, shard: int, predictions: Sequence[ImagePrediction]) -> dict[str, Any]:
    """Score the items of a shard; nothing is raised for what is wrong with single predictions.

    A missing mask counts as an empty one (the published protocol of RefCOCO), and is listed.

    Args:
        dataset: Data of images.
        shard: Number of the shard.
        predictions: One per item.

    Returns:
        `items`: `ImageScore`s or detections, as plain values; `missing` and `problems`: lines for people.
    """
    items: list[dict[str, Any]] = []
    missing: list[str] = []
    problems: list[str] = []
    for item, prediction in zip(dataset.items(shard), predictions, strict=True):
        # detections are scored together when all images are done
        if dataset.protocol.task == Task.DETECTION:
            items.append(_detections(item.sample, prediction))
            continue
        if prediction is None:
            missing.append(item.name)
        try:
            items.append(asdict(_score_item(dataset, item, prediction)))
        except BadMask as error:
            problems.append(f"{prediction if isinstance(prediction, Path) else item.name}: {error}")
    return {"items": items, "missing": missing, "problems": problems}


def _score_item(dataset: EvalDataset, item: EvalItem, prediction: ImagePrediction) -> ImageScore:
    media = dataset.index.media(item.sample.media)
    # compare masks, and boxes where a model predicted one
    ground_truth, box = _ground_truth(dataset.index, item.sample)
    mask = predicted_mask(prediction, (media.height, media.width))
    if dataset.protocol.summary == "reasoning":  # pixels that do not count
        for ignored in dataset.void_of(media):
            covered = ignored.mask(0)
            mask = mask if covered is None else mask & ~covered
    shared = overlap(mask, ground_truth)
    generalised = dataset.protocol.summary == "generalised"
    predicted_box = prediction.get("box") if isinstance(prediction, dict) and not generalised else None
    # a model may say apart from its mask that nothing is there
    refused = prediction.get("no_target") if isinstance(prediction, dict) else None
    return ImageScore(
        sample=item.sample.row,
        name=item.name,
        media=media.name,
        text=dataset.text(item),
        category=item.sample.category,
        intersection=shared.intersection,
        union=shared.union,
        pixels=shared.pixels,
        ground_truth_pixels=int(ground_truth.sum()),
        predicted_pixels=int(mask.sum()),
        box_iou=None if predicted_box is None else float(box_iou([predicted_box], [box])[0, 0]),
        missing=prediction is None,
        group=item.sample.group,
        no_target=item.sample.no_target if generalised else None,
        answered=bool(mask.any()) if refused is None else not refused,
    )


def ground_truth_mask(dataset: EvalDataset, sample: Sample) -> BoolMask:
    """The mask that a sample's prediction should be, bool [H, W]."""
    return _ground_truth(dataset.index, sample)[0]


def _ground_truth(index: Index, sample: Sample) -> tuple[BoolMask, list[float]]:
    """Union of the sample's objects, bool [H, W], and the box around their boxes."""
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


def predicted_mask(prediction: ImagePrediction, size: tuple[int, int]) -> BoolMask:
    """A predicted mask, bool [H, W]; empty where there is no prediction. Raises BadMask."""
    if prediction is None:
        return np.zeros(size, np.bool_)
    if isinstance(prediction, Path):
        return read_binary(prediction, size)
    height, width = prediction["size"]
    if (height, width) != size:
        raise BadMask(f"is {width} x {height}, the image {size[1]} x {size[0]}")
    counts = prediction["counts"]
    try:
        encoded = counts.encode("ascii") if isinstance(counts, str) else b""
        return rle.decode(encoded, *size)
    except ValueError as error:
        raise BadMask(f"is damaged ({error})") from None


# Boxes


@dataclass(frozen=True)
class BoxScore:
    """Score of one image of detection data with at least one object."""

    sample: int
    media: str
    ious: Sequence[float]
    """IoU of every object and its best detection (of its category, where the model predicts several)."""
    ground_truth: Boxes
    predicted: Boxes
    """The most confident detections, as many as there are objects."""

    @property
    def score(self) -> float:
        """Mean of `ious`."""
        return fmean(self.ious)


def _detections(sample: Sample, prediction: ImagePrediction) -> dict[str, Any]:
    """The record of an image; without a prediction nothing was detected."""
    detected = prediction if isinstance(prediction, dict) else {"boxes": [], "scores": [], "classes": []}
    return {"sample": sample.row} | {name: detected[name] for name in ("boxes", "scores", "classes")}


def box_scores(dataset: EvalDataset, records: Sequence[dict[str, Any]]) -> list[BoxScore]:
    """How well the objects of each image were detected, for reports; the metric is AP.

    Args:
        dataset: Detection data.
        records: `items` of `score_images`, of all shards.
    """
    index = dataset.index
    classes = None if class_agnostic(records) else {n: i for i, n in enumerate(sorted(index.manifest.categories))}
    out = []
    for record in records:
        media = index.media(record["sample"])
        rows = dataset.objects_of(media)
        if not rows:
            continue
        # best detection per object, of its own class
        ground_truth = [[float(value) for value in index.annotations(row).boxes[0]] for row in rows]
        overlaps = box_iou(ground_truth, record["boxes"])
        if classes is not None:
            numbers = [classes.get(index.object(row).category, -1) for row in rows]
            overlaps *= np.equal.outer(numbers, np.asarray(record["classes"], np.int64))
        # most confident detections, to be drawn
        order = np.argsort(np.negative(record["scores"]), kind="stable").tolist()
        predicted = [record["boxes"][number] for number in order[: len(rows)]]
        out.append(BoxScore(media.row, media.name, overlaps.max(1, initial=0.0).tolist(), ground_truth, predicted))
    return out


def to_coco(dataset: EvalDataset, records: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ground truth and detections as pycocotools takes them.

    All categories are one where the model predicts a single class.

    Args:
        dataset: Detection data.
        records: `items` of `score_images`, of all shards.

    Raises:
        UniRefError: The model predicts more classes than the data set has.
    """
    index = dataset.index
    categories = [1] if class_agnostic(records) else sorted(index.manifest.categories) or [0]
    single = len(categories) == 1
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for record in records:
        media = index.media(record["sample"])
        images.append({"id": media.row, "height": media.height, "width": media.width})
        # ground truth
        for row in media.objects:
            obj, annotation = index.object(row), index.annotations(row)
            x0, y0, x1, y1 = (float(value) for value in annotation.boxes[0])
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": media.row,
                    "category_id": categories[0] if single else obj.category,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": float(annotation.areas[0]),
                    "iscrowd": int(obj.crowd),
                }
            )
        # predictions
        for position, ((x0, y0, x1, y1), score) in enumerate(zip(record["boxes"], record["scores"], strict=True)):
            number = 0 if single else int(record["classes"][position])
            if number >= len(categories):
                raise UniRefError(
                    f"{dataset.data}: has {len(categories)} categories, the model more; it was trained on others"
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


def class_agnostic(records: Sequence[dict[str, Any]]) -> bool:
    """Whether the detections are of a model that predicts a single class."""
    return any(record["classes"] is None for record in records)
