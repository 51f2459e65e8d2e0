"""Files of a project: everything that `uniref predict --save` writes, and a folder to train on."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from uniref.core.atomic import atomic_folder
from uniref.core.errors import UniRefError, UsageError
from uniref.core.json_files import read_json
from uniref.core.parallel import prefetch
from uniref.inference.recorder import Recorder, StoppedError
from uniref.inference.results import FrameResult
from uniref.inference.sink_base import Context, Sink
from uniref.inference.sinks import SINKS
from uniref.labeling.frames import FrameReader
from uniref.labeling.reader import ProjectReader
from uniref.labeling.results import LabelledObjects, frame_result, labelled_objects
from uniref.media.frame import SourceFrame
from uniref.media.mask import write_labels
from uniref.media.source import MediaSource

CUSTOM = "custom"
FORMATS = (*SINKS, CUSTOM)
"""What can be exported."""
SUMMARY = "summary.json"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")
_QUALITY = 95  # of JPEGs to train on


class CustomSink(Sink):
    """`custom/`: frames with a mask as `images`, their `masks`, and `phrases.csv` of the objects that they show, as
    `uniref prepare-data custom` reads them."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._folder = context.folder / CUSTOM
        self._clip = re.sub(r"[^\w-]+", "-", context.source.path.resolve().stem).strip("-") or "clip"
        for name in ("images", "masks"):
            (self._folder / name).mkdir(parents=True)
        objects = context.objects
        assert isinstance(objects, LabelledObjects)
        self._phrases = {n: list(dict.fromkeys(objects.phrases(n))) for n in objects.ids}
        self._table = (self._folder / "phrases.csv").open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._table, lineterminator="\n")
        self._rows.writerow(["file", "object", "phrase"])

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Write a frame and its label map, unless no object has been followed to it."""
        if frame.damaged or not result.masks:
            return
        name = self._clip if self.context.source.kind == "image" else f"{self._clip}-{frame.name}"
        Image.fromarray(frame.image).save(self._folder / f"images/{name}.jpg", quality=_QUALITY, subsampling=0)
        write_labels(self._folder / f"masks/{name}.png", result.labels)
        for number in np.unique(result.labels).tolist():
            self._rows.writerows([name, number, phrase] for phrase in self._phrases.get(number, ()))

    def close(self) -> None:
        """Finish the table; without a phrase there is none."""
        self._table.close()
        if not any(self._phrases.values()):
            (self._folder / "phrases.csv").unlink()
            self.context.warn("no object has a text or a name: give them names to train on phrases")


_SINKS: dict[str, type[Sink]] = SINKS | {CUSTOM: CustomSink}


def check_export(project: ProjectReader, formats: Sequence[str], name: str | None) -> Path:
    """The folder that an export gets.

    Args:
        project: Whose.
        formats: Of `FORMATS`.
        name: Letters, digits, - and _; None: export, export-2, ...

    Raises:
        UsageError: An unknown format, a name that is not valid or that is used already.
    """
    if not formats:
        raise UsageError(f"give at least one format: {', '.join(FORMATS)}")
    if unknown := [each for each in formats if each not in FORMATS]:
        raise UsageError(f"format {unknown[0]!r:.40}: use {', '.join(FORMATS)}")
    folder = project.folder / "exports"
    if name is None:
        names = (f"export-{number}" if number > 1 else "export" for number in itertools.count(1))
        name = next(each for each in names if not (folder / each).exists())
    if not _NAME.fullmatch(name):
        raise UsageError(f"name {name!r:.80}: use up to 60 letters, digits, - and _")
    if (folder / name).exists():
        raise UsageError(f"{folder / name}: exists already; choose another name")
    return folder / name


def write_export(
    project: ProjectReader,
    frames: FrameReader,
    formats: Sequence[str],
    folder: Path,
    keep_going: Callable[[], bool],
    report: Callable[[int], None],
) -> None:
    """Write the files of a project, as `uniref predict` does for the same masks, into a folder that is complete or not
    there.

    Args:
        project: As it is when it is written.
        frames: Of its video.
        formats: Of `FORMATS`.
        folder: As `check_export` returned it.
        keep_going: Asked after every frame.
        report: Called with the index of every frame that is done.

    Raises:
        UniRefError: The video cannot be read, or a file cannot be written.
        UsageError: There is no mask.
    """
    objects = labelled_objects(project)
    if not objects.ids:
        raise UsageError("there is nothing to export: no object has a mask yet")
    kinds = [_SINKS[name] for name in dict.fromkeys(formats)]
    soft = any(kind.needs_probabilities for kind in kinds)
    source = MediaSource(frames.path, fast=False)
    notes: list[str] = []
    with contextlib.suppress(StoppedError), atomic_folder(folder) as work:
        context = Context(work, source, objects, 1, True, notes.append)
        recorder = Recorder(context, kinds)
        complete = True
        try:
            with contextlib.closing(prefetch(source.frames())) as reading:
                for frame in reading:
                    records = project.masks(frame.index)
                    recorder.add(
                        frame, frame_result(frame, records, objects.texts, source.kind == "image", objects.ids, soft)
                    )
                    report(frame.index)
                    if not (complete := keep_going()):
                        break
        finally:
            recorder.finish()
        recorder.check(lambda: not complete)
        if not complete:
            raise StoppedError  # so that the folder does not get its final name
        recorder.warn_of_damage()
        _write_summary(work, recorder.summary(True, 0.0, 0.0), formats, notes)


def _write_summary(folder: Path, summary: dict[str, Any], formats: Sequence[str], notes: Sequence[str]) -> None:
    """`summary.json`: as that of `uniref predict`, but for what only a prediction has."""
    kept = {key: value for key, value in summary.items() if key not in ("seconds", "frames_per_second")}
    files = sum(path.is_file() for path in folder.rglob("*")) + 1  # counted once: the page asks again and again
    text = json.dumps(kept | {"formats": list(formats), "notes": list(notes), "files": files}, indent=2)
    (folder / SUMMARY).write_text(text + "\n", "utf-8")


def list_exports(project: ProjectReader) -> list[dict[str, Any]]:
    """The finished exports of a project, by name, as JSON types."""
    found = []
    for folder in sorted((project.folder / "exports").glob("[!.]*")):
        try:
            summary = read_json(folder / SUMMARY)
            formats, files = [str(each) for each in summary["formats"]], int(summary["files"])
        except (UniRefError, KeyError, TypeError, ValueError):
            continue
        found.append(
            {
                "name": folder.name,
                "folder": str(folder),
                "formats": formats,
                "files": files,
                "notes": summary.get("notes", []),
                # without a phrase there is nothing that the recipe could train on
                "next": _next_commands(folder) if (folder / CUSTOM / "phrases.csv").exists() else None,
            }
        )
    return found


def _next_commands(folder: Path) -> str:
    """How to train on an export."""
    source = shlex.quote(str(folder / CUSTOM))
    return f"uniref prepare-data custom --source {source} --overwrite && uniref train recipes/finetune-small.yaml"
