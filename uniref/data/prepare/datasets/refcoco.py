"""RefCOCO, RefCOCO+ (unc split; Yu et al., ECCV 2016), RefCOCOg (Mao et al., CVPR 2016; umd and google splits), and the
union of those without the google split.

Three kinds of files are read: the publishers' `refs(*).p` with `instances.json`, SeqTR's `instances.json` (split ->
records), and the released system's `instances_<split>.json`. Images are COCO's train2014; the same ones under
train2017 names serve as well. Training has one sample per referred object, with all its sentences; evaluation has one
per sentence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from uniref.core.errors import UniRefError
from uniref.core.files import reading
from uniref.core.pickles import ForbiddenName, PickleProblem, load_plain
from uniref.core.tasks import Task
from uniref.core.text import clean_text
from uniref.data.index import Index, IndexWriter
from uniref.data.prepare.coco_json import (
    ImageRecord,
    Instance,
    add_image,
    add_instance,
    make_instance,
    read_images,
    read_instances,
    usable_images,
)
from uniref.data.prepare.dataset import COCO_IMAGES, COCO_TERMS, DataSet, Option, PublishedCounts, RemoteFile
from uniref.data.prepare.job import BAD, EMPTY_REF, EMPTY_SENTENCE, WITHHELD_REF, BadRecord, ConversionJob
from uniref.data.protocol import REFERRING

_LARGEST = 1 << 29  # bytes; the published files have up to 40 MB
_EVALUATION = (
    *(f"{name}/{split}" for name in ("refcoco", "refcoco+") for split in ("val", "testA", "testB")),
    "refcocog/val",
    "refcocog/test",
)


@dataclass(frozen=True)
class _RefFiles:
    folder: str
    refs: str
    repackaged: str


_FAMILY = {
    "refcoco": _RefFiles("refcoco", "refs(unc).p", "refcoco-unc"),
    "refcocog": _RefFiles("refcocog", "refs(umd).p", "refcocog-umd"),
    "refcoco+": _RefFiles("refcoco+", "refs(unc).p", "refcocoplus-unc"),
}
"""In the order in which the released system joins them."""
_GOOGLE = _RefFiles("refcocog", "refs(google).p", "refcocog-google")
_FOLDERS = ("", "annotations/")


@dataclass(frozen=True)
class Ref:
    """A referred object."""

    image: ImageRecord
    instance: Instance
    sentences: tuple[tuple[str, str], ...]
    """(id, text)."""


def convert(job: ConversionJob) -> None:
    """One data set, or with `refcoco-mixed` the union of three training splits."""
    union = job.dataset.name == "refcoco-mixed"
    # referred objects, without those of withheld images
    name = job.dataset.name
    refs = _read_union(job) if union else _read(job, name, _FAMILY.get(name, _GOOGLE))
    withheld = evaluation_images(job) if job.options.get("clean") else frozenset()
    kept = [ref for ref in refs if ref.image.id not in withheld]
    # grouped by image, in the order of their first reference
    by_image: dict[int, list[tuple[int, Ref]]] = defaultdict(list)
    for order, ref in enumerate(kept):
        by_image[ref.image.id].append((order, ref))
    groups = list(job.first(list(by_image.values())))
    images = [group[0][1].image for group in groups]
    root, pattern = find_images(job, images)
    samples: list[tuple[int, int, int, Ref]] = []
    with job.writer({"coco": root}) as writer:
        if len(kept) < len(refs):
            writer.drop(WITHHELD_REF, len(refs) - len(kept))
        by_id = {group[0][1].image.id: group for group in groups}
        for image, file in usable_images(job, images, root, [pattern.format(image.id) for image in images]):
            # repackaged evaluation files repeat an object per sentence
            media = add_image(writer, image, "coco", file)
            row, last = -1, None
            for order, ref in by_id[image.id]:
                if last is None or not _same(last, ref.instance) or job.split == "train":
                    row = add_instance(writer, ref.instance)
                last = ref.instance
                samples.append((order, media, row, ref))
        # samples in the order of the annotation file
        for _, media, row, ref in sorted(samples, key=lambda sample: sample[0]):
            _add_samples(job, writer, media, row, ref)


def _same(one: Instance, other: Instance) -> bool:
    """Whether two entries of an evaluation file are one object: repackaged files repeat it for every sentence."""
    return (one.counts, one.box) == (other.counts, other.box)


def _add_samples(job: ConversionJob, writer: IndexWriter, media: int, row: int, ref: Ref) -> None:
    if job.split == "train":
        usable = [(number, text) for number, text in ref.sentences if clean_text(text).strip()]
        if dropped := len(ref.sentences) - len(usable):
            writer.drop(EMPTY_SENTENCE, dropped)
        if not usable:
            writer.drop(EMPTY_REF)
        else:
            rows = [writer.add_expression(text, source_id=number) for number, text in usable]
            writer.add_sample(objects=[row], expressions=rows, media=media)
        return
    for number, text in ref.sentences:  # evaluation keeps even empty ones: the counts are official
        if not clean_text(text).strip():
            job.notes.append(f"expression {number} ({text!r}) is empty once cleaned; it is evaluated all the same")
        writer.add_sample(objects=[row], expressions=[writer.add_expression(text, source_id=number)], media=media)


def find_images(job: ConversionJob, images: Sequence[ImageRecord]) -> tuple[Path, str]:
    """The folder of COCO's images, and the pattern of their names by id. Raises FilesMissing."""
    if not images:
        return job.bases[0], "{}"
    patterns = ("train2014/COCO_train2014_{:012d}.jpg", "train2017/{:012d}.jpg")
    path = job.need(*(pattern.format(images[0].id) for pattern in patterns))
    return path.parents[1], next(p for p in patterns if path.match(p.format(images[0].id)))


