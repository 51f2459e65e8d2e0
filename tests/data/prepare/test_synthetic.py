"""The synthetic data set through the real command."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from uniref.core.tasks import Task
from uniref.data.frames import read_frame
from uniref.data.index import GIVEN, TRUTH, Index
from uniref.data.prepare.regions import read_label_map
from uniref_cli import app

SIZES = ["--images", "8", "--clips", "3", "--frames", "4", "--size", "96", "--workers", "1", "--quiet"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    assert app.run(["prepare-data", "synthetic", "--root", str(folder), *SIZES]) == 0
    return folder


def open_split(root: Path, split: str) -> Index:
    return Index.open(root / "index/synthetic" / split)


def test_every_task_of_every_set(root: Path) -> None:
    for set_name in ("train", "val", "test"):
        for task in Task:
            index = open_split(root, f"{set_name}-{task.value}")
            assert index.manifest.task is task
            assert len(index) > 0
            media = index.media(0)
            assert read_frame(media, media.length - 1).shape == (media.height, media.width, 3)
            assert (media.length == 4) == task.is_video
    assert open_split(root, "train-ris").manifest.counts["media"] == 8
    assert open_split(root, "val-ris").manifest.counts["media"] == 1


def test_masks_are_those_of_the_label_maps(root: Path) -> None:
    index = open_split(root, "train-vos")
    for sample in index:
        media = index.media(sample.media)
        for row in sample.objects:
            track, thing = index.annotations(row), index.object(row)
            assert thing.given_frame == track.frames[0]
            assert track.roles.tolist() == [TRUTH | GIVEN] + [TRUTH] * (len(track) - 1)
            for place, frame in enumerate(track.frames.tolist()):
                path = media.path.parent.parent / "masks" / media.name / f"{frame:05d}.png"
                np.testing.assert_array_equal(track.mask(place), read_label_map(path) == thing.source_id)


def test_referring_samples(root: Path) -> None:
    train, val = open_split(root, "train-ris"), open_split(root, "val-ris")
    assert any(len(sample.expressions) > 1 for sample in train)
    assert all(len(sample.expressions) == 1 for sample in val)
    assert all(len(sample.objects) == 1 for sample in [*train, *val] if not sample.no_target)
    assert {val.expression(s.expressions[0]).source_id.split(":")[0] for s in val} == {"000000"}


def test_training_images_have_a_sample_of_expressions_that_refer_to_nothing(root: Path) -> None:
    index = open_split(root, "train-ris")
    absent = [sample for sample in index if sample.no_target]
    assert len({sample.media for sample in absent}) == len(absent) > 4
    for sample in absent:
        expressions = [index.expression(row) for row in sample.expressions]
        assert not sample.objects
        assert 1 <= len(expressions) <= 4
        assert {each.source_id for each in expressions} == {f"{index.media(sample.media).name}:nothing"}
    for split in ("val-ris", "test-ris", "train-rvos"):
        assert not open_split(root, split).sample_column("no_target").any()


def test_scenes_without_such_expressions_are_made_again_with_the_same_pixels(root: Path, tmp_path: Path) -> None:
    arguments = ["prepare-data", "synthetic", "--root", str(tmp_path), *SIZES, "--split", "train-ris"]
    assert app.run(arguments) == 0
    whole = digests(tmp_path)
    for path in (tmp_path / "media/synthetic").rglob("scenes/*.json"):  # as an earlier version wrote them
        record = json.loads(path.read_text("utf-8"))
        del record["absent"]
        path.write_text(json.dumps(record))
    assert app.run([*arguments, "--overwrite"]) == 0
    assert digests(tmp_path) == whole
    assert open_split(tmp_path, "train-ris").sample_column("no_target").any()


def test_few_shot_samples_are_the_only_one_of_their_noun(root: Path) -> None:
    index = open_split(root, "train-fss")
    for sample in index:
        nouns = [index.object(row).category for row in index.media(sample.media).objects]
        assert nouns.count(sample.category) == 1


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix in (".jpg", ".png", ".arrow")]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
def test_the_seed_decides_every_byte(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uniref.data.prepare.job._FEW", 1)
    two = [*SIZES[:-3], "--workers", "2", "--quiet", "--split", "train-rvos", "--split", "train-ris"]
    assert app.run(["prepare-data", "synthetic", "--root", str(tmp_path / "same"), *two]) == 0
    assert digests(tmp_path / "same").items() <= digests(root).items()
    assert app.run(["prepare-data", "synthetic", "--root", str(tmp_path / "other"), *two, "--seed", "1"]) == 0
    mine = [digest for name, digest in digests(tmp_path / "other").items() if name.endswith(".jpg")]
    assert not set(mine) & set(digests(root).values())


def test_an_interrupted_run_goes_on(root: Path, tmp_path: Path) -> None:
    arguments = ["prepare-data", "synthetic", "--root", str(tmp_path), *SIZES, "--split", "train-ris"]
    assert app.run(arguments) == 0
    whole = digests(tmp_path)
    scene = next((tmp_path / "media/synthetic").rglob("000003.json"))
    picture = scene.parent.parent / "images/000003.jpg"
    scene.unlink()
    picture.write_bytes(b"half")
    index = tmp_path / "index/synthetic/train-ris"
    for path in index.iterdir():
        path.unlink()
    index.rmdir()
    assert app.run(arguments) == 0
    assert digests(tmp_path) == whole


def test_other_data_sets_have_no_such_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["prepare-data", "mose", "--root", str(tmp_path), "--images", "3"]) == 2
    assert "--images is not for mose, only for synthetic" in capsys.readouterr().err
