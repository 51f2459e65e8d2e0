"""gRefCOCO (Liu et al., "GRES: Generalized Referring Expression Segmentation", CVPR 2023): expressions that refer to
one, several or no objects.

`grefcoco/grefs(unc).json` (older copies: `grefs(unc).p`) with `instances.json`, on COCO's train2014 images. A record is
RefCOCO's, but its `ann_id` is a list, [-1] where nothing is meant (read in henghuiding/gRefCOCO, `grefer.py`, and in
henghuiding/ReLA, `datasets/DATASET.md` and `gres_model/data/datasets/grefcoco.py`). The target is the union of the
annotations, without crowds. Training has one sample per record, with all its sentences; evaluation has one per
sentence.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from uniref.core.errors import UniRefError
from uniref.core.tasks import Task
from uniref.core.text import clean_text
from uniref.data.index import IndexWriter
from uniref.data.prepare.coco_json import (
    ImageRecord,
    Instance,
    add_image,
    add_instance,
    read_images,
    read_instances,
    usable_images,
)
from uniref.data.prepare.dataset import COCO_IMAGES, COCO_TERMS, DataSet, no_counts
from uniref.data.prepare.datasets.refcoco import find_images, read_refs
from uniref.data.prepare.job import EMPTY_REF, EMPTY_SENTENCE, BadRecord, ConversionJob
from uniref.data.protocol import GENERALISED

_REFS = ("grefs(unc).json", "grefs(unc).p")
_NOTHING = [-1]
"""`ann_id` of an expression without a target."""


@dataclass(frozen=True)
class GeneralisedRef:
    """What some sentences refer to."""

    image: ImageRecord
    targets: tuple[Instance, ...]
    no_target: bool
    sentences: tuple[tuple[str, str], ...]
    """(id, text)."""


def convert(job: ConversionJob) -> None:
    """One split."""
    refs = _unique_names(job, _read(job))
    # grouped by image, in the order of their first reference
    by_image: dict[int, list[tuple[int, GeneralisedRef]]] = defaultdict(list)
    for order, ref in enumerate(refs):
        by_image[ref.image.id].append((order, ref))
    groups = {group[0][1].image.id: group for group in job.first(list(by_image.values()))}
    images = [group[0][1].image for group in groups.values()]
    root, pattern = find_images(job, images)
    samples: list[tuple[int, int, list[int], GeneralisedRef]] = []
    with job.writer({"coco": root}) as writer:
        for image, file in usable_images(job, images, root, [pattern.format(image.id) for image in images]):
            # several expressions share an object
            media = add_image(writer, image, "coco", file)
            rows: dict[int, int] = {}
            for order, ref in groups[image.id]:
                for target in ref.targets:
                    if target.id not in rows:
                        rows[target.id] = add_instance(writer, target)
                samples.append((order, media, [rows[target.id] for target in ref.targets], ref))
        # samples in the order of the file
        for _, media, objects, ref in sorted(samples, key=lambda sample: sample[0]):
            _add_samples(job, writer, media, objects, ref)
        _note_kinds(job, [ref for *_, ref in samples])


def _read(job: ConversionJob) -> list[GeneralisedRef]:
    path = job.need(*(f"{folder}{name}" for folder in ("grefcoco/", "") for name in _REFS))
    instances_file = path.with_name("instances.json")
    if not instances_file.exists():
        raise UniRefError(f"{instances_file}: no such file; it is published beside {path.name}")
    # records of the split
    records = [record for record in _read_records(job, path) if record.get("split") == job.split]
    if not records:
        raise UniRefError(f"{path}: has no references of split {job.split!r}")
    # images, and instances by annotation id
    images = read_images(job, instances_file)
    by_id = {
        x.id: (images[image], x)
        for image, of_image in read_instances(job, instances_file, images).items()
        for x in of_image
    }
    job.used(instances_file)
    # each record with its targets
    refs: list[GeneralisedRef] = []
    for record in records:
        with job.record(f"{path}: ref {record.get('ref_id')}"):
            refs.append(_ref(record, images, by_id))
    return refs


def _read_records(job: ConversionJob, path: Path) -> Sequence[Mapping[str, Any]]:
    """The list of references, whichever of the two file formats holds it."""
    if path.suffix == ".p":
        records: Any = read_refs(path)
        job.used(path)
        return list(records)
    records = job.read_json(path)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise UniRefError(f"{path}: does not hold a list of references; fetch it again")
    return records


def _ref(
    record: Mapping[str, Any], images: Mapping[int, ImageRecord], by_id: Mapping[int, tuple[ImageRecord, Instance]]
) -> GeneralisedRef:
    """A record, checked. Raises BadRecord, KeyError, TypeError, ValueError."""
    number = record["image_id"]
    if number not in images:
        raise BadRecord(f"image {number} is not in instances.json")
    # no target, one or several
    named = record["ann_id"] if isinstance(record["ann_id"], list) else [record["ann_id"]]
    if not named:
        raise BadRecord("ann_id is empty; it is [-1] where nothing is referred to")
    no_target = named == _NOTHING
    targets: dict[int, Instance] = {}
    for each in [] if no_target else named:
        if each not in by_id:
            raise BadRecord(f"annotation {each} is not in instances.json, or cannot be used there")
        image, instance = by_id[each]
        if image.id != number:
            raise BadRecord(f"its image is {number}, its annotation's {image.id}")
        if not instance.crowd:
            targets[instance.id] = instance
    # sentences
    sentences = tuple((str(s["sent_id"]), str(s["sent"])) for s in record["sentences"])
    if not sentences:
        raise BadRecord("has no sentences")
    identity = record["ref_id"]
    if not isinstance(identity, int):
        raise BadRecord(f"its ref_id is {identity!r}, not a number")
    return GeneralisedRef(images[number], tuple(targets.values()), no_target, sentences)


def _unique_names(job: ConversionJob, refs: list[GeneralisedRef]) -> list[GeneralisedRef]:
    """References whose sentences' ids are unique in the split: predictions are named by them."""
    counts = Counter(number for ref in refs for number, _ in ref.sentences)
    if repeated := sum(count for count in counts.values() if count > 1):
        job.notes.append(f"{repeated:,} sentences share their id with another; theirs get a suffix, as in 17~2")
    seen: Counter[str] = Counter()
    out = []
    for ref in refs:
        sentences = []
        for number, text in ref.sentences:
            seen[number] += 1
            sentences.append((number if seen[number] == 1 else f"{number}~{seen[number]}", text))
        out.append(replace(ref, sentences=tuple(sentences)))
    return out


