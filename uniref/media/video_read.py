"""Reading videos frame by frame; only the current frame is in memory.

ffmpeg decides which frames a video shows and when (`probe`). decord decodes the same frames faster; it is used for
files where that is certain when they are opened (`why_not_decord`); every other file is decoded by ffmpeg.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from uniref.core.errors import MediaError
from uniref.core.types import UInt8Image
from uniref.media.ffmpeg import DecodedFrame, decode
from uniref.media.frame import LONGEST, MAX_FRAME_PIXELS, FrameClock, SourceFrame, writing_base
from uniref.media.probe import VideoInfo, probe, sound_ends
from uniref.media.truncation import avi_seconds, lacks_end
from uniref.media.video_colors import BT709, ColorTags, can_tone_map, readable_colors, tone_mapping

EXTENSIONS = (
    *(".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".vob", ".wmv", ".asf", ".flv", ".f4v"),
    *(".ts", ".mts", ".m2ts", ".m2t", ".3gp", ".3g2", ".ogv", ".ogg", ".mxf", ".dv", ".y4m", ".m2v", ".mpv"),
    *(".h264", ".264", ".avc", ".hevc", ".h265", ".265", ".ivf", ".obu", ".m3u8", ".mjpeg", ".mjpg"),
)

_DEFAULT_FPS = 25.0
_SEEK_MARGIN = 1.0  # seconds of decoding ahead of the first frame
_INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
_EXACT = ("mxf", "ivf")  # containers that announce the number of frames
_DECORD_CODECS = ("h264", "hevc", "av1")
_HIDES_FRAMES = ("vp8",)  # packets of its alternate reference frames show nothing
_RECENT = 10  # frames within which a fault of the decoder explains a missing one
_ROUNDED = Fraction(1, 1000)  # seconds; Matroska's unit of time
_DECORD_PIXELS = 1920 * 1088  # decord reads more than a hundred frames ahead: 3 GB of 3840 x 2160
_FAR = 50  # frames from which on a seek by ffmpeg is faster than decoding up to there
_TOLERATED = 0.5  # seconds that a container may announce too much
_REORDERED = 16  # frames that a video may hold in another order than they are shown
_SAME_TIME = 0.002  # seconds; decord keeps times in 32 bits


def why_not_indexed(info: VideoInfo) -> str | None:
    """Why the file's packets, in order of their times, are not known to be the frames that it shows.

    Returns:
        None where they are: frame i is shown at the i-th smallest time, and ffmpeg can seek to it.
    """
    packets = info.packets
    if info.container not in _INDEXED:
        return f"container {info.container}"
    if info.codec in _HIDES_FRAMES:
        return f"codec {info.codec}"
    if packets.discarded:
        return "edit list"
    if not packets.starts_with_key:
        return "does not start with a key frame"
    if not packets.ordered:
        return "timestamps that are missing, repeated, or before the first frame's"
    return "timestamps that leap" if packets.longest_step > LONGEST else None


def why_not_decord(info: VideoInfo) -> str | None:
    """Why decord is not known to give the same frames and times as ffmpeg; None where it is."""
    if reason := why_not_indexed(info):
        return reason
    reasons = {
        f"codec {info.codec}": info.codec not in _DECORD_CODECS,
        "size or format changes inside the stream": not info.packets.steady,
        "damaged": info.packets.error is not None,
        # decord allocates memory for the announced length, and aborts the process where there is not enough
        "announces hours more than it holds": info.seconds > info.packets.span + LONGEST,
        "several video streams": info.video_streams > 1,
        "display matrix": info.rotation is not None,  # decord turns frames, but does not mirror them
        "high dynamic range": info.hdr,
        "large frames": math.prod(info.stored_size) > _DECORD_PIXELS,
        "colour tags": readable_colors(info.colors) is not None,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


class LargeFrames(MediaError):
    """A video whose frames are too large; it is not read as an image either."""


class VideoFile:
    """A video file. Frames come turned upright (display matrix applied) and as uint8 RGB [H, W, 3].

    Args:
        path: The file; its content counts, not its extension.
        fast: Decode by decord where it gives the same frames. It is faster, but holds up to a gigabyte and more of
            frames of long videos, and begins anew for every place that is sought. Else ffmpeg decodes all.

    Raises:
        MediaError: Missing, not a video, or without frames.
    """

    def __init__(self, path: Path, fast: bool = True) -> None:
        self.path = Path(path)
        # headers and packets
        if not self.path.is_file():
            raise MediaError(f"{path}: no such file")
        if self.path.stat().st_size == 0:
            raise MediaError(f"{path}: is empty")
        stat = self.path.stat()
        self.info = _probed(self.path, stat.st_mtime_ns, stat.st_size)
        height, width = self.info.stored_size
        if width * height > MAX_FRAME_PIXELS and len(self.info.packets.times) > 1:
            raise LargeFrames(f"{path}: has frames of {width} x {height}; at most {MAX_FRAME_PIXELS:,} pixels are read")
        # frames and their times
        packets = self.info.packets
        self.indexed = why_not_indexed(self.info) is None
        """Which frames there are is known without decoding: `frame_count` is exact, and reading can start anywhere."""
        self.frame_count = len(packets.times)
        """Frames that the file announces; exact if `indexed`."""
        self._times: npt.NDArray[np.float64] | None = None
        if self.indexed:
            self._times = np.asarray(np.sort(packets.times) * float(packets.time_base), np.float64)
        self.fps: float = self._rate()
        # how frames are decoded
        self._reader: Any = None
        if fast and self._times is not None and self._fast:
            self._reader = _open_decord(self.path, self._times)
        self._position = 0  # of decord; -1 = unknown
        self.tone_mapped = self.info.hdr and can_tone_map()
        """Whether frames come converted from high dynamic range."""
        self._filters = tone_mapping(self.info.colors) if self.tone_mapped else readable_colors(self.info.colors)
        # known while or after reading
        self._scanned: list[float] | None = None
        self._end = 0.0  # of the last frame that was streamed
        self.tail_lost = 0
        """Frames at the end that the file announces but does not hold; known once `frames` has reached the end."""
        self.cut_off = self.info.packets.cut_off or lacks_end(self.path)
        """The file is truncated, as its header or ffmpeg says."""
        self.lacks_end = False
        """Whether it is `cut_off` and `frames` has reached the end: frames that `tail_lost` may not count are lost."""
        self.resized: str | None = None
        """The first frame whose size differs from the first one's, for a message; known once `frames` has passed it."""

    @property
    def _fast(self) -> bool:
        return why_not_decord(self.info) is None

    @property
    def seekable(self) -> bool:
        """Decoding can begin at the key frame before any frame."""
        return self.indexed and self.info.packets.closed and self.info.packets.error is None

    @property
    def hdr(self) -> bool:
        """High dynamic range (PQ or HLG)."""
        return self.info.hdr

    @property
    def colors(self) -> ColorTags:
        """How a video of the same look has to be tagged."""
        return BT709 if self._filters or self.info.colors.matrix == "gbr" else self.info.colors

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel as shown over its height."""
        return self.info.pixel_aspect

    @property
    def time_base(self) -> Fraction:
        """A unit of time in which the times of all frames are whole numbers."""
        return writing_base(self.info.packets.time_base)

    @property
    def has_sound(self) -> bool:
        """Whether there is an audio stream."""
        return self.info.audio_codec is not None

    def _rate(self) -> float:
        """Average frames per second: of the times, or what the file says where those are rounded or unknown."""
        said, packets = self.info.fps, self.info.packets
        if self._times is None or len(self._times) < 2:
            return said or _DEFAULT_FPS
        ticks = int(packets.times.max()) - int(packets.times.min())
        measured = float((len(packets.times) - 1) / (ticks * packets.time_base))
        rounded = said is not None and packets.time_base >= _ROUNDED and abs(said - measured) < 0.005 * said
        return said if said is not None and rounded else measured

    def exact_frame_count(self) -> int:
        """Frames that the file shows; one that is not `indexed` is decoded for it."""
        return self.frame_count if self.indexed else len(self._scan())

    def index_at(self, seconds: float) -> int:
        """The first frame that is shown at a time (from the file's start) or later; after the end, their number.

        A file that is not `indexed` is decoded for it.
        """
        times = self._times if self._times is not None else np.array(self._scan())
        return int(np.searchsorted(times, seconds - 1e-3))

    def _scan(self) -> list[float]:
        if self._scanned is None:
            self._scanned = [seconds for _, seconds, _, _ in self._stream(times_only=True)]
        return self._scanned

    def frames(self, first: int = 0, last: int | None = None, stride: int = 1) -> Iterator[SourceFrame]:
        """Every `stride`-th frame from `first` up to but not including `last`, in order.

        A frame that cannot be decoded comes marked as damaged; a truncated file ends early (`tail_lost`).

        Raises:
            MediaError: No frame at all can be decoded.
        """
        if self._times is not None:
            yield from self._indexed_frames(self._times, first, last, stride)
        else:
            yield from self._streamed_frames(first, last, stride)

    # indexed files: the frames are known without decoding

    def _indexed_frames(
        self, times: npt.NDArray[np.float64], first: int, last: int | None, stride: int
    ) -> Iterator[SourceFrame]:
        stop = len(times) if last is None else min(last, len(times))
        image: UInt8Image | None = None
        expected = first
        for index, decoded, faults in self._decoded(range(first, stop, stride), times):
            # frames in between could not be decoded, or, if nothing was wrong, are not meant to be shown
            before = image if image is not None else np.zeros_like(decoded)
            for lost in range(expected, index, stride) if faults else ():
                yield self._frame(lost, before, times, damaged=True)
            image = decoded
            expected = index + stride
            yield self._frame(index, decoded, times)
        if image is None:
            raise self._nothing()
        if stop == len(times):
            self.lacks_end = self.cut_off
            end = float(times[-1]) + self._last_duration
            self.tail_lost = len(range(expected, len(times) + self._lost_at_end(end), stride))

    def _frame(
        self, index: int, image: UInt8Image, times: npt.NDArray[np.float64], damaged: bool = False
    ) -> SourceFrame:
        duration = times[index + 1] - times[index] if index + 1 < len(times) else self._last_duration
        return SourceFrame(index, f"{index:05d}", image, float(times[index]), float(duration), damaged)

    @property
    def _last_duration(self) -> float:
        """Seconds that the last frame of an indexed file is shown."""
        said = float(self.info.packets.last_duration * self.info.packets.time_base)
        return said if 0 < said < LONGEST else 1 / self.fps

    def _decoded(self, indices: range, times: npt.NDArray[np.float64]) -> Iterator[tuple[int, UInt8Image, int]]:
        """Index, image and number of faults so far, of the frames `indices` that can be decoded."""
        if not self._within_reach(indices.start):
            yield from self._decoded_by_ffmpeg(indices, times)
            return
        for index in indices:
            try:
                image = self._next_of_decord(index)
            except _decode_errors():
                # damage that only decoding shows: ffmpeg conceals it, and its times tell which frames follow
                self._reader = None
                yield from self._decoded_by_ffmpeg(range(index, indices.stop, indices.step), times, seek=False)
                return
            yield index, image, 0

    def _within_reach(self, index: int) -> bool:
        """Whether decord can decode up to a frame from its position. It is never used to seek or skip: in open GOPs,
        fragments and streams with few key frames it arrives at another frame."""
        if self._reader is None or self._times is None:
            return False
        position = self._position if 0 <= self._position <= index else 0
        if index - position > _FAR and self.info.packets.closed:
            return False
        if position != self._position:
            self._reader, self._position = _open_decord(self.path, self._times), 0
        return self._reader is not None

    def _next_of_decord(self, index: int) -> UInt8Image:
        assert self._reader is not None
        position, self._position = self._position, -1
        for _ in range(index - position):
            self._reader.next()
        image = _rgb(self._reader.next().asnumpy())
        self._position = index + 1
        return image

    def _decoded_by_ffmpeg(
        self, indices: range, times: npt.NDArray[np.float64], seek: bool = True
    ) -> Iterator[tuple[int, UInt8Image, int]]:
        if not indices:
            return
        start = float(times[indices.start]) - _SEEK_MARGIN
        start = start if seek and self.seekable and start > 0 else 0.0
        for frame in decode(self.path, start or None, self._filters):
            if frame.seconds is None:
                continue
            index = int(np.abs(times - frame.seconds).argmin())
            if index in indices:
                self._note_size(index, frame)
                yield index, frame.image, frame.errors + (self.info.packets.error is not None)
                indices = range(index + indices.step, indices.stop, indices.step)
                if not indices:
                    return

    def _lost_at_end(self, until: float) -> int:
        """Number of frames that the file announces but does not hold at its end; `until` is the end of the last one."""
        if self.info.container in _INDEXED and self.info.packets.error is None and not self.cut_off:
            return 0  # every frame of the index is there
        if self.info.container == "avi" and not self.cut_off:
            return 0  # it has its whole size, or was written to a pipe, with a length that is made up
        announced, rate = self.info.video_seconds, self.info.fps or self.fps
        if self.cut_off:
            # all of it was cut at one place, so that the shorter of video and sound tells nothing
            missing = max(announced, avi_seconds(self.path)) - until
            lost = round(missing * rate) if 0 < missing < LONGEST else 0
            return lost + self._lost_between(rate)
        tolerated = 1.5 / rate if self.info.container in _EXACT else max(_TOLERATED, 2 / rate)
        missing = announced - until
        if missing > tolerated and self.has_sound:
            # it may be longer than the video, and the file announces the longer of the two
            missing = min(missing, announced - sound_ends(self.path))
        return round(missing * rate) if tolerated < missing < LONGEST and not self.info.other_streams else 0

    def _lost_between(self, rate: float) -> int:
        """Frames of a constant rate that are missing between the last ones, because they come later in the file."""
        steps = np.round(np.diff(self._times) * rate) if self._times is not None else np.ones(0)
        constant = len(steps) > 0 and np.median(steps) == 1 and (steps[:-_REORDERED] == 1).all()
        return int((steps[-_REORDERED:] - 1).sum()) if constant else 0

    # other files: the frames are known when they are decoded

    def _streamed_frames(self, first: int, last: int | None, stride: int) -> Iterator[SourceFrame]:
        """One frame is held back until the next one tells how long it is shown."""
        held: SourceFrame | None = None
        for index, seconds, image, damaged in self._stream():
            if held is not None:
                yield held.lasting_until(seconds)
                held = None
            if last is not None and index >= last:
                return
            if index >= first and (index - first) % stride == 0:
                held = SourceFrame(index, f"{index:05d}", image, seconds, 1 / self.fps, damaged)
        if held is not None:
            yield held
        self.lacks_end = self.cut_off
        self.tail_lost = self._lost_at_end(self._end) // stride

    def _stream(self, times_only: bool = False) -> Iterator[tuple[int, float, UInt8Image, bool]]:
        """Index, time, image (empty if `times_only`) and damage of all frames."""
        clock, index = FrameClock(1 / self.fps), 0
        gaps = _Gaps(self.info, 1 / self.fps)
        before: UInt8Image | None = None
        for frame in decode(self.path, None, None if times_only else self._filters, times_only):
            for lost in gaps.lost_before(frame):
                assert before is not None  # there is no gap before the first frame
                yield index, clock.tick(lost), before, True
                index += 1
            if not times_only:
                self._note_size(index, frame)
            before = frame.image
            seconds = clock.tick(frame.seconds)
            self._end = seconds + 1 / self.fps
            yield index, seconds, frame.image, False
            index += 1
        if before is None:
            raise self._nothing()

    def _nothing(self) -> MediaError:
        reason = "its edit list shows none" if self.info.packets.discarded else "damaged"
        return MediaError(f"{self.path}: no frame can be decoded ({reason})")

    def _note_size(self, index: int, frame: DecodedFrame) -> None:
        if self.resized is None and frame.size != frame.image.shape[:2]:
            self.resized = f"{frame.size[1]} x {frame.size[0]} from frame {index} on"


class _Gaps:
    """Frames that a file without an index holds, but that are too damaged to be shown.

    Only where the decoder has just reported a fault: without one, a packet that gives no frame is not damaged (the
    second field of a frame, a frame before the first key frame).
    """

    def __init__(self, info: VideoInfo, interval: float) -> None:
        packets = info.packets
        times = np.sort(packets.times) * float(packets.time_base)
        usable = packets.ordered and len(times) > 1 and float(np.median(np.diff(times))) > 0.75 * interval
        self._times = times if usable else times[:0]
        self._margin = interval / 4
        self._last: float | None = None
        self._faults, self._since = 0, _RECENT

    def lost_before(self, frame: DecodedFrame) -> list[float]:
        """Times of the frames that are missing between the frame before and this one."""
        self._since = 0 if frame.errors > self._faults else self._since + 1
        self._faults = frame.errors
        last, self._last = self._last, frame.seconds
        if last is None or frame.seconds is None or self._since >= _RECENT:
            return []
        inside = (self._times > last + self._margin) & (self._times < frame.seconds - self._margin)
        return [float(time) for time in self._times[inside]]


@functools.lru_cache(maxsize=256)
def _probed(path: Path, modified: int, size: int) -> VideoInfo:
    """`probe`, once per file: loaders of training data open the same videos again and again."""
    return probe(path)


@functools.cache
def _decord() -> Any:
    """The module decord, loaded after PyTorch: with decord's libraries first, convolutions of PyTorch crash."""
    import torch  # noqa: F401

    # isort: split
    import decord

    return decord


def _decode_errors() -> tuple[type[Exception], ...]:
    return (_decord().DECORDError, RuntimeError, StopIteration, IndexError)


def _open_decord(path: Path, times: npt.NDArray[np.float64]) -> Any:
    """decord's reader of a file, if it reports the same frame times; None otherwise."""
    name, decord = os.path.abspath(path), _decord()
    unusable: tuple[type[Exception], ...] = (*_decode_errors(), OSError, ValueError)
    try:
        name.encode("utf-8")
        decord.logging.set_level(decord.logging.QUIET)
        with _quiet_stderr():
            reader = decord.VideoReader(name, num_threads=0)
            if len(reader) != len(times):
                return None
            stamps = np.asarray(reader.get_frame_timestamp(list(range(len(times)))), np.float64)[:, 0]
    except unusable:
        return None
    same = np.abs((stamps - stamps[0]) - (times - times[0])).max() < _SAME_TIME + 1e-6 * times[-1]
    return reader if same else None


def _rgb(frame: UInt8Image) -> UInt8Image:
    """The image without the bytes that pad its rows.

    decord takes the padding of narrow, turned frames for further channels: [H, W, 4] whose rows hold W * 3 values.
    """
    height, width, channels = frame.shape
    if channels == 3:
        return frame
    return frame.reshape(height, width * channels)[:, : width * 3].reshape(height, width, 3)


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Silence what the decoder's C++ code prints regardless of its log level; our errors report it in one line."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "w") as null:
            os.dup2(null.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
