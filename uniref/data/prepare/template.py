"""A `phrases.csv` to fill in: a line for every object of a prepared data set."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from uniref.core.errors import UniRefError, UsageError
from uniref.core.files import writing
from uniref.data.index import Index
from uniref.data.prepare.formats.write_images import PHRASES, ROOT

_COLUMNS = ("file", "object", "phrase", "class")


def write_templates(indices: Sequence[Index], sources: Sequence[str]) -> list[Path]:
    """Write `phrases.csv` where `prepare-data custom` reads it; phrases that are known are in it already.

    Args:
        indices: Prepared splits of a user's own data.
        sources: What they were made from; the file goes there, or where the pictures are.

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
        writer.writerows(dict.fromkeys(lines))  # a picture may be in several splits
        with writing(path):
            path.write_text(text.getvalue(), encoding="utf-8")
    return list(rows)


def _rows(index: Index) -> list[tuple[str, int, str, str]]:
    """Lines of every object that can be referred to: file, object, phrase, class."""
    phrases = _phrases(index)
    media = [index.media(row) for row in range(len(index.media_column("length")))]
    often = Counter(each.path.name for each in media)
    root = index.roots[0].resolve()
    found = []
    for each in media:
        # a name that occurs twice is told with its folders
        long = each.path.resolve().relative_to(root).as_posix()
        file = each.name if each.kind != "image" else each.path.name if often[each.path.name] == 1 else long
        for row in each.objects:
            thing = index.object(row)
            if thing.crowd:
                continue
            name = index.manifest.categories.get(thing.category, "")
            found += [(file, thing.source_id, text, name) for text in phrases.get(row, ("",))]
    return found


def _phrases(index: Index) -> Mapping[int, list[str]]:
    """What is said of single objects, by their rows."""
    found: dict[int, list[str]] = {}
    for sample in index:
        if len(sample.objects) == 1 and sample.expressions:
            found.setdefault(sample.objects[0], []).extend(index.expression(row).text for row in sample.expressions)
    return found
