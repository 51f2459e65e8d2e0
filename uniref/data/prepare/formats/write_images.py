"""Writes the index of users' images, for every format: media, objects, phrases and samples."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from uniref.core.errors import UniRefError, UsageError
from uniref.core.files import reading
from uniref.core.tasks import Task
from uniref.data.index import TRUTH, IndexWriter
from uniref.data.prepare.formats.file_tree import FileTree, MediaFinder, common_folder
from uniref.data.prepare.formats.tables import CLASSES, ONLY, PHRASES, ROOT, TextTable, file_key, read_table
from uniref.data.prepare.job import ConversionJob, FilesMissing
from uniref.data.prepare.regions import Region
from uniref.media.image import ImageProblem, open_image
from uniref.media.mask import colour_name

NO_MASK = "object without a mask (a box alone cannot be referred to)"
_TAIL = 1 << 16  # bytes at the end of an image in which its end is looked for
_LETTER = re.compile(r"[^\W\d_]")

_SAMPLE_NEEDS = {
    Task.DETECTION: "images that show an object",
    Task.RIS: "phrases for images (phrases.csv, or `expressions` in the JSON)",
    Task.FSS: "classes for images (classes.csv, or COCO JSON)",
    Task.VOS: "videos that show an object",
    Task.RVOS: "phrases for videos (phrases.csv, or `expressions` in the JSON)",
}
"""What a sample of each task needs."""
_IMAGE_TASKS = (Task.DETECTION, Task.RIS, Task.FSS)


@dataclass(frozen=True)
class AnnotatedObject:
    """One object of an image."""

    number: int
    """What tables call it: its pixel value, or the annotation's own number."""
    region: Region | None
    box: tuple[float, float, float, float] | None = None
    """(x0, y0, x1, y1), pixels, where there is no region."""
    name: str = ""
    """Class."""
    crowd: bool = False
    phrases: tuple[str, ...] = ()


@dataclass(frozen=True)
class AnnotatedImage:
    """One image of a user, with its objects."""

    path: Path
    height: int
    width: int
    objects: tuple[AnnotatedObject, ...] = ()
    phrases: tuple[str, ...] = ()
    """Of the image as a whole, which then has one object."""
    source_id: int = -1
    where: str = ""
    """The record that it comes from, for messages."""


@dataclass
class SplitInfo:
    """Folders and class numbers of a split."""

    base: Path
    """Where `phrases.csv` and `classes.csv` are looked for, and what paths in the index start at if they can."""
    trees: Sequence[FileTree] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)
    """Numbers of classes; others follow in alphabetical order."""
    classes_task: Task = Task.RIS
    """What `classes.csv` is for where there are no phrases."""


def phrase_of(name: str) -> str:
    """The phrase of a class name: `the traffic light` for `traffic_light`; empty for names without letters."""
    text = " ".join(re.sub(r"[_\s-]+", " ", name).split())
    if not _LETTER.search(text):
        return ""
    return text if text.lower().startswith(("the ", "a ", "an ")) else f"the {text}"


