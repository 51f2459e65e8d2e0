"""Predictions of a backward pass, kept on disk until the forward pass takes them."""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from uniref.core.errors import UniRefError

_FRAME = struct.Struct("<QHII")  # index, objects, height, width
_OBJECT = struct.Struct("<Bf4f4II")  # id, score, box, corners of what is stored, its bytes
_SIZE = struct.Struct("<I")  # of the record before it


@dataclass(frozen=True)
class StoredObject:
    """What one object is in one frame."""

    score: float
    """Confidence, 0..1."""
    box: npt.NDArray[np.float32]
    """Float32 [4]: x0, y0, x1, y1 in pixels."""
    probability: npt.NDArray[np.float32]
    """Float32 [H, W], in steps of 1/256; above 0.5 exactly where it was."""


class FrameStack:
    """Objects of frames in a temporary file without a name: the frame pushed last is the first to come back.

    Memory holds one frame at most, whatever the number of frames. The file is gone when this is closed, and when the
    process ends in any way.

    Args:
        folder: Where to put the file; None for the system's folder for temporary files.

    Raises:
        UniRefError: The file cannot be written, also from `push` and `pop`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir())
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - `close` does
        except OSError as error:
            raise self._unwritable(error) from None
        self._end = 0
        self._top: tuple[int, dict[int, StoredObject]] | None = None

    def push(self, index: int, objects: Mapping[int, StoredObject]) -> None:
        """Store the objects of a frame, which comes before all frames pushed so far."""
        height, width = next(iter(objects.values())).probability.shape
        parts = [_FRAME.pack(index, len(objects), height, width)]
        for number, each in objects.items():
            steps = to_steps(each.probability)
            corners = _corners(steps)
            y0, y1, x0, x1 = corners
            data = zlib.compress(_differences(steps[y0:y1, x0:x1]).tobytes(), 1)
            parts += [_OBJECT.pack(number, each.score, *each.box.tolist(), *corners, len(data)), data]
        size = sum(map(len, parts))
        try:
            for part in (*parts, _SIZE.pack(size)):
                self._file.write(part)
        except OSError as error:
            raise self._unwritable(error) from None
        self._end += size + _SIZE.size

    def pop(self, index: int) -> dict[int, StoredObject]:
        """Take the objects of a frame: frames are asked for in ascending order; those passed over are dropped."""
        while (top := self._load_top()) is not None and top[0] < index:
            self._top = None
        if top is None or top[0] > index:
            return {}
        self._top = None
        return top[1]

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def _load_top(self) -> tuple[int, dict[int, StoredObject]] | None:
        if self._top is None and self._end:
            try:
                self._file.seek(self._end - _SIZE.size)
                (size,) = _SIZE.unpack(self._file.read(_SIZE.size))
                self._end -= size + _SIZE.size
                self._file.seek(self._end)
                self._top = _unpack(self._file.read(size))
            except OSError as error:  # what was buffered goes to the disk at the first seek
                raise self._unwritable(error) from None
        return self._top

    def _unwritable(self, error: OSError) -> UniRefError:
        reason = error.strerror or os.strerror(error.errno or 0)
        return UniRefError(f"{self._folder}: a temporary file cannot be written there ({reason})")


def _unpack(record: bytes) -> tuple[int, dict[int, StoredObject]]:
    index, count, height, width = _FRAME.unpack_from(record)
    at, objects = _FRAME.size, {}
    for _ in range(count):
        number, score, *box, y0, y1, x0, x1, length = _OBJECT.unpack_from(record, at)
        at += _OBJECT.size
        steps = np.zeros((height, width), np.uint8)
        if y1 > y0:
            data = zlib.decompress(record[at : at + length])
            differences = np.frombuffer(data, np.uint8).reshape(y1 - y0, x1 - x0)
            steps[y0:y1, x0:x1] = differences.cumsum(0, dtype=np.uint8).cumsum(1, dtype=np.uint8)
        at += length
        objects[number] = StoredObject(score, np.array(box, np.float32), to_probability(steps))
    return index, objects


def to_steps(probability: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Steps of 1/256, rounded up, so that 128 and more means above 0.5."""
    return np.clip(np.ceil(probability * 256) - 1, 0, 255).astype(np.uint8)


def to_probability(steps: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The middle of each step, and 0 of the lowest one."""
    table = (np.arange(256, dtype=np.float32) + 0.5) / 256
    table[0] = 0
    return np.asarray(table[steps], np.float32)


def _differences(steps: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """To the neighbours on the left and above (modulo 256), which take half the space."""
    nothing = np.uint8(0)
    return np.diff(np.diff(steps, axis=1, prepend=nothing), axis=0, prepend=nothing)


def _corners(steps: npt.NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """(y0, y1, x0, x1) around all steps above 0; zeros where there are none."""
    rows, columns = np.flatnonzero(steps.any(1)), np.flatnonzero(steps.any(0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
