"""A user's own data (docs/custom-data.md): a plain folder, COCO JSON, or YouTube-VIS JSON.

Plain folder, once or for each split (`train/`, `val/`, `test/`):

    images/cat.jpg      masks/cat.png           a picture and its label map (pixel value = object)
    videos/run/0001.jpg masks/run/0001.png      a clip and its label maps, for all frames or some
    phrases.csv         file,object,phrase      `cat` or `run`, the object's value, an expression
    classes.csv         file,object,class       what the object is (few-shot segmentation)
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uniref.core.errors import UniRefError
from uniref.core.tasks import Task
from uniref.data.index import TRUTH, IndexWriter
from uniref.data.prepare import ytvis
from uniref.data.prepare.clips import Clip, ClipFiles, add_clip, add_track, read_clips
from uniref.data.prepare.coco_json import (
    add_image,
    add_instance,
    find_root,
    read_categories,
    read_images,
    read_instances,
    read_section,
    usable_images,
)
from uniref.data.prepare.job import BadRecord, Job, image_size
from uniref.data.prepare.labels import VOID, Region, read_label_map, regions
from uniref.media.image import EXTENSIONS

_SPLITS = ("train", "val", "test")
_FOLDERS = ("", "images", "train", "val", "test")

Table = dict[str, dict[int, list[str]]]
"""Texts by file and object."""


def splits_of(sources: Sequence[Path]) -> list[str]:
    """The splits that a user's folder has: its split folders or JSON files, else only `train`."""
    found = [
        split
        for split in _SPLITS
        if any((s / split).is_dir() or (s / f"{split}.json").is_file() for s in sources if s.is_dir())
    ]
    return found or ["train"]


def prepare(job: Job) -> None:
    """Whatever is found: `<split>.json` or `annotations.json`, else the plain folder."""
    json_file = job.find(f"{job.split}.json", f"annotations/{job.split}.json", "annotations.json")
    if json_file is None:
        _prepare_folder(job)
    elif next(iter(read_section(json_file, "videos")), None) is not None:
        _prepare_youtube_vis(job, json_file)
    else:
        _prepare_coco(job, json_file)


def _task(job: Job, default: Task) -> Task:
    return Task(job.options["task"]) if job.options.get("task") else default


def _prepare_coco(job: Job, path: Path) -> None:
    images = read_images(job, path)
    instances = read_instances(job, path, images)
    categories = read_categories(path)
    job.used(path)
    chosen = list(job.first(list(images.values())))
    referring = any(image.expressions for image in chosen)
    task = _task(job, Task.RIS if referring else Task.DETECTION)
    root = find_root(job, chosen[0].file_name, _FOLDERS) if chosen else path.parent
    with job.writer({"custom": root}, task, categories) as writer:
        for image, file in usable_images(job, chosen, root):
            add_image(writer, image, "custom", file)
            found = [(x, add_instance(writer, x)) for x in instances.get(image.id, ())]
            texts = [writer.add_expression(t, source_id=str(n)) for n, t in enumerate(image.expressions)]
            singles = [(x, row) for x, row in found if not x.crowd]
            if referring and len(found) != 1:
                job.bad(path, f"image {image.id} has expressions and {len(found)} annotations; one is needed")
            elif task is Task.FSS:
                for x, row in singles:
                    writer.add_sample(objects=[row], category=x.category)
            elif singles and (texts or not referring):
                writer.add_sample(objects=[row for _, row in singles], expressions=texts)


def _prepare_youtube_vis(job: Job, path: Path) -> None:
    source = ytvis.YoutubeVis(job, path)
    referring = any(record.get("expressions") for record in source.records)
    task = _task(job, Task.RVOS if referring else Task.VOS)
    with job.writer({"custom": source.root}, task, source.categories) as writer:
        for video in source.videos():
            ytvis.add_video(writer, video, "custom", complete=True)
            rows = ytvis.add_all(job, writer, video, given=task is Task.VOS)
            texts = [str(text) for text in video.record.get("expressions", ())]
            added = [writer.add_expression(text, source_id=str(n)) for n, text in enumerate(texts)]
            if rows and (added or not referring):
                writer.add_sample(objects=rows, expressions=added)


@dataclass(frozen=True)
class _Picture:
    path: Path
    labels: Path


@dataclass(frozen=True)
class _Read:
    height: int = 0
    width: int = 0
    found: Mapping[int, Region] | None = None
    problem: str = ""


def _prepare_folder(job: Job) -> None:
    base = job.need(f"{job.split}/images", f"{job.split}/videos", "images", "videos").parent
    if job.split not in (base.name, "train"):
        raise UniRefError(f"custom/{job.split}: {base} has no folder {job.split}")
    phrases = _read_table(job, base / "phrases.csv", "phrase")
    classes = _read_table(job, base / "classes.csv", "class")
    names = sorted({name for objects in classes.values() for texts in objects.values() for name in texts})
    writer_args = _Writing(phrases, classes, {name: n for n, name in enumerate(names, start=1)})
    if (base / "videos").is_dir():
        task = _task(job, Task.RVOS if phrases else Task.VOS)
        _write_clips(job, base, task, writer_args)
    else:
        task = _task(job, Task.RIS if phrases else Task.FSS if classes else Task.DETECTION)
        _write_pictures(job, base, task, writer_args)


