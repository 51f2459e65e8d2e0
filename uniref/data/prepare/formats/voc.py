"""Pascal VOC masks: JPEGImages, SegmentationClass, SegmentationObject, ImageSets (VOC, CVAT's "Segmentation mask").

Masks are palette PNGs or images in the palette's colours; `labelmap.txt` (CVAT) gives colours to class names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from uniref.core.errors import MediaError, UniRefError
from uniref.core.files import read_text
from uniref.core.types import LabelMap
from uniref.data.prepare.formats.file_tree import FileTree, MediaFinder, is_image_name, tree_base
from uniref.data.prepare.formats.write_images import AnnotatedImage, AnnotatedObject, SplitInfo, read_all, write_images
from uniref.data.prepare.job import BadRecord, ConversionJob, image_size
from uniref.data.prepare.regions import VOID, regions
from uniref.data.prepare.split_names import in_split_order, split_of
from uniref.media.mask import PALETTE, Labels, read_labels

_CLASS, _OBJECT = "SegmentationClass", "SegmentationObject"
_BACKGROUND = "background"
_VOC = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
_RIM = (224, 224, 192)
"""The colour of void pixels."""

Colour = tuple[int, int, int]


def find(tree: FileTree) -> list[Path]:
    """Folders that hold `SegmentationClass` or `SegmentationObject`."""
    parents = {
        str(PurePosixPath(folder).parent): None
        for folder in tree.folders
        if PurePosixPath(folder).name in (_CLASS, _OBJECT)
    }
    return [tree.base / parent for parent in parents]


def prepare(job: ConversionJob, paths: Sequence[Path], trees: Sequence[FileTree]) -> None:
    """One split from one or several folders. Raises UniRefError."""
    finder = MediaFinder(trees)
    images: list[AnnotatedImage] = []
    numbers: dict[str, int] = {}
    notes: dict[str, None] = {}
    for path in paths:
        names, by_colour = _classes(job, path)
        items = _items(job, path)
        read = partial(_read, finder, names, by_colour)
        for image, note in read_all(job, list(job.first(items)), read, "image"):
            images.append(image)
            notes |= dict.fromkeys(note)
        numbers |= {name: number for number, name in names.items() if number and name not in numbers}
    job.notes.extend(notes)
    # only classes that occur are listed, under the format's own numbers
    used = {x.name for image in images for x in image.objects}
    base = tree_base(paths[0], trees)
    numbers = {name: number for name, number in numbers.items() if name in used}
    write_images(job, images, SplitInfo(base, trees, numbers if len(set(numbers.values())) == len(numbers) else {}))


@dataclass(frozen=True)
class _MaskFiles:
    path: Path
    """Folder of the data set."""
    name: str
    classes: Path | None
    objects: Path | None


def _items(job: ConversionJob, path: Path) -> list[_MaskFiles]:
    """The images of a split, by `ImageSets` where it lists them, else all that have a mask. Raises UniRefError."""
    masks = {
        folder: {x.stem: x for x in sorted((path / folder).rglob("*")) if is_image_name(x.name)}
        if (path / folder).is_dir()
        else {}
        for folder in (_CLASS, _OBJECT)
    }
    names = sorted(set(masks[_CLASS]) | set(masks[_OBJECT]))
    lists = sorted((path / "ImageSets").rglob("*.txt")) if (path / "ImageSets").is_dir() else []
    lists = [x for x in lists if x.parent.name == "Segmentation"] or lists
    of_split = [x for x in lists if split_of(Path(x.name)) == job.split]
    if not of_split and job.split == "train":
        of_split = [x for x in lists if split_of(Path(x.name)) is None]  # trainval.txt, default.txt
    if lists and of_split:
        listed = {Path(line.split()[0]).name: None for x in of_split for line in job.read_lines(x)}
        for name in listed:
            if name not in names:
                job.bad(of_split[0], f"{name}: has no mask in {_CLASS} or {_OBJECT}")
        names = [name for name in listed if name in set(names)]
    return [_MaskFiles(path, name, masks[_CLASS].get(name), masks[_OBJECT].get(name)) for name in names]


def splits(paths: Sequence[Path], base: Path | None) -> dict[str, list[Path]]:
    """The splits that `ImageSets` lists; by the folders' names where it lists none."""
    by_split: dict[str, list[Path]] = {}
    for path in paths:
        folder = path / "ImageSets"
        lists = sorted(folder.rglob("*.txt")) if folder.is_dir() else []
        lists = [x for x in lists if x.parent.name == "Segmentation"] or lists
        listed = {split_of(Path(x.name)) for x in lists} - {None}
        for split in listed or {split_of(path, base) or "train"}:
            by_split.setdefault(str(split), []).append(path)
    return in_split_order(by_split)


