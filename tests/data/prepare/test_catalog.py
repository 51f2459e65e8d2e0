"""A data set is one file: what a new module declares is listed, prepared with its own option, and evaluated."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.data.prepare import build
from uniref.core.tasks import Task
from uniref.data.index import Index
from uniref.data.prepare import catalog, datasets
from uniref.data.prepare.catalog import data_sets
from uniref.data.protocol import OF_TASK
from uniref.evaluation.dataset import protocol_of
from uniref_cli import app, prepare

PETS = '''
"""Pets: `photos/*.png` with `pets.json`, a phrase per photo whose left half is the pet."""

from dataclasses import replace

import numpy as np

from uniref.core import rle
from uniref.core.tasks import Task
from uniref.data.prepare.dataset import DataSet, Option, PublishedCounts
from uniref.data.prepare.job import image_size
from uniref.data.protocol import REFERRING


def convert(job):
    annotations = job.need("pets.json")
    phrases = job.read_json(annotations)
    with job.writer({"pets": annotations.parent}) as writer:
        for name, phrase in phrases.items():
            height, width = image_size(annotations.parent / "photos" / name)
            mask = np.zeros((height, width), bool)
            mask[:, : width // 2] = True
            counts = rle.encode(mask)
            writer.add_media(
                name=name, kind="image", root="pets", path=f"photos/{name}", width=width, height=height
            )
            row = writer.add_object(source_id=1)
            writer.add_annotation(0, rle.box(counts, height, width), counts, rle.area(counts, height, width))
            text = phrase.upper() if job.options.get("loud") else phrase
            writer.add_sample(objects=[row], expressions=[writer.add_expression(text, source_id=name)])


LOUD = Option("loud", "Phrases in capitals.", type=bool)

DATASETS = (
    DataSet(
        name="pets",
        title="Photos of pets",
        task=Task.RIS,
        splits={"val": PublishedCounts(media=2)},
        convert=convert,
        size="2 MB",
        licence="CC0",
        page="https://pets.example",
        files="pets.zip",
        layout="photos/<name>.png, pets.json",
        group="pets",
        options=(LOUD,),
        protocol=replace(REFERRING, sides=(320, 512), name="pets/{expression}"),
    ),
)
'''


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The one new file is in the folder of data sets; returns the published files."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more/pets.py").write_text(PETS, encoding="utf-8")
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(tmp_path / "more")])
    importlib.invalidate_caches()
    data_sets.cache_clear()
    prepare.declared_options.cache_clear()
    for name in ("a.png", "b.png"):
        build.picture(tmp_path / "files/photos" / name)
    build.write_json(tmp_path / "files/pets.json", {"a.png": "the cat", "b.png": "the dog"})
    yield tmp_path / "files"
    sys.modules.pop("uniref.data.prepare.datasets.pets", None)
    data_sets.cache_clear()
    prepare.declared_options.cache_clear()


def test_it_is_listed(pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["prepare-data", "--list", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    mine = next(record for record in records if record["dataset"] == "pets")
    assert (mine["licence"], mine["splits"], mine["layout"]) == ("CC0", ["val"], "photos/<name>.png, pets.json")
    assert app.run(["prepare-data", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "pets: phrases in capitals." in out


def test_it_is_prepared_with_its_own_option(pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["prepare-data", "pets", "--root", str(tmp_path / "data"), "--source", str(pets), "--workers", "1"]
    assert app.run([*command, "--loud"]) == 0, capsys.readouterr().err
    index = Index.open(tmp_path / "data/index/pets/val")
    assert [index.expression(row).text for row in range(2)] == ["THE CAT", "THE DOG"]
    assert index.manifest.options == {"loud": True}
    build.write_json(pets / "pets.json", {"a.png": "the cat"})
    assert app.run([*command, "--overwrite"]) == 1
    assert "has 1 images or videos, published are 2" in capsys.readouterr().err


def test_its_option_is_for_no_other_data_set(pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["prepare-data", "davis17", "--loud"]) == 2
    assert "--loud is not for davis17, only for pets" in capsys.readouterr().err


def test_it_is_evaluated_by_its_protocol(pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert protocol_of("pets", Task.RIS).sides == (320, 512)
    assert protocol_of("pets", Task.FSS) == OF_TASK[Task.FSS]
    root = ["--root", str(tmp_path / "data")]
    assert app.run(["prepare-data", "pets", *root, "--source", str(pets), "--workers", "1"]) == 0
    # predictions under the names that the protocol gives; one is exact, the other one empty
    for name, half in (("a.png", 255), ("b.png", 0)):
        mask = Image.new("L", (build.W, build.H))
        mask.paste(half, (0, 0, build.W // 2, build.H))
        path = tmp_path / "masks/pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        mask.save(path.with_name(f"{path.name}.png"))
    arguments = ["eval", "--data", "pets/val", *root, "--predictions", str(tmp_path / "masks")]
    code = app.run([*arguments, "--out", str(tmp_path / "out"), "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    record = json.loads(out.splitlines()[-1])
    assert (record["protocol"]["sides"], record["complete"]) == ([320, 512], True)
    assert record["numbers"]["mIoU"] == pytest.approx(0.5)


def test_a_name_that_is_taken(pets: Path, tmp_path: Path) -> None:
    more = tmp_path / "more/more_pets.py"
    more.write_text(PETS, encoding="utf-8")
    data_sets.cache_clear()
    with pytest.raises(ValueError, match="two data sets have one name"):
        data_sets()
    more.write_text(PETS.replace('name="pets"', 'name="pets2"').replace("in capitals", "shouted"), encoding="utf-8")
    sys.modules.pop("uniref.data.prepare.datasets.more_pets")
    importlib.invalidate_caches()
    with pytest.raises(ValueError, match="--loud is declared differently"):
        data_sets()
    sys.modules.pop("uniref.data.prepare.datasets.more_pets")


def test_every_data_set_declares_what_people_need() -> None:
    for entry in data_sets().values():
        assert entry.title
        assert entry.licence
        assert entry.splits
        assert set(entry.default_splits) <= set(entry.splits)
        assert entry.protocol is None or entry.protocol.task is entry.task
        for download in entry.downloads:
            assert set(download.splits) <= set(entry.splits)
    assert {option.name for option in catalog.data_set_options()} == {
        *("clean", "name", "task", "splits", "compat", "images", "clips", "frames", "size", "seed")
    }


@pytest.mark.parametrize("option", ["--help", "--list"])
@pytest.mark.slow
def test_help_and_list_stay_light(option: str) -> None:
    heavy = ("torch", "pyarrow", "scipy", "pycocotools", "ijson", "decord", "transformers")
    code = (
        f"import sys; from uniref_cli import app; app.run(['prepare-data', '{option}']); "
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_list_says_which_papers_use_a_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    """As `Name (split, split)`, of splits that it has."""
    assert app.run(["prepare-data", "--list"]) == 0
    assert "    papers     UniRef++ (train, val), ReferFormer (train, val)" in capsys.readouterr().out
    assert app.run(["prepare-data", "--list", "--json"]) == 0
    listed = {record["dataset"]: record for record in map(json.loads, capsys.readouterr().out.splitlines())}
    assert listed["davis17"]["papers"][0] == "UniRef++ (val)"
    for entry in data_sets().values():
        for paper in entry.papers:
            name, splits = re.fullmatch(r"(.+) \((.+)\)", paper).groups()  # type: ignore[union-attr]
            assert set(splits.split(", ")) <= set(entry.splits), (entry.name, name)
