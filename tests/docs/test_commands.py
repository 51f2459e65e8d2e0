"""Every command of the documents runs, or is marked (`<!-- needs: ... -->`) and has options and values that exist."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.docs.commands import PAGES, ROOT, Shown, shown_in_blocks, shown_in_sentences
from uniref.data.prepare.catalog import data_sets
from uniref.recipe.load import load_recipe
from uniref_cli.app import app, run

BLOCKS = [shown for page in PAGES for shown in shown_in_blocks(page)]
SENTENCES = [shown for page in PAGES for shown in shown_in_sentences(page)]
NEEDS = {"real data", "network", "minutes", "a page", "the file above"}
"""What a block may need that a test does not have: files of the reader, downloads, time, somebody at the browser."""
EXAMPLES = {"pets"}
"""Data sets that a page makes up."""


def context(arguments: list[str]) -> tuple[str, Any]:
    """Name of the sub-command and its parsed arguments; raises for an option or a value that does not exist."""
    command: Any = typer.main.get_command(app)
    with command.make_context("uniref", list(arguments)) as parent:
        name, sub, rest = command.resolve_command(parent, list(arguments))
        assert sub is not None, f"there is no uniref {name}"
        return name, sub.make_context(name, rest, parent=parent)


def ids(shown: Shown) -> str:
    return f"{shown.place} {' '.join(shown.words)[:60]}"


@pytest.mark.parametrize("shown", [shown for shown in BLOCKS if shown.arguments], ids=ids)
def test_options_and_values_exist(shown: Shown) -> None:
    assert shown.arguments is not None
    name, parsed = context(shown.arguments)
    known = data_sets()
    if name == "train":
        assert load_recipe(ROOT / parsed.params["recipe"], parsed.params["overrides"] or ()).stages
    if name == "prepare-data" and parsed.params["dataset"] is not None:
        assert parsed.params["dataset"] in {*known, *EXAMPLES}
    if name == "prepare-data" and parsed.params["dataset"] in known:
        dataset = known[parsed.params["dataset"]]
        assert not dataset.splits or set(parsed.params["split"] or ()) <= set(dataset.splits)
    if name == "eval":
        for index in ",".join(parsed.params["data"] or ()).split(","):
            dataset_name, _, split = index.partition("/")
            assert not index or dataset_name in {*known, *EXAMPLES}, index
            assert (
                not index
                or dataset_name not in known
                or not known[dataset_name].splits
                or split in known[dataset_name].splits
            )


@pytest.mark.parametrize("shown", SENTENCES, ids=ids)
def test_options_in_sentences_exist(shown: Shown) -> None:
    command: Any = typer.main.get_command(app)
    name = shown.words[1]
    assert name in command.commands
    sub = command.commands[name]
    parameters = sub.get_params(sub.context_class(sub))
    options = {option for parameter in parameters for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.partition("=")[0] for word in shown.words if word.startswith("--")} <= options


@pytest.mark.parametrize("shown", [shown for shown in BLOCKS if not shown.arguments], ids=ids)
def test_what_is_shown_of_other_programs_exists_here(shown: Shown) -> None:
    extras = (ROOT / "pyproject.toml").read_text("utf-8").partition("[project.optional-dependencies]")[2]
    for word in shown.words:
        for extra in re.findall(r"^\.\[([\w,]+)\]$", word):
            assert all(re.search(rf"(?m)^{name} = \[", extras) for name in extra.split(","))
        if re.match(r"(tests|recipes|examples|scripts|benchmarks)/", word):
            assert (ROOT / word).exists()
    if "-m" in shown.words:
        module = shown.words[shown.words.index("-m") + 1]
        if module.startswith(("benchmarks.", "scripts.")):
            source = ROOT / f"{module.replace('.', '/')}.py"
            options = {word for word in shown.words if word.startswith("--")}
            assert all(f'"{option}"' in source.read_text("utf-8") for option in options)


def test_markers_are_known() -> None:
    assert {shown.needs for shown in BLOCKS if shown.needs} <= NEEDS


def runnable() -> list[Shown]:
    """Commands of blocks without a marker, each once, in the order of the pages."""
    chosen: dict[tuple[str, ...], Shown] = {}
    for shown in BLOCKS:
        if (
            shown.arguments and shown.needs is None and not shown.place.startswith("docs/tutorial.md")
        ):  # see its own test
            chosen.setdefault(tuple(shown.arguments), shown)
    pictures = [
        shown for shown in SENTENCES if shown.place.startswith("README.md") and "examples/" in " ".join(shown.words)
    ]
    return [*chosen.values(), *(shown for shown in pictures if tuple(shown.arguments or ()) not in chosen)]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone of the repository offers to a command."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "examples").symlink_to(ROOT / "examples")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("shown", runnable(), ids=ids)
def test_commands_without_a_marker_run(shown: Shown, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    arguments = list(shown.arguments or ())
    if "examples/street.mp4" in arguments:
        arguments += ["--end", "2"]  # of its 48 frames: what a command does is the same in each
    assert run(arguments) == 0