def _read_union(job: ConversionJob) -> list[Ref]:
    names = ("instances_train.json", "instances_train_video.json")
    path = next((path for path in job.named if path.name in names), None)
    path = path or job.find(*(f"{folder}refcoco-mixed/{name}" for name in names for folder in _FOLDERS), *names)
    if path is not None:
        return _read_released(job, path)
    return [ref for name, files in _FAMILY.items() for ref in _read(job, name, files)]


def _read(job: ConversionJob, name: str, files: _RefFiles) -> list[Ref]:
    file_name = f"instances_{job.split}.json"
    paths = (f"{parent}{folder}/{file_name}" for parent in _FOLDERS for folder in (name, files.repackaged))
    official = next((path for path in job.named if path.name == file_name), None) or job.find(*paths)
    if official is None and job.dataset.name == name:
        official = job.find(file_name)
    if official is not None:
        return _read_released(job, official)
    repackaged = job.find(*(f"{parent}{files.repackaged}/instances.json" for parent in _FOLDERS))
    if repackaged is not None:
        return _read_repackaged(job, repackaged)
    return _read_published(job, job.need(f"{files.folder}/{files.refs}", f"{files.repackaged}/instances.json"))


def _read_published(job: ConversionJob, path: Path) -> list[Ref]:
    instances_file = path.with_name("instances.json")
    if not instances_file.exists():
        raise UniRefError(f"{instances_file}: no such file; it is in the same archive as {path.name}")
    # references of the split
    records = [ref for ref in read_refs(path) if ref.get("split") == job.split]
    if not records:
        raise UniRefError(f"{path}: has no references of split {job.split!r}")
    job.used(path)
    # images and instances by annotation id
    images = read_images(job, instances_file)
    by_id = {
        x.id: (images[image], x)
        for image, of_image in read_instances(job, instances_file, images).items()
        for x in of_image
    }
    job.used(instances_file)
    refs = []
    # each reference with its instance
    seen: set[int] = set()
    for record in sorted(records, key=_ref_id):
        with job.record(f"{path}: ref {record.get('ref_id')}"):
            if record["ref_id"] in seen:
                raise BadRecord("its id occurs twice")
            seen.add(record["ref_id"])
            if record["ann_id"] not in by_id:
                raise BadRecord(f"annotation {record['ann_id']} is not in instances.json")
            image, instance = by_id[record["ann_id"]]
            if image.id != record["image_id"]:
                raise BadRecord(f"its image is {record['image_id']}, its annotation's {image.id}")
            sentences = tuple((str(s["sent_id"]), str(s["sent"])) for s in record["sentences"])
            if not sentences:
                raise BadRecord("has no sentences")
            refs.append(Ref(image, instance, sentences))
    return refs


def _ref_id(record: Mapping[str, Any]) -> int:
    number = record.get("ref_id")
    return number if isinstance(number, int) else -1


def _read_repackaged(job: ConversionJob, path: Path) -> list[Ref]:
    data = job.read_json(path)
    if not isinstance(data, dict) or job.split not in data:
        raise UniRefError(f"{path}: has no split {job.split!r}")
    refs = []
    for number, record in enumerate(data[job.split]):
        with job.record(f"{path}: {job.split} record {number}"):
            height, width = int(record["height"]), int(record["width"])
            image = ImageRecord(int(record["image_id"]), "", height, width)
            texts = record["expressions"]
            if not isinstance(texts, list) or not texts:
                raise BadRecord("its expressions are not a list of texts")
            refs.append(_one(image, number, record | {"segmentation": record["mask"]}, texts))
    return refs


