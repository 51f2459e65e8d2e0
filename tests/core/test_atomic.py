import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from uniref.core.atomic import atomic_folder
from uniref.core.errors import UniRefError, UsageError


def test_appears_only_when_complete(tmp_path: Path) -> None:
    final = tmp_path / "a" / "result"
    with atomic_folder(final) as work:
        (work / "file").write_text("x")
        assert not final.exists()
    assert [p.name for p in final.iterdir()] == ["file"]
    assert [p.name for p in final.parent.iterdir()] == ["result"]


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "result") as work:
        (work / "file").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_existing_result_survives_a_failed_overwrite(tmp_path: Path) -> None:
    final = tmp_path / "result"
    final.mkdir()
    (final / "old").write_text("x")
    with pytest.raises(RuntimeError), atomic_folder(final, overwrite=True):
        raise RuntimeError
    assert [p.name for p in final.iterdir()] == ["old"]
    with atomic_folder(final, overwrite=True) as work:
        (work / "new").write_text("x")
    assert [p.name for p in final.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["result"]


def test_refuses_a_full_folder_and_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="not empty"), atomic_folder(tmp_path):
        pass
    with pytest.raises(UsageError, match="is a file"), atomic_folder(tmp_path / "file"):
        pass


def test_unwritable_place_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UniRefError, match="cannot be written"), atomic_folder(tmp_path / "file" / "inside"):
        pass


def test_leftovers_of_killed_processes_are_cleared(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    stem = f".result.partial-{platform.node()}-"
    for name in (f"{stem}{dead.pid}", f"{stem}{os.getppid()}", ".result.partial-elsewhere-1"):
        (tmp_path / name).mkdir()
    with atomic_folder(tmp_path / "result"):
        pass
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"result", f"{stem}{os.getppid()}", ".result.partial-elsewhere-1"}
