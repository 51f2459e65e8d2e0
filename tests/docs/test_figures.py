"""The figures of ARCHITECTURE.md are what their script draws, and name what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from examples.make_figures import FIGURES, drawn

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", drawn())
def test_a_figure_is_current(name: str) -> None:
    assert (FIGURES / name).read_text("utf-8") == drawn()[name], "run: python examples/make_figures.py"


@pytest.mark.parametrize("name", ["frame.svg", "sample.svg"])
def test_every_function_of_a_figure_stands_in_the_tables_of_the_page(name: str) -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    code = " ".join(re.findall(r'class="code"[^>]*>([^<]+)<', drawn()[name]))
    functions = set(re.findall(r"\b(?:[A-Z]\w+\.\w+|[a-z]+_[a-z_]+)\b", code))
    assert len(functions) > 2
    assert [function for function in functions if f"`{function}`" not in page] == []


def test_every_package_is_in_the_figure() -> None:
    packages = {path.parent.name for path in (ROOT / "uniref").glob("*/__init__.py")}
    assert [name for name in packages if f">{name}<" not in drawn()["packages.svg"]] == []
