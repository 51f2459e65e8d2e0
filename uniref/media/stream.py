"""Sources that are read once, as they come: cameras, network streams and videos, and a video on standard input.

ffmpeg decodes them in a process of its own. From a live source, the newest frame is taken: those that came while the
model was busy are dropped and counted. Of the others, every frame is taken, and the source waits.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from uniref.core.addresses import is_address
from uniref.core.errors import MediaError, UsageError
from uniref.core.files import exists
from uniref.media.ffmpeg import input_arguments
from uniref.media.frame import SourceFrame
from uniref.media.probe import Header
from uniref.media.source import MediaSource, Selection, never
from uniref.media.stream_fetch import fetch_video
from uniref.media.stream_input import StreamInput, camera_input, network_input, pipe_input
from uniref.media.stream_receiver import DEFAULT_FPS, FrameReceiver

PATIENCE = 15.0
"""Seconds without a frame after which a camera or a network source is given up."""
_FIRST_PATIENCE = 30.0  # seconds until the first frame; playlists are slow to begin
_POLL = 0.1  # seconds between two looks at a request to stop
_TOLERATED = 1.0  # seconds that a network video may announce too much

Ending = Literal["end of the source", "duration", "stopped", "broken off"]


def open_source(name: str | Path | int, live: bool | None = None, duration: float | None = None) -> MediaSource:
    """A source by what a user calls it.

    Args:
        name: A file or folder; else the number of a camera; an address (`rtsp://`, `http://`, `https://`, `rtmp://`,
            `srt://`, `udp://`), or "-" for an encoded video on standard input.
        live: Drop frames that come while the model is busy. By default, of cameras and network streams; not of
            network videos, whose length is known, and standard input.
        duration: Seconds of a stream after which to stop.

    Raises:
        UsageError: `live` or `duration` for a file, or an address of another kind.
        MediaError: No such file, folder or camera, or nothing that can be read.
    """
    text = str(name)
    opening: StreamInput | None = None
    if is_address(text):
        opening = network_input(text)
    elif text == "-":
        opening = pipe_input()
    elif text.isdecimal() and not exists(Path(text)):
        opening = camera_input(int(text))
    if opening is not None:
        return StreamSource(opening, live, duration)
    for option, value, instead in (("--live", live, ""), ("--duration", duration, " (use --end)")):
        if value is not None:
            raise UsageError(f"{option}: is for cameras, addresses and standard input, not for {text}{instead}")
    return MediaSource(Path(text))


class StreamSource(MediaSource):
    """A source that is read once, from its first frame on; nothing is opened before `frames` begins.

    Args:
        opening: How ffmpeg opens it.
        live: As for `open_source`.
        duration: As for `open_source`.
    """

    def __init__(self, opening: StreamInput, live: bool | None = None, duration: float | None = None) -> None:
        self._begin(Path(opening.file_name))
        self.kind = "video"
        self._opening, self._live, self._duration = opening, live, duration
        self._header: Header | None = None
        self.dropped = 0
        """Frames that came while the model was busy; known while and after reading."""
        self.ended: Ending | None = None
        """Why `frames` came to its end."""

    @property
    def label(self) -> str:
        """Its name in messages, without passwords."""
        return self._opening.label

    @property
    def live(self) -> bool:
        """Whether frames are dropped. Of http addresses it is known when the first frame has been read."""
        if self._live is not None:
            return self._live
        if self._opening.live is None:
            return self._header is not None and self._header.seconds == 0
        return self._opening.live

    @property
    def seekable(self) -> bool:
        """False: there is one way through it."""
        return False

    @property
    def open_ended(self) -> bool:
        """Whether it goes on until it is stopped, and does not give the same frames again: all but network videos."""
        return self._opening.live is not None or self.live

    @property
    def fps(self) -> float:
        """Frames per second, as the source says; known when the first frame has been read."""
        return (self._header.fps if self._header else None) or DEFAULT_FPS

    @property
    def time_base(self) -> Fraction | None:
        """Milliseconds."""
        return Fraction(1, 1000)

    @property
    def frame_count(self) -> int:
        """Unknown: raises UsageError."""
        raise self._unknown("the number of its frames")

    def exact_frame_count(self) -> int:
        """Unknown: raises UsageError."""
        raise self._unknown("the number of its frames")

    def index_at(self, seconds: float) -> int:
        """Unknown: raises UsageError."""
        raise self._unknown(f"its frame at {seconds:g} s")

    def selected_count(self, selection: Selection) -> int | None:
        """Unknown."""
        return None

    def stream_report(self) -> dict[str, Any]:
        """How the reading went, as JSON types: `live`, why it `ended`, and how many frames were `dropped`."""
        return {"live": self.live, "ended": self.ended or "stopped", "dropped": self.dropped}

    def _unknown(self, what: str) -> UsageError:
        return UsageError(
            f"{self.label}: is read once, as it comes, so that {what} is not known before; give places as frame "
            "numbers, masks for its first frame only, and --duration"
        )

    def frames(self, selection: Selection | None = None, stop: Callable[[], bool] = never) -> Generator[SourceFrame]:
        """Open the source and read its frames, until it ends, its duration is over, or `stop` says so.

        Args:
            selection: Frame numbers and stride; times raise UsageError.
            stop: Asked a few times per second.

        Raises:
            UsageError: The selection needs what is not known of a stream.
            MediaError: It cannot be opened, or sends no frame.
        """
        selection = selection or Selection()
        first, last = selection.bounds(self.index_at)
        wanted = range(first, sys.maxsize if last is None else last, selection.stride)
        with contextlib.ExitStack() as stack:
            receiver = stack.enter_context(contextlib.closing(self._receiver(self._opening.arguments, wanted)))
            if self._opening.address and self._wait(receiver, stop, _FIRST_PATIENCE) and receiver.lacks_beginning:
                copy = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="uniref-"))) / "video"
                fetch_video(self._opening.address, copy, stop)
                receiver = stack.enter_context(contextlib.closing(self._receiver(input_arguments(copy), wanted)))
            yield from self._received(receiver, stop)

    def _receiver(self, arguments: list[str], wanted: range) -> FrameReceiver:
        live = self._opening.live if self._live is None else self._live
        try:
            return FrameReceiver(arguments, wanted, live, self._opening.pipe)
        except OSError as problem:
            raise MediaError(f"{self.label}: ffmpeg cannot be started ({problem.strerror})") from None

    def _received(self, receiver: FrameReceiver, stop: Callable[[], bool]) -> Iterator[SourceFrame]:
        begun: float | None = None
        last: SourceFrame | None = None
        while self._wait(receiver, stop, PATIENCE if last else _FIRST_PATIENCE):
            frame = receiver.take()
            self._header, self.dropped = receiver.header, receiver.dropped
            if frame is None:
                if last is None:
                    raise MediaError(f"{self.label}: {receiver.reason()}")
                self.ended, self.problem = self._ending(receiver, last)
                return
            begun = frame.seconds if begun is None else begun
            if self._duration is not None and frame.seconds - begun >= self._duration:
                self.ended = "duration"
                return
            last = frame
            yield frame
        if stop():
            self.ended = "stopped"
            return
        silence = f"sent nothing for {receiver.silence:.0f} s"
        if last is None:
            raise MediaError(f"{self.label}: {silence}; is the source running?")
        self.ended, self.problem = "broken off", f"{silence}; its frames until then are used"

    def _wait(self, receiver: FrameReceiver, stop: Callable[[], bool], patience: float) -> bool:
        """Wait for a frame or the end; False where `stop` said so, or neither came about."""
        while not stop():
            if receiver.wait(_POLL):
                return True
            if self._opening.patient and receiver.silence > patience:
                return False
        return False

    def _ending(self, receiver: FrameReceiver, last: SourceFrame) -> tuple[Ending, str | None]:
        """Why no frame follows `last`, and what is wrong with that."""
        if receiver.broke_off:
            return "broken off", f"broke off ({receiver.broke_off}); its frames until then are used"
        end, announced = last.seconds + 1 / self.fps, self._header.video_seconds if self._header else 0.0
        missing = 0.0 if self.live else announced - end
        if receiver.cut_off:
            before = f" {missing:.1f} s before its end" if missing > 0.5 / self.fps else ", or lacks its end"
            return "broken off", f"broke off{before}; its frames until then are used"
        if missing > _TOLERATED and not self.open_ended:
            return "broken off", f"broke off {missing:.1f} s before its end; its frames until then are used"
        if missing > _TOLERATED:
            # ffmpeg also announces the whole length of an input of which it sends a part
            said = f"ended after {end:.1f} s, and its header announces {announced:.1f} s"
            return "end of the source", f"{said}; frames are missing unless only a part was sent"
        return "end of the source", None
