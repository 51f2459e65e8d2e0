"""Recognises the format of a user's files by their content, not by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from uniref.core.errors import UniRefError
from uniref.core.json_files import outline
from uniref.data.prepare.coco_json import read_section
from uniref.data.prepare.formats import (
    coco,
    cvat_xml,
    label_studio,
    labelme,
    plain,
    references,
    voc,
    vos,
    write_videos,
    yolo,
)
from uniref.data.prepare.formats.file_tree import FileTree
from uniref.data.prepare.job import ConversionJob
from uniref.data.prepare.split_names import in_split_order, split_of

_DOCUMENTED = ("train", "val", "test", "annotations")
ANNOTATIONS = (".json", ".p", ".xml", ".yaml", ".yml")
"""Endings of files that say what a data set is, where they are named by themselves."""
_SAMPLE = 3  # files of a folder that are looked into before all of them are taken to have the same format
_JSON = ("coco", "youtube_vis", "label_studio", "labelme")

Prepare = Callable[[ConversionJob, Sequence[Path], Sequence[FileTree]], None]


@dataclass(frozen=True)
class RecognisedFormat:
    """The format of a user's files, with its reader."""

    title: str
    """Of the format."""
    splits: dict[str, list[Path]]
    """Annotation files or folders, by split."""
    prepare: Prepare


_READERS: dict[str, tuple[str, Prepare]] = {
    "coco": ("COCO JSON", coco.prepare),
    "youtube_vis": ("YouTube-VIS JSON", write_videos.prepare_youtube_vis),
    "label_studio": ("Label Studio JSON", label_studio.prepare),
    "labelme": ("LabelMe JSON", labelme.prepare),
    "references": ("RefCOCO references (refs(...).p)", references.prepare),
    "cvat_xml": ("CVAT XML", cvat_xml.prepare),
    "yolo": ("YOLO segmentation (txt polygons)", yolo.prepare),
    "voc": ("Pascal VOC masks", voc.prepare),
    "vos": ("folders of frames (JPEGImages, Annotations)", vos.prepare),
    "beside": ("images with masks beside them", plain.prepare_beside),
    "plain": ("a folder of images or videos with masks", plain.prepare),
}


_OWN_SPLITS = {
    "cvat_xml": cvat_xml.splits,
    "yolo": yolo.splits,
    "references": references.splits,
    "voc": voc.splits,
    "vos": vos.splits,
}
"""Formats that say themselves which splits they have."""


def recognise(trees: Sequence[FileTree], named: Sequence[Path]) -> RecognisedFormat | None:
    """The format of a user's files; None where it is not known.

    Args:
        trees: The folders that the user named.
        named: Annotation files that the user named; where there are some, nothing else is looked at.

    Raises:
        UniRefError: A file cannot be read.
    """
    if named:
        kinds = _json_kinds([path for path in named if path.suffix.lower() == ".json"])
        kinds["references"] = [path for path in named if path.suffix.lower() == ".p"]
        kinds["cvat_xml"] = [path for path in named if path.suffix.lower() == ".xml"]
        kinds["yolo"] = [path for path in named if path.suffix.lower() in (".yaml", ".yml")]
        found = next((kind for kind in ("references", *_JSON, "cvat_xml", "yolo") if kinds.get(kind)), None)
        if found is None:
            raise UniRefError(f"{named[0]}: is not in a known format; see docs/custom-data.md for those that are read")
        return _recognised(found, kinds[found], None)
    return next((found for found in _candidates(trees) if found is not None), None)


def _candidates(trees: Sequence[FileTree]) -> Iterator[RecognisedFormat | None]:
    """Formats that the folders may have, the most certain first."""
    yield _in_trees("references", trees, references.find)
    files = {path.resolve(): path for tree in trees for path in tree.files(".json")}  # one tree may lie in another
    kinds = _json_kinds(list(files.values()))
    usual = {kind: [path for path in paths if path.stem in _DOCUMENTED] for kind, paths in kinds.items()}
    for kind in ("coco", "youtube_vis"):
        yield _of_files(kind, usual.get(kind, ()), trees)
    yield _in_trees("plain", trees, plain.find)
    for kind in _JSON[:3]:
        yield _of_files(kind, kinds.get(kind, ()), trees)
    yield _in_trees("cvat_xml", trees, cvat_xml.find)
    yield _in_trees("yolo", trees, yolo.find)
    yield _in_trees("voc", trees, voc.find)
    yield _in_trees("vos", trees, vos.find)
    yield _of_files("labelme", kinds.get("labelme", ()), trees)
    yield _in_trees("beside", trees, plain.find_beside)
    yield _in_trees("plain", trees, plain.find_without_masks)


def _in_trees(kind: str, trees: Sequence[FileTree], find: Callable[[FileTree], list[Path]]) -> RecognisedFormat | None:
    """The first folder that has this format counts: others may hold images for it."""
    for tree in trees:
        if paths := find(tree):
            return _recognised(kind, paths, tree.base)
    return None


def _of_files(kind: str, paths: Sequence[Path], trees: Sequence[FileTree]) -> RecognisedFormat | None:
    for tree in trees:
        if inside := [path for path in paths if path.is_relative_to(tree.base)]:
            return _recognised(kind, inside, tree.base)
    return None


def _recognised(kind: str, paths: Sequence[Path], base: Path | None) -> RecognisedFormat:
    title, prepare = _READERS[kind]
    splits = _OWN_SPLITS.get(kind, _by_split)(paths, base)
    if kind == "coco":
        splits = {split: coco.choose_files(paths, split) for split, paths in splits.items()}
    return RecognisedFormat(title, splits, prepare)


def _by_split(paths: Sequence[Path], base: Path | None) -> dict[str, list[Path]]:
    """Files by the split that their paths are named after; those without a split are for training.

    A file that names several splits (`annotations_trainval.json`) is for training too.
    """
    by_split: dict[str, list[Path]] = {}
    for path in paths:
        split = split_of(path, base) if base is not None else split_of(Path(path.name))
        by_split.setdefault(split or "train", []).append(path)
    return in_split_order(by_split)


def _json_kinds(paths: Sequence[Path]) -> dict[str, list[Path]]:
    """JSON files by format, without those of other formats."""
    kinds: dict[str, list[Path]] = {}
    looked: dict[Path, list[str]] = {}
    for path in paths:
        before = looked.setdefault(path.parent, [])
        # a folder of thousands of LabelMe files is one of LabelMe files
        alike = len(before) >= _SAMPLE and set(before) == {"labelme"}
        kind = "labelme" if alike else _json_kind(path)
        before.append(kind)
        if kind:
            kinds.setdefault(kind, []).append(path)
    return kinds


def _json_kind(path: Path) -> str:
    keys = outline(path)
    if labelme.is_labelme(keys):
        return "labelme"
    if label_studio.is_label_studio(keys):
        return "label_studio"
    if "videos" in keys and next(iter(read_section(path, "videos")), None) is not None:
        return "youtube_vis"
    return "coco" if coco.is_coco(keys) else ""