class ColourNumbers:
    """Numbers of the colours of label maps, one for all files of a data set."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int, int], int] = {}
        self._notes: dict[str, list[str]] = {}

    def renumber(self, regions: Mapping[int, Region], colours: Sequence[tuple[int, int, int]]) -> dict[int, Region]:
        """Regions of one file by the numbers that all files share."""
        if not colours:
            return dict(regions)
        names = {
            number: self._numbers.setdefault(c, len(self._numbers) + 1) for number, c in enumerate(colours, start=1)
        }
        return {names.get(number, number): region for number, region in regions.items()}

    def note(self, text: str, file: str) -> None:
        """Record a guess about a file."""
        if text:
            self._notes.setdefault(text, []).append(file)

    def add_notes(self, job: ConversionJob) -> None:
        """Add each guess to the notes once, and the numbers of the colours."""
        for text, files in self._notes.items():
            more = f" and {len(files) - 1} more" if len(files) > 1 else ""
            job.notes.append(f"masks ({files[0]}{more}): {text}")
        if self._numbers:
            named = [f"{colour_name(*colour)} = {number}" for colour, number in list(self._numbers.items())[:20]]
            job.notes.append(f"object numbers of colours: {', '.join(named)}")


def read_tables(job: ConversionJob, folders: Sequence[Path]) -> tuple[TextTable, TextTable]:
    """`phrases.csv` and `classes.csv` of the first of some folders that has them. Raises UniRefError."""
    tables = []
    for name, column in ((PHRASES, "phrase"), (CLASSES, "class")):
        path = next((folder / name for folder in dict.fromkeys(folders) if (folder / name).exists()), None)
        tables.append(TextTable() if path is None else read_table(job, path, column))
    return tables[0], tables[1]


def write_images(job: ConversionJob, images: Sequence[AnnotatedImage], info: SplitInfo) -> None:
    """Write the index of a split of images.

    Phrases are those of `phrases.csv`, of the annotations, or of the class names, in this order. Objects
    without a sample stay in the index as distractors.

    Raises:
        UniRefError: A bad record that is not skipped.
    """
    images = [image for image in job.first(images) if _is_whole(job, image)]
    # what tables say of the objects
    phrases, classes = read_tables(job, (info.base, *job.bases))
    _check_files(job, images, info, phrases, classes)
    images = [_with_texts(job, image, info.base, phrases, classes) for image in images]
    numbers = number_classes(info.numbers, {x.name for image in images for x in image.objects})
    # what the samples are
    phrased = any(image.phrases or any(x.phrases for x in image.objects) for image in images)
    task = choose_task(job, _default_task(images, phrased, classes, info))
    root = common_folder([image.path for image in images], info.base) if images else info.base
    by_class = task is Task.RIS and not phrased and not phrases
    if by_class and any(x.name for image in images for x in image.objects):
        job.form += "; class names serve as phrases"
    with job.writer({ROOT: root}, task, {number: name for name, number in numbers.items()}) as writer:
        for image in images:
            rows = _add_image(writer, image, root, numbers)
            singles = [(x, row) for x, row in zip(image.objects, rows, strict=True) if not x.crowd]
            _add_samples(job, writer, task, image, singles, numbers, by_class)


def _is_whole(job: ConversionJob, image: AnnotatedImage) -> bool:
    """Whether an image's file is complete: the header of a truncated copy is intact."""
    with reading(image.path), image.path.open("rb") as file:
        head = file.read(2)
        file.seek(0, os.SEEK_END)
        file.seek(max(file.tell() - _TAIL, 0))
        tail = file.read()
    if (head == b"\xff\xd8" and b"\xff\xd9" not in tail) or (head == b"\x89P" and b"IEND" not in tail):
        # phones put a film behind the image; decoding tells
        try:
            with open_image(image.path) as opened:
                opened.load()
        except ImageProblem:
            job.bad(image.path, "is cut: the end of the image is missing")
            return False
    return True


def number_classes(fixed: Mapping[str, int], names: set[str]) -> dict[str, int]:
    """Numbers of class names: the fixed ones, then the next free ones in alphabetical order."""
    numbers = dict(fixed)
    free = max(numbers.values(), default=0)
    for name in sorted(names - {""} - set(numbers)):
        free += 1
        numbers[name] = free
    return numbers


def _default_task(images: Sequence[AnnotatedImage], phrased: bool, classes: TextTable, info: SplitInfo) -> Task:
    if phrased:
        return Task.RIS
    if classes:
        return info.classes_task
    named = any(x.region is not None and phrase_of(x.name) for image in images for x in image.objects)
    return Task.RIS if named else Task.DETECTION


def _names(path: Path, base: Path) -> tuple[str, ...]:
    """Names of a file in tables: its path from the base, or its name."""
    relative = path.relative_to(base).as_posix() if path.is_relative_to(base) else path.name
    # `images/a` is `a`, so that tables of a plain folder need not repeat its only folder of images
    return file_key(relative), file_key(relative.partition("/")[2] or relative), file_key(path.name)


def _with_texts(
    job: ConversionJob, image: AnnotatedImage, base: Path, phrases: TextTable, classes: TextTable
) -> AnnotatedImage:
    """An image with the phrases and classes that the tables have for its objects."""
    names = _names(image.path, base)
    own_phrases, own_classes = phrases.of(*names), classes.of(*names)
    numbers = {x.number for x in image.objects}
    # objects that are named and not there
    for number in sorted((set(own_phrases) | set(own_classes)) - numbers - {ONLY}):
        table = phrases if number in own_phrases else classes
        kind = "phrase" if number in own_phrases else "class"
        shown = ", ".join(map(str, sorted(numbers)[:8])) or "none"
        job.bad(
            f"{table.path}: {names[-1]}",
            f"a {kind} names object {number}, which its masks do not show (they show {shown})",
        )
    if not own_phrases and not own_classes:
        return image
    # a table without a column of objects is for images of one object
    if ONLY in own_phrases or ONLY in own_classes:
        if len(numbers) != 1:
            table = phrases if ONLY in own_phrases else classes
            job.bad(f"{table.path}: {names[-1]}", f"has no column of objects, and the image shows {len(numbers)}")
            return image
        own_phrases, own_classes = (
            {next(iter(numbers)): texts for texts in table.values()} for table in (own_phrases, own_classes)
        )
    # the tables' texts in place of the annotations'
    objects = tuple(
        replace(x, phrases=tuple(own_phrases.get(x.number, x.phrases)), name=(own_classes.get(x.number) or [x.name])[0])
        for x in image.objects
    )
    return replace(image, objects=objects)


