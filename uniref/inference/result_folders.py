"""The folders of results in the output folder of `predict`, and files about all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uniref.core.errors import UniRefError
from uniref.core.json_files import read_json
from uniref.media.source import natural_key

SUMMARY = "summary.json"
_UNFINISHED = re.compile(r"\..*\.partial-.*-\d+(\.replaced)?")


@dataclass(frozen=True)
class ResultFolder:
    """The results of one input."""

    path: Path
    summary: dict[str, Any]

    @property
    def input(self) -> Path:
        """The input, as an absolute path."""
        return Path(str(self.summary["request"].get("input", self.summary.get("input", ""))))


def read_summary(folder: Path) -> dict[str, Any] | None:
    """The summary in a folder of results; None where there is none that this package wrote."""
    try:
        content = read_json(folder / SUMMARY)
    except UniRefError:
        return None
    return content if isinstance(content, dict) and isinstance(content.get("request"), dict) else None


def result_folders(out: Path) -> Iterator[ResultFolder]:
    """All folders of results, by name (2 before 10), each read when it is its turn."""
    folders = [path for path in out.iterdir() if not _UNFINISHED.fullmatch(path.name) and path.is_dir()]
    for path in sorted(folders, key=natural_key):
        summary = read_summary(path)
        if summary is not None:
            yield ResultFolder(path, summary)


def may_replace(path: Path, mark: bytes, warn: Callable[[str], None]) -> bool:
    """Whether a file is not there, or begins like one that uniref wrote; warns of any other.

    Args:
        path: The file.
        mark: What the first 1,000 bytes of ours hold.
        warn: Called with one line.
    """
    try:
        with path.open("rb") as file:
            ours = mark in file.read(1000)
    except FileNotFoundError:
        return True
    except OSError:
        ours = False
    if not ours:
        warn(f"{path}: is not written, since there is one that uniref did not write")
    return ours
