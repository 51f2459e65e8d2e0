"""Users' own data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare
from uniref.core.tasks import Task
from uniref.data.index import Index
from uniref_cli import app

Refused = Callable[..., str]


def folder(root: Path) -> Path:
    """Two pictures with masks, one black and white, and phrases."""
    build.picture(root / "images/cat.jpg")
    build.picture(root / "images/dog.PNG")
    build.label_map(root / "masks/cat.png", {1: (2, 2, 9, 9), 4: (10, 10, 20, 20)})
    build.grey(root / "masks/dog.png", build.box_mask(3, 3, 8, 8).astype(np.uint8) * 255)
    phrases = 'file,object,phrase\ncat,4,"the cat, sleeping"\ncat.jpg,4,a grey cat\ndog,1,the dog\n'
    build.write_text(root / "phrases.csv", phrases)
    return root


def texts(index: Index) -> list[list[str]]:
    return [[index.expression(row).text for row in sample.expressions] for sample in index]


def test_pictures_and_phrases(tmp_path: Path, prepare: Prepare) -> None:
    index = prepare("custom", folder(tmp_path / "mine"), "train")
    assert (index.manifest.task, texts(index)) == (Task.RIS, [["the cat, sleeping", "a grey cat"], ["the dog"]])
    assert index.object(index.sample(0).objects[0]).source_id == 4
    np.testing.assert_array_equal(index.annotations(index.sample(1).objects[0]).mask(0), build.box_mask(3, 3, 8, 8))


def test_under_its_own_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path / "mine")
    base = ["prepare-data", "custom", "--root", str(tmp_path / "data"), "--source", str(tmp_path / "mine")]
    assert app.run([*base, "--name", "pets"]) == 0
    assert Index.open(tmp_path / "data/index/pets/train").manifest.name == "pets/train"
    assert app.run(["prepare-data", "pets", "--root", str(tmp_path / "data"), "--verify"]) == 0
    assert app.run([*base, "--name", "mose"]) == 2
    assert app.run([*base, "--name", "../x"]) == 2


def test_split_folders(tmp_path: Path) -> None:
    folder(tmp_path / "mine/train")
    folder(tmp_path / "mine/val")
    assert app.run(["prepare-data", "custom", "--root", str(tmp_path / "d"), "--source", str(tmp_path / "mine")]) == 0
    assert [len(Index.open(tmp_path / f"d/index/custom/{split}")) for split in ("train", "val")] == [2, 2]


def test_classes_make_few_shot_samples(tmp_path: Path, prepare: Prepare) -> None:
    root = folder(tmp_path / "mine")
    (root / "phrases.csv").unlink()
    build.write_text(root / "classes.csv", "file,object,class\ncat,1,rug\ncat,4,cat\ndog,1,dog\n")
    index = prepare("custom", root, "train")
    assert index.manifest.task is Task.FSS
    assert [index.manifest.categories[s.category] for s in index] == ["rug", "cat", "dog"]
    detection = prepare("custom", root, "train", "--task", "detection")
    assert [len(s.objects) for s in detection] == [2, 1]


def test_clips(tmp_path: Path, prepare: Prepare) -> None:
    root = tmp_path / "mine"
    for t in range(3):
        build.picture(root / f"videos/run/{t:03d}.jpg")
    build.label_map(root / "masks/run/001.png", {2: (1, 1, 9, 9)})
    vos = prepare("custom", root, "train")
    assert (vos.manifest.task, vos.object(0).given_frame, vos.media(0).complete) == (Task.VOS, 1, False)
    build.write_text(root / "phrases.csv", "file,object,phrase\nrun,2,the runner\n")
    rvos = prepare("custom", root, "train", "--overwrite")
    assert (rvos.manifest.task, texts(rvos)) == (Task.RVOS, [["the runner"]])


def test_coco_json_with_expressions(tmp_path: Path, prepare: Prepare) -> None:
    root = tmp_path / "mine"
    build.picture(root / "images/a.jpg")
    image = {"id": 1, "file_name": "a.jpg", "height": build.H, "width": build.W, "expressions": ["the box"]}
    data = {"images": [image], "annotations": [build.instance(3, 1, 1, [build.SQUARE])], "categories": []}
    build.write_json(root / "annotations.json", data)
    assert texts(prepare("custom", root, "train")) == [["the box"]]
    del image["expressions"]
    build.write_json(root / "annotations.json", data)
    assert prepare("custom", root, "train", "--overwrite").manifest.task is Task.DETECTION


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        (lambda r: build.write_text(r / "phrases.csv", "cat,4,x\n"), "its first line must be file,object,phrase"),
        (lambda r: build.write_text(r / "phrases.csv", "file,object,phrase\ncat,x,y\n"), "phrases.csv: line 2"),
        (
            lambda r: build.write_text(r / "phrases.csv", "file,object,phrase\ncow,1,y\n"),
            "cow: there is no such picture",
        ),
        (
            lambda r: build.write_text(r / "phrases.csv", "file,object,phrase\ncat,9,y\n"),
            "object 9, which its masks do",
        ),
        (lambda r: (r / "masks/dog.png").unlink(), "its mask dog.png: no such file"),
        (lambda r: build.label_map(r / "masks/cat.png", {}, 9, 9), "is 32 x 24, its mask 9 x 9"),
        (lambda r: [path.unlink() for path in (r / "images").iterdir()], "holds no pictures"),
    ],
)
def test_broken(tmp_path: Path, refused: Refused, breakage: Callable[[Path], object], message: str) -> None:
    breakage(folder(tmp_path / "mine"))
    assert message in refused("custom", tmp_path / "mine", "train")
