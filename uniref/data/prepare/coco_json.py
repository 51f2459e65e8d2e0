"""COCO JSON read as a stream, so that files of many gigabytes fit into memory (format: Lin et al., ECCV 2014)."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from uniref.core import rle
from uniref.core.errors import UniRefError
from uniref.core.json_files import stream_json
from uniref.data.index import TRUTH, IndexWriter
from uniref.data.prepare.job import DEGENERATE, BadRecord, ConversionJob, image_size
from uniref.data.prepare.regions import region_of_counts

_CHUNK = 256  # images a worker checks at a time
_SINGULAR = {"segmentations": "segmentation", "bboxes": "bbox", "areas": "area"}


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An entry of `images`: id, file name, height and width in pixels."""

    id: int
    file_name: str
    height: int
    width: int
    expressions: tuple[str, ...] = ()
    """The released system's own field."""


def read_section(path: Path, section: str) -> Iterator[dict[str, Any]]:
    """The entries of one list of a JSON object, one at a time. Raises UniRefError for damage."""
    return stream_json(path, section)


def read_images(job: ConversionJob, path: Path) -> dict[int, ImageRecord]:
    """Every image by its id, in the file's order; the released system's videos of one frame are images."""
    images: dict[int, ImageRecord] = {}
    for entry in chain(read_section(path, "images"), map(_as_image, read_section(path, "videos"))):
        with job.record(f"{path}: image {record_id(entry)}"):
            number = whole(entry["id"], 64)
            if number in images:
                raise BadRecord("its id occurs twice")
            texts = entry.get("expressions") or ()
            if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
                raise BadRecord("its expressions are not a list of texts")
            name = relative_name(entry["file_name"])
            images[number] = ImageRecord(number, name, whole(entry["height"]), whole(entry["width"]), tuple(texts))
    if not images:
        job.bad(path, "has no images")
    return images


def relative_name(name: Any) -> str:
    """A file name of a record. Raises BadRecord where it leads out of the folder of the images."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise BadRecord(f"file name {name!r} is not relative to a folder of images, with /")
    return str(path)


def _as_image(video: dict[str, Any]) -> dict[str, Any]:
    names = video.get("file_names")
    return {**video, "file_name": names[0]} if isinstance(names, list) and len(names) == 1 else video


def _as_instance(entry: dict[str, Any]) -> dict[str, Any]:
    """An annotation of an image from that of a video of one frame."""
    if "video_id" not in entry or "image_id" in entry:
        return entry
    first = {one: entry[many][0] for many, one in _SINGULAR.items() if entry.get(many)}
    return {**entry, "image_id": entry["video_id"], **first}


def read_categories(path: Path) -> dict[int, str]:
    """Category names by id. Raises UniRefError."""
    try:
        return {int(entry["id"]): str(entry["name"]) for entry in read_section(path, "categories")}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UniRefError(f"{path}: a category has no id and name ({error!r})") from None


def usable_images(
    job: ConversionJob, images: Sequence[ImageRecord], root: Path, names: Sequence[str] | None = None
) -> Generator[tuple[ImageRecord, str]]:
    """Images whose file exists and has the size its record says, with the file's path relative to `root`.

    Args:
        job: The split that is prepared.
        images: Records.
        root: Folder of `names`.
        names: Relative paths; the records' own file names by default.
    """
    files = [image.file_name for image in images] if names is None else names
    problems = job.map_chunks(_check, _chunks(root, images, files), len(images), "image")
    for index, problem in enumerate(problems):
        if problem:
            job.bad(root / files[index], problem)
        else:
            yield images[index], files[index]


def _chunks(
    root: Path, images: Sequence[ImageRecord], files: Sequence[str]
) -> Iterator[tuple[Path, list[tuple[str, int, int]]]]:
    """Chunks of images for the processes that check them, generated lazily: there may be millions."""
    for first in range(0, len(images), _CHUNK):
        part = slice(first, first + _CHUNK)
        pairs = zip(files[part], images[part], strict=True)
        yield root, [(name, image.height, image.width) for name, image in pairs]


def _check(work: tuple[Path, list[tuple[str, int, int]]]) -> list[str]:
    root, files = work
    return [_problem(root / name, height, width) for name, height, width in files]


def _problem(path: Path, height: int, width: int) -> str:
    try:
        size = image_size(path)
    except BadRecord as error:
        return str(error)
    return "" if size == (height, width) else f"is {size[1]} x {size[0]}, its record says {width} x {height}"


def find_root(job: ConversionJob, file_name: str, folders: Sequence[str]) -> Path:
    """The folder that a record's file name is relative to, searched for below the sources. Raises FilesMissing."""
    path = job.need(*(str(PurePosixPath(folder) / file_name) for folder in folders))
    return path.parents[len(PurePosixPath(file_name).parts) - 1]


