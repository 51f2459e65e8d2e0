"""Several evaluations side by side: a table of checkpoints and data sets, with published numbers and their source.

Markdown, LaTeX (booktabs) or HTML; texts are escaped for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from uniref.core import html
from uniref.core.errors import UniRefError, UsageError
from uniref.core.json_files import read_json
from uniref.core.text import printable
from uniref.weights.published import RELEASED, published

Format = Literal["markdown", "latex", "html"]
RESULTS = "results.json"
_LARGEST = 1 << 30  # bytes of results
_LOWER = ("V", "jitter")
"""Metrics of which less is better, beside every decay."""
_APART = ("not comparable", "not the published protocol")
"""In notes of results that do not belong beside the others."""
_SIGNS = {"markdown": "†‡§¶", "html": "†‡§¶", "latex": ("$^\\dagger$", "$^\\ddagger$", "$^\\S$", "$^\\P$")}


@dataclass(frozen=True, order=True)
class Column:
    """A metric of a data set."""

    name: str
    """`davis17/val`, `fss-1000/val 5-shot`."""
    metric: str

    @property
    def lower_is_better(self) -> bool:
        """Whether less is better."""
        return self.metric.split()[0] in _LOWER or "decay" in self.metric


@dataclass(frozen=True)
class Cell:
    """A number of a row."""

    percent: float
    remarks: tuple[str, ...] = ()
    """Why it cannot be compared with the others; empty: it can."""


@dataclass
class Row:
    """A checkpoint, the predictions of another tool, or a publication."""

    name: str
    cells: dict[Column, Cell] = field(default_factory=dict)
    source: str = ""
    """Of published numbers."""


@dataclass(frozen=True)
class Leaderboard:
    """Rows and columns in the order in which they are shown."""

    columns: Sequence[Column]
    rows: Sequence[Row]

    def best(self, column: Column) -> float | None:
        """The best comparable number of a column with several, to one decimal as it is shown."""
        values = [round(row.cells[column].percent, 1) for row in self.rows if self._compares(row, column)]
        if len(values) < 2:
            return None
        return min(values) if column.lower_is_better else max(values)

    def is_best(self, row: Row, column: Column) -> bool:
        """Whether a row has the best number of a column."""
        return self._compares(row, column) and round(row.cells[column].percent, 1) == self.best(column)

    def _compares(self, row: Row, column: Column) -> bool:
        return column in row.cells and not row.cells[column].remarks

    @property
    def sources(self) -> list[str]:
        """Sources of published numbers, each once."""
        return list(dict.fromkeys(row.source for row in self.rows if row.source))

    @property
    def remarks(self) -> list[str]:
        """Remarks on cells, each once."""
        cells = [cell for row in self.rows for cell in row.cells.values()]
        return list(dict.fromkeys(remark for cell in cells for remark in cell.remarks))


def read_leaderboard(sources: Sequence[str], metrics: Sequence[str] = ()) -> Leaderboard:
    """Read evaluations and put them side by side, the published numbers of the same data sets first.

    Args:
        sources: `results.json` files or their folders, each `PATH` or `NAME=PATH`; those of one checkpoint are one row.
        metrics: Those to show; none: the headline of each data set, and the metric that is published for it.

    Raises:
        UsageError: No sources, or no evaluation has one of the metrics.
        UniRefError: A file is missing or no result of an evaluation.
    """
    if not sources:
        raise UsageError("--table: name results.json files, or their folders")
    rows: list[Row] = []
    of_checkpoint: dict[str, Row] = {}
    columns: dict[Column, None] = {}
    for source in sources:
        name, path = _split(source)
        results = _read(path)
        about = results["about"]
        # evaluations of one checkpoint on several data sets are one row
        identity = name or str(about.get("sha256") or path)
        title = name or str(about.get("released as") or about.get("checkpoint") or about.get("predictions") or path)
        own = {column: cell for record in results["benchmarks"] for column, cell in _cells(record, metrics, path)}
        row = of_checkpoint.get(identity)
        if row is None or row.cells.keys() & own.keys():
            rows.append(row := Row(title if row is None else f"{title} ({path})"))
            of_checkpoint[identity] = row
        row.cells |= own
        columns |= dict.fromkeys(own)
    if not columns and not metrics:
        raise UniRefError(
            f"{sources[0]}: holds no numbers; only a server has the ground truth, or nothing was evaluated"
        )
    if lost := [metric for metric in metrics if all(column.metric != metric for column in columns)]:
        raise UsageError(f"--metric {lost[0]}: none of these evaluations has it")
    return Leaderboard(list(columns), [*_published_rows(columns), *rows])


def _split(source: str) -> tuple[str, Path]:
    """Name and file of a source; the name is empty where none was given."""
    name, sign, rest = source.partition("=")
    if sign and not Path(source).exists():
        path = Path(rest)
    else:
        name, path = "", Path(source)
    return name, path / RESULTS if path.is_dir() else path


def _read(path: Path) -> dict[str, Any]:
    results = read_json(path, largest=_LARGEST)
    good = isinstance(results, dict) and "uniref" in results and isinstance(results.get("about"), dict)
    if not good or not isinstance(results.get("benchmarks"), list):
        raise UniRefError(f"{path}: is not the {RESULTS} of an evaluation")
    return dict(results)


def _cells(record: Any, metrics: Sequence[str], path: Path) -> list[tuple[Column, Cell]]:
    """The numbers of a data set that are shown."""
    try:
        numbers = {str(name): _fraction(value) for name, value in record["numbers"].items()}
        reference = (record["published"] or {}).get("measure")
        wanted = list(metrics) or list(dict.fromkeys([*list(numbers)[:1], *([reference] if reference else [])]))
        remarks = _remarks(record)
        shown = [metric for metric in wanted if metric in numbers]
        return [(Column(str(record["name"]), metric), Cell(100 * numbers[metric], remarks)) for metric in shown]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UniRefError(f"{path}: is damaged, or of another version of uniref; evaluate again") from None


def _fraction(value: Any) -> float:
    """A number of an evaluation, from -1 (decays may be negative) to 1. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1 <= value <= 1:
        raise ValueError(value)
    return float(value)


