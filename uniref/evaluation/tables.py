"""Results as a table for the terminal, as `results.json` and as `per_sequence.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from uniref.core.text import printable
from uniref.evaluation.metrics.tracks import deviation, jitter, statistics
from uniref.evaluation.outcome import Outcome
from uniref.evaluation.published import Published, published
from uniref.evaluation.score_clips import Track
from uniref.evaluation.score_images import Item
from uniref.evaluation.summaries import size_of

_FORMULA, _BLANKS = ("=", "+", "-", "@", "|"), ("\t", "\r", "\n")
_LISTED = 1000  # names of bad files kept in results.json

COLUMNS = (
    "data", "sequence", "target", "text", "group", "seen", "size", "frames", "missing", "J&F", "J", "F", "J recall",
    "J decay", "F recall", "F decay", "V", "jitter", "IoU", "intersection", "union", "box IoU",
)  # fmt: skip


def comparison(outcome: Outcome, checkpoint: str | None) -> Published | None:
    """The published number for an outcome, where the checkpoint is a released one."""
    manifest = outcome.benchmark.index.manifest
    return published(checkpoint, manifest.dataset, manifest.split, outcome.benchmark.shots)


def record(outcome: Outcome, checkpoint: str | None) -> dict[str, Any]:
    """An outcome as plain values."""
    benchmark, known = outcome.benchmark, comparison(outcome, checkpoint)
    issues = {kind: {"count": len(lines), "names": lines[:_LISTED]} for kind, lines in asdict(outcome.issues).items()}
    protocol = asdict(benchmark.protocol) | {"task": benchmark.protocol.task.value}
    return {
        "name": benchmark.name,
        "data": benchmark.data,
        "shots": benchmark.shots,
        "protocol": protocol,
        "samples": sum(len(unit) for unit in benchmark.units),
        "scored": len(outcome.entries),
        "complete": outcome.complete,
        "numbers": dict(outcome.numbers),
        "published": None if known is None else asdict(known),
        "notes": list(outcome.notes),
        **issues,
    }


def table(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines for the terminal: every measure in percent, and the published number beside its own."""
    rows = [("data", "measure", "%", "published")]
    for each in records:
        known = each["published"]
        for place, (measure, value) in enumerate(each["numbers"].items()):
            beside = f"{known['percent']:.1f}" if known and known["measure"] == measure else ""
            rows.append((each["name"] if place == 0 else "", measure, f"{100 * value:.2f}", beside))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [f"{a:{widths[0]}}  {b:{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}".rstrip() for a, b, c, d in rows]
    if not any(each["numbers"] for each in records):
        lines = []
    for each in records:
        lines += [f"{each['name']}: {note}" for note in each["notes"]]
    sources = {(each["published"]["checkpoint"], each["published"]["source"]) for each in records if each["published"]}
    return lines + [f"published: {checkpoint}, {source}" for checkpoint, source in sorted(sources)]


def sequences(outcomes: Sequence[Outcome]) -> str:
    """`per_sequence.csv`: a line for every scored expression, query or object; values are fractions."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for outcome in outcomes:
        for row in _rows(outcome):
            writer.writerow({key: _cell(value) for key, value in {"data": outcome.benchmark.name, **row}.items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    """A text that spreadsheets would take for a formula, behind the apostrophe that says it is a text."""
    if not isinstance(value, str):
        return value
    risky = value[:1] in _BLANKS or value.lstrip()[:1] in _FORMULA
    return f"'{printable(value)}" if risky else printable(value)


def _rows(outcome: Outcome) -> Iterator[dict[str, Any]]:
    for item in outcome.items:
        yield _item_row(item)
    for image in outcome.boxes:
        yield {
            "sequence": image.media,
            "target": f"{len(image.ious)} boxes",
            "frames": 1,
            "missing": 0,
            "box IoU": image.score,
        }
    for track in outcome.tracks:
        if track.matched != "direct":
            yield _track_row(track)


def _item_row(item: Item) -> dict[str, Any]:
    return {
        "sequence": item.media,
        "target": item.name,
        "text": item.text,
        "size": size_of(item.share) if item.truth else "",
        "frames": 1,
        "missing": int(item.missing),
        "IoU": item.score,
        "intersection": item.intersection,
        "union": item.union,
        "box IoU": "" if item.box_iou is None else item.box_iou,
    }


def _track_row(track: Track) -> dict[str, Any]:
    row = {
        "sequence": track.media,
        "target": track.key,
        "text": track.text,
        "group": "" if track.group < 0 else track.group,
        "seen": {True: "seen", False: "unseen", None: ""}[track.seen],
        "size": size_of(track.share) if track.share else "",
        "frames": len(track.frames),
        "missing": track.expected - len(track.frames),
    }
    if not track.frames:
        return row
    region, boundary = statistics(track.region), statistics(track.boundary)
    return row | {
        "J&F": track.score,
        "J": region.mean,
        "F": boundary.mean,
        "J recall": region.recall,
        "J decay": region.decay,
        "F recall": boundary.recall,
        "F decay": boundary.decay,
        "V": deviation(track.region, track.boundary),
        "jitter": jitter(track.region, track.boundary),
    }
