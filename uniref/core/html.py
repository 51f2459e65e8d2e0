"""Self-contained HTML pages: text, tables, curves (SVG) and pictures (PNG) in one file."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from uniref.core.errors import UniRefError

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:72em;padding:0 1em;color:#222}
h1,h2,h3{line-height:1.2}table{border-collapse:collapse;margin:1em 0}
td,th{padding:.25em .7em;border-bottom:1px solid #ddd;text-align:right}td:first-child,th:first-child{text-align:left}
pre{background:#f6f6f6;padding:1em;overflow:auto;font-size:13px}figure{display:inline-block;margin:.5em}
figcaption{font-size:13px;max-width:26em}img{max-width:100%}svg text{font:11px system-ui,sans-serif;fill:#555}
"""
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#7f7f7f")
_WIDTH, _HEIGHT, _MARGIN = 520, 240, 44


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page from parts that are HTML already."""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>{html.escape(title)}</h1>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def write(path: Path, content: str) -> None:
    """Write a page; it replaces an older one when it is complete. Raises UniRefError."""
    work = path.with_name(f".{path.name}.partial")
    try:
        work.write_text(content, "utf-8")
        work.replace(path)
    except OSError as error:
        raise UniRefError(f"{path}: cannot be written ({error.strerror})") from None


def heading(text: str, level: int = 2) -> str:
    """A heading."""
    return f"<h{level}>{html.escape(text)}</h{level}>"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{html.escape(text)}</p>"


def preformatted(text: str) -> str:
    """Text as it is, in a fixed-width font."""
    return f"<pre>{html.escape(text)}</pre>"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; numbers with a point are shown with four digits after it."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(_cell(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def picture(image: npt.NDArray[np.uint8], caption: str = "", width: int | None = None) -> str:
    """A picture uint8 [H, W, 3] with words under it."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    size = f' width="{width}"' if width else ""
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{html.escape(caption, quote=True)}"{size}>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def curves(title: str, series: Mapping[str, Sequence[tuple[float, float]]], x_name: str = "step") -> str:
    """Curves over a common axis.

    Args:
        title: Above them.
        series: Name -> points (x, y).
        x_name: Under the axis.
    """
    points = [point for line in series.values() for point in line]
    if not points:
        return ""
    (x0, x1), (y0, y1) = _range([x for x, _ in points]), _range([y for _, y in points])

    def place(x: float, y: float) -> str:
        return (
            f"{_MARGIN + (x - x0) / (x1 - x0) * (_WIDTH - _MARGIN - 8):.1f},"
            f"{_HEIGHT - 24 - (y - y0) / (y1 - y0) * (_HEIGHT - 48):.1f}"
        )

    drawn = []
    for number, (name, line) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        drawn.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="'
            f'{" ".join(place(x, y) for x, y in line)}"/>'
            f'<text x="{_MARGIN + 6 + number % 3 * 150}" y="{12 + number // 3 * 12}" style="fill:{colour}">'
            f"{html.escape(name)}</text>"
        )
    marks = "".join(
        f'<text x="2" y="{_HEIGHT - 20 - share * (_HEIGHT - 48):.0f}">{y0 + share * (y1 - y0):.4g}</text>'
        for share in (0, 0.5, 1)
    )
    return (
        f'<figure><figcaption><b>{html.escape(title)}</b></figcaption><svg width="{_WIDTH}" height="{_HEIGHT}">'
        f'<rect x="{_MARGIN}" y="24" width="{_WIDTH - _MARGIN - 8}" height="{_HEIGHT - 48}" fill="none" stroke="#ccc"/>'
        f'{"".join(drawn)}{marks}<text x="{_MARGIN}" y="{_HEIGHT - 6}">{x0:g}</text>'
        f'<text x="{_WIDTH - 90}" y="{_HEIGHT - 6}">{x1:g} {html.escape(x_name)}</text></svg></figure>'
    )


def histogram(title: str, values: Sequence[float], bins: int = 20, low: float = 0.0, high: float = 1.0) -> str:
    """Bars of how many values fall into each part of low..high."""
    counts, _ = np.histogram(np.clip(values, low, high), bins=bins, range=(low, high))
    top, step = max(1, int(counts.max(initial=0))), (_WIDTH - _MARGIN - 8) / bins
    bars = "".join(
        f'<rect x="{_MARGIN + number * step:.1f}" y="{_HEIGHT - 24 - count / top * (_HEIGHT - 48):.1f}" '
        f'width="{step - 1:.1f}" height="{count / top * (_HEIGHT - 48):.1f}" fill="{_COLOURS[0]}"/>'
        for number, count in enumerate(counts.tolist())
    )
    return (
        f'<figure><figcaption><b>{html.escape(title)}</b></figcaption><svg width="{_WIDTH}" height="{_HEIGHT}">{bars}'
        f'<text x="2" y="34">{top}</text><text x="{_MARGIN}" y="{_HEIGHT - 6}">{low:g}</text>'
        f'<text x="{_WIDTH - 30}" y="{_HEIGHT - 6}">{high:g}</text></svg></figure>'
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
