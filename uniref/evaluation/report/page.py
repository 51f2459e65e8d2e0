"""`report.html`: one file with everything inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from uniref.evaluation.outcome import Entry, Outcome
from uniref.evaluation.report.charts import histogram
from uniref.evaluation.report.pictures import Gallery
from uniref.evaluation.score_boxes import BoxItem
from uniref.evaluation.score_clips import Track
from uniref.evaluation.score_images import Item

_EXAMPLES = 3
_LISTED = 20  # bad files named in the page

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #4a7fb5; --warn: #b58a2a33 }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1180px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.2em; border-top: 1px solid var(--line); padding-top: 1em; margin-top: 2em }
table { border-collapse: collapse; margin: .6em 0 } td, th { padding: .15em .8em .15em 0; text-align: left }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } tr { border-bottom: 1px solid var(--line) }
.columns { display: flex; flex-wrap: wrap; gap: 2em; align-items: flex-start }
.warn { background: var(--warn); padding: .5em .8em; border-radius: 4px }
.chart { width: 540px; max-width: 100% } .chart rect { fill: var(--bar) }
.chart text { font-size: 11px; fill: currentColor }
.chart .axis { stroke: currentColor } .chart .mean { stroke: currentColor; stroke-dasharray: 4 3 }
.caption { font-size: .85em; opacity: .8; margin: .2em 0 } figure { margin: 0 0 1em } figure img { max-width: 100% }
.gallery { display: flex; flex-wrap: wrap; gap: 1em 2em }
code { font-size: .9em }
"""


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
    facts = "".join(
        f"<tr><th>{escape(name)}</th><td><code>{escape(value)}</code></td></tr>" for name, value in about.items()
    )
    sections = "".join(_section(*each) for each in zip(outcomes, records, galleries, strict=True))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Evaluation</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>Evaluation</h1><table>{facts}</table>{_overview(records)}{sections}</body></html>\n"
    )


def _overview(records: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    compared = any(each["published"] for each in records)
    for each in records:
        measure, value = next(iter(each["numbers"].items()), ("", None))
        known = each["published"]
        if known:
            measure, value = known["measure"], each["numbers"].get(known["measure"])
        shown = "" if value is None else f"{100 * value:.2f}"
        beside = f"{known['percent']:.1f} ({known['checkpoint']}, {known['source']})" if known else ""
        state = "" if each["complete"] else "incomplete"
        cells = f'<td>{escape(each["name"])}</td><td>{escape(measure)}</td><td class="n">{shown}</td>'
        cells += f"<td>{escape(beside)}</td>" if compared else ""
        rows.append(f"<tr>{cells}<td>{state}</td></tr>")
    published = "<th>published</th>" if compared else ""
    head = f'<tr><th>data</th><th>measure</th><th class="n">%</th>{published}<th></th></tr>'
    return f"<table>{head}{''.join(rows)}</table>"


def _section(outcome: Outcome, record: Mapping[str, Any], gallery: Gallery) -> str:
    parts = [f"<h2>{escape(outcome.benchmark.name)}</h2>"]
    parts += [f'<p class="warn">{escape(note)}</p>' for note in outcome.notes]
    for kind, title in (("missing", "Missing"), ("problems", "Unusable"), ("strays", "Files that belong to nothing")):
        if names := getattr(outcome.issues, kind):
            shown = "".join(f"<li><code>{escape(name)}</code></li>" for name in names[:_LISTED])
            more = f"<li>and {len(names) - _LISTED} more</li>" if len(names) > _LISTED else ""
            parts.append(f"<details><summary>{title}: {len(names)}</summary><ul>{shown}{more}</ul></details>")
    numbers = _numbers(record)
    entries = outcome.entries
    if entries:
        what = next(text for kind, text in _HISTOGRAMS.items() if isinstance(entries[0], kind))
        numbers += f"<div>{histogram([entry.score for entry in entries], escape(what))}</div>"
    parts.append(f'<div class="columns">{numbers}</div>')
    if entries:
        first, second = ("above", "below") if outcome.tracks else ("left", "right")
        parts.append(f"<p class=caption>Pictures: {first} the prediction in red, {second} the truth in green.</p>")
    for title, some in _examples(entries):
        figures = "".join(_figure(entry, gallery) for entry in some)
        parts.append(f'<h3>{title}</h3><div class="gallery">{figures}</div>')
    return "".join(parts)


def _numbers(record: Mapping[str, Any]) -> str:
    known = record["published"] or {}
    rows = []
    for measure, value in record["numbers"].items():
        beside = f"{known['percent']:.1f}" if known.get("measure") == measure else ""
        cells = f'<td>{escape(measure)}</td><td class="n">{100 * value:.2f}</td>'
        rows.append(f'<tr>{cells}<td class="n">{beside}</td></tr>' if known else f"<tr>{cells}</tr>")
    published = '<th class="n">published</th>' if known else ""
    head = f'<tr><th>measure</th><th class="n">%</th>{published}</tr>'
    return f"<table>{head}{''.join(rows)}</table>" if rows else ""


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


def _figure(entry: Entry, gallery: Gallery) -> str:
    address = gallery.draw(entry)
    if isinstance(entry, Track):
        name, measure, layout, text = f"{entry.name}, {entry.key}", "J&F", "above, truth (green) below", entry.text
    elif isinstance(entry, Item):
        name, measure, layout, text = entry.name, "IoU", "left, truth (green) right", entry.text
    else:
        name, measure, layout, text = entry.media, "box IoU", "left, truth (green) right", ""
    said = f"&ldquo;{escape(text)}&rdquo; " if text else ""
    caption = f"{said}<b>{escape(measure)} {100 * entry.score:.1f} %</b> <code>{escape(name)}</code>"
    layout = f"prediction (red) {layout}"
    alt = escape(f"{text or name}: {layout}", quote=True)
    image = f'<img src="{address}" alt="{alt}" title="{layout}">' if address else "<p>(its prediction was not kept)</p>"
    return f"<figure>{image}<figcaption class=caption>{caption}</figcaption></figure>"
