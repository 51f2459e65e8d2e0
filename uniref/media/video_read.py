"""Videos frame by frame through decord; nothing but the current frame is held."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import decord
import numpy as np
import numpy.typing as npt

from uniref.core.errors import MediaError
from uniref.media.frame import SourceFrame
from uniref.media.video_hdr import can_tone_map, tone_mapping
from uniref.media.video_rescue import announced_seconds, breaks_off, decode_concealing, lacks_end

EXTENSIONS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts")

_DEFAULT_FPS = 25.0
_SEEK_MARGIN = 1.0  # seconds of decoding ahead of the first frame wanted
_DECODE_ERRORS = (decord.DECORDError, RuntimeError, StopIteration, IndexError)


class VideoFile:
    """A video file. Frames come turned upright (display matrix applied) and as uint8 RGB [H, W, 3].

    Args:
        path: The file; its content counts, not its extension.

    Raises:
        MediaError: Missing, no video, or without frames.
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
                self.frame_count: int = len(self._reader)
                self.fps = float(self._reader.get_avg_fps())
                self._times = self._read_times()
        except (*_DECODE_ERRORS, OSError, ValueError):
            raise MediaError(f"{path}: is not a video that can be read (damaged, or no video stream)") from None
        if self.frame_count < 1:
            raise MediaError(f"{path}: holds no video frames")
        if not math.isfinite(self.fps) or self.fps <= 0:
            self.fps = _DEFAULT_FPS
        filters = tone_mapping(self.path)
        self.hdr = filters is not None
        """High dynamic range (PQ or HLG)."""
        self._filters = filters if filters and can_tone_map() else None
        self._position = 0  # of the decoder; -1 = unknown
        self.tail_lost = 0
        """Frames at the end that the file announces but does not hold; known once `frames` has reached the end."""
        self.lacks_end = lacks_end(self.path)
        """It breaks off, and nothing says how many frames are lost."""

    def _read_times(self) -> npt.NDArray[np.float64]:
        """Start and end of every frame in seconds, [T, 2]."""
        if self.frame_count < 1:
            return np.zeros((0, 2))
        return np.asarray(self._reader.get_frame_timestamp(list(range(self.frame_count))), np.float64)

    @property
    def tone_mapped(self) -> bool:
        """Whether frames come converted from high dynamic range."""
        return self._filters is not None

    @property
    def variable_rate(self) -> bool:
        """Whether frames stand anywhere but on the grid of the average rate (by over half a frame)."""
        starts = self._times[:, 0] - self._times[0, 0]
        return bool(np.abs(starts - np.arange(len(starts)) / self.fps).max() > 0.5 / self.fps + 0.002)

    def index_at(self, seconds: float) -> int:
        """The first frame that is shown at a time (counted from the first frame) or later; else `frame_count`."""
        return int(np.searchsorted(self._times[:, 0] - self._times[0, 0], seconds - 1e-3))

    @property
    def shortest_interval(self) -> float:
        """Seconds between the two frames that follow each other fastest; the average where there is one frame."""
        steps = np.diff(self._times[:, 0])
        steps = steps[steps > 1e-4]
        return float(steps.min()) if len(steps) else 1 / self.fps

    def frames(self, first: int = 0, last: int | None = None, stride: int = 1) -> Iterator[SourceFrame]:
        """Every `stride`-th frame from `first` up to but not including `last`, in order.

        A frame that cannot be decoded comes marked as damaged; a file that breaks off ends early (`tail_lost`).

        Raises:
            MediaError: No frame at all can be decoded.
        """
        stop = self.frame_count if last is None else min(last, self.frame_count)
        wanted = range(first, stop, stride)
        picture: npt.NDArray[np.uint8] | None = None
        expected = first
        for index, frame in self._decoded(wanted):
            ground = picture if picture is not None else np.zeros_like(frame)
            for lost in range(expected, index, stride):
                yield self._frame(lost, ground, damaged=True)
            picture = frame
            expected = index + stride
            yield self._frame(index, frame)
        if picture is None:
            raise MediaError(f"{self.path}: no frame can be decoded (damaged)")
        if stop == self.frame_count:
            self.tail_lost = len(range(expected, self._true_count(), stride))

    def _decoded(self, wanted: range) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
        """Index and picture of the wanted frames that can be decoded: by decord, from a fault on by ffmpeg.

        High dynamic range is for ffmpeg alone.
        """
        if self._filters is not None:
            yield from self._rescued(wanted, self._filters)
            return
        for index in wanted:
            try:
                if index != self._position:
                    self._seek(index)
                frame = _rgb(self._reader.next().asnumpy())
            except _DECODE_ERRORS:
                self._position = -1
                yield from self._rescued(range(index, wanted.stop, wanted.step))
                return
            self._position = index + 1
            yield index, frame

    def _seek(self, index: int) -> None:
        if 0 <= self._position < index:
            self._reader.skip_frames(index - self._position)
        else:
            self._reader.seek_accurate(index)

    def _rescued(self, wanted: range, filters: str | None = None) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
        if not wanted:
            return
        starts = self._times[:, 0]
        ahead = float(starts[wanted.start] - starts[0]) - _SEEK_MARGIN
        for seconds, picture in decode_concealing(self.path, ahead if filters and ahead > 0 else None, filters):
            index = int(np.abs(starts - seconds).argmin())
            if index in wanted:
                yield index, picture
                wanted = range(index + wanted.step, wanted.stop, wanted.step)
                if not wanted:
                    return

    def _frame(self, index: int, image: npt.NDArray[np.uint8], damaged: bool = False) -> SourceFrame:
        start, end = self._times[index]
        return SourceFrame(index, f"{index:05d}", image, float(start), max(float(end - start), 1e-3), damaged)

    def _true_count(self) -> int:
        """Frames that the file should hold: more than its index lists where it was cut off."""
        announced = round(announced_seconds(self.path) * self.fps)
        if announced > self.frame_count + 2 and breaks_off(self.path):
            return announced
        return self.frame_count


def _rgb(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The picture without the bytes that pad its rows.

    decord takes the padding of narrow, turned frames for further channels: [H, W, 4] whose rows hold W * 3 values.
    """
    height, width, channels = frame.shape
    if channels == 3:
        return frame
    return frame.reshape(height, width * channels)[:, : width * 3].reshape(height, width, 3)


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
