"""SA-V: faults of its folders of masks, one per object."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.prepare import build
from tests.data.prepare.conftest import Refused

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
