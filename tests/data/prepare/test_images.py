"""Every image data set: a miniature in the published layout, prepared by the command and read back."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare
from uniref.core.tasks import Task
from uniref.data.frames import read_frame
from uniref.data.index import Index
from uniref.data.prepare.datasets import fss1000
from uniref.data.prepare.datasets.objects365 import clean_boxes

Refused = Callable[..., str]


def texts(index: Index) -> list[list[str]]:
    return [[index.expression(row).text for row in sample.expressions] for sample in index]


def pictures_are_read(index: Index) -> None:
    for row in range(index.manifest.counts["media"]):
        assert read_frame(index.media(row), 0).shape == (build.H, build.W, 3)


def test_coco(tmp_path: Path, prepare: Prepare) -> None:
    build.coco(tmp_path / "coco")
    index = prepare("coco", tmp_path / "coco", "train")
    assert (index.manifest.task, index.manifest.counts["media"], len(index)) == (Task.DETECTION, 3, 1)
    pictures_are_read(index)
    (row,) = index.sample(0).objects
    assert (index.object(row).category, index.object(row).source_id) == (18, 1)
    assert index.manifest.categories == {1: "person", 18: "dog"}
    assert [index.object(o).crowd for o in index.media(0).objects] == [False, True]
    mask = index.annotations(row).mask(0)
    assert mask is not None
    assert mask[3:9, 4:11].all()
    assert index.annotations(row).boxes[0].tolist() == [3, 2, 12, 10]
    assert index.media(1).source_id == 25


def test_coco_clean_needs_and_uses_the_evaluation_splits(tmp_path: Path, prepare: Prepare, refused: Refused) -> None:
    build.coco(tmp_path / "s/coco")
    assert "first run uniref prepare-data refcoco --split val" in refused(
        "coco", tmp_path / "s/coco", "train", "--clean"
    )
    for name in ("refcoco", "refcoco+", "refcocog"):
        for split in ("val", "test") if name == "refcocog" else ("val", "testA", "testB"):
            build.refcoco(tmp_path / name, name, splits=("train", split))
            prepare(name, tmp_path / name, split)
    data = json.loads((tmp_path / "s/coco/annotations/instances_train2017.json").read_text())
    data["images"][0]["id"] = data["annotations"][0]["image_id"] = 77
    data["annotations"][1:3] = []
    data["annotations"][1]["iscrowd"] = 0
    build.write_json(tmp_path / "s/coco/annotations/instances_train2017.json", data)
    clean = prepare("coco", tmp_path / "s/coco", "train", "--clean")
    assert clean.manifest.dropped == {"image of a RefCOCO evaluation split": 1}
    assert 77 not in clean.media_column("source_id")


@pytest.mark.parametrize("protocol", [0, 2])
def test_refcoco(tmp_path: Path, prepare: Prepare, protocol: int) -> None:
    build.refcoco(tmp_path / "r", protocol=protocol)
    train = prepare("refcoco", tmp_path / "r", "train")
    assert texts(train) == [["lady", "woman with hat"]]
    assert train.manifest.dropped == {"empty sentence": 1}
    assert train.media(0).source_id == 4242
    mask = train.annotations(0).mask(0)
    assert mask is not None
    assert mask[5, 5]
    assert mask[16, 29]  # both polygons
    pictures_are_read(train)
    test = prepare("refcoco", tmp_path / "r", "testA")
    assert texts(test) == [["man in red"], ["guy on left"]]
    assert [test.expression(s.expressions[0]).source_id for s in test] == ["80", "81"]
    assert (test.manifest.counts["media"], test.manifest.counts["objects"]) == (1, 1)


def test_refcoco_takes_the_pictures_of_train2017(tmp_path: Path, prepare: Prepare) -> None:
    build.refcoco(tmp_path / "r")
    (tmp_path / "r/coco/train2017").mkdir()
    for number, file in build.IMAGES.items():
        (tmp_path / "r/coco/train2014" / file).rename(tmp_path / f"r/coco/train2017/{number:012d}.jpg")
    index = prepare("refcoco", tmp_path / "r", "testA")
    assert index.media(0).path.name == "000000000077.jpg"
    pictures_are_read(index)


def test_refcoco_repackaged_and_official_files_give_the_same(tmp_path: Path, prepare: Prepare) -> None:
    build.refcoco(tmp_path / "r")
    published = prepare("refcoco", tmp_path / "r", "testA")
    record = {"image_id": 77, "height": build.H, "width": build.W, "bbox": [3.0, 2.0, 9.0, 8.0], "mask": [build.SQUARE]}
    (tmp_path / "r/refcoco").rename(tmp_path / "away")
    data = {"testA": [record | {"expressions": [text]} for text in ("man in red", "guy on left")]}
    build.write_json(tmp_path / "r/refcoco-unc/instances.json", data)
    repackaged = prepare("refcoco", tmp_path / "r", "testA", "--overwrite")
    images = [
        {"id": n, "file_name": build.IMAGES[77], "height": build.H, "width": build.W, "expressions": [text]}
        for n, text in enumerate(("man in red", "guy on left"), start=1)
    ]
    annotations = [build.instance(n, n, 1, [build.SQUARE]) for n in (1, 2)]
    official = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}
    build.write_json(tmp_path / "r/refcoco-unc/instances_testA.json", official)
    released = prepare("refcoco", tmp_path / "r", "testA", "--overwrite")
    for other in (repackaged, released):
        assert texts(other) == texts(published)
        for mine, theirs in zip(other, published, strict=True):
            a, b = other.annotations(mine.objects[0]), published.annotations(theirs.objects[0])
            assert a.counts == b.counts
            assert a.boxes.tolist() == b.boxes.tolist()
            assert other.media(mine.media).source_id == 77


def test_refcoco_mixed(tmp_path: Path, prepare: Prepare) -> None:
    for name in ("refcoco", "refcoco+", "refcocog"):
        build.refcoco(tmp_path / "r", name, splits=("train", "train"))
    index = prepare("refcoco-mixed", tmp_path / "r", "train")
    assert (len(index), index.manifest.counts["media"]) == (6, 2)
    assert texts(index)[:2] == [["lady", "woman with hat"], ["man in red", "guy on left"]]
    assert [s.media for s in index] == [index.sample(0).media, index.sample(1).media] * 3


def test_refcoco_leak_is_told(tmp_path: Path, prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    build.refcoco(tmp_path / "r", splits=("train", "val"))
    prepare("refcoco", tmp_path / "r", "val")
    build.refcoco(tmp_path / "r", "refcoco+", splits=("train", "train"))
    prepare("refcoco+", tmp_path / "r", "train")
    assert "1 of its images or videos are also in refcoco/val" in capsys.readouterr().err


@pytest.mark.parametrize("resplit", [False, True])
def test_objects365(tmp_path: Path, prepare: Prepare, resplit: bool) -> None:
    build.objects365(tmp_path / "o", resplit)
    index = prepare("objects365", tmp_path / "o", "train")
    assert (index.manifest.counts["media"], len(index), index.manifest.masks) == (2, 2, 0)
    assert index.manifest.dropped == {
        "image never published": 1,
        "repeated box": 1,
        "box at most a pixel wide": 1,
    }
    pictures_are_read(index)
    assert [index.media(s.media).source_id for s in index] == [3, 1]
    (row,) = index.sample(1).objects  # the crowd is no target
    assert (index.object(row).category, index.object(row).source_id) == (365, 12)
    assert index.annotations(row).boxes[0].tolist() == [20, 10, 32, 18]
    assert ("re-split" in index.manifest.notes[0]) == resplit


def test_objects365_flat_folder(tmp_path: Path, prepare: Prepare) -> None:
    build.objects365(tmp_path / "o")
    (tmp_path / "o/images").mkdir()
    for path in sorted((tmp_path / "o/train").rglob("*.jpg")):
        path.rename(tmp_path / "o/images" / path.name)
    pictures_are_read(prepare("objects365", tmp_path / "o", "train"))


def test_clean_boxes_by_hand() -> None:
    boxes = np.array([[0, 0, 4, 4], [-2, -2, 4, 4], [0, 0, 4, 4], [8, 8, 5, 1], [0, 0, 4, 4]], np.float32)
    kept, xyxy, reasons = clean_boxes(boxes, np.array([1, 1, 1, 1, 2], np.int32), 10, 10)
    assert kept.tolist() == [0, 1, 4]
    assert xyxy.tolist() == [[0, 0, 4, 4], [0, 0, 2, 2], [0, 0, 4, 4]]
    assert reasons == {"box at most a pixel wide": 1, "repeated box": 1}


@pytest.fixture
def few_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Class lists of two names, whose digests are taken for the published ones."""
    names = ["thor's_hammer", "band-aid"]
    for split, file in (("train", "trn.txt"), ("val", "val.txt"), ("test", "test.txt")):
        build.write_text(tmp_path / "lists" / file, "\r\n".join(names) + "\r\n")
        monkeypatch.setitem(fss1000._DIGESTS, split, hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest())
    return names


