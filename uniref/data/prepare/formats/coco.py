"""COCO JSON as labelling tools write it, with any name and layout (CVAT, Roboflow, Label Studio, COCO's own).

Ids may be texts, missing or repeated; sizes may be missing; file names may be paths of another machine; polygons may
be flat lists or lists of points; crowd flags may be those that CVAT gives to brush masks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uniref.core.errors import UniRefError
from uniref.data.prepare.coco_json import read_box, read_section, record_id, whole
from uniref.data.prepare.formats.file_tree import FileTree, MediaFinder, scan, tree_base
from uniref.data.prepare.formats.write_images import AnnotatedImage, AnnotatedObject, SplitInfo, write_images
from uniref.data.prepare.job import DEGENERATE, BadRecord, ConversionJob, image_size
from uniref.data.prepare.regions import Region, region_of_segmentation

_TEXTS = ("expressions", "phrases", "expression", "phrase", "caption", "captions", "referring_expression")
_POINT, _FEWEST = 2, 3


@dataclass
class _Image:
    number: int
    path: Path
    height: int
    width: int
    where: str
    texts: tuple[str, ...]
    turned: bool
    """Whether the record has height and width the other way round."""
    objects: list[AnnotatedObject] = field(default_factory=list)


@dataclass
class _Oddities:
    """What is unusual in a file, each reported once in a note."""

    crowds: int = 0
    annotations: int = 0
    cvat: bool = False
    again: int = 0
    unlisted: Counter[str] = field(default_factory=Counter)
    flat: int = 0
    turned: int = 0
    foreign: int = 0


def prepare(job: ConversionJob, paths: Sequence[Path], trees: Sequence[FileTree]) -> None:
    """One split from one or several COCO files. Raises UniRefError."""
    trees = list(trees)
    for path in paths:
        if not any(path.is_relative_to(tree.base) for tree in trees):
            trees.append(scan(path.parent, job.root))
    finder = MediaFinder(trees)
    images: list[AnnotatedImage] = []
    numbers: dict[str, int] = {}
    for path in paths:
        images += read_file(job, path, finder, numbers, many=len(paths) > 1)
        job.used(path)
    base = tree_base(paths[0], trees)
    write_images(job, images, SplitInfo(base, trees, numbers))


def read_file(
    job: ConversionJob,
    path: Path,
    finder: MediaFinder,
    numbers: dict[str, int],
    image_ids: set[int] | None = None,
    many: bool = False,
) -> list[AnnotatedImage]:
    """The images of one file.

    Args:
        job: The split that is prepared.
        path: The file.
        finder: Finds the image files.
        numbers: Gets the file's classes with their numbers.
        image_ids: Ids of the images to read; all by default.
        many: Whether several files share `numbers`.

    Raises:
        UniRefError: A bad record that is not skipped.
    """
    names = _read_categories(job, path, numbers, many)
    oddities = _Oddities()
    # images whose file can be used, then their annotations as the file streams by
    images = _read_images(job, path, finder, oddities, image_ids)
    seen: set[int] = set()
    highest = 0
    entries = job.progress(read_section(path, "annotations"), path.name, None, "annotation")
    for position, entry in enumerate(entries):
        with job.record(f"{path}: annotation {_label(entry, position)}"):
            image = images.get(str(entry["image_id"]))
            if image is None:
                if str(entry["image_id"]) not in images:
                    raise BadRecord(f"image {entry['image_id']} is not listed")
                continue
            # exports joined by hand repeat ids: those that come again get new ones
            number = _number(entry.get("id"), position + 1)
            if number in seen:
                oddities.again += 1
                number = max(highest, number) + 1
            seen.add(number)
            highest = max(highest, number)
            obj = _annotated_object(job, entry, number, image, names, oddities)
            if obj is not None:
                image.objects.append(obj)
    _add_notes(job, path, oddities)
    # brush masks of CVAT are flagged as crowds: where that is so, the flag says nothing
    ignored = oddities.crowds and (oddities.cvat or oddities.crowds == oddities.annotations)
    return [_annotated_image(image, bool(ignored)) for image in images.values() if image is not None]


def _annotated_image(image: _Image, no_crowds: bool) -> AnnotatedImage:
    objects = image.objects
    if no_crowds:
        objects = [AnnotatedObject(x.number, x.region, x.box, x.name, False, x.phrases) for x in objects]
    return AnnotatedImage(image.path, image.height, image.width, tuple(objects), image.texts, image.number, image.where)


def _add_notes(job: ConversionJob, path: Path, oddities: _Oddities) -> None:
    """Add notes about what was repaired or guessed."""
    name = path.name
    # crowd flags, which labelling tools misuse
    if oddities.crowds and (oddities.cvat or oddities.crowds == oddities.annotations):
        all_of = "all" if oddities.crowds == oddities.annotations else "some"
        job.notes.append(
            f"{name}: {all_of} annotations ({oddities.crowds}) are flagged as crowds (iscrowd 1), as CVAT flags brush "
            "masks; they were read as objects"
        )
    elif oddities.crowds:
        job.notes.append(
            f"{name}: {oddities.crowds} of {oddities.annotations} annotations are crowds (iscrowd 1), which are not "
            "targets; if they are single objects, set iscrowd to 0"
        )
    # ids, classes, polygons, sizes and names that were repaired
    if oddities.again:
        job.notes.append(f"{name}: {oddities.again} annotation ids occur twice; those annotations got new ones")
    for category, count in oddities.unlisted.items():
        job.notes.append(f"{name}: category {category} is not listed; its {count} annotations have no class")
    if oddities.flat:
        job.notes.append(
            f"{name}: {oddities.flat} polygons are one list of numbers or of points; they were read as such"
        )
    if oddities.turned:
        job.notes.append(
            f"{name}: {oddities.turned} images have height and width swapped; their files' sizes were taken"
        )
    if oddities.foreign:
        job.notes.append(
            f"{name}: {oddities.foreign} file names are paths of another machine; images were found by name"
        )


def _read_categories(job: ConversionJob, path: Path, numbers: dict[str, int], many: bool) -> dict[str, str]:
    """Class names by category id as text; the numbers of the first file are kept."""
    names: dict[str, str] = {}
    for position, entry in enumerate(read_section(path, "categories")):
        with job.record(f"{path}: category {_label(entry, position)}"):
            name = str(entry["name"]).strip()
            names[str(entry["id"])] = name
            number = whole(_number(entry["id"], position + 1))
            if name not in numbers:
                numbers[name] = max(numbers.values(), default=0) + 1 if many and numbers else number
    if len(set(numbers.values())) < len(numbers):
        for position, name in enumerate(numbers, start=1):
            numbers[name] = position
    return names


def _read_images(
    job: ConversionJob, path: Path, finder: MediaFinder, oddities: _Oddities, image_ids: set[int] | None
) -> dict[str, _Image | None]:
    """Images by id as text, those whose file can be used; None for those that are skipped."""
    images: dict[str, _Image | None] = {}
    used = 0
    entries: Iterator[Any] = read_section(path, "images")
    for position, entry in enumerate(job.progress(entries, path.name, None, "image")):
        where = f"{path}: image {_label(entry, position)}"
        key = str(entry["id"]) if isinstance(entry, dict) and "id" in entry else f"at {position}"
        with job.record(where):
            if key in images:
                raise BadRecord("its id occurs twice")
            images[key] = None
            if (image_ids is not None and _number(entry["id"], -1) not in image_ids) or used == job.subset:
                continue
            images[key] = _image(entry, position, where, path, finder, oddities)
            used += 1
    if not images:
        job.bad(path, "has no images")
    return images


def _image(
    entry: dict[str, Any], position: int, where: str, path: Path, finder: MediaFinder, oddities: _Oddities
) -> _Image:
    name = entry["file_name"]
    file = finder.find(name, path)
    oddities.foreign += isinstance(name, str) and (name.startswith("/") or "\\" in name or ":" in name)
    try:
        height, width = image_size(file)
    except BadRecord as problem:
        raise BadRecord(f"its image {file}: {problem}") from None
    recorded = [_size(entry.get(side)) for side in ("height", "width")]
    turned = None not in recorded and recorded == [width, height] and height != width
    if None not in recorded and recorded != [height, width] and not turned:
        raise BadRecord(f"its image {file} is {width} x {height}, its record says {recorded[1]} x {recorded[0]}")
    oddities.turned += turned
    return _Image(_number(entry["id"], position), file, height, width, where, _texts(entry), turned)


def _size(value: Any) -> int | None:
    number = None if value in (None, "", 0, "0") else whole(float(value))
    return number or None


def _annotated_object(
    job: ConversionJob, entry: dict[str, Any], number: int, image: _Image, names: Mapping[str, str], oddities: _Oddities
) -> AnnotatedObject | None:
    """One annotation, checked; None where its polygons are all degenerate."""
    # its mask, or else its box
    segmentation = _plain(entry.get("segmentation"), oddities)
    region: Region | None = None
    if segmentation:
        if image.turned and isinstance(segmentation, dict):
            raise BadRecord("its run lengths are of an image whose record has height and width swapped")
        region = region_of_segmentation(segmentation, image.height, image.width)
        if region is None:
            job.dropped[DEGENERATE] = job.dropped.get(DEGENERATE, 0) + 1
            return None
    box = None
    if region is None:
        x, y, w, h = read_box(entry["bbox"])
        box = (x, y, x + w, y + h)
    # crowd flag and class
    oddities.annotations += 1
    crowd = str(entry.get("iscrowd", 0)).lower() in ("1", "true", "1.0")
    oddities.crowds += crowd
    attributes = entry.get("attributes")
    oddities.cvat = oddities.cvat or (isinstance(attributes, dict) and "occluded" in attributes)
    category = entry.get("category_id")
    name = names.get(str(category), "")
    if not name and category is not None and str(category) not in names:
        oddities.unlisted[str(category)] += 1
    return AnnotatedObject(number, region, box, name, crowd, _texts(entry))


def _plain(segmentation: Any, oddities: _Oddities) -> Any:
    """A segmentation in COCO's form: a list of polygons, which are lists of numbers."""
    if not isinstance(segmentation, list) or not segmentation:
        return segmentation
    if all(isinstance(x, int | float) for x in segmentation):
        oddities.flat += 1
        return [segmentation]
    if all(_is_point(x) for x in segmentation) and len(segmentation) >= _FEWEST:
        oddities.flat += 1
        return [[value for point in segmentation for value in point]]
    if any(isinstance(polygon, list) and polygon and all(map(_is_point, polygon)) for polygon in segmentation):
        oddities.flat += 1
        return [
            [v for point in p for v in point] if isinstance(p, list) and all(map(_is_point, p)) else p
            for p in segmentation
        ]
    return segmentation


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == _POINT and all(isinstance(x, int | float) for x in value)


