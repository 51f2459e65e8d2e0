"""Charts as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_BINS = 20
_WIDTH, _HEIGHT = 520, 150
_LEFT, _BOTTOM = 40, 24


def histogram(values: Sequence[float], what: str) -> str:
    """How often each range of `values` (0..1) occurs, as an `<svg>`.

    Args:
        values: At least one.
        what: What they are, for the label.
    """
    counts, _ = np.histogram(np.clip(values, 0, 1), bins=_BINS, range=(0, 1))
    top = int(counts.max())
    wide, high = (_WIDTH - _LEFT) / _BINS, _HEIGHT - _BOTTOM - 10
    bars = []
    for place, count in enumerate(counts.tolist()):
        height = high * count / top
        x, y = _LEFT + place * wide, _HEIGHT - _BOTTOM - height
        label = f"<title>{place / _BINS:.2f} to {(place + 1) / _BINS:.2f}: {count}</title>"
        bars.append(f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{wide - 2:.1f}" height="{height:.1f}">{label}</rect>')
    ticks = "".join(
        f'<text x="{_LEFT + share * (_WIDTH - _LEFT):.0f}" y="{_HEIGHT - 8}" text-anchor="middle">{share:g}</text>'
        for share in (0, 0.25, 0.5, 0.75, 1)
    )
    mean = _LEFT + float(np.mean(values)) * (_WIDTH - _LEFT)
    return (
        f'<svg class="chart" viewBox="-10 0 {_WIDTH + 20} {_HEIGHT}" role="img" aria-label="Histogram of {what}">'
        f'{"".join(bars)}<line x1="{mean:.1f}" x2="{mean:.1f}" y1="4" y2="{_HEIGHT - _BOTTOM}" class="mean"/>'
        f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{_HEIGHT - _BOTTOM}" y2="{_HEIGHT - _BOTTOM}" class="axis"/>{ticks}'
        f'<text x="{_LEFT - 6}" y="16" text-anchor="end">{top}</text></svg>'
        f"<p class=caption>{what}; the line is their mean, {100 * float(np.mean(values)):.2f} %</p>"
    )