def test_fss1000(tmp_path: Path, prepare: Prepare, few_classes: list[str]) -> None:
    build.fss1000(tmp_path / "f", few_classes)
    index = prepare("fss-1000", tmp_path / "f", "test", "--splits", str(tmp_path / "lists"))
    assert len(index) == 6  # `.jpeg` is no image
    assert [index.media(s.media).name for s in index][:3] == ["thor's_hammer/1", "thor's_hammer/2", "thor's_hammer/3"]
    assert index.manifest.categories == {1: "band-aid", 2: "thor's_hammer"}
    assert [s.category for s in index] == [2, 2, 2, 1, 1, 1]
    np.testing.assert_array_equal(index.annotations(0).mask(0), build.box_mask(3, 3, 13, 15))
    resized = index.annotations(1)
    np.testing.assert_array_equal(resized.mask(0), build.box_mask(0, 0, build.H, build.W // 2))
    assert any("1 masks" in note for note in index.manifest.notes)
    compat = prepare("fss-1000", tmp_path / "f", "test", "--splits", str(tmp_path / "lists"), "--compat")
    assert (len(compat), compat.manifest.dropped) == (5, {"mask of another size": 1})


def test_fss1000_class_lists(tmp_path: Path, refused: Refused, few_classes: list[str]) -> None:
    build.fss1000(tmp_path / "f", few_classes)
    assert "--splits DIR is needed" in refused("fss-1000", tmp_path / "f", "test", code=2)
    build.write_text(tmp_path / "lists/test.txt", "owl\n")
    lists = ("--splits", str(tmp_path / "lists"))
    assert "is not the published list" in refused("fss-1000", tmp_path / "f", "test", *lists)


@pytest.mark.skipif("UNIREF_GOLDEN" not in os.environ, reason="UNIREF_GOLDEN names no folder")
def test_fss1000_published_lists_are_recognised() -> None:
    folder = Path(os.environ["UNIREF_GOLDEN"]).parent / "fss1000_splits"
    if not folder.is_dir():
        pytest.skip(f"no {folder.name} beside the golden results")
    for split, file in (("train", "trn.txt"), ("val", "val.txt"), ("test", "test.txt")):
        names = [line.strip() for line in (folder / file).read_text().splitlines() if line.strip()]
        digest = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
        assert digest == fss1000._DIGESTS[split]


def test_fss1000_the_released_systems_own_file(tmp_path: Path, prepare: Prepare) -> None:
    build.fss1000(tmp_path / "f", ["owl", "cup"])
    images = [
        {"id": n, "file_name": name, "height": build.H, "width": build.W, "support_image_ids": [99], "split": "val"}
        for n, name in enumerate(("owl/1.jpg", "owl/3.jpg", "cup/1.jpg"))
    ]
    annotations = [
        build.instance(n + 1, n, 1, build.run_lengths(build.box_mask(3, 3, 13, 15))) | {"iscrowd": 0} for n in range(3)
    ]
    data = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}
    build.write_json(tmp_path / "f/val.json", data)
    index = prepare("fss-1000", tmp_path / "f", "val")
    assert [s.category for s in index] == [2, 2, 1]
    pictures_are_read(index)


def change(path: Path, edit: Callable[[dict], object]) -> None:
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))


