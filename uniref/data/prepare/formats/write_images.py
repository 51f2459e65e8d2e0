"""The one way in which pictures of every format become media, objects, phrases and samples."""

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
from uniref.data.prepare.formats.tables import CLASSES, ONLY, PHRASES, ROOT, Table, file_key, read_table
from uniref.data.prepare.job import ConversionJob, FilesMissing
from uniref.data.prepare.regions import Region
from uniref.media.image import ImageProblem, open_image
from uniref.media.mask import colour_name

NO_MASK = "object without a mask (a box alone cannot be referred to)"
_TAIL = 1 << 16  # bytes at the end of a picture in which its end is looked for
_LETTER = re.compile(r"[^\W\d_]")

_WANTED = {
    Task.DETECTION: "pictures that show an object",
    Task.RIS: "phrases for pictures (phrases.csv, or `expressions` in the JSON)",
    Task.FSS: "classes for pictures (classes.csv, or COCO JSON)",
    Task.VOS: "clips that show an object",
    Task.RVOS: "phrases for clips (phrases.csv, or `expressions` in the JSON)",
}
"""What a sample needs."""
_OF_PICTURES = (Task.DETECTION, Task.RIS, Task.FSS)


@dataclass(frozen=True)
class AnnotatedObject:
    """One object of a picture."""

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
    """One picture of a user, with its objects."""

    path: Path
    height: int
    width: int
    things: tuple[AnnotatedObject, ...] = ()
    phrases: tuple[str, ...] = ()
    """Of the picture as a whole, which then has one object."""
    source_id: int = -1
    where: str = ""
    """The record that it comes from, for messages."""


@dataclass
class SplitInfo:
    """What a converter knows about a split besides its pictures."""

    base: Path
    """Where `phrases.csv` and `classes.csv` are looked for, and what paths in the index start at if they can."""
    trees: Sequence[FileTree] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)
    """Numbers of classes; others follow in alphabetical order."""
    classes_task: Task = Task.RIS
    """What `classes.csv` is for where there are no phrases."""


def phrase_of(name: str) -> str:
    """What a class name says: `the traffic light` for `traffic_light`; nothing for names without letters."""
    words = " ".join(re.sub(r"[_\s-]+", " ", name).split())
    if not _LETTER.search(words):
        return ""
    return words if words.lower().startswith(("the ", "a ", "an ")) else f"the {words}"


