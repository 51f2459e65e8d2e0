"""Videos frame by frame through decord; nothing but the current frame is held."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import decord
import numpy as np
import numpy.typing as npt

from uniref.core.errors import MediaError

EXTENSIONS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts")


class VideoFile:
    """A video file. Frames come turned upright and as uint8 RGB [H, W, 3].

    Args:
        path: The file; its content counts, not its extension.

    Raises:
        MediaError: Missing, no video, damaged beyond its first frame, or without frames.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise MediaError(f"{path}: no such file")
        if self.path.stat().st_size == 0:
            raise MediaError(f"{path}: is empty")
        decord.logging.set_level(decord.logging.QUIET)
        try:
            with _quiet_stderr():
                self._reader = decord.VideoReader(str(self.path), num_threads=1)
                self.frame_count = len(self._reader)
                self.fps = float(self._reader.get_avg_fps())
        except (decord.DECORDError, RuntimeError, OSError, IndexError, ValueError):
            raise MediaError(f"{path}: is not a video that can be read (damaged, or no video stream)") from None
        if self.frame_count < 1:
            raise MediaError(f"{path}: holds no video frames")
        if not np.isfinite(self.fps) or self.fps <= 0:
            self.fps = 25.0
        self.frames_read = 0

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield every frame once, in order. Ends early where the file does; see `frames_lost`.

        Raises:
            MediaError: Not even the first frame can be decoded.
        """
        for _ in range(self.frame_count):
            try:
                frame = self._reader.next().asnumpy()
            except (decord.DECORDError, StopIteration, RuntimeError):
                if self.frames_read == 0:
                    raise MediaError(f"{self.path}: no frame can be decoded (damaged)") from None
                return
            self.frames_read += 1
            yield frame

    @property
    def frames_lost(self) -> int:
        """Frames that the file announces but that could not be decoded, once iteration has ended."""
        return self.frame_count - self.frames_read


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Silence what the decoder's C++ code prints past its own log level; our errors say it in one line."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "w") as null:
            os.dup2(null.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
