"""SA-V and BURST: faults of masks that lie in a folder per object, or in one file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare, Refused

VIDEO = "sav_000001"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (f"JPEGImages_24fps/{VIDEO}/00012.jpg", "000/00012.png: there is no frame of this name"),
        (f"Annotations_6fps/{VIDEO}", "no such folder"),
        ("sav_val.txt", "sav_val.txt"),
    ],
)
def test_broken_sav(path: str, message: str, tmp_path: Path, refused: Refused) -> None:
    build.sav(tmp_path / "s")
    broken = tmp_path / "s/sav_val" / path
    broken.rename(tmp_path / "moved")
    assert message in refused("sav", tmp_path / "s", "val", "--accept-counts")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["annotated_image_paths"].append("frame9999.jpg"), "frame9999.jpg: no such file"),
        (lambda s: s["segmentations"].pop(), "sequence 0: malformed"),
        (lambda s: s["track_category_ids"].pop("1"), "sequence 0: has no 1"),
        (lambda s: s.update(seq_name="../x"), "is not a valid name"),
        (lambda s: s.update(width=99), "is 99 x 24 by its record"),
        (lambda s: s["segmentations"][0]["1"].update(rle="?"), "sequence 0: malformed"),
        (lambda s: s.pop("all_image_paths"), "sequence 0: has no 'all_image_paths'"),
    ],
)
def test_broken_burst(
    change: Callable[[dict[str, Any]], object], message: str, tmp_path: Path, refused: Refused
) -> None:
    data = build.burst(tmp_path / "b")
    change(data["sequences"][0])
    build.write_json(tmp_path / "b/annotations/val/all_classes.json", data)
    assert message in refused("burst", tmp_path / "b", "val", "--accept-counts")


def test_ids_of_burst_that_no_label_map_can_hold(tmp_path: Path, refused: Refused) -> None:
    build.burst(tmp_path / "b")
    path = tmp_path / "b/annotations/val/all_classes.json"
    path.write_text(path.read_text().replace('"3": ', '"300": '))
    assert "track 300: the ids of a video are expected to be 1 to 254" in refused("burst", tmp_path / "b", "val")


def test_objects_of_burst(tmp_path: Path, prepare: Prepare) -> None:
    """Distractors are left out, merged categories are one, and an object is given by its first mask."""
    build.burst(tmp_path / "b")
    index = prepare("burst", tmp_path / "b", "val")
    objects = [index.object(row) for media in (0, 1) for row in index.media(media).objects]
    assert [(o.source_id, o.category, o.given_frame, o.seen) for o in objects] == [
        (1, 805, 0, True),
        (2, 805, 3, True),
        (3, 3, 0, False),
        (1, 805, 0, True),
        (2, 805, 3, True),
        (3, 943, 0, False),
    ]
    assert index.annotations(objects[1].row).areas.tolist()[0] == 0
    assert json.loads((tmp_path / "data/index/burst/val/manifest.json").read_text())["categories"]["3"]


def test_a_video_that_is_listed_twice(tmp_path: Path, refused: Refused) -> None:
    """It would count twice in every score."""
    build.sav(tmp_path / "s")
    names = tmp_path / "s/sav_val/sav_val.txt"
    names.write_text(names.read_text() * 2)
    assert f"sav_val.txt: {VIDEO}: is listed twice" in refused("sav", tmp_path / "s", "val", "--accept-counts")
    base = build.vost(tmp_path / "v")
    (base / "ImageSets/val.txt").write_text("1_cut_onion\n1_cut_onion\n")
    assert "val.txt: 1_cut_onion: is listed twice" in refused("vost", tmp_path / "v", "val", "--accept-counts")
