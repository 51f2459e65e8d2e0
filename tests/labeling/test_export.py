"""Exported files are those of `uniref predict` for the same masks."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.labeling.clips import runs, street_masks
from tests.labeling.conftest import FRAMES, settle
from uniref import Predictor, UniRefError, UsageError
from uniref.core import rle
from uniref.core.progress import silent
from uniref.inference.predict_source import PredictOptions, predict_source
from uniref.inference.prompt_masks import GivenMask
from uniref.inference.prompts import Objects
from uniref.inference.sinks import SINKS
from uniref.labeling.session import LabelSession
from uniref.media.mask import read_mask
from uniref.media.source import MediaSource
from uniref_cli.app import app

Open = Callable[..., LabelSession]
MASKS = street_masks()


@pytest.fixture(scope="module")
def labelled(clip: Path, predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two given masks, followed through the whole clip."""
    folder = tmp_path_factory.mktemp("labelled") / "project"
    session = LabelSession(clip, folder, lambda: predictor)
    for number, mask in MASKS.items():
        assert session.add_object() == number
        session.set_mask(number, 0, runs(mask))
    session.run()
    settle(session).close()
    return folder


def predicted(predictor: Predictor, source: Path, objects: Objects, folder: Path) -> Path:
    """The files of `uniref predict` with every kind of output."""
    folder.mkdir()
    options = PredictOptions(save=tuple(SINKS))
    predict_source(predictor, MediaSource(source), objects, options, folder, silent, lambda line: None)
    return folder


def given(frame: int, masks: Mapping[int, np.ndarray]) -> dict[int, dict[int, GivenMask]]:
    return {frame: {n: GivenMask(Path(), mask.shape, rle.encode(mask)) for n, mask in masks.items()}}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "summary.json"
    }


def assert_same_files(got: Path, wanted: Path) -> None:
    """The same names and bytes; of archives the same members, of mattes all but the last step of grey."""
    ours, theirs = contents(got), contents(wanted)
    assert set(ours) == set(theirs)
    for name, content in theirs.items():
        if name.startswith("matte") and name.endswith(".png"):
            difference = np.asarray(Image.open(got / name), int) - np.asarray(Image.open(wanted / name), int)
            assert np.abs(difference).max() <= 2, name
        elif name.startswith("matte"):
            pairs = zip(MediaSource(got / name).frames(), MediaSource(wanted / name).frames(), strict=True)
            assert all(np.abs(a.image.astype(int) - b.image).max() < 40 for a, b in pairs), name
        elif name.endswith((".webm", ".mov", ".mp4")):  # ffmpeg draws random numbers for the headers of some
            pairs = zip(MediaSource(got / name).frames(), MediaSource(wanted / name).frames(), strict=True)
            assert all(np.array_equal(a.image, b.image) and a.seconds == b.seconds for a, b in pairs), name
        elif name.endswith(".npz"):  # scores of texts that were predicted together differ in the last bit
            a, b = np.load(got / name), np.load(wanted / name)
            assert list(a) == list(b), name
            for key in b:
                np.testing.assert_allclose(a[key], b[key], rtol=1e-5, err_msg=name)
        elif name.endswith(".zip"):
            with zipfile.ZipFile(got / name) as a, zipfile.ZipFile(wanted / name) as b:
                assert {n: a.read(n) for n in a.namelist()} == {n: b.read(n) for n in b.namelist()}, name
        else:
            assert ours[name] == content, f"{name}: {ours[name][:3000]!r}\n\n{content[:3000]!r}"


def test_every_output_of_masks(labelled: Path, clip: Path, predictor: Predictor, tmp_path: Path) -> None:
    wanted = predicted(predictor, clip, Objects(masks=given(0, MASKS)), tmp_path / "predicted")
    session = LabelSession(clip, labelled, lambda: predictor)
    try:
        session.export(list(SINKS))
        settle(session)
        export = next(each for each in session.info()["exports"] if each["name"] == "export")
        assert_same_files(labelled / "exports/export", wanted)
        assert export["formats"] == list(SINKS)
        assert export["files"] == len(contents(wanted)) + 1
        assert export["next"] is None
        # the name is taken now
        with pytest.raises(UsageError, match="exists already; choose another name"):
            session.export(["masks"], "export")
        for wrong in ("../x", "a/b", "", ".x", "a" * 61):
            with pytest.raises(UsageError, match="use up to 60 letters"):
                session.export(["masks"], wrong)
        with pytest.raises(UsageError, match="format 'pdf': use overlay, gif"):
            session.export(["pdf"])
    finally:
        session.close()


def test_every_output_of_a_text(open_session: Open, clip: Path, predictor: Predictor, tmp_path: Path) -> None:
    session = open_session(clip)
    session.add_object()
    session.set_text(1, 0, "the red car")
    session.run()
    settle(session).export(list(SINKS), "all")
    settle(session)
    wanted = predicted(predictor, clip, Objects(texts={1: "the red car"}), tmp_path / "predicted")
    assert_same_files(session.folder / "exports/all", wanted)


