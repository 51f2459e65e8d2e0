"""Data sets in RefCOCO's form (RRSIS-D and others): `refs(...).p` beside `instances.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from uniref.core.errors import UniRefError
from uniref.data.prepare.datasets.refcoco import read_refs
from uniref.data.prepare.formats import coco
from uniref.data.prepare.formats.file_tree import FileTree, MediaFinder, tree_base
from uniref.data.prepare.formats.write_images import AnnotatedImage, SplitInfo, write_images
from uniref.data.prepare.job import BadRecord, ConversionJob
from uniref.data.prepare.split_names import in_split_order

_SPLITS = {"train": "train", "val": "val", "test": "test", "testA": "test", "testB": "test", "validation": "val"}
_INSTANCES = "instances.json"


def find(tree: FileTree) -> list[Path]:
    """`refs(...).p` files; of several in a folder (`refs(google).p`), the first counts."""
    by_folder: dict[Path, Path] = {}
    for path in tree.files(".p"):
        if path.name.startswith("refs"):
            by_folder.setdefault(path.parent, path)
    return list(by_folder.values())


def splits(paths: Sequence[Path], base: Path | None) -> dict[str, list[Path]]:
    """The splits that the references are of, wherever they lie. Raises UniRefError."""
    by_split: dict[str, list[Path]] = {}
    for path in paths:
        for split in {_SPLITS.get(str(ref.get("split")), "") for ref in read_refs(path)} - {""}:
            by_split.setdefault(split, []).append(path)
    if paths and not by_split:
        raise UniRefError(f"{paths[0]}: none of its references is of a split train, val or test")
    return in_split_order(by_split)


def prepare(job: ConversionJob, paths: Sequence[Path], trees: Sequence[FileTree]) -> None:
    """One split; an object has all sentences of its references. Raises UniRefError."""
    if len(paths) > 1:
        raise UniRefError(f"{paths[0]}: and {paths[1]} both have references of {job.split}; name one with --source")
    path = paths[0]
    # references of the split, and the instances beside them
    refs = [ref for ref in read_refs(path) if _SPLITS.get(str(ref.get("split"))) == job.split]
    job.used(path)
    instances = path.with_name(_INSTANCES)
    if not instances.is_file():
        raise UniRefError(f"{instances}: no such file; {path.name} needs it beside itself")
    # sentences by annotation
    phrases: dict[int, list[str]] = {}
    image_of: dict[int, int] = {}
    for ref in refs:
        with job.record(f"{path}: ref {ref.get('ref_id')}"):
            texts = [str(sentence.get("sent") or sentence["raw"]).strip() for sentence in ref["sentences"]]
            if not any(texts):
                raise BadRecord("has no sentences")
            phrases.setdefault(int(ref["ann_id"]), []).extend(text for text in texts if text)
            image_of[int(ref["ann_id"])] = int(ref["image_id"])
    # splits that are joined
    parts = Counter(str(ref.get("split")) for ref in refs)
    if len(parts) > 1:
        job.notes.append(f"split {job.split} joins {', '.join(f'{name} ({count})' for name, count in parts.items())}")
    # images and instances, checked against the references
    trees = list(trees)
    numbers: dict[str, int] = {}
    referred_ids = set(image_of.values())
    images = coco.read_file(job, instances, MediaFinder(trees), numbers, referred_ids)
    job.used(instances)
    image_ids = {x.number: image.source_id for image in images for x in image.objects}
    for annotation, image in image_of.items():
        if annotation not in image_ids:
            job.bad(f"{path}: annotation {annotation}", f"is not in {_INSTANCES}, or its image cannot be used")
        elif image_ids[annotation] != image:
            job.bad(
                f"{path}: annotation {annotation}", f"its image is {image}, its annotation's {image_ids[annotation]}"
            )
    base = tree_base(path, trees)
    write_images(job, [_with_phrases(image, phrases) for image in images], SplitInfo(base, trees, numbers))


def _with_phrases(image: AnnotatedImage, phrases: dict[int, list[str]]) -> AnnotatedImage:
    objects = tuple(replace(x, phrases=tuple(phrases.get(x.number, ()))) for x in image.objects)
    return replace(image, objects=objects)