def _read_released(job: ConversionJob, path: Path) -> list[Ref]:
    """COCO form with one annotation per image entry; the entry's id is a running number, its file name has COCO's."""
    job.used(path)
    images = read_images(job, path)
    refs: list[Ref] = []
    instances = read_instances(job, path, images)
    for image in images.values():
        with job.record(f"{path}: image {image.id}"):
            of_image = instances.get(image.id, [])
            if len(of_image) != 1:
                raise BadRecord(f"has {len(of_image)} usable annotations; one was expected")
            if not image.expressions:
                raise BadRecord("has no expressions")
            native = int(Path(image.file_name).stem.rsplit("_", 1)[-1])
            sentences = _numbered(image.id, image.expressions)
            refs.append(Ref(ImageRecord(native, image.file_name, image.height, image.width), of_image[0], sentences))
    return refs


def _one(image: ImageRecord, number: int, record: Mapping[str, Any], texts: Sequence[str]) -> Ref:
    instance = make_instance({"id": number, **record}, image)
    if instance is None:
        raise BadRecord("its mask is empty")
    return Ref(image, instance, _numbered(number, [str(text) for text in texts]))


def _numbered(record: int, texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Sentences with generated ids, which these files lack."""
    return tuple((f"{record}-{position}", text) for position, text in enumerate(texts))


def read_refs(path: Path) -> list[dict[str, Any]]:
    """The list of referred objects of `refs(unc).p` or `refs(umd).p` (any protocol; Python 2 strings as Latin-1).

    Raises:
        UniRefError: Missing, damaged, not such a list, or with references to code.
    """
    with reading(path, advice="fetch it again"):
        if (size := path.stat().st_size) > _LARGEST:
            raise UniRefError(f"{path}: has {size:,} bytes; files of references have at most {_LARGEST:,}")
        data = path.read_bytes()
        try:
            refs, _ = load_plain(data)
        except ForbiddenName as name:
            raise UniRefError(f"{path}: is not a plain list of references (it wants to load {name})") from None
        except PickleProblem as problem:
            raise UniRefError(f"{path}: is damaged ({problem}); fetch it again") from None
    if not isinstance(refs, list) or not all(isinstance(ref, dict) for ref in refs):
        raise UniRefError(f"{path}: does not hold a list of references; fetch it again")
    return refs


CLEAN = Option("clean", "Leave out every image of a RefCOCO evaluation split.", type=bool)


def evaluation_images(job: ConversionJob) -> frozenset[int]:
    """COCO ids of every image in the eight evaluation splits, from their prepared indices.

    Raises:
        UniRefError: One of them is not prepared yet, or only in part.
    """
    images: set[int] = set()
    for name in _EVALUATION:
        folder = job.root / "index" / name
        if not folder.is_dir():
            dataset, split = name.split("/")
            raise UniRefError(
                f"--clean needs the images of {name}: first run uniref prepare-data {dataset} --split {split}"
            )
        index = Index.open(folder)
        if "subset" in index.manifest.options or BAD in index.manifest.dropped:
            raise UniRefError(
                f"--clean needs all images of {name}, which was prepared with --subset or --skip-bad: prepare it again"
            )
        images.update(index.media_column("source_id").tolist())
    return frozenset(images)


TRAIN2014 = RemoteFile(
    "http://images.cocodataset.org/zips/train2014.zip",
    md5="0da8c0bd3d6becc4dcb32757491aca88",
    instead=("train2014", "train2017"),  # the same images
)
_ARCHIVE = "https://bvisionweb1.cs.unc.edu/licheng/referit/data"


def _annotations(name: str, stamp: str, size: int, digest: str) -> RemoteFile:
    """The publishers' archive as the Internet Archive keeps it; their own server is gone."""
    url = f"https://web.archive.org/web/{stamp}id_/{_ARCHIVE}/{name}.zip"
    return RemoteFile(url, size=size, sha256=(digest,), instead=(f"{name}/instances.json",))


_REFCOCO = _annotations(
    "refcoco", "20220413011718", 53_993_993, "7f924bb7ed8dc4568058e4ff626281918d56e5206f4c868c5a80f088f38c8bf0"
)
_REFCOCO_PLUS = _annotations(
    "refcoco+", "20220413011656", 45_613_210, "5f1238112d63199e68da54a28f201471909b21ded7ed79a57d51b4c1443c6b45"
)
_REFCOCOG = _annotations(
    "refcocog", "20220413012904", 56_712_951, "3d1f7e5b2ff2205940bf59de55f861f5f2cc1403fb980669933a7f9af1aa8211"
)

_COMMON = DataSet(
    name="",
    title="",
    task=Task.RIS,
    splits={},
    convert=convert,
    size="",
    licence=COCO_TERMS,
    page="https://github.com/lichengunc/refer",
    files="",
    layout="<name>/{refs(*).p,instances.json} or <name>/instances_<split>.json; train2014/COCO_train2014_%012d.jpg or "
    "train2017/%012d.jpg",
    group="refcoco",
    folders=("refcoco", "refcoco+", "refcocog", "refer", "coco2014", "coco"),
    media_family=COCO_IMAGES,
)
_IMAGES = "and COCO's train2014 or train2017"

DATASETS = (
    replace(
        _COMMON,
        name="refcoco",
        papers=("UniRef++ (val, testA, testB)", "LAVT (train, val, testA, testB)", "ReLA (train, val, testA, testB)"),
        title="RefCOCO (unc)",
        splits={
            "train": PublishedCounts(16_994, 42_404, 120_624, 42_404),
            "val": PublishedCounts(1_500, 3_811, 10_834, 10_834),
            "testA": PublishedCounts(750, 1_975, 5_657, 5_657),
            "testB": PublishedCounts(750, 1_810, 5_095, 5_095),
        },
        size="54 MB + COCO train2014 (13 GB)",
        files=f"refcoco.zip (refs(unc).p and instances.json), or instances_{{split}}.json, {_IMAGES}",
        downloads=(_REFCOCO, TRAIN2014),
        protocol=REFERRING,
    ),
    replace(
        _COMMON,
        name="refcoco+",
        papers=("UniRef++ (val, testA, testB)", "LAVT (train, val, testA, testB)", "ReLA (train, val, testA, testB)"),
        title="RefCOCO+ (unc)",
        splits={
            "train": PublishedCounts(16_992, 42_278, 120_191, 42_278),
            "val": PublishedCounts(1_500, 3_805, 10_758, 10_758),
            "testA": PublishedCounts(750, 1_975, 5_726, 5_726),
            "testB": PublishedCounts(750, 1_798, 4_889, 4_889),
        },
        size="46 MB + COCO train2014 (13 GB)",
        files=f"refcoco+.zip (refs(unc).p and instances.json), or instances_{{split}}.json, {_IMAGES}",
        downloads=(_REFCOCO_PLUS, TRAIN2014),
        protocol=REFERRING,
    ),
    replace(
        _COMMON,
        name="refcocog",
        papers=("UniRef++ (val, test)", "LAVT (train, val, test)", "ReLA (train, val, test)"),
        title="RefCOCOg (umd)",
        splits={
            "train": PublishedCounts(21_899, 42_226, 80_512, 42_226),
            "val": PublishedCounts(1_300, 2_573, 4_896, 4_896),
            "test": PublishedCounts(2_600, 5_023, 9_602, 9_602),
        },
        size="57 MB + COCO train2014 (13 GB)",
        files=f"refcocog.zip (refs(umd).p and instances.json), or instances_{{split}}.json, {_IMAGES}",
        downloads=(_REFCOCOG, TRAIN2014),
        protocol=REFERRING,
    ),
    replace(
        _COMMON,
        name="refcocog-google",
        title="RefCOCOg (google: images of val are in train too, and test was never released)",
        # lichengunc/refer, README.md
        splits={"train": PublishedCounts(24_698, samples=44_822), "val": PublishedCounts(4_650)},
        size="57 MB + COCO train2014 (13 GB)",
        files=f"refcocog.zip (refs(google).p and instances.json), {_IMAGES}",
        downloads=(_REFCOCOG, TRAIN2014),
        protocol=REFERRING,
        papers=("VLT (train, val)", "ReLA (train, val)"),
    ),
    replace(
        _COMMON,
        name="refcoco-mixed",
        papers=("UniRef++ (train)", "UNINEXT (train)"),
        title="Training union of RefCOCO, RefCOCOg and RefCOCO+",
        splits={"train": PublishedCounts(None, None, 321_327, 126_908)},
        size="156 MB + COCO train2014 (13 GB)",
        files=f"refcoco.zip, refcoco+.zip and refcocog.zip, or instances_train.json, {_IMAGES}",
        downloads=(_REFCOCO, _REFCOCO_PLUS, _REFCOCOG, TRAIN2014),
        options=(CLEAN,),
    ),
)
