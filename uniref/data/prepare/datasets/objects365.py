"""Objects365 v2 (Shao et al., "Objects365: A Large-scale, High-quality Dataset for Object Detection", ICCV 2019).

Boxes of 365 classes in COCO JSON of several gigabytes, images in `patchN` folders or in one. The re-split that the
released system trains on (the first 5,000 validation images stay, the others join training) is read from its own files
`zhiyuan_objv2_{train,val}_new.json` where they are given; the original split otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from uniref.core.files import exists
from uniref.core.tasks import Task
from uniref.data.prepare.coco_json import (
    ImageRecord,
    add_image,
    read_categories,
    read_images,
    read_section,
    record_id,
    usable_images,
    whole,
)
from uniref.data.prepare.dataset import RESEARCH_TERMS, DataSet, PublishedCounts, RemoteFile
from uniref.data.prepare.job import BadRecord, ConversionJob, FilesMissing
from uniref.data.protocol import DETECTION

_BLOCK = 1 << 20
_MISSING = frozenset(("objects365_v2_00908726.jpg", "objects365_v1_00320532.jpg", "objects365_v1_00320534.jpg"))
"""Training images that are listed but were never published."""


@dataclass(frozen=True)
class BoxTable:
    """All annotations of a file, sorted by image. Axis: n annotations."""

    images: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int64]
    categories: npt.NDArray[np.int32]
    crowd: npt.NDArray[np.bool_]
    boxes: npt.NDArray[np.float32]
    """(x, y, width, height), [n, 4]."""

    def of(self, image: int) -> slice:
        """The rows of an image's annotations."""
        return slice(*np.searchsorted(self.images, (image, image + 1)))


def convert(job: ConversionJob) -> None:
    """One sample per image with its boxes, cleaned: clipped, not thinner than a pixel, not repeated."""
    # the annotation file, and which split it is
    names = (f"zhiyuan_objv2_{job.split}_new.json", f"zhiyuan_objv2_{job.split}.json")
    named = next((path for path in job.named if path.name in names), None)
    path = named or job.need(*(f"{folder}{name}" for name in names for folder in ("", f"{job.split}/", "annotations/")))
    resplit = path.name.endswith("_new.json")
    images = read_images(job, path)
    listed = [image for image in images.values() if PurePosixPath(image.file_name).name not in _MISSING]
    chosen = list(job.first(listed))
    # categories, boxes, and where the images lie
    categories = read_categories(path)
    boxes = _read_boxes(job, path, images)
    root, files = _locate(job, chosen)
    job.used(path)
    # one sample per image with its usable boxes
    with job.writer({"objects365": root}, categories=categories) as writer:
        writer.notes.append("split: " + ("the released system's re-split" if resplit else "as published"))
        if len(listed) < len(images):
            writer.drop("image never published", len(images) - len(listed))
        for image, file in usable_images(job, chosen, root, files):
            add_image(writer, image, "objects365", file)
            part = boxes.of(image.id)
            kept, xyxy, reasons = clean_boxes(boxes.boxes[part], boxes.categories[part], image.height, image.width)
            for reason, count in reasons.items():
                writer.drop(reason, count)
            crowd = boxes.crowd[part][kept]
            rows = writer.add_boxes(boxes.categories[part][kept], xyxy, boxes.ids[part][kept], crowd)
            single = [row for row, group in zip(rows, crowd, strict=True) if not group]
            if single:
                writer.add_sample(objects=single)


def clean_boxes(
    boxes: npt.NDArray[np.float32], categories: npt.NDArray[np.int32], height: int, width: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32], dict[str, int]]:
    """Select the usable boxes of an image: clipped, wider and higher than a pixel, not repeated.

    Args:
        boxes: (x, y, width, height) in pixels, [n, 4].
        categories: [n].
        height: Of the image.
        width: Of the image.

    Returns:
        Indices of those kept, [k]; their boxes (x0, y0, x1, y1) clipped to the image, [k, 4]; how many were dropped
        and why.
    """
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    xyxy = corners.clip(0, np.array([width, height, width, height], np.float32)).astype(np.float32)
    wide = ((xyxy[:, 2:] - xyxy[:, :2]) > 1).all(1)
    thin = int((~wide).sum())
    kept = np.flatnonzero(wide)
    keys = np.concatenate([categories[kept, None].astype(np.float32), xyxy[kept]], axis=1)
    _, first = np.unique(keys, axis=0, return_index=True)
    repeated = len(kept) - len(first)
    kept = kept[np.sort(first)]
    reasons = {"box at most a pixel wide": thin, "repeated box": repeated}
    return kept, xyxy[kept], {reason: count for reason, count in reasons.items() if count}


