"""Quick checks that a fetched file is complete and of the kind that its name says."""

from __future__ import annotations

import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from uniref.core.errors import UniRefError
from uniref.core.json_files import parse_json

PAGE = "is a web page, not the file"
_PAGE_STARTS = (b"<!doctype", b"<html", b"<head", b"<script")
_PAGES = (".html", ".htm", ".xhtml")
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}
_LOCAL_HEADER = 30  # bytes before an entry's name in a zip
_MOST_HEADER = 100_000_000  # bytes, as the format itself allows


def is_page(start: bytes) -> bool:
    """Whether a file's first bytes are those of a web page."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    while text.startswith(b"<!--") and b"-->" in text:
        text = text.partition(b"-->")[2].lstrip()
    return text.startswith(_PAGE_STARTS)


def structure_problem(path: Path, name: str) -> str:
    """What is wrong with a file ("is a web page, ..."); empty where it seems complete.

    Only quick checks are made: the table of an archive, the end of a tensor file. What is compressed as a whole is
    checked when it is unpacked.

    Args:
        path: Where the content is.
        name: What it is to be called.
    """
    with path.open("rb") as file:
        start = file.read(512)
    lower = name.lower()
    if not start:
        return "is empty"
    if is_page(start) and not lower.endswith(_PAGES):
        return PAGE
    for suffixes, check in _CHECKS.items():
        if lower.endswith(suffixes):
            return check(path, start)
    return ""


def _zip(path: Path, start: bytes) -> str:
    """The table lies at the end, so that a zip that is cut has none."""
    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.header_offset + _LOCAL_HEADER + entry.compress_size > size:
                    return "is a zip archive that is cut or damaged"
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error):
        return "is a zip archive that is cut or damaged" if start.startswith(b"PK") else "is not a valid zip archive"
    return ""


def _tar(path: Path, start: bytes) -> str:
    if any(start.startswith(magic) for magic in _COMPRESSED):
        return ""
    try:
        with tarfile.open(path, "r:") as archive:
            for _ in archive:
                archive.members = []  # type: ignore[attr-defined]  # a million of them would take memory
            end = archive.offset
    except (tarfile.TarError, EOFError, ValueError, OverflowError):
        return "is a tar archive that is cut or damaged" if b"ustar" in start else "is not a valid tar archive"
    return "" if path.stat().st_size >= end + tarfile.BLOCKSIZE else "is a tar archive that is cut"


def _compressed_tar(path: Path, start: bytes) -> str:
    return (
        ""
        if any(start.startswith(magic) for magic in _COMPRESSED) or b"ustar" in start
        else "is not a valid tar archive"
    )


def _seven(path: Path, start: bytes) -> str:
    """The header at the start says where the table at the end is, and both have checksums."""
    if not start.startswith(b"7z\xbc\xaf\x27\x1c") or len(start) < 32:
        return "is not a valid 7z archive"
    (first_sum,) = struct.unpack("<I", start[8:12])
    offset, size, table_sum = struct.unpack("<QQI", start[12:32])
    if zlib.crc32(start[12:32]) != first_sum or 32 + offset + size > path.stat().st_size:
        return "is a 7z archive that is cut or damaged"
    with path.open("rb") as file:
        file.seek(32 + offset)
        return "" if zlib.crc32(file.read(size)) == table_sum else "is a 7z archive that is cut or damaged"


def _json(path: Path, start: bytes) -> str:
    """The outermost brackets are at both ends."""
    head = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head and head[0] not in b"{[":
        return "is not a valid JSON file"
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 512))
        tail = file.read().rstrip()
    return "" if tail and tail[-1] in b"}]" else "is a JSON file that is cut"


def _pickle(path: Path, start: bytes) -> str:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return "" if file.read(1) == b"." else "is not a complete pickle"


def _safetensors(path: Path, start: bytes) -> str:
    if len(start) < 10 or start[8:9] != b"{":
        return "is not a valid safetensors file"
    (length,) = struct.unpack("<Q", start[:8])
    size = path.stat().st_size
    if 8 + length > size or length > _MOST_HEADER:
        return "is a safetensors file that is cut or damaged"
    with path.open("rb") as file:
        file.seek(8)
        header = file.read(length)
    try:
        entries = parse_json(header.decode("utf-8"), "header")
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
        whole = 8 + length + max(ends, default=0) <= size
    except (UniRefError, ValueError, TypeError, LookupError, AttributeError):
        return "is a safetensors file that is damaged"
    return "" if whole else "is a safetensors file that is cut"


def _torch(path: Path, start: bytes) -> str:
    """PyTorch's files are zip archives, older ones pickles, which only reading checks."""
    return _zip(path, start) if start.startswith(b"PK") else ""


_CHECKS: dict[tuple[str, ...], Callable[[Path, bytes], str]] = {
    (".zip",): _zip,
    (".tar",): _tar,
    (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"): _compressed_tar,
    (".7z",): _seven,
    (".json",): _json,
    (".p", ".pkl"): _pickle,
    (".safetensors",): _safetensors,
    (".pth", ".pt", ".bin", ".ckpt"): _torch,
}
