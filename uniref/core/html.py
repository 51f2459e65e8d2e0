"""Self-contained HTML reports: Jinja2 templates (`assets/report/`) that escape everything, and their charts."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from uniref.core.atomic import write_text_atomic
from uniref.core.files import writing
from uniref.core.types import UInt8Image

_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#7f7f7f")
_BINS = 20


def render(template: str, **values: Any) -> str:
    """Render a page.

    Args:
        template: Name of a file in `assets/report/`.
        values: Variables of the template; all texts are escaped.
    """
    return _environment().get_template(template).render(values) + "\n"


def stream(template: str, **values: Any) -> Iterator[str]:
    """A page in parts, as `render`, so that values that are iterators need not be in memory together."""
    yield from _environment().get_template(template).generate(values)
    yield "\n"


@functools.cache
def _environment() -> Any:
    import jinja2

    class Files(jinja2.BaseLoader):
        """Templates from the package, wherever it is installed."""

        def get_source(self, environment: Any, template: str) -> tuple[str, None, None]:
            text = (resources.files("uniref") / "assets" / "report" / template).read_text("utf-8")
            return text, None, None

    return jinja2.Environment(
        loader=Files(), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def write(path: Path, content: str) -> None:
    """Write a page; it replaces an older one when it is complete. Raises UniRefError."""
    with writing(path):
        write_text_atomic(path, content, errors="backslashreplace")


def image_data_url(image: UInt8Image, kind: str = "PNG") -> str:
    """An image, uint8 RGB [H, W, 3], as a `data:` URL, so that the page needs no other file.

    Args:
        image: The image.
        kind: `PNG`, or `JPEG` for photographs.
    """
    buffer = io.BytesIO()
    options: dict[str, Any] = {"optimize": True} if kind == "PNG" else {"quality": 88}
    Image.fromarray(image).save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


@dataclass(frozen=True)
class AxisLabel:
    """A label of a chart at (x, y), in pixels."""

    x: float
    y: float
    text: str
    anchor: str = "start"


@dataclass(frozen=True)
class Curve:
    """A curve with its name."""

    name: str
    colour: str
    points: str
    """`x,y x,y ...` in pixels."""
    x: int
    y: int
    """Position of the name, in pixels."""


@dataclass(frozen=True)
class Curves:
    """Curves over a common axis."""

    title: str
    lines: tuple[Curve, ...]
    marks: tuple[AxisLabel, ...]
    width: int = 520
    height: int = 240
    left: int = 44

    @classmethod
    def of(cls, title: str, series: Mapping[str, Sequence[tuple[float, float]]], x_name: str = "step") -> Curves | None:
        """The chart of some series; None where they have no points.

        Args:
            title: Text above the chart.
            series: Name -> points (x, y); points that are not finite are left out.
            x_name: Name of the x axis.
        """
        # the ranges of both axes
        points = [point for line in series.values() for point in line if np.isfinite(point).all()]
        if not points:
            return None
        (x0, x1), (y0, y1) = _range([x for x, _ in points]), _range([y for _, y in points])
        across, up = cls.width - cls.left - 8, cls.height - 48

        def position(x: float, y: float) -> str:
            return f"{cls.left + (x - x0) / (x1 - x0) * across:.1f},{cls.height - 24 - (y - y0) / (y1 - y0) * up:.1f}"

        # one line per series, its name in a legend of three columns
        lines = tuple(
            Curve(
                name,
                _COLOURS[number % len(_COLOURS)],
                " ".join(position(x, y) for x, y in line if np.isfinite((x, y)).all()),
                cls.left + 6 + number % 3 * 150,
                12 + number // 3 * 12,
            )
            for number, (name, line) in enumerate(series.items())
        )
        # labels of both axes
        marks = [
            AxisLabel(2, round(cls.height - 20 - share * up), f"{y0 + share * (y1 - y0):.4g}") for share in (0, 0.5, 1)
        ]
        marks += [
            AxisLabel(cls.left, cls.height - 6, f"{x0:g}"),
            AxisLabel(cls.width - 90, cls.height - 6, f"{x1:g} {x_name}"),
        ]
        return cls(title, lines, tuple(marks))


@dataclass(frozen=True)
class HistogramBar:
    """One bar of a histogram, in pixels."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class Histogram:
    """Histogram of values in 0..1, with their mean."""

    title: str
    bars: tuple[HistogramBar, ...]
    marks: tuple[AxisLabel, ...]
    mean: float
    """Its x position in pixels."""
    percent: str
    width: int = 520
    height: int = 150
    left: int = 40
    floor: int = 126

    @classmethod
    def of(cls, title: str, values: Sequence[float]) -> Histogram:
        """The histogram of at least one value in 0..1."""
        # one bar per range of values, the highest as high as the chart
        counts, _ = np.histogram(np.clip(values, 0, 1), bins=_BINS, range=(0, 1))
        top, across = max(1, int(counts.max())), cls.width - cls.left
        wide, high = across / _BINS, cls.floor - 10
        bars = tuple(
            HistogramBar(
                round(cls.left + index * wide + 1, 1),
                round(cls.floor - high * count / top, 1),
                round(wide - 2, 1),
                round(high * count / top, 1),
                f"{index / _BINS:.2f} to {(index + 1) / _BINS:.2f}: {count}",
            )
            for index, count in enumerate(counts.tolist())
        )
        # the mean, and labels of the axes
        mean = float(np.mean(values))
        marks = [
            AxisLabel(round(cls.left + share * across), cls.height - 8, f"{share:g}", "middle")
            for share in (0, 0.25, 0.5, 0.75, 1)
        ]
        marks.append(AxisLabel(cls.left - 6, 16, str(top), "end"))
        return cls(title, bars, tuple(marks), round(cls.left + mean * across, 1), f"{100 * mean:.2f}")


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
