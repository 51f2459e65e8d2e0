"""Losses, samplers and data sets of another package: the one that docs/plugins.md shows, installed for real."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from uniref.core.errors import UsageError
from uniref.core.tasks import Task
from uniref.data.index import Index
from uniref.data.prepare.catalog import data_sets
from uniref.extensions.plugins import LOSSES, PluginLosses, make_plugin, source_hooks
from uniref.recipe.base import PluginConfig
from uniref.recipe.data import SourceConfig
from uniref_cli.app import run

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text("utf-8")


def block(language: str) -> str:
    match = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert match is not None
    return match[1]


def install(folder: Path, name: str, code: str, entries: str) -> None:
    """A package as pip leaves it in site-packages."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entries)
    (folder / f"{name}.py").write_text(code)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's package and the entry points of its pyproject, on the path."""
    declared = re.sub(r'\[project.entry-points."(.*)"\]', r"[\1]", block("toml").split("\n\n", 1)[1]).replace('"', "")
    install(tmp_path / "site", "my_plugins", block("python"), declared)
    monkeypatch.syspath_prepend(tmp_path / "site")
    data_sets.cache_clear()
    yield tmp_path / "site"
    data_sets.cache_clear()
    sys.modules.pop("my_plugins", None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    small = ["--images", "12", "--clips", "4", "--size", "96"]
    assert run(["prepare-data", "synthetic", "--root", str(tmp_path / "data"), *small, "--quiet"]) == 0
    return tmp_path / "data"


@pytest.mark.slow
def test_the_pages_package_changes_a_training(packages: Path, root: Path, tmp_path: Path) -> None:
    changes = {
        "stages.detect.steps": "1",
        "stages.refer.steps": "1",
        "stages.refer.evaluation": "null",
        "defaults.data.workers": "0",
        "stages.refer.loss.plugins": "[{name: area, options: {weight: 2.0}}]",
        "stages.refer.data.sources": "[{index: synthetic/train-ris, sampler: {name: small-objects}}]",
    }
    options = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    command = ["train", str(ROOT / "recipes" / "debug.yaml"), "--root", str(root), "--out", str(tmp_path / "run")]
    assert run([*command, *options, "--device", "cpu"]) == 0
    logged = (tmp_path / "run" / "refer" / "metrics.jsonl").read_text("utf-8")
    assert "area" in logged
    assert "area" not in (tmp_path / "run" / "detect" / "metrics.jsonl").read_text("utf-8")


@pytest.mark.slow
def test_the_pages_sampler_prefers_small_objects(packages: Path, root: Path) -> None:
    index = Index.open(root / "index" / "synthetic" / "train-ris")
    config = SourceConfig(
        index="synthetic/train-ris", sampler=PluginConfig(name="small-objects", options={"factor": 7})
    )
    weights = source_hooks(config, index, Task.RIS).sample_weights()
    assert weights is not None
    assert len(weights) == len(index)
    assert set(np.unique(weights)) == {1.0, 7.0}


def test_names_and_options_that_are_wrong_are_one_line(packages: Path) -> None:
    with pytest.raises(UsageError, match=r"plugin edge: no installed package declares it .*; there are area$"):
        make_plugin(LOSSES, PluginConfig(name="edge"))
    with pytest.raises(UsageError, match=r"plugin area \(my_plugins:AreaLoss\): TypeError: .*'wieght'"):
        make_plugin(LOSSES, PluginConfig(name="area", options={"wieght": 1}))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("[1, 2, 3]", r"sample_weights returned shape \(3,\), but synthetic/train-ris has \d+ samples"),
        ("-np.ones(len(self.index))", "sample_weights must be finite and not negative, and not all zero"),
        ("np.full(len(self.index), np.nan)", "sample_weights must be finite and not negative, and not all zero"),
        ("'many'", "sample_weights returned str, not numbers"),
        ("self.index.nothing", "AttributeError: .*'nothing'"),
    ],
)
def test_weights_of_a_sampler_are_checked(packages: Path, root: Path, weights: str, message: str) -> None:
    code = f"""
import numpy as np
from uniref.data.train.sources import SourceHooks

class Odd(SourceHooks):
    def __init__(self, index, task):
        self.index = index

    def sample_weights(self):
        return {weights}
"""
    install(packages, "odd_sampler", code, "[uniref.samplers]\nodd = odd_sampler:Odd\n")
    index = Index.open(root / "index" / "synthetic" / "train-ris")
    config = SourceConfig(index="synthetic/train-ris", sampler=PluginConfig(name="odd"))
    try:
        with pytest.raises(UsageError, match=f"plugin odd: {message}"):
            source_hooks(config, index, Task.RIS)
    finally:
        sys.modules.pop("odd_sampler", None)


