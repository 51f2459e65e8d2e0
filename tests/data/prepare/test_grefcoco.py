"""gRefCOCO: one, several or no targets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare, Refused
from uniref_cli import app


@pytest.mark.parametrize("pickled", [False, True])
def test_evaluation_has_one_sample_per_sentence(tmp_path: Path, prepare: Prepare, pickled: bool) -> None:
    build.grefcoco(tmp_path / "g", pickled)
    index = prepare("grefcoco", tmp_path / "g", "val")
    samples = [(index.expression(s.expressions[0]).text, len(s.objects), s.no_target) for s in index]
    assert samples == [
        ("man on the left", 1, False),
        ("both men", 2, False),
        ("two people", 2, False),
        ("a zebra", 0, True),
        ("the red bus", 0, True),
    ]
    assert index.manifest.tables["objects"].rows == 2  # shared by expressions, and without the crowd
    names = [index.expression(s.expressions[0]).source_id for s in index]
    assert names == ["80", "90", "91", "100", "80~2"]
    assert index.manifest.notes == (
        "2 sentences share their id with another; theirs get a suffix, as in 17~2",
        "2 of 5 expressions refer to nothing, 2 to several objects",
    )
    assert index.sample_column("no_target").tolist() == [0, 0, 0, 1, 1]


def test_training_has_one_sample_per_record(tmp_path: Path, prepare: Prepare) -> None:
    build.grefcoco(tmp_path / "g")
    index = prepare("grefcoco", tmp_path / "g", "train")
    assert [(len(s.objects), len(s.expressions), s.no_target) for s in index] == [(1, 1, False), (0, 2, True)]
    assert "training leaves out those without a target" in index.manifest.notes[0]


def test_previews_and_exports_show_what_has_no_target(tmp_path: Path, prepare: Prepare) -> None:
    build.grefcoco(tmp_path / "g")
    out = tmp_path / "val.json"
    prepare("grefcoco", tmp_path / "g", "val", "--export", str(out), "--preview", "5")
    data = json.loads(out.read_text())
    assert len(data["images"]) == 5
    assert len(data["annotations"]) == 5  # 1 + 2 + 2 + 0 + 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ann_id": []}, "ref 8: ann_id is empty; it is [-1] where nothing is referred to"),
        ({"ann_id": [1, 99]}, "ref 8: annotation 99 is not in instances.json"),
        ({"ann_id": [1, 4]}, "ref 8: its image is 77, its annotation's 4242"),
        ({"image_id": 5}, "ref 8: image 5 is not in instances.json"),
        ({"sentences": []}, "ref 8: has no sentences"),
    ],
)
def test_bad_records(tmp_path: Path, refused: Refused, change: dict[str, object], message: str) -> None:
    build.grefcoco(tmp_path / "g")
    path = tmp_path / "g/grefcoco/grefs(unc).json"
    refs = json.loads(path.read_text())
    refs[0] |= change
    path.write_text(json.dumps(refs))
    assert message in refused("grefcoco", tmp_path / "g", "val")


def test_crowds_alone_are_an_empty_target(tmp_path: Path, prepare: Prepare) -> None:
    build.grefcoco(tmp_path / "g")
    path = tmp_path / "g/grefcoco/grefs(unc).json"
    refs = json.loads(path.read_text())
    refs[0]["ann_id"] = [3]
    path.write_text(json.dumps(refs))
    index = prepare("grefcoco", tmp_path / "g", "val")
    assert (index.sample(0).objects, index.sample(0).no_target) == ((), False)
    assert "1 expressions refer to crowds alone, whose target is empty" in index.manifest.notes


def test_it_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["prepare-data", "--list"]) == 0
    out = capsys.readouterr().out
    assert "grefcoco" in out
    assert "refcocog-google" in out


def test_the_google_split(tmp_path: Path, prepare: Prepare) -> None:
    build.refcoco(tmp_path / "r", "refcocog", splits=("train", "val"))
    (tmp_path / "r/refcocog/refs(umd).p").rename(tmp_path / "r/refcocog/refs(google).p")
    index = prepare("refcocog-google", tmp_path / "r", "val")
    assert [index.expression(s.expressions[0]).text for s in index] == ["man in red", "guy on left"]
    mask = index.annotations(index.sample(0).objects[0]).mask(0)
    assert np.array_equal(mask, build.box_mask(2, 3, 10, 12))
