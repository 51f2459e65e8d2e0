"""The lock of a data set."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from uniref.core.errors import UniRefError
from uniref.core.lock import exclusive


def test_the_second_is_told_who_is_at_work(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "index/mose", "prepared"),
        pytest.raises(UniRefError, match=f"mose: is being prepared by process {os.getpid()}"),
        exclusive(tmp_path / "index/mose", "prepared"),
    ):
        pass
    with exclusive(tmp_path / "index/mose", "prepared"):
        pass


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UniRefError, match="cannot be written"), exclusive(tmp_path / "file/mose", "prepared"):
        pass