def _remarks(record: Mapping[str, Any]) -> tuple[str, ...]:
    """What sets a result apart from the published protocol."""
    if not isinstance(record["complete"], bool):
        raise TypeError(record["complete"])
    out = [] if record["complete"] else [f"incomplete: {record['missing']['count']} predictions are missing"]
    notes = [str(note) for note in record["notes"]]
    return (*out, *(note for note in notes if any(sign in note for sign in _APART)))


def _published_rows(columns: Mapping[Column, None]) -> list[Row]:
    """A row per released checkpoint with a number in one of the columns."""
    rows = []
    for checkpoint in RELEASED:
        row = Row(f"{checkpoint}, published")
        for column in columns:
            data, _, shots = column.name.partition(" ")
            dataset, _, split = data.partition("/")
            number = published(checkpoint, dataset, split, int(shots.partition("-")[0] or 0))
            if number is not None and number.metric == column.metric:
                row.cells[column], row.source = Cell(number.percent), number.source
        if row.cells:
            rows.append(row)
    return rows


# Formats


def render(board: Leaderboard, form: Format) -> str:
    """The table as text that ends with a line break."""
    return {"markdown": _markdown, "latex": _latex, "html": _html}[form](board)


def _numbers(board: Leaderboard, row: Row, signs: Sequence[str], bold: Callable[[str], str]) -> list[str]:
    """The texts of a row's cells, marked where there are remarks."""
    remarks = board.remarks
    out = []
    for column in board.columns:
        cell = row.cells.get(column)
        if cell is None:
            out.append("")
            continue
        text = f"{cell.percent:.1f}"
        marks = "".join(_sign(signs, remarks.index(remark)) for remark in cell.remarks)
        out.append((bold(text) if board.is_best(row, column) else text) + marks)
    return out


def _sign(signs: Sequence[str], number: int) -> str:
    return signs[number % len(signs)] * (number // len(signs) + 1)


def _footnotes(board: Leaderboard, signs: Sequence[str]) -> list[tuple[str, str]]:
    """(sign, text) of remarks, then of sources."""
    notes = [(_sign(signs, number), remark) for number, remark in enumerate(board.remarks)]
    return [*notes, *(("", f"published: {source}") for source in board.sources)]


def _markdown(board: Leaderboard) -> str:
    def escape(text: str) -> str:
        return printable(text).replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")

    header = ["checkpoint", *(escape(f"{column.name} {column.metric}") for column in board.columns)]
    lines = [header, ["---", *("--:" for _ in board.columns)]]
    bold: Callable[[str], str] = "**{}**".format
    lines += [[escape(row.name), *_numbers(board, row, _SIGNS["markdown"], bold)] for row in board.rows]
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    notes = [f"{sign} {escape(text)}".strip() for sign, text in _footnotes(board, _SIGNS["markdown"])]
    return table + "".join(f"\n{note}\n" for note in notes)


_LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def _latex(board: Leaderboard) -> str:
    def escape(text: str) -> str:
        return "".join(_LATEX.get(letter, letter) for letter in printable(text))

    bold: Callable[[str], str] = "\\textbf{{{}}}".format
    lines = ["% \\usepackage{booktabs}", f"\\begin{{tabular}}{{l{'r' * len(board.columns)}}}", "\\toprule"]
    for part in ("name", "metric"):
        first = "checkpoint" if part == "metric" else ""
        lines.append(" & ".join([first, *(escape(getattr(column, part)) for column in board.columns)]) + r" \\")
    lines.append("\\midrule")
    for row in board.rows:
        lines.append(" & ".join([escape(row.name), *_numbers(board, row, _SIGNS["latex"], bold)]) + r" \\")
    lines += ["\\bottomrule", "\\end{tabular}\\\\"]
    lines += [f"{sign} {escape(text)}".strip() + r"\\" for sign, text in _footnotes(board, _SIGNS["latex"])]
    return "\n".join(lines) + "\n"


def _html(board: Leaderboard) -> str:
    signs = _SIGNS["html"]
    rows = []
    for row in board.rows:
        texts = _numbers(board, row, signs, str)
        cells = [(text, board.is_best(row, column)) for text, column in zip(texts, board.columns, strict=True)]
        rows.append({"name": row.name, "cells": cells})
    return html.render(
        "leaderboard.html", title="Leaderboard", columns=board.columns, rows=rows, footnotes=_footnotes(board, signs)
    )