def _add_samples(
    job: ConversionJob, writer: IndexWriter, media: int, objects: Sequence[int], ref: GeneralisedRef
) -> None:
    if job.split == "train":
        usable = [(number, text) for number, text in ref.sentences if clean_text(text).strip()]
        if dropped := len(ref.sentences) - len(usable):
            writer.drop(EMPTY_SENTENCE, dropped)
        if not usable:
            writer.drop(EMPTY_REF)
            return
        texts = [writer.add_expression(text, source_id=number) for number, text in usable]
        writer.add_sample(objects=objects, expressions=texts, media=media, no_target=ref.no_target)
        return
    for number, text in ref.sentences:
        expression = writer.add_expression(text, source_id=number)
        writer.add_sample(objects=objects, expressions=[expression], media=media, no_target=ref.no_target)


def _note_kinds(job: ConversionJob, refs: Sequence[GeneralisedRef]) -> None:
    """How many expressions refer to nothing, to several objects, and to crowds alone."""
    every = sum(len(ref.sentences) for ref in refs)
    nothing = sum(len(ref.sentences) for ref in refs if ref.no_target)
    several = sum(len(ref.sentences) for ref in refs if len(ref.targets) > 1)
    left_out = "; training leaves out those without a target" if job.split == "train" else ""
    job.notes.append(f"{nothing:,} of {every:,} expressions refer to nothing, {several:,} to several objects{left_out}")
    # the published evaluator gives them an empty mask as their target
    if crowds := sum(len(ref.sentences) for ref in refs if not ref.targets and not ref.no_target):
        job.notes.append(f"{crowds:,} expressions refer to crowds alone, whose target is empty")


DATASETS = (
    DataSet(
        name="grefcoco",
        title="gRefCOCO (expressions for several or no objects)",
        task=Task.RIS,
        splits=no_counts("train", "val", "testA", "testB"),
        convert=convert,
        size="not published + COCO train2014 (13 GB)",
        licence=COCO_TERMS,
        page="https://github.com/henghuiding/gRefCOCO",
        files="grefs(unc).json and instances.json, from the Google Drive folder or Hugging Face's FudanCVL/gRefCOCO "
        "that the page names, and COCO's train2014 or train2017",
        layout="grefcoco/{grefs(unc).json,instances.json}; train2014/COCO_train2014_%012d.jpg or train2017/%012d.jpg",
        group="grefcoco",
        folders=("grefcoco", "coco2014", "coco"),
        protocol=GENERALISED,
        papers=("ReLA (train, val, testA, testB)", "GSVA (train, val, testA, testB)"),
        media_family=COCO_IMAGES,
    ),
)