@dataclass(frozen=True)
class Instance:
    """An annotation of an image."""

    id: int
    category: int
    crowd: bool
    box: tuple[float, float, float, float]
    """(x0, y0, x1, y1), pixels."""
    counts: bytes | None
    area: float


def read_instances(
    job: ConversionJob, path: Path, images: Mapping[int, ImageRecord], exact: bool = False
) -> dict[int, list[Instance]]:
    """Every annotation of these images, by image; polygons become run lengths at once.

    An annotation whose polygons are all degenerate is dropped, as the released system does.

    Args:
        job: The split that is prepared.
        path: The file.
        images: Images whose annotations are read, by id.
        exact: Boxes and areas are those of the masks (files whose boxes are a pixel short).
    """
    by_image: dict[int, list[Instance]] = {}
    seen: set[int] = set()
    for record in job.progress(read_section(path, "annotations"), f"{path.name}", None, "annotation"):
        with job.record(f"{path}: annotation {record_id(record)}"):
            entry = _as_instance(record)
            number = whole(entry["id"], 64)
            if number in seen:
                raise BadRecord("its id occurs twice")
            seen.add(number)
            image = images.get(int(entry["image_id"]))
            if image is None:
                if job.subset is None:
                    raise BadRecord(f"image {entry['image_id']} is not listed")
                continue
            instance = make_instance(entry, image, exact)
            if instance is None:
                job.dropped[DEGENERATE] = job.dropped.get(DEGENERATE, 0) + 1
            else:
                by_image.setdefault(image.id, []).append(instance)
    return by_image


def record_id(record: Any) -> Any:
    """The id of a record for messages; the record itself where it is not an object."""
    return record.get("id") if isinstance(record, dict) else record


def make_instance(entry: Mapping[str, Any], image: ImageRecord, exact: bool = False) -> Instance | None:
    """An annotation, checked; None where its polygons are all degenerate. Raises BadRecord, ValueError, KeyError."""
    segmentation = entry.get("segmentation")
    counts = None
    if segmentation:
        counts = rle.from_segmentation(segmentation, image.height, image.width)
        if counts is None:
            return None
    number, category, crowd = int(entry["id"]), whole(entry.get("category_id", -1)), bool(entry.get("iscrowd", 0))
    x, y, w, h = read_box(entry["bbox"])
    # some files have width = xmax - xmin, which is 0 for objects one pixel thin: take the mask's box
    if counts is not None and (exact or w * h == 0):
        region = region_of_counts(counts, image.height, image.width)
        return Instance(number, category, crowd, region.box, counts, region.area)
    area = float(entry["area"]) if "area" in entry else w * h
    return Instance(number, category, crowd, (x, y, x + w, y + h), counts, area)


def read_box(box: Any) -> tuple[float, float, float, float]:
    """(x, y, width, height), pixels. Raises BadRecord, ValueError, TypeError."""
    x, y, w, h = (float(value) for value in box)
    if not all(map(math.isfinite, (x, y, w, h))) or w < 0 or h < 0:
        raise BadRecord(f"its bbox is {box}, not x, y, width, height")
    return x, y, w, h


def whole(value: Any, bits: int = 32) -> int:
    """A whole number that fits into a column of `bits` bits. Raises BadRecord, ValueError, TypeError."""
    number = int(value)
    if abs(number) >= 1 << (bits - 1):
        raise BadRecord(f"{number} is too large a number")
    return number


def add_image(writer: IndexWriter, image: ImageRecord, root: str, path: str) -> int:
    """Add the media row of an image; returns it."""
    return writer.add_media(
        name=PurePosixPath(path).stem,
        kind="image",
        root=root,
        path=path,
        width=image.width,
        height=image.height,
        source_id=image.id,
    )


def add_instance(writer: IndexWriter, instance: Instance, category: int | None = None) -> int:
    """An object with its one annotation; returns its row."""
    row = writer.add_object(
        source_id=instance.id, category=instance.category if category is None else category, crowd=instance.crowd
    )
    writer.add_annotation(0, instance.box, instance.counts, instance.area, TRUTH)
    return row
