"""Archives of every kind, honest and hostile."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import py7zr
import pytest

from uniref.core.errors import UniRefError
from uniref.data.fetch.unpack import Limits, unpack

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
        unpack(archive, tmp_path / "out", limits=Limits(ratio=10, floor=100_000))
    with pytest.raises(UniRefError, match="more than 1 files"):
        unpack(make(tmp_path / name, FILES), tmp_path / "out", limits=Limits(files=1))
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
