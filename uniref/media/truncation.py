"""Telling a file that lacks its end from a whole one, by its header and by what ffmpeg says while it reads it."""

from __future__ import annotations

import re
import struct
from pathlib import Path

_SAID = re.compile(r"File ended prematurely|partial file|^\[in#0[^]]*\].*[Tt]runcated", re.M)
_SHORT_PACKET = re.compile(r"Packet corrupt \(stream")
_SHORT_IF_CORRUPT = ("avi", "ivf", "mxf")  # of which ffmpeg calls no packet corrupt but one that the file's end cuts
_LARGEST_PAGE = 1 << 16  # bytes of a page of Ogg, and a little more than its header
_UNKNOWN_SIZE = (1 << 32) - 1  # in an AVI that was written to a pipe
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_HEADER = 1 << 14  # bytes in which ASF describes the file


def says_cut_off(messages: str, container: str = "") -> bool:
    """Whether ffmpeg's messages about an input say that its end is missing.

    Args:
        messages: Lines of its stderr, warnings included.
        container: ffmpeg's names of the format, where known.
    """
    return bool(_SAID.search(messages)) or (container in _SHORT_IF_CORRUPT and bool(_SHORT_PACKET.search(messages)))


def lacks_end(path: Path) -> bool:
    """Whether a file ends before the size or end mark that its container requires.

    Known of GIF, WebP, PNG, AVI, ASF (WMV) and Ogg; of other containers ffmpeg says it (`says_cut_off`).
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEADER)
        file.seek(-min(_LARGEST_PAGE, size), 2)
        tail = file.read()
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return not tail.rstrip(b"\0").endswith(b";")
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"AVI "):
        announced = int.from_bytes(head[4:8], "little")
        return announced != _UNKNOWN_SIZE and announced + 8 > size
    if head[:16] == _ASF and (at := head.find(_ASF_PROPERTIES)) >= 0:
        broadcast = int.from_bytes(head[at + 88 : at + 92], "little") & 1  # its size was not known when it was written
        return not broadcast and int.from_bytes(head[at + 40 : at + 48], "little") > size
    if head[:4] == b"OggS":
        return _lacks_last_page(tail)
    return head[:8] == b"\x89PNG\r\n\x1a\n" and b"IEND" not in tail[-64:]


def avi_seconds(path: Path) -> float:
    """Seconds of video that an AVI's header announces, of which ffmpeg says less where the end is missing; else 0."""
    with path.open("rb") as file:
        head = file.read(_HEADER)
    at = head.find(b"vids", 12) if head[:4] == b"RIFF" and head[8:12] == b"AVI " else -1
    if at < 0 or len(head) < at + 36:
        return 0.0
    scale, rate, _, length = struct.unpack("<4I", head[at + 20 : at + 36])
    return length * scale / rate if rate else 0.0


def _lacks_last_page(tail: bytes) -> bool:
    """Whether the last page of an Ogg file does not end a stream, or is not there as a whole."""
    at = tail.rfind(b"OggS")
    page = tail[at:]
    if at < 0 or len(page) < 27:
        return True
    table = page[27 : 27 + page[26]]
    return not page[5] & 4 or len(table) < page[26] or 27 + len(table) + sum(table) > len(page)
