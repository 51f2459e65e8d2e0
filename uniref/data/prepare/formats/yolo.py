"""YOLO segmentation: one text file of polygons per image, `data.yaml` with class names and splits.

images/train/a.jpg   labels/train/a.txt   data.yaml          (Ultralytics, CVAT)
train/images/a.jpg   train/labels/a.txt   data.yaml          (Roboflow)

A line is `class x1 y1 x2 y2 ...`, coordinates being fractions of width and height.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from uniref.core.errors import UniRefError, UsageError
from uniref.core.files import read_text, reading
from uniref.data.prepare.formats.file_tree import FileTree, MediaFinder, is_image_name, tree_base
from uniref.data.prepare.formats.write_images import AnnotatedImage, AnnotatedObject, SplitInfo, read_all, write_images
from uniref.data.prepare.job import BadRecord, ConversionJob, image_size
from uniref.data.prepare.regions import region_of_segmentation
from uniref.data.prepare.split_names import split_of
from uniref.recipe.yaml_tree import parse_file, plain

_LARGEST = 1 << 26  # bytes of a text file
_BOX = (5, 6)  # values of a line that is a box: class, centre, size, perhaps a score
_FEWEST = 7  # values of a line that is a polygon
_TOLERANCE = 0.1  # how far fractions may lie outside of the image
_KEYS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
_HEAD = 1 << 12  # bytes that tell what a text file is
_FRACTION = re.compile(rb"[01]?\.\d+(e-?\d+)?|[01]")
_NAME_FILES = ("classes.txt", "obj.names", "labels.txt", "predefined_classes.txt")
_NO_LABELS = frozenset((*_NAME_FILES, "train.txt", "val.txt", "valid.txt", "test.txt", "readme.txt"))


def find(tree: FileTree) -> list[Path]:
    """The `data.yaml` of such a data set, or its folders of text files where there is none."""
    configs = [path for path in tree.files(".yaml", ".yml") if _is_config(path)]
    if configs:
        return configs[:1]
    return [
        tree.base / folder
        for folder, names in tree.folders.items()
        if any(_is_label(name) for name in names)
        and ("labels" in PurePosixPath(folder).parts or _beside_images(tree, folder))
    ]


def _beside_images(tree: FileTree, folder: str) -> bool:
    """Whether a folder holds images with text files of their names that begin like a YOLO line."""
    stems = {PurePosixPath(name).stem for name in tree.images(folder)}
    label = next((x for x in tree.folders[folder] if _is_label(x) and x[: -len(".txt")] in stems), None)
    if label is None:
        return False
    with reading(tree.base / folder / label), (tree.base / folder / label).open("rb") as file:
        fields = file.read(_HEAD).split()[: _BOX[0]]
    return len(fields) == _BOX[0] and fields[0].isdigit() and all(_FRACTION.fullmatch(word) for word in fields[1:])


def splits(paths: Sequence[Path], base: Path | None) -> dict[str, list[Path]]:
    """The splits that `data.yaml` lists, or that the folders are named after. Raises UniRefError."""
    if paths and paths[0].suffix.lower() in (".yaml", ".yml"):
        config = _read_config(paths[0])
        listed = {split: [paths[0]] for split, keys in _KEYS.items() if any(config.get(key) for key in keys)}
        return listed or {"train": [paths[0]]}
    by_split: dict[str, list[Path]] = {}
    for path in paths:
        by_split.setdefault(split_of(path, base) or "train", []).append(path)
    return {split: by_split[split] for split in _KEYS if split in by_split}


def prepare(job: ConversionJob, paths: Sequence[Path], trees: Sequence[FileTree]) -> None:
    """One split. Raises UniRefError."""
    if paths[0].suffix.lower() in (".yaml", ".yml"):
        config = _read_config(paths[0])
        job.used(paths[0])
        names, named_by = _names(paths[0], config), paths[0].name
        items = _listed(job, paths[0], config, trees)
    else:
        names, named_by = _names_beside(trees)
        items = _beside(paths, trees)
        if not names:
            job.notes.append("there is no data.yaml and no classes.txt: classes have no names, only numbers")
    # one text file per image
    read = partial(_read, names, named_by)
    chosen = list(job.first(items))
    images: list[AnnotatedImage] = []
    boxes = 0
    for image, num_boxes in read_all(job, chosen, read, "image"):
        images.append(image)
        boxes += num_boxes
    if boxes:
        job.notes.append(f"{boxes} lines are boxes (5 values), not polygons; boxes alone cannot be referred to")
    numbers = {name: number + 1 for number, name in names.items()}
    write_images(
        job, images, SplitInfo(tree_base(paths[0], trees), trees, numbers if len(numbers) == len(names) else {})
    )


@dataclass(frozen=True)
class _LabelledImage:
    path: Path
    labels: Path | None


def _read(names: Mapping[int, str], named_by: str, item: _LabelledImage) -> tuple[AnnotatedImage, int]:
    """An image with its objects, and how many boxes were among them. Raises BadRecord."""
    height, width = image_size(item.path)
    objects: list[AnnotatedObject] = []
    boxes = 0
    lines = read_text(item.labels, largest=_LARGEST).splitlines() if item.labels is not None else []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            obj, is_box = _annotated_object(line.split(), number, names, named_by, (height, width))
        except (BadRecord, ValueError) as problem:
            raise UniRefError(f"{item.labels}: line {number}: {problem}") from None
        boxes += is_box
        if obj is not None:
            objects.append(obj)
    return AnnotatedImage(item.path, height, width, tuple(objects)), boxes


def _annotated_object(
    fields: Sequence[str], number: int, names: Mapping[int, str], named_by: str, size: tuple[int, int]
) -> tuple[AnnotatedObject | None, bool]:
    values = [float(word) for word in fields]
    if not all(map(math.isfinite, values)) or not values[0].is_integer() or values[0] < 0:
        raise BadRecord("is not a class number followed by coordinates")
    if names and int(values[0]) not in names:
        raise BadRecord(f"class {int(values[0])} is not among the names of {named_by}")
    name = names.get(int(values[0]), str(int(values[0])))
    is_box = len(values) in _BOX
    if not is_box and (len(values) < _FEWEST or len(values) % 2 == 0):
        raise BadRecord(f"has {len(values) - 1} coordinates; a polygon has an even number of them, at least 6")
    if any(not -_TOLERANCE <= value <= 1 + _TOLERANCE for value in values[1:]):
        raise BadRecord("has coordinates that are not fractions of the image's width and height (0 to 1)")
    height, width = size
    if is_box:
        x, y, w, h = (value * side for value, side in zip(values[1:5], (width, height) * 2, strict=True))
        box = (max(x - w / 2, 0.0), max(y - h / 2, 0.0), min(x + w / 2, float(width)), min(y + h / 2, float(height)))
        return AnnotatedObject(number, None, box, name), True
    polygon = [min(max(v, 0.0), 1.0) * (height if axis % 2 else width) for axis, v in enumerate(values[1:])]
    region = region_of_segmentation([polygon], height, width)
    return (None if region is None else AnnotatedObject(number, region, name=name)), False


def _is_config(path: Path) -> bool:
    try:
        return "names" in _read_config(path)
    except UniRefError:
        return path.stem.lower() in (
            "data",
            "dataset",
        )  # meant to be one: reading it reports what is wrong


def _read_config(path: Path) -> dict[str, Any]:
    """`data.yaml`. Raises UniRefError."""
    try:
        config = plain(parse_file(path))
    except UsageError as problem:
        raise UniRefError(str(problem)) from None
    return config if isinstance(config, dict) else {}


def _names(path: Path, config: Mapping[str, Any]) -> dict[int, str]:
    """Class names by number. Raises UniRefError."""
    names = config.get("names")
    if isinstance(names, list):
        return {number: str(name).strip() for number, name in enumerate(names)}
    if isinstance(names, dict) and all(str(number).isdecimal() for number in names):
        return {int(number): str(name).strip() for number, name in names.items()}
    raise UniRefError(f"{path}: its names are neither a list nor numbers with names")


def _names_beside(trees: Sequence[FileTree]) -> tuple[dict[int, str], str]:
    for tree in trees:
        for path in tree.files(*_NAME_FILES):
            if path.name.lower() in _NAME_FILES:
                lines = [line.strip() for line in read_text(path, largest=1 << 20).splitlines()]
                return dict(enumerate(line for line in lines if line)), path.name
    return {}, ""


def _listed(
    job: ConversionJob, path: Path, config: Mapping[str, Any], trees: Sequence[FileTree]
) -> list[_LabelledImage]:
    """The images that `data.yaml` lists for a split. Raises UniRefError, naming the folder that is missing."""
    value = next((config[key] for key in _KEYS[job.split] if config.get(key)), None)
    entries = value if isinstance(value, list) else [value if value is not None else "images"]
    all_images = {path for tree in trees for path in _images_of(tree)}
    listed: dict[Path, None] = {}
    for entry in entries:
        if not isinstance(entry, str):
            raise UniRefError(f"{path}: its {job.split} is not a folder or list of folders")
        folder = _named_folder(path, config.get("path"), entry, trees)
        if folder.is_dir():
            listed |= dict.fromkeys(sorted(x for x in all_images if x.is_relative_to(folder)))
        else:
            listed |= dict.fromkeys(_from_list(job, folder, MediaFinder(trees)))
    return [_LabelledImage(each, _label_of(each)) for each in listed]


def _images_of(tree: FileTree) -> list[Path]:
    return [tree.base / folder / name for folder in tree.folders for name in tree.images(folder)]


def _named_folder(path: Path, root: object, entry: str, trees: Sequence[FileTree]) -> Path:
    """A folder or list that `data.yaml` names: as written, or the one whose path ends alike. Raises UniRefError."""
    # as written, relative to `path:` or to the file
    start = path.parent / root if isinstance(root, str) else path.parent
    bases = [tree.base.resolve() for tree in trees]
    for candidate in (start / entry, path.parent / entry):
        inside = any(candidate.resolve().is_relative_to(base) for base in bases)
        if inside and candidate.exists():
            return next(
                tree.base / candidate.resolve().relative_to(base)
                for tree, base in zip(trees, bases, strict=True)
                if candidate.resolve().is_relative_to(base)
            )
    # else the folder or list whose path ends alike
    parts = [part for part in PurePosixPath(entry.replace("\\", "/")).parts if part not in ("..", ".", "/")]
    for count in range(len(parts)):
        ending = "/".join(parts[count:]).lower()
        for tree in trees:
            for folder in tree.folders:
                if f"/{folder.lower()}".endswith(f"/{ending}"):
                    return tree.base / folder
            for file in tree.files(".txt"):
                if file.as_posix().lower().endswith(f"/{ending}"):
                    return file
    raise UniRefError(f"{path}: its folder {entry!r:.200} is not there")


def _from_list(job: ConversionJob, path: Path, finder: MediaFinder) -> list[Path]:
    """Images that a text file lists, one per line."""
    paths = []
    for number, line in enumerate(job.read_lines(path), start=1):
        with job.record(f"{path}: line {number}"):
            paths.append(finder.find(line, path))
    return paths


def _beside(paths: Sequence[Path], trees: Sequence[FileTree]) -> list[_LabelledImage]:
    """The images of folders of text files: those in `images` in place of `labels`, else those with the same names."""
    items: list[_LabelledImage] = []
    for folder in paths:
        image_folder = _swapped(folder, "labels", "images")
        images = [x for tree in trees for x in _images_of(tree) if x.parent == image_folder]
        if not images:
            stems = {path.stem for path in folder.iterdir() if _is_label(path.name)}
            images = [x for tree in trees for x in _images_of(tree) if x.stem in stems]
        for image in sorted(images):
            label = folder / f"{image.stem}.txt"
            items.append(_LabelledImage(image, label if label.is_file() else None))
    return items


def _label_of(image: Path) -> Path | None:
    """The text file of an image: in `labels` in place of `images`, or beside it."""
    for folder in (_swapped(image.parent, "images", "labels"), image.parent):
        label = folder / f"{image.stem}.txt"
        if label.is_file():
            return label
    return None


def _swapped(folder: Path, old: str, new: str) -> Path:
    """The folder with its last part `old` replaced by `new`."""
    parts = list(folder.parts)
    for index in reversed(range(len(parts))):
        if parts[index].lower() == old:
            parts[index] = new
            return Path(*parts)
    return folder


def _is_label(name: str) -> bool:
    return name.lower().endswith(".txt") and name.lower() not in _NO_LABELS and not is_image_name(name)