COCO = "annotations/instances_train2017.json"


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        (lambda r: (r / "train2017/000000000025.jpg").unlink(), r"000000000025\.jpg: no such file"),
        (lambda r: build.picture(r / "train2017/000000000025.jpg", 9, 9), "is 9 x 9, its record says 32 x 24"),
        (
            lambda r: change(r / COCO, lambda d: d["annotations"][0].update(image_id=8)),
            "annotation 1: image 8 is not listed",
        ),
        (lambda r: change(r / COCO, lambda d: d["annotations"][1].update(id=1)), "annotation 1: its id occurs twice"),
        (lambda r: change(r / COCO, lambda d: d["images"][1].update(id=9)), "image 9: its id occurs twice"),
        (lambda r: change(r / COCO, lambda d: d["annotations"][0].pop("bbox")), "annotation 1: has no 'bbox'"),
        (
            lambda r: change(r / COCO, lambda d: d["annotations"][1]["segmentation"].update(counts=[1, 2])),
            r"annotation 2: malformed \(run lengths cover 3 pixels of 768\)",
        ),
        (lambda r: (r / COCO).write_text((r / COCO).read_text()[:400]), "not valid JSON"),
        (lambda r: (r / COCO).unlink(), "found no annotations/instances_train2017.json"),
    ],
)
def test_broken_coco(tmp_path: Path, refused: Refused, breakage: Callable[[Path], object], message: str) -> None:
    build.coco(tmp_path / "c")
    breakage(tmp_path / "c")
    assert re.search(message, refused("coco", tmp_path / "c", "train", "--accept-counts"))


