"""Sources that can be segmented, behind one interface: images, videos, folders of frames."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from uniref.core.errors import MediaError, UsageError
from uniref.core.files import exists, is_file, is_folder, reading
from uniref.core.types import UInt8Image
from uniref.media import image as images
from uniref.media.animation import AnimatedImage, is_animation
from uniref.media.frame import SourceFrame
from uniref.media.video_read import EXTENSIONS as VIDEOS
from uniref.media.video_read import LargeFrames, VideoFile

_LARGEST_STRIDE = 1 << 40
_FOLDER_FPS = 25.0  # assumed for a folder of frames
_FIRST_PIECE = 8  # frames that are read at once, backwards, until their size is known
_IN_MEMORY = 1 << 28  # bytes of frames that are read at once, backwards
_IN_MEMORY_UNSEEKABLE = 1 << 30  # the same where every piece has to be decoded from the beginning


@dataclass(frozen=True)
class Selection:
    """Which frames to read."""

    start: str | None = None
    """First frame: an index ("120") or a time ("3.5s", "1:02.5"); None = the beginning."""
    end: str | None = None
    """Frame to stop before, in the same form; None = the end."""
    stride: int = 1
    """Read every n-th frame."""

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= _LARGEST_STRIDE:
            raise UsageError(f"--stride {self.stride}: must be from 1 to {_LARGEST_STRIDE:,}")
        for option, value in (("--start", self.start), ("--end", self.end)):
            if value is not None:
                parse_position(option, value)

    def bounds(self, index_at: Callable[[float], int]) -> tuple[int, int | None]:
        """First frame index and the index to stop before (None = the end). `index_at` turns seconds into an index."""
        first = 0 if self.start is None else _to_index("--start", self.start, index_at)
        last = None if self.end is None else _to_index("--end", self.end, index_at)
        if last is not None and last <= first:
            raise UsageError(f"--end {self.end}: is not after --start {self.start or 0}")
        return first, last


def parse_position(option: str, value: str) -> int | float:
    """Parse a position: an int is a frame index, a float is seconds. Raises UsageError that names `option`."""
    if re.fullmatch(r"\d{1,15}", value):
        return int(value)
    seconds = _seconds(value)
    if seconds is None:
        raise UsageError(f"{option} {value!r:.80}: use a frame index (120) or a time (3.5s, 1:02.5, 0:01:02)")
    return seconds


def parse_duration(option: str, value: str) -> float:
    """Parse a duration in seconds, above 0. Raises UsageError that names `option`."""
    seconds = float(value) if re.fullmatch(r"\d{1,15}(?:\.\d*)?|\.\d+", value) else _seconds(value)
    if not seconds:
        raise UsageError(f"{option} {value!r:.80}: use a time above 0 in seconds or minutes (10, 2.5s, 1:30)")
    return seconds


def _seconds(value: str) -> float | None:
    """A time as seconds; None where it is none."""
    if match := re.fullmatch(r"(\d{1,15}(?:\.\d*)?|\.\d+)s", value):
        return float(match[1])
    if match := re.fullmatch(r"(?:(\d{1,9}):)?(\d{1,2}):(\d{1,2}(?:\.\d*)?)", value):
        hours, minutes, seconds = int(match[1] or 0), int(match[2]), float(match[3])
        if seconds < 60 and (minutes < 60 or match[1] is None):
            return hours * 3600 + minutes * 60 + seconds
    return None


def _to_index(option: str, value: str, index_at: Callable[[float], int]) -> int:
    position = parse_position(option, value)
    return position if isinstance(position, int) else index_at(position)


def never() -> bool:
    """False: no request to stop."""
    return False


class MediaSource:
    """An image, a video (video file or animated image) or a folder of frames.

    Args:
        path: The file or folder.
        fast: As for `VideoFile`.

    Raises:
        MediaError: Missing, or nothing that can be read.
    """

    kind: Literal["image", "video", "frames"]

    def __init__(self, path: Path, fast: bool = True) -> None:
        self._begin(Path(path))
        self._fast = fast
        if is_folder(self.path):
            self.kind = "frames"
            self._open_folder()
        elif is_file(self.path):
            self._open_file()
        else:
            raise MediaError(f"{path}: no such file or folder")

    def _begin(self, path: Path) -> None:
        """Nothing is opened yet."""
        self.path = path
        self._video: VideoFile | AnimatedImage | None = None
        self._files: list[Path] = []
        self._resized: str | None = None
        self.notes: tuple[str, ...] = ()
        """What a user should know before it is read, one line each."""
        self.problem: str | None = None
        """What went wrong with a stream after its first frame, for a message."""

    @property
    def label(self) -> str:
        """Its name in messages and files: the path as it was given."""
        return str(self.path)

    @property
    def live(self) -> bool:
        """Whether it is happening now, so that frames are dropped where the model is too slow."""
        return False

    @property
    def open_ended(self) -> bool:
        """Whether it goes on until it is stopped, and does not give the same frames again."""
        return False

    @property
    def seekable(self) -> bool:
        """Whether it can be read again and from any place."""
        return True

    def _open_folder(self) -> None:
        videos = sorted(file for file in self.path.iterdir() if file.suffix.lower() in VIDEOS and file.is_file())
        videos = [file for file in videos if not file.name.startswith(".")]
        listed = f"{len(videos)} video{'s' * (len(videos) > 1)}"
        glob = f"{self.path}/*{videos[0].suffix}" if videos else ""
        # a folder is the frames of one video, not a collection
        try:
            self._files = frame_files(self.path)
        except MediaError:
            if not videos:
                raise
            raise MediaError(f"{self.path}: holds no frames, but {listed}; name them, for example as {glob}") from None
        if videos:
            count, more = len(self._files), ", ..." if len(videos) > 1 else ""
            self.notes = (
                f"{self.path}: is read as one video of {count} frame{'s' * (count > 1)}, its images; the {listed} "
                f"in it ({videos[0].name}{more}) {'are' if more else 'is'} left out (name them, as in {glob})",
            )
        # a frame's outputs are called by its stem
        stems: dict[str, Path] = {}
        for file in self._files:
            if (other := stems.setdefault(file.stem, file)) is not file:
                raise MediaError(
                    f"{self.path}: holds {other.name} and {file.name}, two files for one frame; leave one of them there"
                )

    def _open_file(self) -> None:
        """Open as the extension suggests, else by content, so that a wrong extension does not matter."""
        with reading(self.path, MediaError), self.path.open("rb"):
            pass  # tells a file without read permission from a damaged one
        # animated images
        suffix = ".gif" if _begins_like_gif(self.path) else self.path.suffix.lower()
        if is_animation(self.path):
            self.kind, self._video = "video", _open_animation(self.path, self._fast)
            return
        # files with an extension of images
        if suffix in images.EXTENSIONS:
            try:
                images.read_image(self.path)
                self.kind, self._files = "image", [self.path]
            except MediaError:
                if images.is_image(self.path) or not _is_video(self.path):
                    raise
                self.kind, self._video = "video", VideoFile(self.path, self._fast)
            return
        # videos
        try:
            self._video = VideoFile(self.path, self._fast)
        except LargeFrames:
            raise
        except MediaError:
            if not _is_image(self.path):
                raise
            self.kind, self._files = "image", [self.path]
            return
        self.kind = "video"
        if suffix == ".gif" and self._video.frame_count == 1 and not self._video.cut_off:
            self.kind, self._video, self._files = "image", None, [self.path]

    @property
    def fps(self) -> float:
        """Frames per second (25 for a folder of frames)."""
        return self._video.fps if self._video else _FOLDER_FPS

    @property
    def time_base(self) -> Fraction | None:
        """A unit of time in which the times of all frames are whole numbers; None where `fps` says it."""
        return self._video.time_base if self._video else None

    @property
    def frame_count(self) -> int:
        """Frames that the source announces; see `exact_frame_count`."""
        return self._video.frame_count if self._video else len(self._files)

    def exact_frame_count(self) -> int:
        """Frames that the source shows. Containers without an index are decoded for it."""
        return self._video.exact_frame_count() if self._video else len(self._files)

    @property
    def video(self) -> VideoFile | AnimatedImage | None:
        """The video, for a source of that kind."""
        return self._video

    @property
    def resized(self) -> str | None:
        """The first frame whose size differs from the first one's, for a message; known once it has been read."""
        return self._video.resized if self._video else self._resized

    def stream_report(self) -> dict[str, Any] | None:
        """How the reading of a stream went, as JSON types; None for files."""
        return None

    def frame_names(self) -> list[str] | None:
        """Names of a folder's frames; None where they are indices."""
        return [file.stem for file in self._files] if self.kind == "frames" else None

    def file_name(self, frame: SourceFrame) -> str:
        """What annotations call the file of a frame: the image's name; of a folder of frames, with the folder's; of a
        video, `<its stem>/<index>.jpg`."""
        if self.kind == "image":
            name = self.path.name
        elif self.kind == "frames":
            name = f"{self.path.resolve().name}/{self._files[frame.index].name}"
        else:
            name = f"{self.path.stem}/{frame.name}.jpg"
        return name.encode("utf-8", "replace").decode("utf-8")  # bytes that are not characters

    def index_at(self, seconds: float) -> int:
        """The first frame that is shown at a time or later; the number of frames where there is none."""
        if self._video:
            return self._video.index_at(seconds)
        return min(math.ceil(seconds * _FOLDER_FPS - 1e-6), len(self._files))

    def selected_count(self, selection: Selection) -> int | None:
        """Frames that a selection announces; None = unknown."""
        first, last = selection.bounds(self.index_at)
        return max(0, math.ceil((min(last or self.frame_count, self.frame_count) - first) / selection.stride))

    def frames(self, selection: Selection | None = None, stop: Callable[[], bool] = never) -> Generator[SourceFrame]:
        """Read the selected frames, one at a time.

        Args:
            selection: All by default.
            stop: For sources that have to wait for frames: asked meanwhile whether to end.

        Raises:
            UsageError: The selection begins after the source's end.
            MediaError: A frame cannot be read.
        """
        selection = selection or Selection()
        first, last = selection.bounds(self.index_at)
        if first and first >= self.frame_count and first >= (count := self.exact_frame_count()):
            raise UsageError(f"{self.path}: --start {selection.start} is after its end ({count} frames)")
        if self._video:
            yield from self._video.frames(first, last, selection.stride)
            return
        yield from self._images(range(first, min(last or self.frame_count, self.frame_count), selection.stride))

    def frames_backwards(self, selection: Selection, last: int) -> Iterator[SourceFrame]:
        """Read the selected frames from the one of index `last` back to the first, a few at a time.

        Videos are decoded in pieces, from a key frame where the file can be entered there, else from the beginning.
        What cannot be read is left out; reading forwards reports it.
        """
        first, _ = selection.bounds(self.index_at)
        positions = range(first, last + 1, selection.stride)
        if self._video is None:
            for index in reversed(positions):
                with contextlib.suppress(MediaError):  # a damaged or removed one, which the forward reading reports
                    yield from self._images(range(index, index + 1))
            return
        most = _IN_MEMORY if self._video.seekable else _IN_MEMORY_UNSEEKABLE
        length = _FIRST_PIECE
        while positions:
            piece, positions = positions[-length:], positions[:-length]
            frames: list[SourceFrame] = []
            with contextlib.suppress(MediaError):  # none of them can be decoded
                frames += self._video.frames(piece.start, piece[-1] + 1, piece.step)
            if frames:
                length = max(1, most // frames[0].image.nbytes)
            while frames:
                frame = frames.pop()
                if not frame.damaged:
                    yield frame

    def _images(self, indices: range) -> Iterator[SourceFrame]:
        """Frames of a folder; one that cannot be read comes marked as damaged, unless all are."""
        previous: UInt8Image | None = None
        size: tuple[int, ...] = ()
        for index in indices:
            file, seconds = self._files[index], index / _FOLDER_FPS
            try:
                image, damaged = images.read_image(file), False
            except MediaError:
                if not exists(file):
                    raise MediaError(f"{file}: is missing; it was removed while the folder was read") from None
                if previous is None and (previous := self._black(indices[indices.index(index) :])) is None:
                    raise
                image, damaged = previous, True
            size = size or image.shape
            if self._resized is None and image.shape != size:
                self._resized = f"{image.shape[1]} x {image.shape[0]} from {file.name} on"
            yield SourceFrame(index, file.stem, image, seconds, 1 / _FOLDER_FPS, damaged)
            previous = image

    def _black(self, indices: range) -> UInt8Image | None:
        """A black image like the first that can be read; None where none can."""
        for index in indices:
            with contextlib.suppress(MediaError):
                return np.zeros_like(images.read_image(self._files[index]))
        return None


def frame_files(folder: Path) -> list[Path]:
    """The images of a folder in natural order (2 before 10).

    Raises:
        MediaError: There are none.
    """
    files = [file for file in folder.iterdir() if file.suffix.lower() in images.EXTENSIONS and file.is_file()]
    files = [file for file in files if not file.name.startswith(".")]
    if not files:
        raise MediaError(f"{folder}: holds no images ({', '.join(images.EXTENSIONS[:4])}, ...)")
    return sorted(files, key=natural_key)


def natural_key(path: Path) -> list[tuple[int, int | str]]:
    """Sorts numbers inside names by value."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]


def _open_animation(path: Path, fast: bool) -> AnimatedImage | VideoFile:
    """Open an animated image; one that is too damaged for Pillow is read by ffmpeg, which continues after damage."""
    try:
        return AnimatedImage(path)
    except MediaError:
        if not _is_video(path):
            raise
        return VideoFile(path, fast)


def _begins_like_gif(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"GIF8"
    except OSError:
        return False


def _is_video(path: Path) -> bool:
    try:
        VideoFile(path, fast=False)
    except MediaError:
        return False
    return True


def _is_image(path: Path) -> bool:
    try:
        images.read_image(path)
    except MediaError:
        return False
    return True
