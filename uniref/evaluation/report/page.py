"""`report.html`: one file with everything inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from uniref.core import html
from uniref.evaluation.outcome import Entry, Outcome
from uniref.evaluation.report.pictures import Gallery
from uniref.evaluation.score_boxes import BoxItem
from uniref.evaluation.score_clips import Track
from uniref.evaluation.score_images import Item

_EXAMPLES = 3
_LISTED = 20  # bad files named in the page

_HISTOGRAMS = {
    Item: "IoU of each expression or query",
    Track: "J&F of each object or expression",
    BoxItem: "IoU of the best box for every object, mean of each image",
}


def page(
    outcomes: Sequence[Outcome],
    records: Sequence[Mapping[str, Any]],
    galleries: Sequence[Gallery],
    about: Mapping[str, str],
) -> str:
    """The page.

    Args:
        outcomes: What came out.
        records: The same as plain values (see tables.py).
        galleries: Draw their examples.
        about: What was evaluated: name -> value.
    """
    return html.render(
        "evaluation.html",
        title="Evaluation",
        about=about,
        compared=any(each["published"] for each in records),
        overview=[_overview(each) for each in records],
        sections=[_section(*each) for each in zip(outcomes, records, galleries, strict=True)],
    )


def _overview(record: Mapping[str, Any]) -> dict[str, str]:
    """A row of the first table: the measure that is published, else the first."""
    measure, value = next(iter(record["numbers"].items()), ("", None))
    known = record["published"]
    if known:
        measure, value = known["measure"], record["numbers"].get(known["measure"])
    return {
        "data": record["name"],
        "measure": measure,
        "percent": "" if value is None else f"{100 * value:.2f}",
        "published": f"{known['percent']:.1f} ({known['checkpoint']}, {known['source']})" if known else "",
        "state": "" if record["complete"] else "incomplete",
    }


def _section(outcome: Outcome, record: Mapping[str, Any], gallery: Gallery) -> dict[str, Any]:
    """What the template shows of a benchmark."""
    entries, known = outcome.entries, record["published"] or {}
    issues = []
    for kind, title in (("missing", "Missing"), ("problems", "Unusable"), ("strays", "Files that belong to nothing")):
        if names := getattr(outcome.issues, kind):
            more = max(0, len(names) - _LISTED)
            issues.append({"title": title, "count": len(names), "names": names[:_LISTED], "more": more})
    numbers = [
        {
            "measure": measure,
            "percent": f"{100 * value:.2f}",
            "published": f"{known['percent']:.1f}" if known.get("measure") == measure else "",
        }
        for measure, value in record["numbers"].items()
    ]
    chart = layout = None
    if entries:
        what = next(text for kind, text in _HISTOGRAMS.items() if isinstance(entries[0], kind))
        chart = html.Bars.of(what, [entry.score for entry in entries])
        first, second = ("above", "below") if outcome.tracks else ("left", "right")
        layout = f"Pictures: {first} the prediction in red, {second} the truth in green."
    return {
        "name": outcome.benchmark.name,
        "notes": outcome.notes,
        "issues": issues,
        "numbers": numbers,
        "published": bool(known),
        "chart": chart,
        "layout": layout,
        "examples": [
            {"title": title, "figures": [_figure(entry, gallery) for entry in some]}
            for title, some in _examples(entries)
        ],
    }


def _examples(entries: Sequence[Entry]) -> list[tuple[str, list[Entry]]]:
    """Best, median and worst; nothing is shown twice."""
    order = sorted(range(len(entries)), key=lambda place: (-entries[place].score, place))
    middle = max(0, len(order) // 2 - _EXAMPLES // 2)
    groups = [
        ("Best", order[:_EXAMPLES]),
        ("Median", order[middle : middle + _EXAMPLES]),
        ("Worst", order[::-1][:_EXAMPLES]),
    ]
    shown: set[int] = set()
    out = []
    for title, places in groups:
        fresh = [place for place in places if place not in shown]
        shown |= set(fresh)
        if fresh:
            out.append((title, [entries[place] for place in fresh]))
    return out


def _figure(entry: Entry, gallery: Gallery) -> dict[str, Any]:
    if isinstance(entry, Track):
        name, measure, layout, text = f"{entry.name}, {entry.key}", "J&F", "above, truth (green) below", entry.text
    elif isinstance(entry, Item):
        name, measure, layout, text = entry.name, "IoU", "left, truth (green) right", entry.text
    else:
        name, measure, layout, text = entry.media, "box IoU", "left, truth (green) right", ""
    layout = f"prediction (red) {layout}"
    return {
        "address": gallery.draw(entry),
        "alt": f"{text or name}: {layout}",
        "layout": layout,
        "text": text,
        "score": f"{measure} {100 * entry.score:.1f} %",
        "name": name,
    }
