import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from uniref.core.atomic import atomic_folder, exclusive, remove_written
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


def test_what_somebody_else_put_there_stays(tmp_path: Path) -> None:
    final = tmp_path / "result"
    (final / "masks").mkdir(parents=True)
    (final / "empty").mkdir()
    for name in ("old", "note.txt", "masks/0.png", "masks/note.txt"):
        (final / name).write_text(name)
    (final / "link").symlink_to("note.txt")

    def written(folder: Path) -> set[str]:
        assert folder == final
        return {"old", "masks/0.png"}

    with atomic_folder(final, True, written) as work:
        (work / "masks").mkdir()
        (work / "masks/1.png").write_text("new")
    files = sorted(path.relative_to(final).as_posix() for path in final.rglob("*"))
    assert files == ["empty", "link", "masks", "masks/1.png", "masks/note.txt", "note.txt"]
    assert (final / "masks/note.txt").read_text() == "masks/note.txt"
    assert (final / "link").is_symlink()
    with (
        pytest.raises(UsageError, match=r"note\.txt: would be replaced, but uniref did not write it"),
        atomic_folder(final, True, written) as work,
    ):
        (work / "note.txt").write_text("new")
    assert (final / "note.txt").read_text() == "note.txt"
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_only_written_files_are_removed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    folder = tmp_path / "a"
    (folder / "masks").mkdir(parents=True)
    (folder / "masks/0.png").write_text("x")
    (folder / "note").write_text("x")
    assert remove_written(folder, {"masks/0.png", "../precious"}) == ["note"]
    assert sorted(path.name for path in folder.rglob("*")) == ["note"]
    assert remove_written(folder, {"note", "../precious"}) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious"]
    assert remove_written(tmp_path / "none", set()) == []


def test_a_folder_between_two_names_comes_back(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    stem = f".result.partial-{platform.node()}-{dead.pid}"
    (tmp_path / stem).mkdir()
    (tmp_path / f"{stem}.replaced").mkdir()
    (tmp_path / f"{stem}.replaced/note").write_text("x")
    with pytest.raises(UsageError, match="not empty"), atomic_folder(tmp_path / "result"):
        pass
    with atomic_folder(tmp_path / "result", True, lambda folder: set()):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["result", "note"]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    real, final = tmp_path / "disk" / "real", tmp_path / "result"
    real.mkdir(parents=True)
    (real / "note").write_text("x")
    final.symlink_to(real)
    with atomic_folder(final, True, lambda folder: set()) as work:
        assert work.parent == real.parent
        (work / "new").write_text("x")
    assert final.is_symlink()
    assert sorted(path.name for path in real.iterdir()) == ["new", "note"]
    assert sorted(path.name for path in real.parent.iterdir()) == ["real"]


def test_of_a_link_only_the_link_is_removed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "old").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert remove_written(tmp_path / "link", {"old"}) == []
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "old").is_file()


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