def _check_files(
    job: ConversionJob, images: Sequence[AnnotatedImage], info: SplitInfo, phrases: TextTable, classes: TextTable
) -> None:
    """Report files that the tables name and that do not exist (those of other splits do)."""
    if not phrases and not classes:
        return
    names = {name for image in images for name in _names(image.path, info.base)}
    names |= {Path(path).stem for path in MediaFinder(info.trees).stems} if info.trees else set()
    for table in (phrases, classes):
        for file in sorted(set(table.texts) - names):
            if file.rpartition("/")[2] not in names:
                job.bad(f"{table.path}", f"{file}: there is no such image or video")


def _add_image(writer: IndexWriter, image: AnnotatedImage, root: Path, numbers: Mapping[str, int]) -> list[int]:
    """Its media and objects; returns their rows."""
    path = image.path if image.path.is_relative_to(root) else image.path.absolute()
    writer.add_media(
        name=image.path.stem,
        kind="image",
        root=ROOT,
        path=path.relative_to(root).as_posix(),
        width=image.width,
        height=image.height,
        source_id=image.source_id,
    )
    rows = []
    for x in image.objects:
        rows.append(writer.add_object(source_id=x.number, category=numbers.get(x.name, -1), crowd=x.crowd))
        if x.region is not None:
            writer.add_annotation(0, x.region.box, x.region.counts, x.region.area, TRUTH)
        elif x.box is not None:
            x0, y0, x1, y1 = x.box
            writer.add_annotation(0, x.box, None, (x1 - x0) * (y1 - y0), TRUTH)
    return rows


def _add_samples(
    job: ConversionJob,
    writer: IndexWriter,
    task: Task,
    image: AnnotatedImage,
    singles: Sequence[tuple[AnnotatedObject, int]],
    numbers: Mapping[str, int],
    by_class: bool,
) -> None:
    # detection: all objects in one sample
    if task is Task.DETECTION:
        if singles:
            writer.add_sample(objects=[row for _, row in singles])
        return
    # every other task needs masks
    masked = [(x, row) for x, row in singles if x.region is not None]
    if len(masked) < len(singles):
        writer.drop(NO_MASK, len(singles) - len(masked))
    # few-shot: one sample per object with a class; referring: per phrase
    if task is Task.FSS:
        for x, row in masked:
            if x.name:
                writer.add_sample(objects=[row], category=numbers[x.name])
    elif by_class:
        add_class_samples(writer, _rows_by_class(masked))
    else:
        for x, row in masked:
            if x.phrases:
                _add_phrases(writer, [row], x.phrases)
        if image.phrases and len(masked) != 1:
            job.bad(image.where or image.path, f"has expressions and {len(masked)} annotations; one is needed")
        elif image.phrases:
            _add_phrases(writer, [masked[0][1]], image.phrases)


def _rows_by_class(masked: Sequence[tuple[AnnotatedObject, int]]) -> dict[str, list[int]]:
    """Object rows by class name, where the name can serve as a phrase."""
    rows: dict[str, list[int]] = defaultdict(list)
    for x, row in masked:
        if phrase_of(x.name):
            rows[x.name].append(row)
    return rows


def add_class_samples(writer: IndexWriter, groups: Mapping[str, Sequence[int]]) -> None:
    """A sample per class of an image or video, with its name as the phrase.

    Args:
        writer: The index.
        groups: Object rows by class name: of one, `the cat`; of several, `every cat`, which refers to all of them.
    """
    for name, rows in groups.items():
        phrase = phrase_of(name)
        _add_phrases(writer, rows, [phrase if len(rows) == 1 else f"every {phrase.removeprefix('the ')}"])


def _add_phrases(writer: IndexWriter, rows: Sequence[int], texts: Sequence[str]) -> None:
    added = [writer.add_expression(text, source_id=str(n)) for n, text in enumerate(texts)]
    writer.add_sample(objects=rows, expressions=added)


def read_all(job: ConversionJob, files: Sequence[Any], read: Callable[[Any], Any], unit: str) -> list[Any]:
    """The results of `read` for every file that can be used; one that cannot be read is a bad record.

    Raises:
        UniRefError: Unless bad records are skipped.
    """
    results = []
    for file in job.progress(files, f"{job.dataset.name}/{job.split}", len(files), unit):
        where = file if isinstance(file, Path) else getattr(file, "path", file)
        try:
            with job.record(where):
                results.append(read(file))
        except FilesMissing:
            raise
        except UniRefError as problem:
            if "--skip-bad" in str(problem):
                raise
            line = str(problem)
            job.bad(where, line.removeprefix(f"{where}: "))
    return results


def choose_task(job: ConversionJob, default: Task) -> Task:
    """The task that the user chose, else the default.

    Raises:
        UsageError: A task of videos for images, or the other way.
    """
    task = Task(job.options["task"]) if job.options.get("task") else default
    if (task in _IMAGE_TASKS) != (default in _IMAGE_TASKS):
        kind = "images" if default in _IMAGE_TASKS else "videos"
        raise UsageError(f"--task {task.value}: {job.dataset.name}/{job.split} holds {kind}")
    job.sample_needs = _SAMPLE_NEEDS[task]
    return task