def test_broken_refcoco(tmp_path: Path, refused: Refused) -> None:
    build.refcoco(tmp_path / "r")
    path = tmp_path / "r/refcoco/refs(unc).p"
    refs = pickle.loads(path.read_bytes())  # noqa: S301 - our own
    refs[1]["ann_id"] = 1
    path.write_bytes(pickle.dumps(refs))
    line = refused("refcoco", tmp_path / "r", "train", "--accept-counts")
    assert re.search(r"refs\(unc\)\.p: ref 7: annotation 1 is not in instances\.json", line)
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    assert "it wants to load os.system" in refused("refcoco", tmp_path / "r", "train")
    (tmp_path / "r/refcoco/instances.json").unlink()
    assert "instances.json: no such file" in refused("refcoco", tmp_path / "r", "train")


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        (lambda refs: refs[0].update(ref_id=7), "ref 7: its id occurs twice"),
        (lambda refs: refs[1].update(image_id=77), "ref 7: its image is 77, its annotation's 4242"),
        (lambda refs: refs[1].update(sentences=[]), "ref 7: has no sentences"),
        (lambda refs: refs[1].pop("ann_id"), "ref 7: has no 'ann_id'"),
        (lambda refs: [ref.update(split="val") for ref in refs], "has no references of split 'train'"),
    ],
)
def test_broken_references(
    tmp_path: Path, refused: Refused, breakage: Callable[[list[dict]], object], message: str
) -> None:
    build.refcoco(tmp_path / "r", splits=("train", "train"))
    path = tmp_path / "r/refcoco/refs(unc).p"
    refs = pickle.loads(path.read_bytes())  # noqa: S301 - our own
    breakage(refs)
    path.write_bytes(pickle.dumps(refs, 2))
    assert message in refused("refcoco", tmp_path / "r", "train", "--accept-counts")


def test_broken_objects365(tmp_path: Path, refused: Refused) -> None:
    build.objects365(tmp_path / "o")
    path = tmp_path / "o/zhiyuan_objv2_train.json"
    change(path, lambda d: d["annotations"][2].update(bbox=[1, 2]))
    assert "annotation 13: malformed" in refused("objects365", tmp_path / "o", "train", "--accept-counts")
    change(path, lambda d: d["annotations"][2].update(bbox=[1, 2, 3, 4], image_id=8))
    assert "annotation 13: image 8 is not listed" in refused("objects365", tmp_path / "o", "train")
    change(path, lambda d: d["annotations"][2].update(image_id=3, id=11))
    assert "annotation 11: its id occurs twice" in refused("objects365", tmp_path / "o", "train")
    path.write_text(path.read_text()[:-30])
    assert "not valid JSON" in refused("objects365", tmp_path / "o", "train")


def test_broken_fss1000(tmp_path: Path, refused: Refused, few_classes: list[str]) -> None:
    build.fss1000(tmp_path / "f", few_classes)
    lists = ("--splits", str(tmp_path / "lists"), "--accept-counts")
    (tmp_path / "f/fewshot_data/band-aid/3.png").unlink()
    assert "3.jpg: its mask 3.png: no such file" in refused("fss-1000", tmp_path / "f", "test", *lists)
    build.grey(tmp_path / "f/fewshot_data/band-aid/3.png", np.zeros((build.H, build.W), np.uint8))
    assert "its mask is empty" in refused("fss-1000", tmp_path / "f", "test", *lists)


def test_broken_fss1000_official(tmp_path: Path, refused: Refused) -> None:
    build.fss1000(tmp_path / "f", ["owl"])
    image = {"id": 0, "file_name": "owl/1.jpg", "height": build.H, "width": build.W}
    data = {"images": [image], "annotations": [], "categories": []}
    build.write_json(tmp_path / "f/val.json", data)
    line = refused("fss-1000", tmp_path / "f", "val", "--accept-counts")
    assert "val.json: image 0 has 0 usable annotations; one was expected" in line