@dataclass(frozen=True)
class _Writing:
    phrases: Table
    classes: Table
    numbers: Mapping[str, int]

    @property
    def categories(self) -> dict[int, str]:
        return {number: name for name, number in self.numbers.items()}

    def category(self, file: str, thing: int) -> int:
        texts = self.classes.get(file, {}).get(thing, ())
        return self.numbers[texts[0]] if texts else -1


def _read_table(job: Job, path: Path, column: str) -> Table:
    """`file,object,<column>`; a missing file gives an empty table."""
    table: Table = defaultdict(lambda: defaultdict(list))
    if not path.exists():
        return table
    lines = job.read_lines(path, "utf-8-sig")
    reader = csv.DictReader(lines, skipinitialspace=True)
    wanted = ["file", "object", column]
    if reader.fieldnames is None or [name.strip() for name in reader.fieldnames[:3]] != wanted:
        raise UniRefError(f"{path}: its first line must be {','.join(wanted)}")
    for number, row in enumerate(reader, start=2):
        thing, text = (row.get("object") or "").strip(), (row.get(column) or "").strip()
        if not thing.isdigit() or not 1 <= int(thing) <= 254 or not text:
            job.bad(f"{path}: line {number}", f"needs a file, an object from 1 to 254, and a {column}")
            continue
        table[Path(row["file"].strip()).stem][int(thing)].append(text)
    return table


def _write_pictures(job: Job, base: Path, task: Task, what: _Writing) -> None:
    folder = base / "images"
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS)
    if not pictures:
        raise UniRefError(f"{folder}: holds no pictures ({', '.join(EXTENSIONS)})")
    _unknown_files(job, base, {path.stem for path in pictures}, what)
    chosen = job.first(pictures)
    items = [_Picture(path, base / "masks" / f"{path.stem}.png") for path in chosen]
    with job.writer({"custom": base}, task, what.categories) as writer:
        for item, read in zip(items, job.map(_read_picture, items, "image"), strict=True):
            if read.problem:
                job.bad(item.path, read.problem)
                continue
            file = item.path.stem
            writer.add_media(
                name=file,
                kind="image",
                root="custom",
                path=f"images/{item.path.name}",
                width=read.width,
                height=read.height,
            )
            rows = {}
            for number, region in (read.found or {}).items():
                rows[number] = writer.add_object(source_id=number, category=what.category(file, number))
                writer.add_annotation(0, region.box, region.counts, region.area, TRUTH)
            _add_samples(job, writer, task, file, rows, what)


def _read_picture(item: _Picture) -> _Read:
    try:
        size = image_size(item.path)
    except BadRecord as error:
        return _Read(problem=str(error))
    try:
        labels = read_label_map(item.labels)
    except BadRecord as error:
        return _Read(problem=f"its mask {item.labels.name}: {error}")
    if labels.shape != size:
        return _Read(problem=f"is {size[1]} x {size[0]}, its mask {labels.shape[1]} x {labels.shape[0]}")
    if np.isin(labels, (0, VOID)).all():
        labels = (labels == VOID).astype(np.uint8)  # a black-and-white mask is one object
    return _Read(*size, regions(labels))


def _write_clips(job: Job, base: Path, task: Task, what: _Writing) -> None:
    folders = sorted(path for path in (base / "videos").iterdir() if path.is_dir())
    if not folders:
        raise UniRefError(f"{base / 'videos'}: holds no folders of frames")
    _unknown_files(job, base, {path.name for path in folders}, what)
    files = [ClipFiles(path.name, path, base / "masks" / path.name) for path in folders]
    with job.writer({"custom": base}, task, what.categories) as writer:
        for clip in read_clips(job, files):
            complete = len(clip.labelled) == len(clip.frames)
            add_clip(writer, clip, "custom", f"videos/{clip.name}", complete=complete)
            rows = {number: _add_track(writer, clip, number, task, what) for number in clip.tracks}
            _add_samples(job, writer, task, clip.name, rows, what)


def _add_track(writer: IndexWriter, clip: Clip, number: int, task: Task, what: _Writing) -> int:
    track = clip.tracks[number]
    given = min(track) if task is Task.VOS else -1
    return add_track(writer, number, track, given=given, category=what.category(clip.name, number))


def _add_samples(job: Job, writer: IndexWriter, task: Task, file: str, rows: Mapping[int, int], what: _Writing) -> None:
    if task.needs_text:
        for number, texts in what.phrases.get(file, {}).items():
            if number not in rows:
                job.bad(file, f"a phrase names object {number}, which its masks do not show")
                continue
            added = [writer.add_expression(text, source_id=str(n)) for n, text in enumerate(texts)]
            writer.add_sample(objects=[rows[number]], expressions=added)
    elif task is Task.FSS:
        for number, row in rows.items():
            if (category := what.category(file, number)) >= 0:
                writer.add_sample(objects=[row], category=category)
    elif rows:
        writer.add_sample(objects=list(rows.values()))


def _unknown_files(job: Job, base: Path, known: set[str], what: _Writing) -> None:
    for table, name in ((what.phrases, "phrases.csv"), (what.classes, "classes.csv")):
        for file in sorted(set(table) - known):
            job.bad(base / name, f"{file}: there is no such picture or clip")
