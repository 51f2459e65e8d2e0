"""One annotation file for all results of an output folder, merged from those of its inputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uniref.core.atomic import atomic_file
from uniref.core.errors import UniRefError
from uniref.core.files import writing
from uniref.core.json_files import stream_json
from uniref.inference.coco import INFO, Categories, JsonLists, write_document
from uniref.inference.result_folders import may_replace, result_folders

MERGED = {"coco.json": "images", "polygons.json": "images", "youtube_vis.json": "videos"}
"""Names of the files, and what they hold beside annotations."""
_MARK = f'{{"info": {{"description": "{INFO["description"]}"'.encode()


def merge_annotations(out: Path, warn: Callable[[str], None]) -> list[Path]:
    """Write `coco.json`, `polygons.json` and `youtube_vis.json` where an input's results hold such a file.

    Categories of the same name are one, and an image that has several folders of results is one image. Files are called
    by their paths below the folder that all inputs have in common. Entries are read one at a time.

    Args:
        out: The folder that holds the folders of results.
        warn: Called with one line for each file that is left out.

    Returns:
        The files written.

    Raises:
        UniRefError: A file cannot be written.
    """
    parts = [
        _Part(folder.path, folder.input, folder.summary.get("kind") == "image")
        for folder in result_folders(out)
        if folder.summary.get("complete")
    ]
    written = []
    for name, media in MERGED.items():
        files = [(part, part.folder / name) for part in parts if (part.folder / name).is_file()]
        if not files or not may_replace(out / name, _MARK, warn):
            continue
        with writing(out / name):
            lists = JsonLists(out)
            merger = _Merger(lists, media, [part for part, _ in files])
            for part, path in files:
                try:
                    merger.add(part, path)
                except (UniRefError, KeyError, TypeError, AttributeError) as problem:
                    warn(f"{path}: is damaged, and {out / name} has not all of it ({problem})")
            with atomic_file(out / name) as work:
                write_document(work, lists, (media, "annotations"), merger.categories)
            lists.close()
        written.append(out / name)
    return written


@dataclass(frozen=True)
class _Part:
    """One folder of results."""

    folder: Path
    input: Path
    is_image: bool

    @property
    def parent(self) -> Path | None:
        """The folder of the input; None for one that has none (a camera)."""
        return self.input.parent if self.input.is_absolute() else None


class _Merger:
    """Renumbers the entries of many files.

    Args:
        lists: Where they go.
        media: "images" or "videos".
        parts: All whose files will be added.
    """

    def __init__(self, lists: JsonLists, media: str, parts: Sequence[_Part]) -> None:
        self._lists, self._media = lists, media
        parents = [part.parent for part in parts if part.parent is not None]
        self._common = Path(os.path.commonpath(parents)) if parents else Path()
        self.categories = Categories()
        self._images: dict[Path, int] = {}
        self._next_media = self._next_annotation = 1

    def add(self, part: _Part, path: Path) -> None:
        """Add a file's entries."""
        names = {each["id"]: str(each["name"]) for each in stream_json(path, "categories")}
        for name in names.values():  # all of them, in the order of the first file that has them
            self.categories.number(name)
        numbers = self._add_media(part, path)
        key = "image_id" if self._media == "images" else "video_id"
        for annotation in stream_json(path, "annotations"):
            renumbered = {
                "id": self._next_annotation,
                key: numbers[annotation[key]],
                "category_id": self.categories.number(names[annotation["category_id"]]),
            }
            self._next_annotation += 1
            self._lists.add("annotations", annotation | renumbered)

    def _add_media(self, part: _Part, path: Path) -> dict[int, int]:
        """Add a file's images or videos; returns their new numbers."""
        parent = part.parent.relative_to(self._common) if part.parent is not None else Path()
        numbers = {}
        for each in stream_json(path, self._media):
            known = self._images.get(part.input) if part.is_image else None
            numbers[each["id"]] = known or self._next_media
            if known:
                continue
            self._images[part.input] = self._next_media
            below = {key: _below(parent, each[key]) for key in ("file_name", "file_names") if key in each}
            self._lists.add(self._media, each | {"id": self._next_media} | below)
            self._next_media += 1
        return numbers


def _below(parent: Path, names: Any) -> Any:
    """File names below a folder."""
    if isinstance(names, list):
        return [_below(parent, name) for name in names]
    return (parent / str(names)).as_posix().encode("utf-8", "replace").decode("utf-8")
