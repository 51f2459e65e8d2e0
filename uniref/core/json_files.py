"""Reading JSON with bounds on nesting, the size of a record and the size of a file; no other module opens JSON."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from uniref.core.errors import UniRefError
from uniref.core.files import first_line, read_text, reading

MAX_DEPTH = 64
"""Brackets inside brackets. COCO and YouTube-VIS files have 6."""
_LARGEST_RECORD = 64 << 20  # bytes of one entry of a streamed list
_BLOCK = 1 << 16
_RECORD_DEPTH = 2  # entries of a section are inside the object and the list
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_REST_OF_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}:]', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(text: str, source: str, error: type[UniRefError] = UniRefError) -> Any:
    """The value of a JSON text.

    Args:
        text: The document.
        source: Its name in messages: `prompts.jsonl: line 3`.
        error: Exception class to raise.

    Raises:
        UniRefError: As `error`: not JSON, nested more than `MAX_DEPTH` deep, a whole number of thousands of digits, or
            half a surrogate pair, which is not a character.
    """
    try:
        guard = _DepthGuard()
        guard.feed(text.encode("utf-8", "surrogatepass"))
        value = json.loads(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise error(f"{source}: holds half a surrogate pair (\\ud800 to \\udfff), which is not a character") from None
    except (ValueError, RecursionError) as problem:
        raise error(f"{source}: is not valid JSON ({first_line(problem)})") from None
    return value


def read_json(path: Path, error: type[UniRefError] = UniRefError, largest: int = 64 << 20) -> Any:
    """The value of a JSON file.

    Args:
        path: The file.
        error: Exception class to raise.
        largest: Bytes that it may have.

    Raises:
        UniRefError: As `error`: cannot be read, too large, or as `parse_json`.
    """
    return parse_json(read_text(path, error, largest), str(path), error)


def read_json_lines(path: Path, error: type[UniRefError] = UniRefError) -> Iterator[tuple[int, Any]]:
    """The values of a JSON lines file with their line numbers, from 1; empty lines are skipped.

    Raises:
        UniRefError: As `read_json`, naming the line.
    """
    with reading(path, error), path.open("rb") as file:
        number = 0
        if file.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            for number, text in enumerate(read_text(path, error).split("\n"), start=1):
                if text.strip():
                    yield number, parse_json(text, f"{path}: line {number}", error)
            return
        while line := file.readline(_LARGEST_RECORD + 1):
            number += 1
            if len(line) > _LARGEST_RECORD:
                raise error(f"{path}: line {number}: is longer than {_LARGEST_RECORD:,} bytes")
            if line.strip():
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                yield number, parse_json(text, f"{path}: line {number}", error)


def stream_json(path: Path, section: str) -> Iterator[Any]:
    """The entries of one list of a JSON object, one at a time, in bounded memory.

    Args:
        path: A file of any size.
        section: Key of the list in the outermost object.

    Raises:
        UniRefError: Cannot be read, not JSON, nested more than `MAX_DEPTH` deep, or an entry of more than 64 MiB.
    """
    import ijson

    with reading(path), path.open("rb") as file:
        try:
            yield from ijson.items(_GuardedFile(file), f"{section}.item", use_float=True, buf_size=_BLOCK)
        except (ijson.JSONError, ValueError) as problem:
            reason = first_line(problem).removeprefix("b'") if str(problem) else "incomplete"
            raise UniRefError(f"{path}: is not valid JSON ({reason})") from None


def outline(path: Path, most: int = 1 << 18) -> tuple[str, ...]:
    """The outermost keys of a JSON file, as far as they are among its first bytes, to recognise its format by.

    Of a list, `[]` and the keys of its first entry. Nothing is validated: of a file that is not JSON, the result is
    arbitrary.

    Args:
        path: A file of any size.
        most: Bytes that are read.

    Raises:
        UniRefError: Cannot be read.
    """
    # the beginning of the file
    with reading(path), path.open("rb") as file:
        start = file.read(most).decode("utf-8-sig", "replace")
    # collect the strings before colons at the outermost depth
    keys: list[str] = []
    depth, key_depth, string = 0, 1, ""
    for token in _TOKEN.finditer(start):
        text = token[0]
        if text[0] == '"':
            string = text[1:-1]
        elif text == ":" and depth == key_depth:
            keys.append(string)
        elif text in "[{":
            depth += 1
            if depth == 1 and text == "[":
                keys.append("[]")
                key_depth = 2
        elif text in "]}":
            depth -= 1
            if depth == key_depth - 1 and keys[:1] == ["[]"]:
                break  # the first entry is over
    return tuple(keys)


class _DepthGuard:
    """Follows the nesting of JSON that is fed in blocks, without building anything.

    ijson keeps the whole path of every open bracket: 100,000 of them in 100 kB would take 20 GB.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._record = 0
        """Bytes since the last block in which an entry of a section began or ended."""
        self._in_string = self._escaped = False

    def feed(self, block: bytes) -> None:
        """Check the next bytes. Raises ValueError where a bound is exceeded."""
        bare = self._without_strings(block)
        brackets = np.frombuffer(bare.translate(None, _NO_BRACKETS), np.uint8)
        # of these four codes, the opening ones have this bit
        depths = self._depth + np.cumsum((brackets & 2).astype(np.int64) - 1)
        lowest = min(self._depth, int(depths.min(initial=self._depth)))
        if depths.max(initial=self._depth) > MAX_DEPTH:
            raise ValueError(f"brackets are nested more than {MAX_DEPTH} deep")
        self._depth = int(depths[-1]) if len(depths) else self._depth
        self._record = 0 if lowest <= _RECORD_DEPTH and not self._in_string else self._record + len(block)

    def check_record(self) -> None:
        """Raise ValueError where one entry has grown too large."""
        if self._record > _LARGEST_RECORD:
            raise ValueError(f"one entry has more than {_LARGEST_RECORD:,} bytes")

    def _without_strings(self, block: bytes) -> bytes:
        """The bytes outside of strings, which may hold brackets (run lengths do)."""
        start = 0
        if self._in_string:
            # the block begins inside a string, perhaps right behind a backslash
            match = _REST_OF_STRING.match(block, min(1, len(block)) if self._escaped else 0)
            start = match.end() if match else 0
            self._escaped = block[start:] == b"\\"
            if start == len(block) or self._escaped:
                return b""
            start, self._in_string = start + 1, False
        bare = _STRING.sub(b"", block[start:])
        before, quote, after = bare.partition(b'"')
        if quote:  # a string continues in the next block
            self._in_string = True
            self._escaped = (len(after) - len(after.rstrip(b"\\"))) % 2 == 1
        return before


class _GuardedFile:
    """A file for ijson whose content is checked as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._guard = file, _DepthGuard()

    def read(self, size: int = -1) -> bytes:
        """The next bytes. Raises ValueError where a bound is exceeded."""
        block = self._file.read(size)
        self._guard.feed(block)
        self._guard.check_record()
        return block
