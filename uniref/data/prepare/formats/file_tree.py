"""The content of a user's folders, and the image files that annotations name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote

from uniref.core.errors import UniRefError
from uniref.data.prepare.job import BadRecord, FilesMissing
from uniref.data.prepare.split_names import split_of
from uniref.data.prepare.videos import is_video_file
from uniref.media.image import EXTENSIONS

_DEEPEST = 10  # folders inside folders
_MOST_FILES = 5_000_000


@dataclass(frozen=True)
class FileTree:
    """A folder and everything below it, without hidden files and folders."""

    base: Path
    folders: Mapping[str, Sequence[str]]
    """Names of the files, sorted, by folder (relative to `base`, with `/`; `""` is `base`)."""
    packed: bool = False
    """Whether it holds archives that are not unpacked yet."""

    def files(self, *suffixes: str) -> Iterator[Path]:
        """Files with these endings (lower case), folder by folder."""
        for folder, names in self.folders.items():
            for name in names:
                if name.lower().endswith(suffixes):
                    yield self.base / folder / name

    def images(self, folder: str) -> list[str]:
        """Names of the images that lie directly in a folder, sorted."""
        return [name for name in self.folders.get(folder, ()) if is_image_name(name)]

    def below(self, folder: str) -> list[str]:
        """Folders directly in a folder, sorted."""
        start = f"{folder}/" if folder else ""
        return [x for x in self.folders if x and x.startswith(start) and "/" not in x[len(start) :] and x != folder]

    @cached_property
    def lower(self) -> Mapping[str, str]:
        """Folders by their lower-case name."""
        return {folder.lower(): folder for folder in self.folders}


def is_image_name(name: str) -> bool:
    """Whether a file has the extension of an image."""
    return PurePosixPath(name).suffix.lower() in EXTENSIONS


def scan(base: Path, leave_out: Path | None = None) -> FileTree:
    """Everything below a folder; symbolic links to folders are followed once.

    Args:
        base: The folder.
        leave_out: A folder whose content is skipped (that of all indices).

    Raises:
        UniRefError: More than five million files, or a folder cannot be read.
    """
    folders: dict[str, list[str]] = {}
    seen: set[str] = set()
    skipped = leave_out.resolve() if leave_out is not None else None
    count = 0

    def failed(problem: OSError) -> None:
        raise UniRefError(f"{problem.filename}: cannot be read ({problem.strerror})") from None

    # folder by folder, without hidden files and loops of links
    for folder, inside, names in os.walk(base, followlinks=True, onerror=failed):
        real = os.path.realpath(folder)
        relative = Path(folder).relative_to(base).as_posix()
        if real in seen or relative.count("/") >= _DEEPEST or Path(real) == skipped:
            inside.clear()
            continue
        seen.add(real)
        inside[:] = sorted(x for x in inside if not x.startswith(".") and x != "__MACOSX")
        kept = sorted(name for name in names if not name.startswith("."))
        count += len(kept)
        if count > _MOST_FILES:
            raise UniRefError(f"{base}: holds more than {_MOST_FILES:,} files; name the folder of one data set")
        folders["" if relative == "." else relative] = kept
    return FileTree(base, folders)


class MediaFinder:
    """Finds the files that annotations name, whatever folder they were in when the annotations were written."""

    def __init__(self, trees: Sequence[FileTree], videos: bool = False) -> None:
        self._paths: dict[str, list[Path]] = {}
        for tree in trees:
            for folder, names in tree.folders.items():
                for name in names:
                    if is_image_name(name) or (videos and is_video_file(name)):
                        self._paths.setdefault(name.lower(), []).append(tree.base / folder / name)
        self._packed = any(tree.packed for tree in trees)
        self._searched = ", ".join(str(tree.base) for tree in trees)

    @property
    def stems(self) -> set[str]:
        """Names of all of them without extension."""
        return {path.stem for paths in self._paths.values() for path in paths}

    def with_stem(self, stem: str) -> list[Path]:
        """All files with this name without extension."""
        return [path for paths in self._paths.values() for path in paths if path.stem == stem]

    def find(self, name: object, near: Path) -> Path:
        """The file that a record names: the one with the most of its path, then the one nearest to `near`.

        Raises:
            BadRecord: None, or several that fit as well.
            FilesMissing: None, but it may be in an archive.
        """
        if not isinstance(name, str) or not name.strip():
            raise BadRecord(f"its file name is {name!r:.80}")
        parts = [part.lower() for part in PureWindowsPath(name.strip()).parts]  # takes / and \ alike
        candidates = list(dict.fromkeys(self._paths.get(parts[-1], ()) or self._paths.get(unquote(parts[-1]), ())))
        if not candidates and self._packed:
            raise FilesMissing(f"{near}: an image, {name[:200]}, is not there (looked for in {self._searched})")
        if not candidates:
            raise BadRecord(
                f"its image {name[:200]} is not there (looked for in {self._searched}; --source names more folders)"
            )
        ranks = [(_shared(path, parts), _nearness(path, near)) for path in candidates]
        best = max(ranks)
        winners = [path for path, rank in zip(candidates, ranks, strict=True) if rank == best]
        if len({path.resolve() for path in winners}) > 1:
            raise BadRecord(f"its image {name[:200]} may be {winners[0]} or {winners[1]}; keep one of them")
        return winners[0]


def _shared(path: Path, parts: Sequence[str]) -> int:
    """Number of parts that two paths have in common, from their ends."""
    path_parts = [part.lower() for part in path.parts]
    count = 0
    for one, other in zip(reversed(path_parts[:-1]), reversed(parts[:-1]), strict=False):
        if one != other:
            break
        count += 1
    return count


def _nearness(path: Path, near: Path) -> tuple[int, bool, int]:
    """Rank of a path: length of the common beginning, whether the split is the same, fewer further folders."""
    common = os.path.commonpath([path.absolute(), near.absolute()])
    alike = split_of(path.absolute(), Path(common)) == split_of(near.absolute(), Path(common))
    return len(common), alike, -len(path.parts)


def tree_base(path: Path, trees: Sequence[FileTree]) -> Path:
    """The base of the tree that a file or folder lies in; of one outside all of them, its own folder."""
    return next((tree.base for tree in trees if path.is_relative_to(tree.base)), path.parent)


def common_folder(paths: Sequence[Path], base: Path) -> Path:
    """The folder that all of these files are in: `base` where they are below it."""
    parents = {path.parent for path in paths}
    if all(parent.is_relative_to(base) for parent in parents):
        return base
    return Path(os.path.commonpath([x.absolute() for x in (*parents, base)]))
