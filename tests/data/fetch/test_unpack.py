"""Archives of every kind, honest and hostile."""

from __future__ import annotations

import io
import stat
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import py7zr
import pytest

from uniref.core.errors import UniRefError
from uniref.data.fetch.unpack import ArchiveLimits, is_being_unpacked, is_unpacked, remove_unpacked, unpack

unpack_module = sys.modules["uniref.data.fetch.unpack"]  # the package gives the function the same name

FILES = {"set/a.txt": b"a" * 1000, "set/deep/b.bin": bytes(range(256)) * 40, "c": b""}


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, files: dict[str, bytes]) -> Path:
    mode = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}.get(path.suffix[1:], "w")
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def make_7z(path: Path, files: dict[str, bytes]) -> Path:
    with py7zr.SevenZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(content, name)
    return path


def make(path: Path, files: dict[str, bytes]) -> Path:
    return {".zip": make_zip, ".7z": make_7z}.get(path.suffix, make_tar)(path, files)


KINDS = ["x.zip", "x.tar", "x.tar.gz", "x.tgz", "x.tar.bz2", "x.tar.xz", "x.7z"]


def contents(folder: Path) -> dict[str, bytes]:
    files = [p for p in folder.rglob("*") if p.is_file() and ".unpacked" not in p.parts]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind(tmp_path: Path, name: str) -> None:
    archive = make(tmp_path / name, FILES)
    unpack(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


def test_a_finished_archive_is_not_unpacked_again(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "x.zip", FILES)
    unpack(archive, tmp_path / "out")
    (tmp_path / "out/c").write_bytes(b"mine")
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/c").read_bytes() == b"mine"
    make_zip(archive, FILES | {"d": b"new"})
    unpack(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == FILES | {"d": b"new"}


@pytest.mark.parametrize("kind", ["x.zip", "x.tar.gz"])
@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "a\\..\\evil", "C:/evil"])
def test_names_that_lead_outside(tmp_path: Path, kind: str, name: str) -> None:
    archive = make(tmp_path / kind, {"fine": b"1", name: b"2"})
    with pytest.raises(UniRefError, match="leads outside"):
        unpack(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == {}
    assert not list(tmp_path.rglob("evil"))


def link(kind: bytes) -> Callable[[Path], Path]:
    def build(path: Path) -> Path:
        with tarfile.open(path, "w") as archive:
            info = tarfile.TarInfo("link")
            info.type = kind
            info.linkname = "/etc/passwd"
            archive.addfile(info)
        return path

    return build


def zip_link(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return path


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("x.tar", link(tarfile.SYMTYPE)),
        ("x.tar", link(tarfile.LNKTYPE)),
        ("x.tar", link(tarfile.CHRTYPE)),
        ("x.tar", link(tarfile.FIFOTYPE)),
        ("x.zip", zip_link),
    ],
)
def test_links_and_devices(tmp_path: Path, name: str, build: Callable[[Path], Path]) -> None:
    with pytest.raises(UniRefError, match="link or device"):
        unpack(build(tmp_path / name), tmp_path / "out")
    assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.7z"])
def test_expansion_is_limited(tmp_path: Path, name: str) -> None:
    archive = make(tmp_path / name, {"zeros": b"\0" * 5_000_000})
    with pytest.raises(UniRefError, match="expands to more than"):
        unpack(archive, tmp_path / "out", limits=ArchiveLimits(ratio=10, floor=100_000))
    with pytest.raises(UniRefError, match="more than 1 files"):
        unpack(make(tmp_path / name, FILES), tmp_path / "out", limits=ArchiveLimits(files=1))
    assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize("name", KINDS)
def test_truncated_and_flipped(tmp_path: Path, name: str) -> None:
    whole = make(tmp_path / name, FILES).read_bytes()
    for damaged in (
        whole[: len(whole) // 2],
        whole[: len(whole) // 3] + b"\xff\xff" + whole[len(whole) // 3 + 2 :],
        b"",
    ):
        (tmp_path / name).write_bytes(damaged)
        try:
            unpack(tmp_path / name, tmp_path / "out")
        except UniRefError as error:
            assert str(tmp_path / name) in str(error)
        assert set(contents(tmp_path / "out")) in (set(), set(FILES))


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(UniRefError, match="no such file"):
        unpack(tmp_path / "x.zip", tmp_path / "out")


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.7z"])
def test_any_names(tmp_path: Path, name: str) -> None:
    files = {"\u00e9t\u00e9/\u732b.txt": b"1", "a b/it's \u2013 100%.txt": b"2", "...hidden": b"3", ".dot/x": b"4"}
    unpack(make(tmp_path / name, files), tmp_path / "out")
    assert contents(tmp_path / "out") == files


def test_links_in_7z(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link").symlink_to("/etc/passwd")
    with py7zr.SevenZipFile(tmp_path / "x.7z", "w") as archive:
        archive.writeall(tmp_path / "in", "in")
    with pytest.raises(UniRefError, match=r"in/link is a link or device; .* unpack it yourself"):
        unpack(tmp_path / "x.7z", tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_encrypted(tmp_path: Path) -> None:
    with py7zr.SevenZipFile(tmp_path / "x.7z", "w", password="secret") as archive:  # noqa: S106 - of the test
        archive.writestr(b"1", "a")
    with pytest.raises(UniRefError, match=r"x\.7z: is encrypted"):
        unpack(tmp_path / "x.7z", tmp_path / "out")


def test_what_was_interrupted_is_unpacked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_zip(tmp_path / "x.zip", FILES)

    def killed(work: Path, target: Path) -> None:
        (target / "c").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(unpack_module, "_move_in", killed)
        unpack(archive, tmp_path / "out")
    assert is_being_unpacked(archive, tmp_path / "out")
    unpack(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == FILES
    assert is_unpacked(archive, tmp_path / "out")
    assert not is_being_unpacked(archive, tmp_path / "out")


def test_two_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_zip(tmp_path / "x.zip", FILES | {f"many/{n}": b"x" for n in range(300)})
    times = []
    extract = unpack_module._extract

    def counted(*arguments: object) -> None:
        times.append(1)
        extract(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(unpack_module, "_extract", counted)
    threads = [threading.Thread(target=unpack, args=(archive, tmp_path / "out")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(contents(tmp_path / "out")) == 303
    assert len(times) == 1


def test_only_what_archives_brought_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "t"
    unpack(make(tmp_path / "x.zip", FILES), target)
    unpack(make(tmp_path / "y.tar", {"set/other": b"y"}), target)
    (target / "set" / "mine.txt").write_text("precious")
    assert remove_unpacked(target) == ["set/mine.txt"]
    assert [path.relative_to(target).as_posix() for path in target.rglob("*")] == ["set", "set/mine.txt"]
    (target / "set" / "mine.txt").unlink()
    unpack(tmp_path / "x.zip", target)
    assert remove_unpacked(target) == []
    assert not target.exists()
    assert remove_unpacked(target) == []
