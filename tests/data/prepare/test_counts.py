"""Published counts where records are left out on purpose, or repeated by repackaged files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.data.prepare import build
from tests.data.prepare.test_images import few_classes  # noqa: F401 - a fixture
from uniref.data.prepare import catalog
from uniref.data.prepare.dataset import PublishedCounts
from uniref_cli import app


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> object:
    """`publish("refcoco", val=PublishedCounts(...))`: what counts as published, for a miniature."""

    def change(name: str, **splits: PublishedCounts) -> None:
        entry = catalog.data_sets()[name]
        changed = replace(entry, splits={**entry.splits, **splits})
        monkeypatch.setitem(catalog.data_sets(), name, changed)

    return change


def command(tmp_path: Path, dataset: str, split: str, *options: str) -> int:
    source = ["--root", str(tmp_path / "data"), "--source", str(tmp_path / "s"), "--split", split]
    return app.run(["prepare-data", dataset, *source, "--workers", "1", *options])


def test_refcoco_with_an_empty_sentence(tmp_path: Path, publish, capsys: pytest.CaptureFixture[str]) -> None:
    build.refcoco(tmp_path / "s")
    publish("refcoco", train=PublishedCounts(1, 1, 3, 1), testA=PublishedCounts(1, 1, 2, 2))
    assert command(tmp_path, "refcoco", "train") == 0, capsys.readouterr().err
    assert command(tmp_path, "refcoco", "testA") == 0
    publish("refcoco", train=PublishedCounts(1, 1, 4, 1))
    assert command(tmp_path, "refcoco", "train", "--overwrite") == 1
    assert "has 3 expressions, published are 4" in capsys.readouterr().err


def test_repackaged_evaluation_files_repeat_an_object_for_every_sentence(tmp_path: Path, publish) -> None:
    build.refcoco(tmp_path / "s")
    (tmp_path / "s/refcoco").rename(tmp_path / "away")
    publish("refcoco", testA=PublishedCounts(1, 1, 2, 2))
    record = {"image_id": 77, "height": build.H, "width": build.W, "bbox": [3.0, 2.0, 9.0, 8.0], "mask": [build.SQUARE]}
    data = {"testA": [record | {"expressions": [text]} for text in ("man in red", "guy on left")]}
    build.write_json(tmp_path / "s/refcoco-unc/instances.json", data)
    assert command(tmp_path, "refcoco", "testA") == 0
    (tmp_path / "s/refcoco-unc/instances.json").unlink()
    build.write_json(tmp_path / "s/refcoco-unc/instances_testA.json", released_refcoco(["man in red", "guy on left"]))
    assert command(tmp_path, "refcoco", "testA", "--overwrite") == 0


def released_refcoco(texts: list[str]) -> dict:
    images = [
        {"id": n, "file_name": build.IMAGES[77], "height": build.H, "width": build.W, "expressions": [text]}
        for n, text in enumerate(texts, start=1)
    ]
    annotations = [build.instance(n, n, 1, [build.SQUARE]) for n in range(1, len(texts) + 1)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}


def test_refcoco_mixed_clean(tmp_path: Path, publish, capsys: pytest.CaptureFixture[str]) -> None:
    """Image 77 is in evaluation splits: its objects are left out, counted, and no reason to fail."""
    for name in ("refcoco", "refcoco+", "refcocog"):
        build.refcoco(tmp_path / "s", name, splits=("train", "train"))
    publish("refcoco-mixed", train=PublishedCounts(None, None, 15, 6))
    assert command(tmp_path, "refcoco-mixed", "train", "--clean") == 1
    assert "first run uniref prepare-data refcoco --split val" in capsys.readouterr().err
    for name in ("refcoco", "refcoco+", "refcocog"):
        for split in ("val", "test") if name == "refcocog" else ("val", "testA", "testB"):
            build.refcoco(tmp_path / "e", name, splits=("train", split))
            source = ["--root", str(tmp_path / "data"), "--source", str(tmp_path / "e"), "--split", split]
            assert app.run(["prepare-data", name, *source, "--accept-counts"]) == 0
    capsys.readouterr()
    assert command(tmp_path, "refcoco-mixed", "train") == 0
    err = capsys.readouterr().err
    assert "1 of its images or videos are also in refcoco/testA" in err
    assert command(tmp_path, "refcoco-mixed", "train", "--clean") == 0
    out, err = capsys.readouterr()
    assert "left out: 3 x object in an image of an evaluation split" in out
    assert "also in" not in err
    part = ["--root", str(tmp_path / "data"), "--source", str(tmp_path / "e"), "--split", "val", "--subset", "1"]
    build.refcoco(tmp_path / "e", "refcoco", splits=("train", "val"))
    assert app.run(["prepare-data", "refcoco", *part, "--accept-counts"]) == 0
    assert command(tmp_path, "refcoco-mixed", "train", "--clean", "--overwrite") == 1
    assert "refcoco/val, which was prepared with --subset" in capsys.readouterr().err
    assert app.run(["prepare-data", "refcoco", *part[:-2], "--accept-counts"]) == 0
    publish("refcoco-mixed", train=PublishedCounts(None, None, 15, 7))
    assert command(tmp_path, "refcoco-mixed", "train", "--clean", "--overwrite") == 1
    assert "has 6 samples, published are 7" in capsys.readouterr().err


def test_fss_compat_drops_what_it_says(tmp_path: Path, publish, few_classes: list[str]) -> None:  # noqa: F811
    build.fss1000(tmp_path / "s", few_classes)
    build.grey(tmp_path / "s/fewshot_data/band-aid/3.png", np.zeros((build.H, build.W), np.uint8))
    publish("fss-1000", test=PublishedCounts(6, samples=6))
    assert command(tmp_path, "fss-1000", "test", "--splits", str(tmp_path / "lists"), "--compat") == 0


@pytest.mark.parametrize(("listed", "code"), [((3,), 0), ((2, 3), 0), ((4,), 1)])
def test_images_of_the_annotation_file(tmp_path: Path, publish, listed: tuple[int, ...], code: int) -> None:
    """COCO keeps images without an object, too; Objects365 is published in two editions."""
    build.coco(tmp_path / "s")
    publish("coco", train=PublishedCounts(listed=listed))
    assert command(tmp_path, "coco", "train") == code


def test_frames_of_davis(tmp_path: Path, publish, capsys: pytest.CaptureFixture[str]) -> None:
    build.davis(tmp_path / "s")
    publish("davis17", val=PublishedCounts(2, 3, frames=8))
    assert command(tmp_path, "davis17", "val") == 1
    assert "has 7 frames, published are 8" in capsys.readouterr().err


def test_videos_under_another_name_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """MeViS has videos of MOSE under names of its own, perhaps encoded again; others are not taken for them."""
    build.mevis(tmp_path / "mevis")
    build.drawn_frames(tmp_path / "mevis/valid_u/JPEGImages/0a1b2c3d4e5f", seed=1, quality=60)
    for number, name in enumerate(("0a1b2c3d", "11111111", "22222222")):
        build.drawn_frames(tmp_path / f"mose/train/JPEGImages/{name}", seed=number)
        for t in range(2):
            build.label_map(tmp_path / f"mose/train/Annotations/{name}/{t:05d}.png", {1: (1, 1, 5, 5)})
    for dataset, split in (("mose", "train"), ("mevis", "valid_u")):
        source = ["--root", str(tmp_path / "data"), "--source", str(tmp_path / dataset), "--split", split]
        assert app.run(["prepare-data", dataset, *source, "--accept-counts"]) == 0
    line = "1 of its images or videos are also in mose/train (1 under another name, by their first frames)"
    assert f"{line}, which is for training" in capsys.readouterr().err


def test_evaluation_after_training_tells_the_leak_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for dataset, builder in (("ovis", build.ovis), ("mose", build.mose)):
        builder(tmp_path / dataset)
    (tmp_path / "mose/valid/JPEGImages/00ff00ff").rename(tmp_path / "mose/valid/JPEGImages/aaaa1111")
    (tmp_path / "mose/valid/Annotations/00ff00ff").rename(tmp_path / "mose/valid/Annotations/aaaa1111")
    for dataset, split in (("ovis", "train"), ("mose", "val")):
        source = ["--root", str(tmp_path / "data"), "--source", str(tmp_path / dataset), "--split", split]
        assert app.run(["prepare-data", dataset, *source, "--accept-counts"]) == 0
    assert "1 of its images or videos are also in ovis/train, which is for training" in capsys.readouterr().err
