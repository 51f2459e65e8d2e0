"""Unpacks untrusted archives: only plain files and folders, all of them below the target."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import json
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock

from uniref.core.atomic import foreign_files, remove_written
from uniref.core.errors import UniRefError
from uniref.core.files import first_line
from uniref.core.json_files import read_json
from uniref.core.progress import Progress, silent

_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z")
_BLOCK = 1 << 20
_DEEPEST = 64  # folders inside folders
_STAMPS = ".unpacked"
_BEGUN = "begun"
_LINK = "is a link or device; the archive is not unpacked. If you trust it, unpack it yourself and name the folder"
_ENCRYPTED = "is encrypted; unpack it yourself and name the folder"
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)


class DamagedArchiveError(UniRefError):
    """An archive is cut or damaged: fetching it again may help."""


@dataclass(frozen=True)
class ArchiveLimits:
    """Bounds on what an archive may expand to."""

    total: int = 4 << 40
    """Bytes of all files."""
    files: int = 10_000_000
    ratio: int = 200
    """Times its own size, beyond the first `floor` bytes."""
    floor: int = 1 << 30


def is_archive(path: Path) -> bool:
    """Whether the file's name is that of an archive that can be unpacked."""
    return str(path).lower().endswith(_SUFFIXES)


def unpack(archive: Path, target: Path, *, limits: ArchiveLimits | None = None, progress: Progress = silent) -> Path:
    """Unpack a zip, tar (plain, gz, bz2, xz) or 7z archive into a folder, over what is there.

    A finished archive is remembered and not unpacked again. Links, devices and names that lead outside are refused
    before anything is written under its final name: files go to a hidden folder first.

    Args:
        archive: The file.
        target: The folder, which is made where it is missing.
        limits: Bounds on what it may expand to.
        progress: Shows files.

    Returns:
        `target`.

    Raises:
        DamagedArchiveError: It is cut or damaged.
        UniRefError: Hostile or too large an archive, naming the entry; or the disk refuses.
    """
    archive, target = Path(archive), Path(target)
    try:
        return _unpack_locked(archive, target, limits, progress)
    finally:
        # of a failure, neither the lock nor empty folders stay behind
        if not _mark(archive, target):
            with contextlib.suppress(OSError):
                (target / _STAMPS / f"{archive.name}.lock").unlink(missing_ok=True)
                (target / _STAMPS).rmdir()
                target.rmdir()


def _unpack_locked(archive: Path, target: Path, limits: ArchiveLimits | None, progress: Progress) -> Path:
    try:
        archive.stat()
        stamps = target / _STAMPS
        stamps.mkdir(parents=True, exist_ok=True)
        with FileLock(stamps / f"{archive.name}.lock"):  # data sets of one group ask for the same archives
            _unpack_once(archive, target, limits or ArchiveLimits(), progress)
    except FileNotFoundError:
        raise UniRefError(f"{archive}: no such file") from None
    except (*_DAMAGE, OSError) as error:
        # an OSError without a number is of a decompressor (gzip.BadGzipFile, bz2), not of the disk
        if not isinstance(error, OSError) or error.errno is None:
            raise DamagedArchiveError(
                f"{archive}: is damaged or not complete ({first_line(error)}); fetch it again"
            ) from None
        raise UniRefError(f"{archive}: cannot be unpacked into {target} ({error.strerror or error})") from None
    return target


def is_unpacked(archive: Path, target: Path) -> bool:
    """Whether an archive of this name was unpacked completely; it may be deleted since."""
    return _mark(archive, target) not in ("", _BEGUN)


def holds(archive: Path, target: Path) -> bool:
    """Whether a folder has the content of this very archive: unpacked, and the archive not changed since."""
    return _mark(archive, target) == _mark_of(archive)


def is_being_unpacked(archive: Path, target: Path) -> bool:
    """Whether unpacking an archive of this name was begun and not finished."""
    return _mark(archive, target) == _BEGUN


def _stamp(archive: Path, target: Path) -> Path:
    return target / _STAMPS / f"{archive.name}.json"


def _files_of(archive: Path, target: Path) -> Path:
    """The list of the files that an archive brought."""
    return target / _STAMPS / f"{archive.name}.files"


