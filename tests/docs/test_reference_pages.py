"""The generated pages and the schema of recipes are what the code says today."""

from __future__ import annotations

import inspect
import typing
from pathlib import Path

import pytest
import typer

from scripts.make_reference import COMMANDS, cli_reference, data_sets_page, written
from uniref.data.prepare.catalog import data_set_options, data_sets
from uniref_cli.app import app

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", written())
def test_a_generated_file_is_current(path: str) -> None:
    assert (ROOT / path).read_text("utf-8") == written()[path], "run: python -m scripts.make_reference"


def test_every_command_is_there() -> None:
    assert {"predict", "convert", "prepare-data", "train", "eval"} <= {*COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_row_with_its_own_name(name: str) -> None:
    section = cli_reference().partition(f"## `uniref {name}`")[2].partition("\n## ")[0]
    names = [option.opts[-1] for option in typer.main.get_command(app).commands[name].params]  # type: ignore[attr-defined]
    options = [option for option in names if option.startswith("--") and option != "--help"]
    assert len(options) > 3
    assert [option for option in options if f"| `{option}" not in section and f", `{option}" not in section] == []


def test_defaults_and_ranges_are_those_of_the_command() -> None:
    lines = cli_reference().splitlines()
    assert any(line.startswith("| `--out` | path | `out` |") for line in lines)
    assert any(line.startswith("| `--all` |  |  |") for line in lines)
    assert any(line.startswith("| `--score-threshold` | number, >= 0, <= 1 | 0.3, or") for line in lines)
    assert any(line.startswith("| `--quiet`, `-q` |") for line in lines)


def test_every_option_of_single_data_sets_has_a_row() -> None:
    page = cli_reference()
    assert [option.name for option in data_set_options() if f"| `--{option.name}` |" not in page] == []


def test_every_data_set_has_a_section_with_its_files_and_counts() -> None:
    page = data_sets_page()
    for entry in data_sets().values():
        section = page.partition(f"\n### {entry.name}\n")[2].partition("\n### ")[0]
        assert entry.title in section
        assert entry.licence in section
        assert bool(entry.layout) == ("```text" in section)
    assert "| `val` | 30 | 1,999 | 61 | - | - |" in page or "| `val` | 30 | 1,999 | 61 |" in page


def test_options_are_annotated_as_the_generator_reads_them() -> None:
    """A parameter without `Annotated` would be left out silently."""
    for command, _ in COMMANDS.values():
        plain = [
            key
            for key, each in inspect.signature(command).parameters.items()
            if typing.get_origin(each.annotation) is not typing.Annotated
        ]
        assert set(plain) <= {"context"}