def test_a_loss_that_fails_is_named(packages: Path) -> None:
    code = """
from uniref.losses.criterion import LossHooks

class Failing(LossHooks):
    def losses(self, *arguments):
        raise KeyError("oops")

class Listing(LossHooks):
    def losses(self, *arguments):
        return [1.0]
"""
    entries = "[uniref.losses]\nfailing = failing_loss:Failing\nlisting = failing_loss:Listing\n"
    install(packages, "failing_loss", code, entries)
    for name, message in (("failing", "KeyError: 'oops'"), ("listing", "losses must be a dict of scalar tensors")):
        hooks = PluginLosses(name, make_plugin(LOSSES, PluginConfig(name=name)))
        with pytest.raises(UsageError, match=f"plugin {name}: {message}"):
            hooks.losses(None, None, None, None)  # type: ignore[arg-type]
    sys.modules.pop("failing_loss", None)


def test_a_package_that_cannot_be_imported_is_named(packages: Path) -> None:
    install(packages, "broken", "import not_there", "[uniref.losses]\nbroken = broken:Loss\n")
    with pytest.raises(UsageError, match=r"plugin broken \(broken:Loss\): ModuleNotFoundError: .*not_there"):
        make_plugin(LOSSES, PluginConfig(name="broken"))


@pytest.mark.slow
def test_a_missing_plugin_ends_a_training_before_it_begins(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change = ["--set", "stages.refer.loss.plugins=[{name: nowhere}]"]
    command = ["train", str(ROOT / "recipes" / "debug.yaml"), "--root", str(root), "--out", str(tmp_path / "run")]
    assert run([*command, *change, "--device", "cpu"]) != 0
    error = capsys.readouterr().err
    assert "plugin nowhere: no installed package declares it" in error
    assert len(error.strip().splitlines()) == 1
    assert not list((tmp_path / "run").glob("detect/checkpoints/*"))


def test_a_data_set_of_a_package_is_listed_and_prepared(
    packages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = """
from uniref.core.tasks import Task
from uniref.data.prepare.datasets.davis17 import convert
from uniref.data.prepare.dataset import DataSet, PublishedCounts

MINE = DataSet(name="mine", title="My videos", task=Task.VOS, splits={"train": PublishedCounts(1, 1)},
    convert=convert, size="1 MB", licence="mine", page="https://mine.example", files="mine.zip",
    layout="DAVIS/", group="mine", folders=("mine",))
"""
    install(packages, "mine", code, "[uniref.datasets]\nmine = mine:MINE\n")
    data_sets.cache_clear()
    assert data_sets()["mine"].title == "My videos"
    assert list(data_sets())[-1] == "custom"
    assert run(["prepare-data", "--list", "--json", "--root", str(tmp_path)]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert any(entry["dataset"] == "mine" for entry in listed)


def test_what_is_not_a_data_set_is_named(packages: Path) -> None:
    install(packages, "odd", "ODD = 3", "[uniref.datasets]\nodd = odd:ODD\n")
    data_sets.cache_clear()
    with pytest.raises(UsageError, match=r"data set odd \(odd:ODD\): is not a DataSet, but int"):
        data_sets()