def remove_unpacked(target: Path) -> list[str]:
    """Delete what archives brought into a folder, so that they are not mixed with those of another one.

    Args:
        target: Where they were unpacked; it need not exist.

    Returns:
        Files that stay because no archive brought them; relative, with `/`.
    """
    written = {name for name in foreign_files(target, set()) if name.startswith(f"{_STAMPS}/")}
    for lists in (target / _STAMPS).glob("*.files"):
        with contextlib.suppress(UniRefError):
            names = read_json(lists, largest=1 << 32)
            written |= {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()
    return remove_written(target, written)


def _mark(archive: Path, target: Path) -> str:
    try:
        return _stamp(archive, target).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _mark_of(archive: Path) -> str:
    state = archive.stat()
    return json.dumps({"size": state.st_size, "modified": state.st_mtime_ns})


def _unpack_once(archive: Path, target: Path, limits: ArchiveLimits, progress: Progress) -> None:
    if holds(archive, target):
        return
    mark = _mark_of(archive)
    stamp, work = _stamp(archive, target), target / f".unpacking-{archive.name}"
    stamp.write_text(_BEGUN, encoding="utf-8")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        try:
            _extract(archive, work, limits, progress)
        except BaseException:
            stamp.unlink(missing_ok=True)  # nothing of it is there yet
            raise
        # before the files, so that what a killed run moved in is known too
        _files_of(archive, target).write_text(json.dumps(foreign_files(work, set())), encoding="utf-8")
        _move_in(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    stamp.write_text(mark, encoding="utf-8")


def _extract(archive: Path, work: Path, limits: ArchiveLimits, progress: Progress) -> None:
    """Check every member, then let its library write it below `work`, which is empty."""
    size_budget = min(limits.total, max(limits.floor, archive.stat().st_size * limits.ratio))
    name = archive.name.lower()
    members = _zip_members if name.endswith(".zip") else _7z_members if name.endswith(".7z") else _tar_members
    total = 0
    shown = progress(members(archive, work), f"unpacking {archive.name}", None, "file")
    for count, member in enumerate(shown, start=1):
        # kind, name and size of the member
        if member.refusal:
            raise UniRefError(f"{archive}: {member.name} {member.refusal}")
        path = work.joinpath(*_safe_parts(archive, member.name))
        total += member.size
        if count > limits.files:
            raise UniRefError(f"{archive}: holds more than {limits.files:,} files; it is not unpacked")
        if total > size_budget:
            raise UniRefError(f"{archive}: expands to more than {size_budget:,} bytes; it is not unpacked")
        # none of the libraries writes more than the header says; of a damaged archive, it may be less
        if member.extract is not None:
            member.extract()
            if (written := path.stat().st_size) != member.size:
                raise DamagedArchiveError(
                    f"{archive}: {member.name} has {written:,} bytes, its header says {member.size:,}; fetch it again"
                )


@dataclass(frozen=True)
class _Member:
    """A file of an archive."""

    name: str
    size: int
    """Bytes, unpacked, as its header says."""
    refusal: str = ""
    """Why it must not be unpacked."""
    extract: Callable[[], object] | None = None
    """Writes it; None where that happens for all members together, after the last one was checked."""


def _zip_members(archive: Path, work: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            if info.is_dir():
                continue
            kind = stat.S_IFMT(info.external_attr >> 16)
            refusal = _LINK if kind and not stat.S_ISREG(kind) else _ENCRYPTED if info.flag_bits & 1 else ""
            yield _Member(info.filename, info.file_size, refusal, partial(file.extract, info, work))


def _tar_members(archive: Path, work: Path) -> Iterator[_Member]:
    with _decompressed(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as file:
        file.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.10.12 and later
        for info in file:
            if not info.isdir():
                # no times, owners and modes of another machine
                extract = partial(file.extract, info, work, set_attrs=False)
                yield _Member(info.name, info.size, "" if info.isreg() else _LINK, extract)
        _check_tar_end(file)


def _check_tar_end(file: tarfile.TarFile) -> None:
    """Whether a tar ended where it says. Raises tarfile.ReadError.

    The reader takes any header that it cannot read for the end, and reading on to the very end is what makes the
    decompressor check its checksum.
    """
    rest: Any = file.fileobj
    if rest.tell() < file.offset + tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it ends in the middle")
    while block := rest.read(_BLOCK):
        if block.strip(b"\0"):
            raise tarfile.ReadError("a header in the middle is damaged")


def _decompressed(archive: Path) -> Any:
    """The archive's content; the compression is recognised by its first bytes, whatever the file is called."""
    with archive.open("rb") as file:
        head = file.read(6)
    if head.startswith(b"\x1f\x8b"):
        return gzip.open(archive)
    if head.startswith(b"BZh"):
        return bz2.open(archive)
    if head == b"\xfd7zXZ\x00":
        return lzma.open(archive)
    return archive.open("rb")


def _7z_members(archive: Path, work: Path) -> Iterator[_Member]:
    try:
        import py7zr
    except ImportError:
        raise UniRefError(f"{archive}: needs py7zr: pip install py7zr, or unpack it and name the folder") from None
    try:
        with py7zr.SevenZipFile(archive) as file:
            for info in file.list():
                if not info.is_directory:
                    plain_file = info.is_file and not info.is_symlink
                    yield _Member(info.filename, info.uncompressed, "" if plain_file else _LINK)
            file.extractall(work)  # noqa: S202 - every member has been checked
    except py7zr.exceptions.PasswordRequired:
        raise UniRefError(f"{archive}: {_ENCRYPTED}") from None
    except (py7zr.exceptions.ArchiveError, ValueError, IndexError, TypeError) as error:
        raise DamagedArchiveError(
            f"{archive}: is damaged or not complete ({first_line(error)}); fetch it again"
        ) from None


def _safe_parts(archive: Path, name: str) -> tuple[str, ...]:
    """The parts of a member's name. Raises UniRefError where it leads out of the folder.

    The libraries would shorten such names (`/a`, `../a`) and unpack them; here the whole archive is refused.
    """
    parts = PurePosixPath(name).parts
    drive = len(name) > 1 and name[1] == ":"
    if len(parts) > _DEEPEST:
        raise UniRefError(f"{archive}: an entry lies {len(parts):,} folders deep; the archive is not unpacked")
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or drive:
        raise UniRefError(f"{archive}: the entry {name!r} leads outside the folder; the archive is not unpacked")
    return parts


def _move_in(work: Path, target: Path) -> None:
    """Move every file from `work` to the same place in `target`."""
    for folder, _, names in os.walk(work):
        destination = target / Path(folder).relative_to(work)
        destination.mkdir(parents=True, exist_ok=True)
        for name in names:
            os.replace(Path(folder) / name, destination / name)
