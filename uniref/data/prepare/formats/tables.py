"""Reads `phrases.csv` and `classes.csv` as spreadsheets write them, and writes templates to fill in."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from uniref.core.atomic import write_text_atomic
from uniref.core.errors import UniRefError, UsageError
from uniref.core.files import read_text
from uniref.data.index import Index
from uniref.data.prepare.job import ConversionJob
from uniref.data.prepare.videos import is_video_file
from uniref.media.image import EXTENSIONS

ROOT = "custom"
"""What the index calls the folder of a user's images."""
PHRASES, CLASSES = "phrases.csv", "classes.csv"
_COLUMNS = ("file", "object", "phrase", "class")
ONLY = -1
"""Object number in tables without a column of objects: the only object of the file."""
_LARGEST_NUMBER = 1 << 53
_NAMES = {
    "file": ("file", "filename", "file_name", "image", "image_name", "picture", "video", "name"),
    "object": ("object", "object_id", "objectid", "id", "value", "instance", "label_id"),
    "phrase": ("phrase", "phrases", "expression", "text", "sentence", "caption", "description"),
    "class": ("class", "classes", "class_name", "category", "label"),
}


@dataclass(frozen=True)
class TextTable:
    """Texts by file and object."""

    texts: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    path: Path | None = None
    """Where they come from; None: there is no such file."""

    def of(self, *names: str) -> dict[int, list[str]]:
        """Texts of a file by object, under the first of its names that is in the table."""
        return next((self.texts[name] for name in names if name in self.texts), {})

    def __bool__(self) -> bool:
        return any(self.texts.values())


def read_table(job: ConversionJob, path: Path, column: str) -> TextTable:
    """A table with the columns file, object and `column` in any order; a missing file gives an empty one.

    Separators `,`, `;` and tab, a byte order mark, UTF-16 and Latin-1 are understood. Lines whose text is empty (those
    of a template that were not filled in) are left out with a note.

    Raises:
        UniRefError: Not readable, or without these columns.
    """
    if not path.exists():
        return TextTable()
    # header and rows
    lines = [line for line in _text(job, path).splitlines() if line.strip()]
    job.used(path)
    separator = _separator(lines[0]) if lines else ","
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    try:
        header = next(reader, [])
        rows = list(enumerate(reader, start=2))
    except csv.Error as problem:
        raise UniRefError(f"{path}: is not a table ({problem})") from None
    file_column, object_column, text_column = _columns(path, header, column)
    # texts by file and object
    texts: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    empty = 0
    for number, row in rows:
        file, object_text, text = (
            row[column_index].strip() if column_index is not None and column_index < len(row) else ""
            for column_index in (file_column, object_column, text_column)
        )
        value = ONLY if object_column is None else _whole(object_text)
        if file and value is not None and not text:
            empty += 1
        elif not file or value is None:
            job.bad(f"{path}: line {number}", f"needs a file, an object (its number, from 1), and a {column}")
        else:
            texts[file_key(file)][value].append(text)
    if empty:
        job.notes.append(f"{path.name}: {empty} lines have no {column}; their objects have none")
    return TextTable({file: dict(objects) for file, objects in texts.items()}, path)


def file_key(name: str) -> str:
    """The name of a file in a table: with `/`, without the extension of an image or video."""
    name = name.replace("\\", "/").removeprefix("./")
    stem, dot, suffix = name.rpartition(".")
    is_media = dot and (f".{suffix.lower()}" in EXTENSIONS or is_video_file(name))
    return stem if is_media else name


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
    """Columns of file, object (None where there is no such column) and `column`. Raises UniRefError."""
    names = [re.sub(r"[\s-]+", "_", name.strip().lower()) for name in header]
    columns: list[int | None] = []
    for name_of in ("file", "object", column):
        index = next((names.index(name) for name in _NAMES[name_of] if name in names), None)
        if index is None and name_of != "object":
            raise UniRefError(f"{path}: its first line must be file,object,{column} (it has no column {name_of})")
        columns.append(index)
    file, object_column, text = columns
    assert file is not None and text is not None
    return file, object_column, text


def _whole(text: str) -> int | None:
    """`1`, or `1.0` as spreadsheets write it; None where it is not the number of an object."""
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return None
    return int(number) if number.is_integer() and 0 <= number < _LARGEST_NUMBER else None


def write_templates(indices: Sequence[Index], sources: Sequence[str]) -> list[Path]:
    """Write `phrases.csv` where `prepare-data custom` reads it; known phrases are filled in.

    Args:
        indices: Prepared splits of a user's own data.
        sources: What they were made from; the file goes there, or to the folder of the images.

    Returns:
        The files: one, or one for each split that lies in a folder of its own.

    Raises:
        UsageError: Not a user's own data.
        UniRefError: There is such a file already, or it cannot be written.
    """
    folders = [Path(x) if Path(x).is_dir() else Path(x).parent for x in sources if Path(x).exists()]
    rows: dict[Path, list[tuple[str, int, str, str]]] = {}
    for index in indices:
        if list(index.manifest.roots) != [ROOT]:
            raise UsageError(f"--write-template: is for your own data, not for {index.manifest.dataset}")
        root = Path(os.path.normpath(index.roots[0]))
        inside = not folders or any(root.resolve().is_relative_to(folder.resolve()) for folder in folders)
        rows.setdefault((root if inside else folders[0]) / PHRASES, []).extend(_rows(index))
    for path in rows:
        if path.exists():
            raise UniRefError(f"{path}: is there already and stays as it is; move it away to have a new template")
    for path, lines in rows.items():
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(dict.fromkeys(lines))  # an image may be in several splits
        write_text_atomic(path, text.getvalue())
    return list(rows)


def _rows(index: Index) -> list[tuple[str, int, str, str]]:
    """One line (file, object, phrase, class) per phrase of each object that is not a crowd."""
    phrases = _phrases(index)
    media = [index.media(row) for row in range(len(index.media_column("length")))]
    often = Counter(each.path.name for each in media)
    root = index.roots[0].resolve()
    rows = []
    for each in media:
        # a name that occurs twice is written with its folders
        long = each.path.resolve().relative_to(root).as_posix()
        file = each.name if each.kind != "image" else each.path.name if often[each.path.name] == 1 else long
        for row in each.objects:
            obj = index.object(row)
            if obj.crowd:
                continue
            name = index.manifest.categories.get(obj.category, "")
            rows += [(file, obj.source_id, text, name) for text in phrases.get(row, ("",))]
    return rows


def _phrases(index: Index) -> Mapping[int, list[str]]:
    """Phrases of single objects, by their rows."""
    phrases: dict[int, list[str]] = {}
    for sample in index:
        if len(sample.objects) == 1 and sample.expressions:
            phrases.setdefault(sample.objects[0], []).extend(index.expression(row).text for row in sample.expressions)
    return phrases
