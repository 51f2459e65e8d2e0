"""The page of the model zoo says what the catalogue says."""

from __future__ import annotations

import re
from pathlib import Path

from uniref.weights.catalog import CATALOG, Weights

PAGE = Path(__file__).parents[2] / "docs/model-zoo.md"
COLUMNS = ("refcoco", "fss-1000", "ref-youtube-vos", "ref-davis17", "youtube-vos-2018", "davis17", "lvos")


def row(entry: Weights) -> str:
    if entry.kind == "model":
        numbers = " | ".join(f"{entry.scores[data][1]}" if data in entry.scores else "-" for data in COLUMNS)
        return f"| `{entry.name}` | {entry.megabytes} | {', '.join(entry.tasks)} | {numbers} |"
    digest = f"`{entry.sha256}` ({entry.sha256_from})" if entry.sha256 else "not published; noted at the first fetch"
    return f"| `{entry.name}` | {entry.title} | {entry.megabytes} | {entry.licence} | {digest} |"


def test_every_entry_has_its_row() -> None:
    lines = PAGE.read_text("utf-8").splitlines()
    missing = [row(entry) for entry in CATALOG.values() if row(entry) not in lines]
    assert not missing, "\n" + "\n".join(missing)


def test_no_row_is_of_something_else() -> None:
    named = [line.split("`")[1] for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert [name for name in named if re.fullmatch(r"[a-z0-9-]+", name) and name not in CATALOG] == []