def _classes(job: ConversionJob, path: Path) -> tuple[dict[int, str], dict[Colour, str]]:
    """Class names by number and by colour. Raises UniRefError."""
    # without a label map, the 20 classes of Pascal VOC
    file = next((x for x in (path / "labelmap.txt", path.parent / "labelmap.txt") if x.is_file()), None)
    if file is None:
        job.notes.append("there is no labelmap.txt: the numbers are those of the 20 classes of Pascal VOC")
        names = dict(enumerate((_BACKGROUND, *_VOC)))
        return names, {_colour(number): name for number, name in names.items()}
    # name:red,green,blue:parts:actions, one class per line
    by_colour: dict[Colour, str] = {}
    names = {}
    for number, line in enumerate(read_text(file, largest=1 << 20).splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        values = rest.partition(":")[0].split(",")
        if len(values) == 3 and all(v.strip().isdecimal() and int(v) < 256 for v in values):
            by_colour[int(values[0]), int(values[1]), int(values[2])] = name.strip()
        elif rest.strip(":, "):
            raise UniRefError(f"{file}: line {number}: must be name:red,green,blue:: (it is {line!r:.80})")
        names[len(names)] = name.strip()
    job.used(file)
    if _BACKGROUND not in names.values():
        names = {number + 1: name for number, name in names.items()}
    return names, by_colour


def _colour(number: int) -> Colour:
    red, green, blue = (int(value) for value in PALETTE[number])
    return red, green, blue


def _read(
    finder: MediaFinder, names: Mapping[int, str], by_colour: Mapping[Colour, str], item: _MaskFiles
) -> tuple[AnnotatedImage, list[str]]:
    """An image with its objects, and notes. Raises BadRecord."""
    file = _image_file(finder, item)
    size = image_size(file)
    notes: list[str] = []
    kinds, ids = (_mask(path, size) for path in (item.classes, item.objects))
    class_names = {} if kinds is None else _names(kinds, names, by_colour, notes)
    objects = []
    # objects are those of SegmentationObject, each of the class that most of it has; else every class is one object
    for number, region in regions(_without_rim(ids or kinds or Labels(np.zeros(size, np.uint8))), void=False).items():
        name = class_names.get(number, "")
        if ids is not None:
            under = kinds.ids[_without_rim(ids) == number] if kinds is not None else np.zeros(0, np.uint8)
            values, counts = np.unique(under[under != 0], return_counts=True)
            name = class_names.get(int(values[counts.argmax()]), "") if len(values) else ""
        if name != _BACKGROUND:
            objects.append(AnnotatedObject(number, region, name=name))
    return AnnotatedImage(file, *size, tuple(objects)), notes


def _image_file(finder: MediaFinder, item: _MaskFiles) -> Path:
    """The image of a mask: of all files with its name, the one that is not a mask. Raises BadRecord."""
    folder = item.path / "JPEGImages"
    for mask in (item.classes, item.objects):
        if mask is not None:
            inside = mask.parent.relative_to(item.path / (_CLASS if mask == item.classes else _OBJECT))
            beside = [x for x in sorted((folder / inside).glob("*")) if x.stem == item.name and is_image_name(x.name)]
            if beside:
                return beside[0]
    candidates = [x for x in finder.with_stem(item.name) if not {_CLASS, _OBJECT} & set(x.parts)]
    if len(candidates) != 1:
        raise BadRecord(f"the image of mask {item.name} is not there (looked for in {folder} and elsewhere)")
    return candidates[0]


def _mask(path: Path | None, size: tuple[int, int]) -> Labels | None:
    if path is None:
        return None
    try:
        labels = read_labels(path)
    except MediaError as problem:
        raise BadRecord(f"its mask {problem}") from None
    if labels.ids.shape != size:
        raise BadRecord(
            f"its mask {path} is {labels.ids.shape[1]} x {labels.ids.shape[0]}, the image {size[1]} x {size[0]}"
        )
    return labels


def _without_rim(labels: Labels) -> LabelMap:
    if _RIM in labels.colours:
        return np.where(labels.ids == labels.colours.index(_RIM) + 1, VOID, labels.ids).astype(np.uint8)
    return labels.ids


def _names(
    kinds: Labels, names: Mapping[int, str], by_colour: Mapping[Colour, str], notes: list[str]
) -> dict[int, str]:
    """Class names of the values of a class mask: by colour where it has colours of its own, else by number."""
    class_names = {}
    for value in (int(x) for x in np.unique(kinds.ids) if x not in (0, VOID)):
        if kinds.colours:
            colour = kinds.colours[value - 1]
            name = by_colour.get(colour, "")
        else:
            # a palette's index is a class; in an image of the palette's colours it stands for the colour
            name = (by_colour.get(_colour(value)) if kinds.note else None) or names.get(value) or ""
            name = name or by_colour.get(_colour(value), "")
        class_names[value] = name
        if not name:
            notes.append(f"class masks have a value or colour that no class has ({value}); its objects have no class")
    return class_names
