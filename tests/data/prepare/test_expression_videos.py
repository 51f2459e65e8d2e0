"""MeViS v2, ReVOS and Long-RVOS: videos with expressions of several kinds, also for nothing in the video."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare, Refused
from uniref.data.index import Index


def texts(index: Index) -> list[tuple[str, int, bool, int]]:
    """Of every sample: first text, objects, whether it means nothing, kind."""
    return [(index.expression(s.expressions[0]).text, len(s.objects), s.no_target, s.group) for s in index]


@pytest.mark.parametrize(
    "meta", ["meta_expressions_v2.json", "meta_expressions_v2_release.json", "meta_expressions.json"]
)
def test_mevis_v2(tmp_path: Path, prepare: Prepare, meta: str) -> None:
    build.mevis_v2(tmp_path / "m", meta)
    index = prepare("mevis-v2", tmp_path / "m", "valid_u")
    assert texts(index) == [
        ("both birds flying away", 2, False, -1),
        ("the left bird", 1, False, -1),
        ("the dog running left", 0, True, -1),
    ]
    assert index.manifest.notes == ("1 of 3 expressions refer to nothing",)
    val = prepare("mevis-v2", tmp_path / "m", "val")
    assert [row[1:3] for row in texts(val)] == [(0, False)] * 3  # only a server knows


def test_revos(tmp_path: Path, prepare: Prepare) -> None:
    build.revos(tmp_path / "r")
    index = prepare("revos", tmp_path / "r", "val")
    assert texts(index) == [
        ("both birds", 2, False, 0),
        ("the left bird", 1, False, 0),
        ("What may lay eggs?", 1, False, 1),
        ("the reptile", 0, True, 2),
    ]
    media = index.media(0)
    assert (media.name, media.frame_path(2).name) == ("UVO/all/2E4T5NCywcE", "00002.jpg")
    # all foreground is an object of its own, to which nothing refers
    row = media.objects[-1]
    assert index.manifest.categories[index.object(row).category] == "foreground"
    assert row not in {row for sample in index for row in sample.objects}
    assert index.annotations(row).areas.tolist() == [64 + 40, 40, 64 + 40]
    train = prepare("revos", tmp_path / "r", "train")
    assert len(train.media(0).objects) == 2
    assert train.manifest.notes == ("1 of 4 expressions refer to nothing; training leaves them out",)


def test_videos_of_revos_and_their_sources_are_recognised(
    tmp_path: Path, prepare: Prepare, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names in ReVOS begin with the data set that a video comes from."""
    build.revos(tmp_path / "r")
    for name in ("ReVOS/meta_expressions_valid_.json", "ReVOS/mask_dict_foreground.json"):
        path = tmp_path / "r" / name
        path.write_text(path.read_text().replace("UVO/all/2E4T5NCywcE", "MOSE/0a1b2c3d"))
    build.drawn_frames(tmp_path / "r/ReVOS/JPEGImages/MOSE/0a1b2c3d", seed=0, count=3)
    prepare("revos", tmp_path / "r", "val")
    build.mose(tmp_path / "m")
    prepare("mose", tmp_path / "m", "train")
    assert "1 of its images or videos are also in revos/val" in capsys.readouterr().err


def test_long_rvos(tmp_path: Path, prepare: Prepare) -> None:
    build.long_rvos(tmp_path / "l")
    index = prepare("long-rvos", tmp_path / "l", "val")
    assert texts(index) == [
        ("a white duck", 1, False, 0),
        ("the duck that dives", 1, False, 1),
        ("a boat that moors", 1, False, 2),
    ]
    track = index.annotations(index.sample(0).objects[0])
    assert track.frames.tolist() == [0, 2, 3]
    assert np.array_equal(track.mask(1), build.box_mask(2, 4, 12, 12))
    train = prepare("long-rvos", tmp_path / "l", "train")
    assert [(len(s.objects), len(s.expressions)) for s in train] == [(1, 2), (1, 1)]


@pytest.mark.parametrize("masks", [True, False])
def test_long_rvos_test_with_and_without_masks(tmp_path: Path, prepare: Prepare, masks: bool) -> None:
    build.long_rvos(tmp_path / "l", test_masks=masks)
    index = prepare("long-rvos", tmp_path / "l", "test")
    assert [len(s.objects) for s in index] == [int(masks)] * 3
    assert bool(index.media(0).complete) is masks
    assert any("truth is unknown" in note for note in index.manifest.notes) is not masks


FAULTS = [
    ("mevis-v2", build.mevis_v2, "valid_u/meta_expressions_v2.json", "valid_u", '"anno_id": []', '"anno_id": [-1]',
     "the annotations of 'the dog running left' are [-1], not a list of ids"),
    ("revos", build.revos, "ReVOS/meta_expressions_valid_.json", "val", '"type_id": 2', '"type_id": 3',
     "the type_id of 'the reptile' is 3, not 0, 1 or 2"),
    ("revos", build.revos, "ReVOS/mask_dict_foreground.json", "val", "UVO", "UVX", "not in mask_dict_foreground.json"),
    ("revos", build.revos, "ReVOS/meta_expressions_valid_.json", "val", "UVO/all", "../all", "not a valid folder name"),
    ("long-rvos", build.long_rvos, "long_rvos/valid/meta_expressions.json", "val", "hybrid", "odd",
     "the type of expression 2 is 'odd', not one of static, dynamic, hybrid"),
    ("long-rvos", build.long_rvos, "long_rvos/valid/meta_expressions.json", "val", '"obj_id": 5', '"obj_id": 6',
     "no such folder"),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=[each[-1] for each in FAULTS])
def test_faults(tmp_path: Path, refused: Refused, fault: tuple) -> None:
    name, make, file, split, before, after, message = fault
    make(tmp_path / "x")
    path = tmp_path / "x" / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    json.loads(path.read_text())
    assert message in refused(name, tmp_path / "x", split)