def _read_boxes(job: ConversionJob, path: Path, images: Mapping[int, ImageRecord]) -> BoxTable:
    """All annotations of the file, which are in any order."""
    # all annotations into columns
    numbers = _Column(np.int64, 3)  # image, id, category
    corners = _Column(np.float32, 4)
    crowd = _Column(np.bool_, 1)
    for entry in job.progress(read_section(path, "annotations"), path.name, None, "box"):
        with job.record(f"{path}: annotation {record_id(entry)}"):
            x, y, w, h = (float(value) for value in entry["bbox"])  # those of no size are dropped later
            row = (int(entry["image_id"]), int(entry["id"]), whole(entry["category_id"]))
            if max(map(abs, row)) >= 1 << 63 or not all(map(math.isfinite, (x, y, w, h))):
                raise BadRecord("its numbers are too large")
            numbers.add(row)
            corners.add((x, y, w, h))
            crowd.add((bool(entry.get("iscrowd", 0)),))
    # sorted by image, and checked
    table = numbers.array()
    order = np.argsort(table[:, 0], kind="stable")
    by_id = np.sort(table[:, 1])
    if len(again := by_id[1:][by_id[1:] == by_id[:-1]]):
        job.bad(f"{path}: annotation {again[0]}", "its id occurs twice")
    unlisted = ~np.isin(table[:, 0], np.fromiter(images, np.int64, len(images)))
    if unlisted.any():
        image, number = table[np.flatnonzero(unlisted)[0], :2]
        job.bad(f"{path}: annotation {number}", f"image {image} is not listed")
    return BoxTable(
        table[order, 0],
        table[order, 1],
        table[order, 2].astype(np.int32),
        crowd.array()[order, 0],
        corners.array()[order].astype(np.float32, copy=False),
    )


class _Column:
    """Rows of numbers in blocks, which need a tenth of the memory of Python lists."""

    def __init__(self, dtype: npt.DTypeLike, width: int) -> None:
        self._dtype, self._width = dtype, width
        self._blocks: list[npt.NDArray[np.generic]] = []
        self._rows: list[tuple[float, ...]] = []

    def add(self, row: tuple[float, ...]) -> None:
        self._rows.append(row)
        if len(self._rows) == _BLOCK:
            self._seal()

    def _seal(self) -> None:
        self._blocks.append(np.array(self._rows, self._dtype).reshape(-1, self._width))
        self._rows = []

    def array(self) -> npt.NDArray[np.generic]:
        self._seal()
        return np.concatenate(self._blocks)


def _locate(job: ConversionJob, images: list[ImageRecord]) -> tuple[Path, list[str]]:
    """The media root and every image's path below it: `patchN/<name>` or `<name>`, in a split folder or `images`."""
    if not images:
        return job.bases[0], []
    first = PurePosixPath(images[0].file_name)
    short = f"{first.parent.name}/{first.name}" if first.parent.name.startswith("patch") else first.name
    folders = (job.split, "images", f"images/{job.split}", "train", "val", "")
    for folder in folders:
        for depth, form in enumerate((str(first), short, first.name)):
            relative = str(PurePosixPath(folder) / form)
            if (path := job.find(relative)) is not None:
                root = path.parents[len(PurePosixPath(relative).parts) - 1]
                return root, [_relative(image, depth, folder, root) for image in images]
    below = ", ".join(folder for folder in folders if folder)
    where = ", ".join(map(str, job.bases))
    raise FilesMissing(
        f"objects365/{job.split}: found no {short[:255]} in {where}, nor in their {below}; the annotations name it"
    )


def _relative(image: ImageRecord, depth: int, folder: str, root: Path) -> str:
    path = PurePosixPath(image.file_name)
    forms = (path, PurePosixPath(path.parent.name) / path.name, PurePosixPath(path.name))
    relative = PurePosixPath(folder) / forms[depth]
    if not exists(root / relative):  # the re-split has images of both published splits in one
        for other in ("train", "val"):
            if exists(root / other / forms[depth]):
                return str(PurePosixPath(other) / forms[depth])
    return str(relative)


_SITE = "https://dorc.ks3-cn-beijing.ksyun.com/data-set/2020Objects365%E6%95%B0%E6%8D%AE%E9%9B%86"

DATASETS = (
    DataSet(
        name="objects365",
        title="Objects365 v2 boxes",
        task=Task.DETECTION,
        splits={
            "train": PublishedCounts(listed=(1_742_289, 1_817_287)),
            "val": PublishedCounts(listed=(80_000, 5_000)),
        },
        convert=convert,
        size="345 GB",
        licence=RESEARCH_TERMS,
        page="https://www.objects365.org",
        files="the patchN.tar.gz archives and zhiyuan_objv2_{train,val}.json, or the re-split "
        "zhiyuan_objv2_{train,val}_new.json",
        layout="{train,val}/patchN/objects365_v*_%08d.jpg (or without patchN), zhiyuan_objv2_{train,val}[_new].json",
        group="objects365",
        papers=("UniRef++ (train)", "UNINEXT (train)"),
        folders=("objects365v2", "o365"),
        downloads=(
            RemoteFile(f"{_SITE}/train/zhiyuan_objv2_train.tar.gz", splits=("train",), folder="annotations"),
            RemoteFile(f"{_SITE}/val/zhiyuan_objv2_val.json", splits=("val",), folder="annotations"),
            # both splits have a patch0 and so on
            *(RemoteFile(f"{_SITE}/train/patch{n}.tar.gz", splits=("train",), folder="train") for n in range(51)),
            *(RemoteFile(f"{_SITE}/val/images/v1/patch{n}.tar.gz", splits=("val",), folder="val") for n in range(16)),
            *(
                RemoteFile(f"{_SITE}/val/images/v2/patch{n}.tar.gz", splits=("val",), folder="val")
                for n in range(16, 44)
            ),
        ),
        protocol=DETECTION,
    ),
)