class ColourNumbers:
    """Numbers of the colours of label maps, one for all files of a data set."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int, int], int] = {}
        self._notes: dict[str, list[str]] = {}

    def renumber(self, found: Mapping[int, Region], colours: Sequence[tuple[int, int, int]]) -> dict[int, Region]:
        """Regions of one file by the numbers that all files share."""
        if not colours:
            return dict(found)
        names = {place: self._numbers.setdefault(c, len(self._numbers) + 1) for place, c in enumerate(colours, start=1)}
        return {names.get(number, number): region for number, region in found.items()}

    def note(self, text: str, file: str) -> None:
        """Remember what was guessed about a file."""
        if text:
            self._notes.setdefault(text, []).append(file)

    def tell(self, job: ConversionJob) -> None:
        """Put into the notes what was guessed, each guess once, and the numbers of the colours."""
        for text, files in self._notes.items():
            more = f" and {len(files) - 1} more" if len(files) > 1 else ""
            job.notes.append(f"masks ({files[0]}{more}): {text}")
        if self._numbers:
            named = [f"{colour_name(*colour)} = {number}" for colour, number in list(self._numbers.items())[:20]]
            job.notes.append(f"object numbers of colours: {', '.join(named)}")


def read_tables(job: ConversionJob, places: Sequence[Path]) -> tuple[Table, Table]:
    """`phrases.csv` and `classes.csv` of the first of some folders that has them. Raises UniRefError."""
    found = []
    for name, column in ((PHRASES, "phrase"), (CLASSES, "class")):
        path = next((place / name for place in dict.fromkeys(places) if (place / name).exists()), None)
        found.append(Table() if path is None else read_table(job, path, column))
    return found[0], found[1]


def write_images(job: ConversionJob, pictures: Sequence[AnnotatedImage], what: SplitInfo) -> None:
    """Write the index of a split of pictures.

    Phrases are those of `phrases.csv`, of the annotations, or of the class names, the first that there are. Objects of
    a picture that are not meant stay in the index.

    Raises:
        UniRefError: A bad record that is not skipped.
    """
    pictures = [picture for picture in job.first(pictures) if _is_whole(job, picture)]
    # what tables say of the objects
    phrases, classes = read_tables(job, (what.base, *job.bases))
    _check_files(job, pictures, what, phrases, classes)
    pictures = [_with_texts(job, picture, what.base, phrases, classes) for picture in pictures]
    numbers = number_classes(what.numbers, {x.name for picture in pictures for x in picture.things})
    # what the samples are
    said = any(picture.phrases or any(x.phrases for x in picture.things) for picture in pictures)
    task = choose_task(job, _default_task(pictures, said, classes, what))
    root = common_folder([picture.path for picture in pictures], what.base) if pictures else what.base
    by_class = task is Task.RIS and not said and not phrases
    if by_class and any(x.name for picture in pictures for x in picture.things):
        job.form += "; class names serve as phrases"
    with job.writer({ROOT: root}, task, {number: name for name, number in numbers.items()}) as writer:
        for picture in pictures:
            rows = _add_picture(writer, picture, root, numbers)
            singles = [(x, row) for x, row in zip(picture.things, rows, strict=True) if not x.crowd]
            _add_samples(job, writer, task, picture, singles, numbers, by_class)


def _is_whole(job: ConversionJob, picture: AnnotatedImage) -> bool:
    """Whether a picture's file has an end: copies that broke off begin like whole ones."""
    with reading(picture.path), picture.path.open("rb") as file:
        head = file.read(2)
        file.seek(0, os.SEEK_END)
        file.seek(max(file.tell() - _TAIL, 0))
        tail = file.read()
    if (head == b"\xff\xd8" and b"\xff\xd9" not in tail) or (head == b"\x89P" and b"IEND" not in tail):
        # phones put a film behind the picture; decoding tells
        try:
            with open_image(picture.path) as image:
                image.load()
        except ImageProblem:
            job.bad(picture.path, "is cut: the end of the picture is missing")
            return False
    return True


def number_classes(given: Mapping[str, int], names: set[str]) -> dict[str, int]:
    """Numbers for class names: those given, then the next free ones in alphabetical order."""
    numbers = dict(given)
    free = max(numbers.values(), default=0)
    for name in sorted(names - {""} - set(numbers)):
        free += 1
        numbers[name] = free
    return numbers


def _default_task(pictures: Sequence[AnnotatedImage], said: bool, classes: Table, what: SplitInfo) -> Task:
    if said:
        return Task.RIS
    if classes:
        return what.classes_task
    named = any(x.region is not None and phrase_of(x.name) for picture in pictures for x in picture.things)
    return Task.RIS if named else Task.DETECTION


def _names(path: Path, base: Path) -> tuple[str, ...]:
    """What tables may call a file: its path from the base, or its name."""
    relative = path.relative_to(base).as_posix() if path.is_relative_to(base) else path.name
    # `images/a` is `a`, so that tables of a plain folder need not repeat its only folder of pictures
    return file_key(relative), file_key(relative.partition("/")[2] or relative), file_key(path.name)


def _with_texts(
    job: ConversionJob, picture: AnnotatedImage, base: Path, phrases: Table, classes: Table
) -> AnnotatedImage:
    """A picture with what the tables say of its objects."""
    names = _names(picture.path, base)
    said, named = phrases.of(*names), classes.of(*names)
    known = {x.number for x in picture.things}
    for number in sorted((set(said) | set(named)) - known - {ONLY}):
        table = phrases if number in said else classes
        kind = "phrase" if number in said else "class"
        shown = ", ".join(map(str, sorted(known)[:8])) or "none"
        job.bad(
            f"{table.path}: {names[-1]}",
            f"a {kind} names object {number}, which its masks do not show (they show {shown})",
        )
    if not said and not named:
        return picture
    if ONLY in said or ONLY in named:
        if len(known) != 1:
            table = phrases if ONLY in said else classes
            job.bad(f"{table.path}: {names[-1]}", f"has no column of objects, and the picture shows {len(known)}")
            return picture
        said, named = ({next(iter(known)): texts for texts in table.values()} for table in (said, named))
    things = tuple(
        replace(x, phrases=tuple(said.get(x.number, x.phrases)), name=(named.get(x.number) or [x.name])[0])
        for x in picture.things
    )
    return replace(picture, things=things)


