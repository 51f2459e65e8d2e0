"""ReasonSeg: polygons, regions that do not count, and texts in two encodings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare, Refused


def test_targets_and_ignored_pixels(tmp_path: Path, prepare: Prepare) -> None:
    build.reason_seg(tmp_path / "r")
    index = prepare("reason-seg", tmp_path / "r", "val")
    texts = [index.expression(sample.expressions[0]).text for sample in index]
    assert texts == ["something to sit on", "Which caf\u00e9 is open?"]
    assert [(len(s.objects), len(s.expressions), s.group, s.no_target) for s in index] == [
        (1, 1, 0, False),
        (1, 1, 1, False),
    ]
    # corners are cut to whole pixels, and the border belongs to the polygon; the smaller one lies on top
    hole = build.box_mask(6, 8, 13, 15)
    target = index.annotations(index.sample(0).objects[0]).mask(0)
    assert np.array_equal(target, build.box_mask(2, 2, 19, 21) & ~hole)
    ignored = [row for row in index.media(0).objects if index.object(row).crowd]
    assert [np.array_equal(index.annotations(row).mask(0), hole) for row in ignored] == [True]


def test_training_has_all_texts(tmp_path: Path, prepare: Prepare) -> None:
    build.reason_seg(tmp_path / "r")
    index = prepare("reason-seg", tmp_path / "r/ReasonSeg", "train")
    assert [len(s.expressions) for s in index] == [2, 1]


def test_nothing_but_ignored_pixels_is_no_target(tmp_path: Path, prepare: Prepare) -> None:
    build.reason_seg(tmp_path / "r")
    change(tmp_path / "r/ReasonSeg/test/100_1.json", lambda record: record["shapes"].pop(1))
    index = prepare("reason-seg", tmp_path / "r", "test")
    assert (index.sample(0).objects, index.sample(0).no_target) == ((), True)


def change(path: Path, how: Any) -> None:
    record = json.loads(path.read_text())
    how(record)
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda r: r.update(text=[]), "100_1.json: has no text"),
        (lambda r: r.update(is_sentence="false"), "100_1.json: is_sentence: is 'false', not true or false"),
        (lambda r: r.pop("shapes"), "100_1.json: has no 'shapes'"),
        (lambda r: r["shapes"][1].update(points=[[1, 2, 3]]), "the points of 'target' are not corners"),
        (lambda r: r["shapes"][1].update(points=[[1, 1e12]]), "the points of 'target' are not corners"),
        (lambda r: r["shapes"][1].update(points=[]), "the points of 'target' are not corners"),
    ],
)
def test_faults(tmp_path: Path, refused: Refused, how: Any, message: str) -> None:
    build.reason_seg(tmp_path / "r")
    change(tmp_path / "r/ReasonSeg/val/100_1.json", how)
    assert message in refused("reason-seg", tmp_path / "r", "val")


def test_damaged_json(tmp_path: Path, refused: Refused) -> None:
    build.reason_seg(tmp_path / "r")
    (tmp_path / "r/ReasonSeg/val/100_1.json").write_text("{")
    assert "100_1.json" in refused("reason-seg", tmp_path / "r", "val")


def test_an_image_or_a_record_without_the_other(tmp_path: Path, refused: Refused) -> None:
    build.reason_seg(tmp_path / "r")
    base = tmp_path / "r/ReasonSeg/val"
    moved = (base / "200_2.json").rename(tmp_path / "200_2.json")
    assert "200_2.jpg: has no 200_2.json beside it" in refused("reason-seg", tmp_path / "r", "val")
    moved.rename(base / "200_2.json")
    (base / "100_1.jpg").unlink()
    assert "100_1.json: has no 100_1.jpg beside it" in refused("reason-seg", tmp_path / "r", "val")
