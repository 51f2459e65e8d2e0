"""A user's own data as a plain folder, once or for each split (`train/`, `val/`, `test/`).

images/cat.jpg      masks/cat.png           a picture and its label map (pixel value = object)
videos/run/0001.jpg masks/run/0001.png      a clip and its label maps, for all frames or some
videos/run.mp4      masks/run/0001.png      the same as a video file; label maps are called by the frame's number
phrases.csv         file,object,phrase      `cat` or `run`, the object's value, an expression
classes.csv         file,object,class       what the object is (few-shot segmentation)
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uniref.core.errors import UniRefError
from uniref.core.tasks import Task
from uniref.data.index import TRUTH, IndexWriter
from uniref.data.prepare.clip_file import is_clip_file
from uniref.data.prepare.clips import Clip, ClipFiles, add_clip, add_track, read_clips
from uniref.data.prepare.custom_task import choose_task
from uniref.data.prepare.job import BadRecord, FilesMissing, Job, image_size
from uniref.data.prepare.labels import VOID, Region, read_label_map, regions
from uniref.media.image import EXTENSIONS

Table = dict[str, dict[int, list[str]]]
"""Texts by file and object."""


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


def prepare(job: Job, base: Path) -> None:
    """The folder that has `images` or `videos`."""
    if job.split not in (base.name, "train"):
        raise FilesMissing(f"{job.dataset.name}/{job.split}: {base} has no folder {job.split}")
    if (base / "videos").is_dir() and (base / "images").is_dir():
        raise UniRefError(f"{base}: holds images and videos; make a data set of each (--name)")
    phrases = _read_table(job, base / "phrases.csv", "phrase")
    classes = _read_table(job, base / "classes.csv", "class")
    names = sorted({name for objects in classes.values() for texts in objects.values() for name in texts})
    writer_args = _Writing(phrases, classes, {name: n for n, name in enumerate(names, start=1)})
    if (base / "videos").is_dir():
        task = choose_task(job, Task.RVOS if phrases else Task.VOS)
        _write_clips(job, base, task, writer_args)
    else:
        task = choose_task(job, Task.RIS if phrases else Task.FSS if classes else Task.DETECTION)
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
    lines = job.read_lines(path)
    reader = csv.DictReader(lines, skipinitialspace=True)
    wanted = ["file", "object", column]
    if reader.fieldnames is None or [name.strip() for name in reader.fieldnames[:3]] != wanted:
        raise UniRefError(f"{path}: its first line must be {','.join(wanted)}")
    for number, row in enumerate(reader, start=2):
        thing, text = (row.get("object") or "").strip(), (row.get(column) or "").strip()
        if not thing.isdecimal() or not 1 <= int(thing) <= 254 or not text:
            job.bad(f"{path}: line {number}", f"needs a file, an object from 1 to 254, and a {column}")
            continue
        table[_stem(row["file"].strip())][int(thing)].append(text)
    return table


def _stem(file: str) -> str:
    """`cat` of `cat.jpg` or `cat`; the name may hold other dots."""
    path = Path(file)
    known = path.suffix.lower() in EXTENSIONS or is_clip_file(path)
    return path.stem if known else path.name


def _write_pictures(job: Job, base: Path, task: Task, what: _Writing) -> None:
    folder = base / "images"
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS)
    if not pictures:
        raise UniRefError(f"{folder}: holds no pictures ({', '.join(EXTENSIONS)})")
    if len({path.stem for path in pictures}) < len(pictures):
        raise UniRefError(f"{folder}: holds two pictures of one name (they would share a mask)")
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
    found = sorted(path for path in (base / "videos").iterdir() if path.is_dir() or is_clip_file(path))
    if not found:
        raise UniRefError(f"{base / 'videos'}: holds no folders of frames and no video files")
    paths = {path.name if path.is_dir() else path.stem: path for path in found}
    if len(paths) < len(found):
        raise UniRefError(f"{base / 'videos'}: holds two clips of one name")
    _unknown_files(job, base, set(paths), what)
    files = [ClipFiles(name, path, base / "masks" / name, binary=True) for name, path in paths.items()]
    with job.writer({"custom": base}, task, what.categories) as writer:
        for clip in read_clips(job, files):
            complete = len(clip.labelled) == clip.length
            add_clip(writer, clip, "custom", f"videos/{paths[clip.name].name}", complete=complete)
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