def test_every_output_of_an_image(open_session: Open, clip: Path, predictor: Predictor, tmp_path: Path) -> None:
    picture = tmp_path / "street.png"
    Image.fromarray(next(iter(MediaSource(clip).frames())).image).save(picture)
    session = open_session(picture)
    for number, text in ((1, "the red car"), (2, "the car on the left")):
        assert session.add_object() == number
        assert session.set_text(number, 0, text)["found"]
    with pytest.raises(UsageError, match="is a single image"):
        session.run()
    assert [each["stale_from"] for each in session.info()["objects"]] == [None, None]
    kinds = [name for name in SINKS if name not in ("matte-video",)]
    session.export([*kinds, "matte-video"], "all")
    settle(session)
    texts = {1: "the red car", 2: "the car on the left"}
    assert_same_files(
        session.folder / "exports/all", predicted(predictor, picture, Objects(texts=texts), tmp_path / "predicted")
    )


def test_damaged_and_unlabelled_frames(open_session: Open, clip: Path, tmp_path: Path, predictor: Predictor) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for frame in MediaSource(clip).frames():
        Image.fromarray(frame.image).save(folder / f"{frame.index}.png")
    broken = folder / "2.png"
    broken.write_bytes(broken.read_bytes()[:200])
    session = open_session(folder)
    assert session.frames.count == FRAMES
    session.add_object()
    session.add_object()
    with pytest.raises(UniRefError, match="frame 2 is damaged; show the object in another one"):
        session.set_mask(1, 2, runs(MASKS[1]))
    session.set_mask(1, 1, runs(MASKS[1]))
    session.run(direction="forwards")
    settle(session).export(["masks", "rle", "npz", "yolo"], "all")
    settle(session)
    objects = Objects(masks=given(1, {1: MASKS[1]}))
    wanted = tmp_path / "predicted"
    wanted.mkdir()
    options = PredictOptions(save=("masks", "rle", "npz", "yolo"))
    predict_source(predictor, MediaSource(folder), objects, options, wanted, silent, lambda line: None)
    assert_same_files(session.folder / "exports/all", wanted)
    summary = json.loads((session.folder / "exports/all/summary.json").read_text())
    assert summary["notes"] == [f"{folder}: 1 damaged frame has empty masks (first: 2)"]


def test_an_export_that_is_stopped_leaves_nothing(open_session: Open, clip: Path) -> None:
    session = open_session(clip)
    session.add_object()
    session.export(["masks"], "nothing")
    while session.info()["job"] is not None:
        session.wait(session.store.revision, 0.1)
    assert session.info()["error"] == "there is nothing to export: no object has a mask yet"
    session.set_mask(1, 0, runs(MASKS[1]))
    session.export(["overlay", "prores"], "stopped")
    session.stop()
    assert session.info()["error"] is None
    assert list(session.folder.glob("exports/*")) == []
    assert session.info()["exports"] == []


def test_objects_without_a_name_are_noted_instead_of_what_to_train_next(open_session: Open, clip: Path) -> None:
    session = open_session(clip)
    session.add_object()
    session.set_mask(1, 0, runs(MASKS[1]))
    session.export(["custom"])
    (export,) = settle(session).info()["exports"]
    assert export["next"] is None
    assert export["notes"] == ["no object has a text or a name: give them names to train on phrases"]


def test_label_train_label_again(labelled: Path, clip: Path, predictor: Predictor, tmp_path: Path) -> None:
    """The folder for training is read without questions, and the recipe for fine-tuning takes it."""
    session = LabelSession(clip, labelled, lambda: predictor)
    try:
        session.update_object(1, name="the red car")
        session.update_object(2, name="the tree, a green one")
        session.export(["custom", "masks"], "train-1")
        settle(session)
        export = next(each for each in session.info()["exports"] if each["name"] == "train-1")
    finally:
        session.close()
    folder = labelled / "exports/train-1/custom"
    assert f"--source {folder}" in export["next"]
    with (folder / "phrases.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[1:3] == [["clip-00000", "1", "the red car"], ["clip-00000", "2", "the tree, a green one"]]
    for frame in range(FRAMES):
        assert np.array_equal(
            read_mask(folder / f"masks/clip-{frame:05d}.png"), read_mask(folder.parent / f"masks/{frame:05d}.png")
        )
    run = CliRunner().invoke
    prepared = run(app, ["prepare-data", "custom", "--source", str(folder), "--root", str(tmp_path / "data")])
    assert prepared.exit_code == 0, prepared.output
    trained = run(app, ["train", "recipes/finetune-small.yaml", "--root", str(tmp_path / "data"), "--dry-run"])
    assert trained.exit_code == 0, trained.output
