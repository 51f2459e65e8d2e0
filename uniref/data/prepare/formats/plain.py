"""A plain folder of images or videos with masks, once or per split (`train/`, `val/`, `test/`).

images/cat.jpg      masks/cat.png           an image and its mask (label map, or black and white)
videos/run/0001.jpg masks/run/0001.png      a video and its masks, for all frames or some
videos/run.mp4      masks/run/0001.png      the same as a video file; masks are called by the frame's number
phrases.csv         file,object,phrase      `cat` or `run`, the object's value, an expression
classes.csv         file,object,class       what the object is
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import numpy as np

from uniref.core.errors import MediaError, UniRefError
from uniref.core.tasks import Task
from uniref.data.prepare.formats.file_tree import FileTree, is_image_name
from uniref.data.prepare.formats.write_images import (
    AnnotatedImage,
    AnnotatedObject,
    ColourNumbers,
    SplitInfo,
    write_images,
)
from uniref.data.prepare.formats.write_videos import write_videos
from uniref.data.prepare.job import BadRecord, ConversionJob, FilesMissing, image_size
from uniref.data.prepare.regions import VOID, Region, regions
from uniref.data.prepare.split_names import split_of
from uniref.data.prepare.videos import VideoFiles, is_video_file
from uniref.media.image import EXTENSIONS
from uniref.media.mask import Labels, read_labels

_MASK_ENDS = ("_mask", "-mask", "_label", "_labels", "_seg", "_gt", "_segmentation", ".mask", ".png", ".jpg", ".jpeg")
"""What tools append to an image's name for its mask."""
_BEFORE = ("mask_", "label_")
_PART = re.compile(r"(.+?)[_-]+(?:mask|obj|object|inst|instance|label)?[_-]*(\d+)")
"""The mask of one object of several: `cat_mask_1`."""
_DIGITS = re.compile(r"(\d+)")
_IMAGES = ("images", "image", "imgs", "img", "pictures")
_VIDEOS = "videos"
_MASKS = ("masks", "mask", "labels", "annotations", "gt", "groundtruth", "segmentations")
"""What folders are called (lower case); all but the first only where images lie in them."""
_LOOKED_AT = 50  # files of a folder


@dataclass(frozen=True)
class _MaskedImage:
    path: Path
    masks: tuple[Path, ...]


@dataclass(frozen=True)
class _ReadImage:
    height: int = 0
    width: int = 0
    regions: Mapping[int, Region] = field(default_factory=dict)
    labels: Labels | None = None
    """Without its pixels."""
    problem: str = ""


def find(tree: FileTree) -> list[Path]:
    """Folders of images or videos that have a folder of masks beside them."""
    return [folder for folder in find_without_masks(tree) if mask_folder(folder).is_dir()]


def find_without_masks(tree: FileTree) -> list[Path]:
    """Folders of images or videos: `images` or `videos` at the top or one below it, or the splits inside of these."""
    folders = ["", *tree.below("")]
    media_folders = [x for parent in folders for x in tree.below(parent) if _name(x) in (*_IMAGES, _VIDEOS)]
    top = [folder for folder in media_folders if "/" not in folder]
    inside: list[Path] = []
    for folder in top or media_folders:
        parts = [x for x in tree.below(folder) if split_of(Path(_name(x))) and _name(folder) != _VIDEOS]
        # images/train and images/val are splits where no image lies beside them
        splits = [folder] if not parts or tree.images(folder) else parts
        inside += [tree.base / each for each in splits]
    return inside


def _name(folder: str) -> str:
    return folder.rpartition("/")[2].lower()


def base_of(folder: Path) -> Path:
    """The folder of the tables of a folder of images: `my-data` of `my-data/images` and `my-data/images/train`."""
    return folder.parent if folder.name.lower() in (*_IMAGES, _VIDEOS) else folder.parent.parent


def mask_folder(folder: Path) -> Path:
    """The folder of masks of a folder of images; `masks` where there is none."""
    base = base_of(folder)
    inside = folder.name if folder.parent != base else ""
    folders = {x.name.lower(): x for x in sorted(base.iterdir()) if x.is_dir()}
    for name in _MASKS:
        if name in folders and (name == "masks" or _holds_images(folders[name] / inside)):
            return folders[name] / inside
    return base / "masks" / inside


def _holds_images(folder: Path) -> bool:
    """Whether images lie in a folder or in one below it: `labels` may hold text files."""
    if not folder.is_dir():
        return False
    folders = [folder, *(x for x in sorted(folder.iterdir())[:_LOOKED_AT] if x.is_dir())]
    return any(is_image_name(x.name) for each in folders for x in sorted(each.iterdir())[:_LOOKED_AT])


