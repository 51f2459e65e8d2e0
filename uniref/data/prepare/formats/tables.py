"""`phrases.csv` and `classes.csv` as spreadsheets write them."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from uniref.core.errors import UniRefError
from uniref.core.files import read_text
from uniref.data.prepare.job import ConversionJob
from uniref.data.prepare.videos import is_video_file
from uniref.media.image import EXTENSIONS

ONLY = -1
"""What a table without a column of objects speaks of: the only object of its file."""
_LARGEST_NUMBER = 1 << 53
_NAMES = {
    "file": ("file", "filename", "file_name", "image", "image_name", "picture", "video", "name"),
    "object": ("object", "object_id", "objectid", "id", "value", "instance", "label_id"),
    "phrase": ("phrase", "phrases", "expression", "text", "sentence", "caption", "description"),
    "class": ("class", "classes", "class_name", "category", "label"),
}


@dataclass(frozen=True)
class Table:
    """Texts by file and object."""

    texts: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    path: Path | None = None
    """Where they come from; None: there is no such file."""

    def of(self, *names: str) -> dict[int, list[str]]:
        """What is said of a file, by object; the first of its names that is known counts."""
        return next((self.texts[name] for name in names if name in self.texts), {})

    def __bool__(self) -> bool:
        return any(self.texts.values())


def read_table(job: ConversionJob, path: Path, column: str) -> Table:
    """A table with the columns file, object and `column` in any order; a missing file gives an empty one.

    Separators `,`, `;` and tab, a byte order mark, UTF-16 and Latin-1 are understood. Lines whose text is empty (those
    of a template that were not filled in) are left out with a note.

    Raises:
        UniRefError: Not readable, or without these columns.
    """
    if not path.exists():
        return Table()
    lines = [line for line in _text(job, path).splitlines() if line.strip()]
    job.used(path)
    separator = _separator(lines[0]) if lines else ","
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    try:
        header = next(reader, [])
        rows = list(enumerate(reader, start=2))
    except csv.Error as problem:
        raise UniRefError(f"{path}: is not a table ({problem})") from None
    file_place, thing_place, text_place = _columns(path, header, column)
    texts: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    empty = 0
    for number, row in rows:
        file, thing, text = (
            row[place].strip() if place is not None and place < len(row) else ""
            for place in (file_place, thing_place, text_place)
        )
        value = ONLY if thing_place is None else _whole(thing)
        if file and value is not None and not text:
            empty += 1
        elif not file or value is None:
            job.bad(f"{path}: line {number}", f"needs a file, an object (its number, from 1), and a {column}")
        else:
            texts[file_key(file)][value].append(text)
    if empty:
        job.notes.append(f"{path.name}: {empty} lines have no {column}; their objects have none")
    return Table({file: dict(objects) for file, objects in texts.items()}, path)


def file_key(name: str) -> str:
    """What a file is called in a table: with `/`, without the extension of a picture or video."""
    name = name.replace("\\", "/").removeprefix("./")
    stem, dot, suffix = name.rpartition(".")
    known = dot and (f".{suffix.lower()}" in EXTENSIONS or is_video_file(name))
    return stem if known else name


def _text(job: ConversionJob, path: Path) -> str:
    """The file's text; spreadsheets write other encodings than UTF-8."""
    with path.open("rb") as file:
        head = file.read(2)
    if head in (b"\xff\xfe", b"\xfe\xff"):
        return read_text(path, encoding="utf-16")
    try:
        return read_text(path)
    except UniRefError as problem:
        if "not text in UTF-8" not in str(problem):
            raise
    job.notes.append(f"{path.name}: is not UTF-8; it was read as Latin-1 (Windows-1252)")
    return read_text(path, encoding="cp1252")


def _separator(line: str) -> str:
    counts = {separator: line.count(separator) for separator in ",;\t|"}
    return max(counts, key=lambda separator: counts[separator]) if any(counts.values()) else ","


def _columns(path: Path, header: list[str], column: str) -> tuple[int, int | None, int]:
    """Places of file, object (None where there is no such column) and `column`. Raises UniRefError."""
    names = [re.sub(r"[\s-]+", "_", name.strip().lower()) for name in header]
    places: list[int | None] = []
    for wanted in ("file", "object", column):
        found = next((names.index(name) for name in _NAMES[wanted] if name in names), None)
        if found is None and wanted != "object":
            raise UniRefError(f"{path}: its first line must be file,object,{column} (it has no column {wanted})")
        places.append(found)
    file, thing, text = places
    assert file is not None and text is not None
    return file, thing, text


def _whole(text: str) -> int | None:
    """`1`, or `1.0` as spreadsheets write it; None where it is no number of an object."""
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return None
    return int(number) if number.is_integer() and 0 <= number < _LARGEST_NUMBER else None