def _texts(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Expressions of an image or annotation. Raises BadRecord."""
    value = next((entry[name] for name in _TEXTS if entry.get(name)), ())
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise BadRecord("its expressions are not a list of texts")
    return tuple(text.strip() for text in texts if text.strip())


def _number(value: Any, instead: int) -> int:
    """An id as a whole number, or `instead` where it is not a number."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return instead
    return whole(number, 64)


def _label(entry: Any, position: int) -> Any:
    number = record_id(entry)
    return f"at {position}" if number is None or isinstance(number, list | dict) else number


def is_coco(keys: Sequence[str]) -> bool:
    """Whether the outermost keys of a JSON file are those of COCO."""
    return "images" in keys or ("annotations" in keys and not {"image", "[]", "videos", "shapes"} & set(keys))


def choose_files(paths: Sequence[Path], split: str) -> list[Path]:
    """Of the COCO files of a split, those to read: instances rather than captions and key points, one per folder.

    Raises:
        UniRefError: Several in one folder, and their names do not tell which one to read.
    """
    chosen = list(paths)
    for rule in (
        lambda path: path.stem in (split, "annotations"),
        lambda path: "instances" in path.stem.lower(),
        lambda path: not any(word in path.stem.lower() for word in ("caption", "keypoints", "panoptic", "stuff")),
    ):
        if len({path.parent for path in chosen}) < len(chosen):
            chosen = [path for path in chosen if rule(path)] or chosen
    for path in chosen:
        other = next((x for x in chosen if x.parent == path.parent and x != path), None)
        if other is not None:
            raise UniRefError(f"{path}: and {other.name} beside it are both of split {split}; name one with --source")
    return chosen