def prepare(job: ConversionJob, paths: Sequence[Path], trees: Sequence[FileTree]) -> None:
    """One split from its folder. Raises UniRefError."""
    if len({base_of(path) for path in paths}) < len(paths):
        raise UniRefError(f"{base_of(paths[0])}: holds images and videos; make a data set of each (--name)")
    if len(paths) > 1:
        raise UniRefError(f"{paths[0]}: and {paths[1]} are both of split {job.split}; name one with --source")
    folder = paths[0]
    if folder.name.lower() == _VIDEOS:
        _prepare_videos(job, base_of(folder), folder)
    else:
        prepare_images(job, base_of(folder), folder, mask_folder(folder))


def _prepare_videos(job: ConversionJob, base: Path, folder: Path) -> None:
    entries = sorted(path for path in folder.iterdir() if path.is_dir() or is_video_file(path))
    if not entries:
        raise UniRefError(f"{folder}: holds no folders of frames and no video files")
    paths = {path.name if path.is_dir() else path.stem: path for path in entries}
    if len(paths) < len(entries):
        raise UniRefError(f"{folder}: holds two videos of one name")
    files = [VideoFiles(name, path, mask_folder(folder) / name, users_own=True) for name, path in paths.items()]
    write_videos(job, base, files)


def prepare_images(job: ConversionJob, base: Path, folder: Path, masks_at: Path) -> None:
    """One split from a folder of images and one of masks with the same names.

    Args:
        job: The split that is prepared.
        base: Where tables lie.
        folder: Of the images.
        masks_at: Folder of the masks.

    Raises:
        UniRefError: No images, or a bad record that is not skipped.
    """
    images = _images_below(folder)
    if not images:
        raise UniRefError(f"{folder}: holds no images ({', '.join(EXTENSIONS)})")
    names = [path.relative_to(folder).with_suffix("") for path in images]
    if len(set(names)) < len(names):
        raise UniRefError(f"{folder}: holds two images of one name (they would share a mask)")
    if not masks_at.is_dir():
        raise FilesMissing(
            f"{folder}: holds {len(images)} images, but {masks_at} is not there, and no annotations in a form "
            "that is known (docs/custom-data.md lists them)"
        )
    _write(job, base, find_masks(folder, masks_at, list(job.first(images)), _images_below(masks_at)))


def _images_below(folder: Path) -> list[Path]:
    """Files with the extension of an image, without hidden ones (of macOS), sorted."""
    return [path for path in sorted(folder.rglob("*")) if is_image_name(path.name) and path.name[0] != "."]


def _write(job: ConversionJob, base: Path, masks: Mapping[Path, tuple[Path, ...]]) -> None:
    """Read the masks of every image, and write all of them."""
    items = [_MaskedImage(path, own_masks) for path, own_masks in masks.items()]
    colours = ColourNumbers()
    images = []
    for item, read in zip(items, job.map(_read_image, items, "image"), strict=True):
        if read.problem:
            job.bad(item.path, read.problem)
            continue
        if read.labels is not None:
            colours.note(read.labels.note, item.masks[0].name)
        numbered = colours.renumber(read.regions, read.labels.colours if read.labels is not None else ())
        objects = tuple(AnnotatedObject(number, region) for number, region in sorted(numbered.items()))
        images.append(AnnotatedImage(item.path, read.height, read.width, objects))
    colours.add_notes(job)
    write_images(job, images, SplitInfo(base, classes_task=Task.FSS))


