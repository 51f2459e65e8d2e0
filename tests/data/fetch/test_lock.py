"""The lock of a data set."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from uniref.core.errors import UniRefError
from uniref.data.fetch.lock import prepare_lock


def test_the_second_is_told_who_is_at_work(tmp_path: Path) -> None:
    with (
        prepare_lock(tmp_path / "index/mose"),
        pytest.raises(UniRefError, match=f"mose: is being prepared by process {os.getpid()}"),
        prepare_lock(tmp_path / "index/mose"),
    ):
        pass
    with prepare_lock(tmp_path / "index/mose"):
        pass


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UniRefError, match="cannot be written"), prepare_lock(tmp_path / "file/mose"):
        pass
