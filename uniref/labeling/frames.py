"""Any frame of a video, folder of frames or image by its index; memory does not depend on their number."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator
from pathlib import Path

from PIL import Image

from uniref.core.errors import MediaError, UsageError
from uniref.core.files import reading
from uniref.media.frame import SourceFrame
from uniref.media.source import MediaSource, Selection, frame_files
from uniref.media.video_read import VideoFile

THUMBNAIL_HEIGHT = 96
_AHEAD = 50  # frames up to which reading on is faster than a seek
_CACHED_FRAMES = 1 << 26  # bytes of decoded frames
_CACHED_JPEGS = 1 << 24  # bytes
_END = 1 << 16  # bytes at either end of a file that tell it from others
_JPEG_QUALITY, _THUMBNAIL_QUALITY = 90, 70


class FrameReader:
    """Random access to the frames of a source, which are counted as `uniref predict` counts them.

    All methods may be called by several threads.

    Args:
        path: Video file, folder of frames or image.
        count: How many frames there are, where that is known from earlier.

    Raises:
        MediaError: Missing, or nothing that can be read.
    """

    def __init__(self, path: Path, count: int | None = None) -> None:
        self.path = Path(path)
        self.source = MediaSource(self.path, fast=False)
        self._damaged: set[int] = set()
        self._cursor = _Cursor(self.source, self._damaged)
        self._thumbnail_cursor = _Cursor(MediaSource(self.path, fast=False), self._damaged)
        self._jpegs = _ByteCache(_CACHED_JPEGS)
        self.count = _count_frames(self.source) if count is None else count
        """Number of frames that can be read."""
        first = self.read(0)
        self.size = (first.image.shape[0], first.image.shape[1])
        """(H, W) of the first frame."""

    def read(self, index: int) -> SourceFrame:
        """A frame by its index. Raises UsageError where there is none, MediaError where none can be decoded."""
        self.check(index)
        return self._cursor.read(index)

    def notes(self) -> list[str]:
        """What a user should know about the frames that were read so far, one line each."""
        resized = self.source.resized or self._thumbnail_cursor.source.resized
        notes = [*self.source.notes]
        if resized:
            notes.append(
                f"{self.path.name}: its frames differ in size ({resized}); the page shows them all at the first one's. "
                "If they are images of different things, label them one by one"
            )
        if self._damaged:
            first, count = min(self._damaged), len(self._damaged)
            which = f"frame {first} is" if count == 1 else f"{count} frames (first: {first}) are"
            notes.append(f"{self.path.name}: {which} damaged; the page shows the frame before, without masks")
        return notes

    def check(self, index: int) -> None:
        """Raise UsageError unless there is a frame of this index."""
        if not 0 <= index < self.count:
            raise UsageError(f"frame {index}: {self.path.name} has frames 0 to {self.count - 1}")

    def jpeg(self, index: int, max_width: int | None = None) -> bytes:
        """A frame as a JPEG, scaled down to `max_width` pixels where it is wider. Raises as `read`."""
        if max_width is not None and max_width < 1:
            raise UsageError(f"width {max_width}: must be at least 1")

        def make() -> bytes:
            image = Image.fromarray(self.read(index).image)
            if max_width is not None and image.width > max_width:
                size = max_width, max(1, round(image.height * max_width / image.width))
                image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
            return _encoded(image, _JPEG_QUALITY)

        return self._jpegs.get((index, max_width or 0), make)

    def thumbnail(self, index: int) -> bytes:
        """A frame as a JPEG of at most `THUMBNAIL_HEIGHT` pixels in height. Raises as `read`."""
        self.check(index)

        def make() -> bytes:
            image = Image.fromarray(self._thumbnail_cursor.read(index).image)
            height = min(THUMBNAIL_HEIGHT, image.height)
            size = max(1, round(image.width * height / image.height)), height
            return _encoded(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0), _THUMBNAIL_QUALITY)

        return self._jpegs.get((index, -1), make)

    def fingerprint(self) -> str:
        """Hexadecimal digest that tells the source from others: of a file's size and ends, of a folder's file names and
        sizes. The place where it lies does not count."""
        digest = hashlib.sha256()
        with reading(self.path, MediaError):
            if self.source.kind == "frames":
                for file in frame_files(self.path):
                    digest.update(f"{file.name}\0{file.stat().st_size}\0".encode("utf-8", "surrogateescape"))
            else:
                size = self.path.stat().st_size
                digest.update(f"{size}\0".encode())
                with self.path.open("rb") as content:
                    digest.update(content.read(_END))
                    content.seek(max(0, size - _END))
                    digest.update(content.read())
        return digest.hexdigest()

    def close(self) -> None:
        """Stop decoders."""
        self._cursor.close()
        self._thumbnail_cursor.close()


class _Cursor:
    """Reads on from where it is where that is near, else seeks; the last frames are kept."""

    def __init__(self, source: MediaSource, damaged: set[int]) -> None:
        self.source, self._damaged = source, damaged
        self._lock = threading.Lock()
        self._reading: Generator[SourceFrame] | None = None
        self._next = 0
        self._frames: OrderedDict[int, SourceFrame] = OrderedDict()

    def read(self, index: int) -> SourceFrame:
        """The frame of an index. Raises MediaError where it cannot be decoded."""
        with self._lock:
            if index in self._frames:
                self._frames.move_to_end(index)
                return self._frames[index]
            # read on, or begin anew
            if self._reading is None or not self._next <= index < self._next + _AHEAD:
                self._stop()
                self._reading, self._next = self.source.frames(Selection(start=str(index))), index
            for frame in self._reading:
                self._keep(frame)
                self._next = frame.index + 1
                if frame.index >= index:
                    break
            else:
                self._stop()
            if index not in self._frames:
                self._stop()
                raise MediaError(f"{self.source.label}: frame {index} cannot be decoded")
            return self._frames[index]

    def _keep(self, frame: SourceFrame) -> None:
        self._frames[frame.index] = frame
        if frame.damaged:
            self._damaged.add(frame.index)
        most = max(2, _CACHED_FRAMES // frame.image.nbytes)
        while len(self._frames) > most:
            self._frames.popitem(last=False)

    def _stop(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def close(self) -> None:
        """Stop the decoder."""
        with self._lock:
            self._stop()


class _ByteCache:
    """Files in memory, of which the least recently used ones go first."""

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0
        self._lock = threading.Lock()
        self._items: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    def get(self, key: tuple[int, int], make: Callable[[], bytes]) -> bytes:
        """The file of a key, made where it is not there."""
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
                return self._items[key]
        made = make()
        with self._lock:
            if key not in self._items:
                self._items[key] = made
                self._bytes += len(made)
            while self._bytes > self._most and len(self._items) > 1:
                self._bytes -= len(self._items.popitem(last=False)[1])
        return made


def _encoded(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=quality)
    return file.getvalue()


def _count_frames(source: MediaSource) -> int:
    """Frames that a source shows; one that is damaged or cut off may show fewer than it says, and is decoded."""
    count = source.exact_frame_count()
    video = source.video
    if isinstance(video, VideoFile) and video.indexed and (video.cut_off or video.info.packets.error is not None):
        count = 0
        for frame in source.frames():
            count = frame.index + 1
    return count
