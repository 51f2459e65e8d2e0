"""COCO JSON read as a stream: files of many gigabytes never become Python objects as a whole."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import ijson

from uniref.core import rle
from uniref.core.errors import UniRefError
from uniref.data.index import TRUTH, IndexWriter
from uniref.data.prepare.job import BadRecord, Job, image_size

_CHUNK = 256  # pictures a worker checks at a time


@dataclass(frozen=True)
class ImageRecord:
    """An entry of `images`."""

    id: int
    file_name: str
    height: int
    width: int
    expressions: tuple[str, ...] = ()
    """The released system's own field."""


def read_section(path: Path, section: str) -> Iterator[dict[str, Any]]:
    """The entries of one list of a JSON object, one at a time. Raises UniRefError for damage."""
    try:
        with path.open("rb") as file:
            yield from ijson.items(file, f"{section}.item", use_float=True)
    except OSError as error:
        raise UniRefError(f"{path}: cannot be read ({error.strerror})") from None
    except (ijson.JSONError, UnicodeDecodeError) as error:
        reason = (str(error).splitlines() or ["incomplete"])[0]
        raise UniRefError(f"{path}: is no valid JSON ({reason})") from None


def read_images(job: Job, path: Path) -> dict[int, ImageRecord]:
    """Every image by its id, in the file's order."""
    images: dict[int, ImageRecord] = {}
    for entry in read_section(path, "images"):
        with job.record(f"{path}: image {entry.get('id')}"):
            number = int(entry["id"])
            if number in images:
                raise BadRecord("its id occurs twice")
            texts = entry.get("expressions") or ()
            images[number] = ImageRecord(
                number, str(entry["file_name"]), int(entry["height"]), int(entry["width"]), tuple(map(str, texts))
            )
    if not images:
        job.bad(path, "has no images")
    return images


def read_categories(path: Path) -> dict[int, str]:
    """Category names by id."""
    return {int(entry["id"]): str(entry["name"]) for entry in read_section(path, "categories")}


def usable_images(
    job: Job, images: Sequence[ImageRecord], root: Path, names: Sequence[str] | None = None
) -> Generator[tuple[ImageRecord, str]]:
    """Images whose file exists and has the size its record says, with the file's path relative to `root`.

    Args:
        job: What is prepared.
        images: Records.
        root: Folder of `names`.
        names: Relative paths; the records' own file names by default.
    """
    files = [image.file_name for image in images] if names is None else list(names)
    work = [(root / name, image.height, image.width) for name, image in zip(files, images, strict=True)]
    chunks = [work[first : first + _CHUNK] for first in range(0, len(work), _CHUNK)]
    place = 0
    for problems in job.map(_check, chunks, "x256 pictures"):
        for problem in problems:
            if problem:
                job.bad(root / files[place], problem)
            else:
                yield images[place], files[place]
            place += 1


def _check(work: Sequence[tuple[Path, int, int]]) -> list[str]:
    return [_problem(path, height, width) for path, height, width in work]


def _problem(path: Path, height: int, width: int) -> str:
    try:
        size = image_size(path)
    except BadRecord as error:
        return str(error)
    return "" if size == (height, width) else f"is {size[1]} x {size[0]}, its record says {width} x {height}"


def find_root(job: Job, file_name: str, folders: Sequence[str]) -> Path:
    """The folder that a record's file name starts at, searched for below the sources."""
    found = job.need(*(str(PurePosixPath(folder) / file_name) for folder in folders))
    return found.parents[len(PurePosixPath(file_name).parts) - 1]


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


def read_instances(job: Job, path: Path, images: Mapping[int, ImageRecord]) -> dict[int, list[Instance]]:
    """Every annotation of these images, by image; polygons become run lengths at once.

    An annotation whose polygons are all degenerate is dropped, as the released system does.
    """
    found: dict[int, list[Instance]] = {}
    seen: set[int] = set()
    for entry in job.progress(read_section(path, "annotations"), f"{path.name}", None, "annotation"):
        with job.record(f"{path}: annotation {entry.get('id')}"):
            number = int(entry["id"])
            if number in seen:
                raise BadRecord("its id occurs twice")
            seen.add(number)
            image = images.get(int(entry["image_id"]))
            if image is None:
                if job.subset is None:
                    raise BadRecord(f"image {entry['image_id']} is not listed")
                continue
            instance = make_instance(entry, image)
            if instance is not None:
                found.setdefault(image.id, []).append(instance)
    return found


def make_instance(entry: Mapping[str, Any], image: ImageRecord) -> Instance | None:
    """An annotation checked; None where its polygons are all degenerate. Raises ValueError, KeyError."""
    segmentation = entry.get("segmentation")
    counts = None
    if segmentation:
        counts = rle.from_segmentation(segmentation, image.height, image.width)
        if counts is None:
            return None
    x, y, w, h = (float(value) for value in entry["bbox"])
    box = (x, y, x + w, y + h)
    if counts is not None and w * h == 0:  # one-pixel-thin objects of files made with width = xmax - xmin
        box = rle.box(counts, image.height, image.width)
    area = float(entry["area"]) if "area" in entry else w * h
    return Instance(
        int(entry["id"]), int(entry.get("category_id", -1)), bool(entry.get("iscrowd", 0)), box, counts, area
    )


def add_image(writer: IndexWriter, image: ImageRecord, root: str, path: str) -> int:
    """Begin an image's media."""
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
