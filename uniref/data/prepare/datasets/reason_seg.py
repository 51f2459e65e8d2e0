"""ReasonSeg (Lai et al., "LISA: Reasoning Segmentation via Large Language Model", CVPR 2024).

`ReasonSeg/{train,val,test}/<name>.jpg` with `<name>.json`: `text` (a list; val and test ask for the first one),
`is_sentence`, and `shapes`, polygons with labels (read in dvlab-research/LISA: README.md, `utils/data_processing.py`,
`utils/reason_seg_dataset.py`). The mask is what OpenCV draws of them from the largest to the smallest: a label with
`ignore` covers pixels that do not count, one called `flag` is left out, any other is the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from uniref.core.errors import UniRefError
from uniref.core.files import exists, read_text
from uniref.core.json_files import parse_json
from uniref.core.tasks import Task
from uniref.core.text import clean_text
from uniref.core.types import BoolMask
from uniref.data.index import TRUTH, IndexWriter
from uniref.data.prepare.dataset import DataSet, PublishedCounts
from uniref.data.prepare.job import EMPTY_SENTENCE, BadRecord, ConversionJob, FilesMissing, image_size
from uniref.data.prepare.polygons import fill_polygon
from uniref.data.prepare.regions import Region, region_of_mask
from uniref.data.prepare.videos import text_of
from uniref.data.protocol import REFERRING

_LARGEST_SIDE = 1 << 16  # pixels; corners are not farther out


@dataclass(frozen=True)
class _Image:
    """An image that was read."""

    path: Path
    size: tuple[int, int] = (0, 0)
    texts: tuple[str, ...] = ()
    is_sentence: bool = False
    target: Region | None = None
    ignored: Region | None = None
    problem: str = ""


def convert(job: ConversionJob) -> None:
    """One sample per image: with all its texts (train), or the first one."""
    folder = job.need(*(f"{parent}{job.split}" for parent in ("reason_seg/ReasonSeg/", "ReasonSeg/", "")))
    images = sorted(folder.glob("*.jpg"))
    paths = [path for path in images if exists(path.with_suffix(".json"))]
    if not paths:
        raise FilesMissing(
            f"{folder}: holds no .jpg beside a .json of the same name; it is part of {job.dataset.files}"
        )
    for path in images:
        if path not in paths:
            job.bad(path, f"has no {path.stem}.json beside it")
    for path in sorted(folder.glob("*.json")):
        if not exists(path.with_suffix(".jpg")):
            job.bad(path, f"has no {path.stem}.jpg beside it")
    with job.writer({"reason-seg": folder}) as writer:
        for image in job.map(_read_image, job.first(paths), "image"):
            if image.problem:
                job.bad(image.path.with_suffix(".json"), image.problem)
            else:
                _add_image(job, writer, image)


def _read_image(path: Path) -> _Image:
    try:
        return _checked(path, _read_record(path.with_suffix(".json")))
    except (UniRefError, KeyError, TypeError, ValueError, AttributeError) as error:
        return _Image(path, problem=f"has no {error}" if isinstance(error, KeyError) else str(error))


def _read_record(path: Path) -> Any:
    """The annotation of an image; some are not in UTF-8 but in Windows's Western encoding. Raises UniRefError."""
    try:
        text = read_text(path)
    except UniRefError:
        text = read_text(path, encoding="cp1252")
    return parse_json(text, path.name)


def _checked(path: Path, record: Mapping[str, Any]) -> _Image:
    """Texts and masks. Raises BadRecord, KeyError, TypeError, ValueError, AttributeError."""
    size = image_size(path)
    texts = tuple(text_of(text) for text in record["text"])
    if not texts:
        raise BadRecord("has no text")
    if not isinstance(record["is_sentence"], bool | int):
        raise BadRecord(f"is_sentence: is {record['is_sentence']!r:.40}, not true or false")
    target, ignored = draw_shapes(record["shapes"], *size)
    return _Image(path, size, texts, bool(record["is_sentence"]), region_of_mask(target), region_of_mask(ignored))


def draw_shapes(shapes: Any, height: int, width: int) -> tuple[BoolMask, BoolMask]:
    """Target and pixels that do not count, bool [height, width] each.

    Raises:
        BadRecord: Corners are not numbers, or far outside.
    """
    # every polygon by itself
    drawn: list[tuple[str, BoolMask]] = []
    for shape in shapes:
        label, corners = str(shape["label"]).lower(), np.array(shape["points"], np.float64)
        if label == "flag":
            continue
        if corners.ndim != 2 or corners.shape[1] != 2 or not (np.abs(corners) < _LARGEST_SIDE).all():
            raise BadRecord(f"the points of {label!r} are not corners of a polygon")
        drawn.append((label, fill_polygon(corners.astype(np.int64), height, width)))
    # the largest first, so that smaller ones lie on top
    target, ignored = np.zeros((height, width), np.bool_), np.zeros((height, width), np.bool_)
    for place in np.argsort([int(mask.sum()) for _, mask in drawn])[::-1]:
        label, mask = drawn[place]
        on, off = (ignored, target) if "ignore" in label else (target, ignored)
        on |= mask
        off &= ~mask
    return target, ignored


def _add_image(job: ConversionJob, writer: IndexWriter, image: _Image) -> None:
    height, width = image.size
    writer.add_media(
        name=image.path.stem, kind="image", root="reason-seg", path=image.path.name, width=width, height=height
    )
    rows = []
    for crowd, region in ((False, image.target), (True, image.ignored)):
        if region is not None:
            rows.append(writer.add_object(source_id=int(crowd), crowd=crowd))
            writer.add_annotation(0, region.box, region.counts, region.area, TRUTH)
    # texts
    texts = image.texts[:1]
    if job.split == "train":
        texts = tuple(text for text in image.texts if clean_text(text).strip())
        if dropped := len(image.texts) - len(texts):
            writer.drop(EMPTY_SENTENCE, dropped)
    objects = rows[:1] if image.target is not None else []
    added = [writer.add_expression(text, source_id=f"{image.path.stem}-{place}") for place, text in enumerate(texts)]
    writer.add_sample(objects=objects, expressions=added, group=int(image.is_sentence), no_target=not objects)


DATASETS = (
    DataSet(
        name="reason-seg",
        title="ReasonSeg (images whose texts need reasoning)",
        task=Task.RIS,
        # dvlab-research/LISA, README.md
        splits={
            "train": PublishedCounts(239, samples=239),
            "val": PublishedCounts(200, samples=200),
            "test": PublishedCounts(779, samples=779),
        },
        convert=convert,
        size="not published",
        licence="not published; images of OpenImages and ScanNetv2",
        page="https://github.com/dvlab-research/LISA",
        files="train.zip, val.zip and test.zip of ReasonSeg, from the Google Drive folder that the page names",
        layout="ReasonSeg/{train,val,test}/{<name>.jpg,<name>.json}",
        group="reason-seg",
        folders=("reason_seg", "reasonseg"),
        papers=("LISA (train, val, test)",),
        protocol=replace(REFERRING, summary="reasoning", name="{stem}"),
    ),
)
