"""Folders of results of `uniref predict`: which one an input gets, what is in it, what may be replaced."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uniref.core.errors import UniRefError, UsageError
from uniref.core.files import is_folder, split_pair
from uniref.core.json_files import read_json
from uniref.inference.prompts import Prompt
from uniref.inference.result_folders import SUMMARY, read_summary
from uniref.media.source import MediaSource

_DRAWN = frozenset(("overlay", "gif"))  # outputs with labels
_NUMBERED = re.compile(r"\d{1,18}:")  # a mask of a later frame


class InputFolders:
    """The folders that the results of one input may go to: OUT/NAME, OUT/NAME-2, ... for further requests.

    Args:
        out: Folder of all results.
        name: Of the input.
        taken: Names of all inputs of the run.
    """

    def __init__(self, out: Path, name: str, taken: Sequence[str]) -> None:
        self.usual = out / name
        self._taken = frozenset(taken)

    def of_request(self, request: Mapping[str, Any], fixed: bool, overwrite: bool) -> Path:
        """The folder that answers a request already, else the first that is free.

        Args:
            request: As in a summary.
            fixed: The user chose the name: no other is taken.
            overwrite: Take the usual folder where none answers the request.
        """
        if fixed or is_free(self.usual) or answered_request(self.usual) in (request, None):
            return self.usual
        for number in itertools.count(2):
            folder = self.usual.with_name(f"{self.usual.name}-{number}")
            if folder.name in self._taken:
                continue
            if is_free(folder):
                return self.usual if overwrite else folder
            if answered_request(folder) == request:
                return folder
        raise AssertionError


def is_free(folder: Path) -> bool:
    """Whether nothing is in the place of a folder of results."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def protect(final: Path, source: MediaSource, prompt: Prompt) -> None:
    """Refuse an output folder whose replacement would delete files that this command did not write.

    Raises:
        UsageError: It is, or holds, an input; or it holds files but no summary of this command.
    """
    files = [Path(part) for pair in prompt.support for part in split_pair(pair) or ()]
    files += [Path(entry.partition(":")[2] if _NUMBERED.match(entry) else entry) for entry in prompt.mask]
    for path in (*([source.path] if source.seekable else []), *files):
        if final.resolve() in (path.resolve(), *path.resolve().parents):
            raise UsageError(f"{final}: results would go there, but it is or holds an input; choose another --out")
    for folder in (final, partial_of(final)):
        if folder.is_dir() and any(folder.iterdir()) and answered_request(folder) is None:
            raise UsageError(f"{folder}: holds files that are not results of uniref; choose another --out")


def partial_of(final: Path) -> Path:
    """Where an interrupted run's files stay."""
    return final.with_name(final.name + ".partial")


def answered_request(folder: Path) -> dict[str, Any] | None:
    """The request that a folder of results answers; None where it holds no results of this command."""
    summary = read_summary(folder)
    return None if summary is None else plain_request(summary["request"])


def plain_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request without what changes no file: the order of the outputs, and labels where nothing is drawn."""
    options = request.get("options")
    if not isinstance(options, Mapping) or not isinstance(options.get("save"), Sequence):
        return dict(request)
    save = sorted(map(str, options["save"]))
    return {**request, "options": {**options, "save": save, "labels": bool(options.get("labels") and {*save} & _DRAWN)}}


def write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """`summary.json`, with long lists on one line each at its end: series, and names of files in folders of images."""
    files = {
        path.name: sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        for path in sorted(folder.iterdir())
        if path.is_dir()
    }
    head = json.dumps({key: summary[key] for key in summary if key != "timeline"}, indent=2).removesuffix("\n}")
    long = {key: summary[key] for key in ("timeline",) if key in summary} | {"files": files}
    tail = "".join(f',\n  "{key}": {json.dumps(value)}' for key, value in long.items())
    (folder / SUMMARY).write_text(f"{head}{tail}\n}}\n", "utf-8")


def written_files(folder: Path) -> set[str]:
    """The files that a folder's summary lists as outputs, relative, with `/`; none where it has no summary."""
    try:
        content = read_json(folder / SUMMARY)
        outputs = {str(name) for name in content["outputs"]}
        images = {f"{subfolder}/{name}" for subfolder, names in content.get("files", {}).items() for name in names}
    except (UniRefError, KeyError, TypeError, AttributeError):
        return set()
    if "files" not in content:  # of an older version: the masks of a video are called by their numbers
        images = {
            path.relative_to(folder).as_posix()
            for name in outputs
            for path in (folder / name).glob("*.png")
            if path.stem.isdecimal()
        }
    return {SUMMARY, *images, *(name for name in outputs if not is_folder(folder / name))}
