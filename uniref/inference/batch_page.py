"""`index.html` in the output folder of `predict`: one row per input, to look through a batch."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from uniref.core import html
from uniref.core.atomic import atomic_file
from uniref.core.errors import UniRefError
from uniref.core.files import read_text
from uniref.core.json_files import parse_json
from uniref.core.text import printable
from uniref.inference.preview import PREVIEW
from uniref.inference.result_folders import ResultFolder, may_replace, result_folders
from uniref.media.draw import colour

INDEX = "index.html"
_MARK = b'<meta name="generator" content="uniref predict">'
_LARGEST = 256 << 20  # bytes of a page that is read for the inputs that failed
_FAILED = re.compile(r'<script type="application/json" id="failed">(.*?)</script>', re.DOTALL)
_SHOWN = 8  # objects per input; the others are counted
_BINS = 60  # of a chart
_WIDTH, _HEIGHT = 150, 16


@dataclass(frozen=True)
class FailedInput:
    """An input without a result."""

    name: str
    """Of the folder that its results would have."""
    input: str
    error: str


@dataclass(frozen=True)
class _Object:
    label: str
    colour: str
    found: bool
    share: str
    score: str
    area: str
    """SVG path of the presence over time."""
    line: str
    """SVG path of the score over time."""


@dataclass(frozen=True)
class _Row:
    name: str
    input: str
    link: str
    """Relative, or empty where there is no folder."""
    status: str
    note: str
    preview: str
    preview_title: str
    facts: str
    objects: Sequence[_Object]
    more: int
    files: Sequence[tuple[str, str]]
    """(name, link)"""
    found: float
    score: float
    frames: int
    seconds: float


def write_batch_page(
    out: Path, names: Sequence[str], failed: Sequence[FailedInput], warn: Callable[[str], None]
) -> Path | None:
    """Write the page about everything in an output folder.

    Args:
        out: The folder that holds the folders of results.
        names: Folders of all inputs of this run, whichever process does them.
        failed: Inputs of this process that failed.
        warn: Called with one line where the page of somebody else is there.

    Returns:
        The page, or None where it was not written.

    Raises:
        UniRefError: It cannot be written.
    """
    path = out / INDEX
    if not may_replace(path, _MARK, warn):
        return None
    # inputs of this run that failed in another process
    of_others = [each for each in _failed_before(path) if each.name in set(names)]
    failures = {each.name: each for each in (*of_others, *failed)}
    own = {each.name for each in failed}
    done = {each.path.name for each in result_folders(out)} if of_others else set()
    failures = {name: each for name, each in failures.items() if name in own or name not in done}
    # the page, one row at a time
    counts: dict[str, int] = {}
    rows = _counted(_rows(out, failures), counts)
    title = f"uniref predict: {printable(out.resolve().name)}"
    values = {"title": title, "failed": [asdict(each) for each in failures.values()], "rows": rows, "counts": counts}
    with atomic_file(path) as work, work.open("w", encoding="utf-8", errors="backslashreplace") as file:
        for part in html.stream("batch.html", width=_WIDTH, height=_HEIGHT, **values):
            file.write(part)
    return path


def _failed_before(path: Path) -> list[FailedInput]:
    """The inputs that an older page names as failed; none where it cannot be read."""
    try:
        found = _FAILED.search(read_text(path, largest=_LARGEST))
        records = parse_json(found[1], str(path)) if found else []
        return [FailedInput(str(each["name"]), str(each["input"]), str(each["error"])) for each in records]
    except (UniRefError, TypeError, KeyError):
        return []


def _counted(rows: Iterator[_Row], counts: dict[str, int]) -> Iterator[_Row]:
    for row in rows:
        counts[row.status] = counts.get(row.status, 0) + 1
        yield row


def _rows(out: Path, failures: Mapping[str, FailedInput]) -> Iterator[_Row]:
    for each in failures.values():
        yield _failed_row(each)
    for folder in result_folders(out):
        try:
            yield _result_row(folder)
        except (KeyError, TypeError, ValueError, AttributeError) as problem:  # written by an older version, or changed
            yield _failed_row(
                FailedInput(folder.path.name, str(folder.input), f"summary.json cannot be shown ({problem!r})")
            )


def _failed_row(each: FailedInput) -> _Row:
    return _Row(
        name=printable(each.name),
        input=printable(each.input),
        link="",
        status="failed",
        note=printable(each.error),
        preview="",
        preview_title="",
        facts="",
        objects=(),
        more=0,
        files=(),
        found=-1,
        score=-1,
        frames=0,
        seconds=0,
    )


def _result_row(folder: ResultFolder) -> _Row:
    summary = folder.summary
    objects = summary["objects"]
    frames = int(summary["frames"]["written"])
    charts = summary.get("timeline", {}).get("objects", {})
    # what is there
    present = [int(about["frames_present"]) for about in objects.values()]
    scores = [float(about["mean_score"]) for about in objects.values() if about["mean_score"] is not None]
    absent = [number for number, about in objects.items() if not about.get("present", about["frames_present"] > 0)]
    size = summary["size"]
    kind = {"image": "image", "video": "video", "frames": "folder of frames"}.get(summary["kind"], summary["kind"])
    facts = f"{kind}, {size['width']} x {size['height']}" + (f", {frames:,} frames" if frames != 1 else "")
    if damaged := summary["frames"].get("damaged"):
        facts += f", {damaged} damaged"
    # links to what was written
    files = [str(name) for name in summary["outputs"] if name != PREVIEW] + ["summary.json"]
    has_preview = PREVIEW in summary["outputs"]
    status = "stopped" if not summary["complete"] else "not found" if absent else "done"
    return _Row(
        name=printable(folder.path.name),
        input=printable(str(summary["input"])),
        link=_link(folder.path.name),
        status=status,
        note="",
        preview=_link(folder.path.name, PREVIEW) if has_preview else "",
        preview_title="first, best and last frame" if frames > 1 else "the image",
        facts=facts,
        objects=[_chart(number, about, frames, charts.get(number)) for number, about in list(objects.items())[:_SHOWN]],
        more=max(0, len(objects) - _SHOWN),
        files=[(name, _link(folder.path.name, name)) for name in files],
        found=sum(present) / (len(present) * frames) if present and frames else 0,
        score=max(scores, default=0),
        frames=frames,
        seconds=float(summary["seconds"]["total"]),
    )


def _chart(number: str, about: Mapping[str, Any], frames: int, series: Mapping[str, Any] | None) -> _Object:
    """What the page says of one object."""
    words = " ".join(str(about.get("text") or f"{about['kind']} {number}").split())
    label = f"{words} #{about['instance']}" if "instance" in about else words
    count = int(about["frames_present"])
    share = "" if frames <= 1 else f"{count:,} of {frames:,}"
    red, green, blue = colour(int(number))
    present = _fewer(series["present"]) if series else []
    scores = _fewer([0 if value is None else value for value in series["score"]]) if series else []
    return _Object(
        label=printable(label),
        colour=f"#{red:02x}{green:02x}{blue:02x}",
        found=bool(about.get("present", count > 0)),
        share=share,
        score="" if about["mean_score"] is None else f"{float(about['mean_score']):.2f}",
        area=_steps(present) if frames > 1 else "",
        line=_line(scores) if frames > 1 else "",
    )


def _fewer(values: Sequence[float]) -> list[float]:
    """At most `_BINS` means of neighbours."""
    if len(values) <= _BINS:
        return [float(value) for value in values]
    edges = [round(index * len(values) / _BINS) for index in range(_BINS + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def _steps(values: Sequence[float]) -> str:
    """An SVG path of bars, as high as the values from 0 to 1; neighbours of one height are one bar."""
    path, start = [], 0
    for index in range(1, len(values) + 1):
        if index == len(values) or values[index] != values[start]:
            if values[start] > 0:
                left, width = start * _WIDTH / len(values), (index - start) * _WIDTH / len(values)
                height = values[start] * _HEIGHT
                path.append(f"M{left:.1f} {_HEIGHT}v{-height:.1f}h{width:.1f}v{height:.1f}z")
            start = index
    return "".join(path)


def _line(values: Sequence[float]) -> str:
    """An SVG path through the values from 0 to 1."""
    step = _WIDTH / max(1, len(values))
    points = [f"{(i + 0.5) * step:.1f} {_HEIGHT - 1 - min(1.0, v) * (_HEIGHT - 2):.1f}" for i, v in enumerate(values)]
    return "M" + "L".join(points) if len(points) > 1 else ""


def _link(*parts: str) -> str:
    """A relative address; `./` keeps a colon in a name from being read as a scheme."""
    return "./" + "/".join(quote(os.fsencode(part)) for part in parts)