def _check_files(
    job: ConversionJob, pictures: Sequence[AnnotatedImage], what: SplitInfo, phrases: Table, classes: Table
) -> None:
    """Report files that the tables name and that are nowhere; those of other splits are somewhere."""
    if not phrases and not classes:
        return
    known = {name for picture in pictures for name in _names(picture.path, what.base)}
    known |= {Path(path).stem for path in MediaFinder(what.trees).stems} if what.trees else set()
    for table in (phrases, classes):
        for file in sorted(set(table.texts) - known):
            if file.rpartition("/")[2] not in known:
                job.bad(f"{table.path}", f"{file}: there is no such picture or clip")


def _add_picture(writer: IndexWriter, picture: AnnotatedImage, root: Path, numbers: Mapping[str, int]) -> list[int]:
    """Its media and objects; returns their rows."""
    path = picture.path if picture.path.is_relative_to(root) else picture.path.absolute()
    writer.add_media(
        name=picture.path.stem,
        kind="image",
        root=ROOT,
        path=path.relative_to(root).as_posix(),
        width=picture.width,
        height=picture.height,
        source_id=picture.source_id,
    )
    rows = []
    for x in picture.things:
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
    picture: AnnotatedImage,
    singles: Sequence[tuple[AnnotatedObject, int]],
    numbers: Mapping[str, int],
    by_class: bool,
) -> None:
    if task is Task.DETECTION:
        if singles:
            writer.add_sample(objects=[row for _, row in singles])
        return
    masked = [(x, row) for x, row in singles if x.region is not None]
    if len(masked) < len(singles):
        writer.drop(NO_MASK, len(singles) - len(masked))
    if task is Task.FSS:
        for x, row in masked:
            if x.name:
                writer.add_sample(objects=[row], category=numbers[x.name])
    elif by_class:
        _add_by_class(writer, masked)
    else:
        for x, row in masked:
            if x.phrases:
                _add_said(writer, [row], x.phrases)
        if picture.phrases and len(masked) != 1:
            job.bad(picture.where or picture.path, f"has expressions and {len(masked)} annotations; one is needed")
        elif picture.phrases:
            _add_said(writer, [masked[0][1]], picture.phrases)


def _add_by_class(writer: IndexWriter, masked: Sequence[tuple[AnnotatedObject, int]]) -> None:
    """A sample for every class of a picture: `the cat`, and `every cat` where there are several, all of them meant."""
    groups: dict[str, list[int]] = defaultdict(list)
    for x, row in masked:
        if phrase_of(x.name):
            groups[x.name].append(row)
    for name, rows in groups.items():
        phrase = phrase_of(name)
        several = f"every {phrase.removeprefix('the ')}"
        _add_said(writer, rows, [phrase if len(rows) == 1 else several])


def _add_said(writer: IndexWriter, rows: Sequence[int], texts: Sequence[str]) -> None:
    added = [writer.add_expression(text, source_id=str(n)) for n, text in enumerate(texts)]
    writer.add_sample(objects=rows, expressions=added)


def read_all(job: ConversionJob, files: Sequence[Any], read: Callable[[Any], Any], unit: str) -> list[Any]:
    """What `read` gives for every file that can be used; one that cannot be read as a whole is a bad record.

    Raises:
        UniRefError: Unless bad records are skipped.
    """
    found = []
    for file in job.progress(files, f"{job.dataset.name}/{job.split}", len(files), unit):
        where = file if isinstance(file, Path) else getattr(file, "path", file)
        try:
            with job.record(where):
                found.append(read(file))
        except FilesMissing:
            raise
        except UniRefError as problem:
            if "--skip-bad" in str(problem):
                raise
            line = str(problem)
            job.bad(where, line.removeprefix(f"{where}: "))
    return found


def choose_task(job: ConversionJob, default: Task) -> Task:
    """The task that the user chose, else the default.

    Raises:
        UsageError: A task of clips for pictures, or the other way.
    """
    task = Task(job.options["task"]) if job.options.get("task") else default
    if (task in _OF_PICTURES) != (default in _OF_PICTURES):
        kind = "pictures" if default in _OF_PICTURES else "clips"
        raise UsageError(f"--task {task.value}: {job.dataset.name}/{job.split} holds {kind}")
    job.wanted = _WANTED[task]
    return task
