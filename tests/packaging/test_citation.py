"""CITATION.cff has what its format requires, and says what the package and the README say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import uniref

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    return loaded


def test_required_fields_of_the_format(citation: dict[str, Any]) -> None:
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    for work in (citation["preferred-citation"], *citation["references"]):
        assert {"type", "title", "authors"} <= set(work)
        assert all(set(author) == {"family-names", "given-names"} for author in work["authors"])


def test_version_and_licence_are_those_of_the_package(citation: dict[str, Any]) -> None:
    assert str(citation["version"]) == uniref.__version__
    assert f'license = "{citation["license"]}"' in (ROOT / "pyproject.toml").read_text("utf-8")


def test_the_readme_cites_the_preferred_paper_and_leads_to_the_other(citation: dict[str, Any]) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    titles = [title.replace("{", "").replace("}", "") for title in re.findall(r"(?m)^ *title *= *\{(.+)\},$", readme)]
    assert titles == [citation["preferred-citation"]["title"]]
    assert "(CITATION.cff)" in readme
    assert len(citation["references"]) == 1