def find_masks(
    folder: Path, masks: Path, images: Sequence[Path], files: Sequence[Path]
) -> dict[Path, tuple[Path, ...]]:
    """The masks of every image: one with its name, whatever the extension and its case, or with `_mask` behind
    it; else one per object, `a_1.png` or `a/1.png`.

    Args:
        folder: Of the images.
        masks: Of the masks, with the same folders inside.
        images: Files below `folder`.
        files: Every mask below `masks`.

    Returns:
        The masks of each image; where it has none, the PNG that it would have.
    """
    # masks by name, and masks of single objects by the image's name
    by_name: dict[tuple[str, str], list[Path]] = {}
    numbered: dict[tuple[str, str], list[Path]] = {}
    for path in files:
        inside = path.parent.relative_to(masks)
        by_name.setdefault((inside.as_posix().lower(), path.stem.lower()), []).append(path)
        if part := _PART.fullmatch(path.stem.lower()):
            numbered.setdefault((inside.as_posix().lower(), part[1]), []).append(path)
        if inside.parts:
            numbered.setdefault((inside.parent.as_posix().lower(), inside.name.lower()), []).append(path)
    # per image, the first name that fits
    image_names = {(x.parent.relative_to(folder).as_posix().lower(), x.stem.lower()) for x in images}
    masks_of = {}
    for image in images:
        own_folder = image.parent.relative_to(folder)
        key, stem = own_folder.as_posix().lower(), image.stem.lower()
        names = [stem, *(stem + end for end in _MASK_ENDS), *(before + stem for before in _BEFORE)]
        candidates = next((by_name[key, name] for name in names if (key, name) in by_name), [])
        # of several, the lossless one
        chosen = sorted(candidates, key=lambda path: (path.suffix.lower() != ".png", path.name))[:1]
        if not chosen:  # a_1 may also be the mask of an image a_1
            parts = [x for x in numbered.get((key, stem), ()) if (key, x.stem.lower()) not in image_names]
            chosen = sorted(parts, key=lambda path: [int(x) if x.isdecimal() else x for x in _DIGITS.split(path.stem)])
        masks_of[image] = tuple(chosen) or (masks / own_folder / f"{image.stem}.png",)
    return masks_of


def _read_image(item: _MaskedImage) -> _ReadImage:
    try:
        size = image_size(item.path)
    except BadRecord as error:
        return _ReadImage(problem=str(error))
    by_number: dict[int, Region] = {}
    kept = None
    for number, mask in enumerate(item.masks, start=1):
        try:
            labels = read_labels(mask)
        except MediaError as error:
            return _ReadImage(problem=f"its mask {mask.name}: {str(error).removeprefix(f'{mask}: ')}")
        # the mask as object numbers
        ids = labels.ids
        if ids.shape != size:
            return _ReadImage(
                problem=f"is {size[1]} x {size[0]}, its mask {ids.shape[1]} x {ids.shape[0]} ({mask.name})"
            )
        if not labels.white and np.isin(ids, (0, VOID)).all():
            ids = (ids == VOID).astype(np.uint8)  # a black-and-white mask is one object
        # its objects; of several masks, each has one, numbered by its position
        in_mask = regions(ids)
        if len(item.masks) > 1 and len(in_mask) > 1:
            return _ReadImage(
                problem=f"its mask {mask.name} shows {len(in_mask)} objects; of several masks, each shows one"
            )
        by_number.update(((number, region) for region in in_mask.values()) if len(item.masks) > 1 else in_mask.items())
        colours = labels.colours if len(item.masks) == 1 else ()
        kept = Labels(np.zeros((0, 0), np.uint8), labels.white, colours, labels.note)
    return _ReadImage(*size, by_number, kept)


def find_beside(tree: FileTree) -> list[Path]:
    """Folders of images whose masks lie beside them: `a.jpg` and `a.png`, or `a_mask.png`."""
    folders = [folder for folder in tree.folders if _beside(tree.images(folder))]
    splits: dict[str, list[Path]] = {}
    for folder in folders:
        splits.setdefault(split_of(tree.base / folder, tree.base) or "", []).append(tree.base / folder)
    # folders of one split are read together (one folder per class)
    return [paths[0] if len(paths) == 1 else Path(os.path.commonpath(paths)) for paths in splits.values()]


def _beside(names: Sequence[str]) -> list[str]:
    """The names of images that have a mask among the other names."""
    stems: dict[str, list[str]] = {}
    for name in names:
        stems.setdefault(PurePath(name).stem.lower(), []).append(name)
    with_mask = []
    for name in names:
        stem, lossy = PurePath(name).stem.lower(), PurePath(name).suffix.lower() in (".jpg", ".jpeg", ".webp")
        same = lossy and any(x != name and x.lower().endswith(".png") for x in stems[stem])
        if same or any(stem + end in stems for end in _MASK_ENDS if not end.startswith(".")):
            with_mask.append(name)
    return with_mask


def prepare_beside(job: ConversionJob, paths: Sequence[Path], trees: Sequence[FileTree]) -> None:
    """One split from a folder in which masks lie beside images. Raises UniRefError."""
    folder = paths[0]
    files = _images_below(folder)
    by_folder: dict[Path, list[str]] = {}
    for path in files:
        by_folder.setdefault(path.parent, []).append(path.name)
    images = [parent / name for parent, names in by_folder.items() for name in _beside(names)]
    masks = [path for path in files if path not in set(images)]
    _write(job, folder, find_masks(folder, folder, list(job.first(images)), masks))
