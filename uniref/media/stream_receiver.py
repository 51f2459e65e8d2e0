"""Receiving frames from ffmpeg in a thread: the newest one, or all of them, a few at a time."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import IO, cast

from uniref.core.addresses import hide_passwords
from uniref.media.ffmpeg import decoded_frames, decoding, start_ffmpeg
from uniref.media.frame import FrameClock, SourceFrame
from uniref.media.probe import Header, parse_header
from uniref.media.stream_input import environment
from uniref.media.truncation import says_cut_off

DEFAULT_FPS = 25.0
_AHEAD = 2  # frames that wait for the consumer where none is dropped
_KEPT_LINES = 30
_LONGEST_HEADER = 500  # lines
_FAULT = re.compile(r"^(?:\[[^]]*\] )*\[(?:error|fatal)\] (.*)$")
_FOLLOWS = ("Error opening input file", "Stream ends prematurely", "Error opening output", "Failed to set value")
_BROKEN = "Error during demuxing: "
_UNKNOWN_LENGTH = str((1 << 64) - 1)
_UNSEEKABLE = ("partial file", "moov atom not found")
_TERSE = re.compile(r"^(?:Error opening input: |Server returned |Connection to \S+ failed: |method \w+ failed: )+")


class FrameReceiver:
    """An ffmpeg that decodes a source, and the thread that takes its frames.

    Args:
        opening: Arguments of ffmpeg that open the source.
        wanted: Indices of the frames to keep.
        live: Whether a frame that was not taken gives way to a newer one; None = if the source announces no length.
        from_stdin: Whether the source is standard input.

    Raises:
        OSError: ffmpeg cannot be started.
    """

    def __init__(self, opening: Sequence[str], wanted: range, live: bool | None, from_stdin: bool = False) -> None:
        self._wanted = wanted
        self.live = live
        """As the argument; known once `header` is."""
        self.header: Header | None = None
        """What ffmpeg says about the source; known before the first frame."""
        self.dropped = 0
        """Frames that gave way to newer ones."""
        # what the threads share
        self._changed = threading.Condition()
        self._waiting: deque[SourceFrame] = deque()
        self._begun = self._closed = self._finished = False
        self._arrived = time.monotonic()
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._head: list[str] | None = []
        # ffmpeg, and the threads that feed and read it
        stdin = subprocess.PIPE if from_stdin else subprocess.DEVNULL
        pipes = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._child = start_ffmpeg(decoding(opening), env=environment(), **pipes)
        if self._child.stdin is not None:
            threading.Thread(target=_feed, args=(self._child.stdin,), name="uniref-stdin", daemon=True).start()
        self._thread = threading.Thread(target=self._receive, name="uniref-stream", daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether no frame is left and none will come."""
        with self._changed:
            return self._finished and not self._waiting

    @property
    def silence(self) -> float:
        """Seconds since the last frame came."""
        return time.monotonic() - self._arrived

    @property
    def lacks_beginning(self) -> bool:
        """Whether it is over because the source refers to its end, and cannot be read from there."""
        return self.over and any(fault.endswith(_UNSEEKABLE) for fault in self._faults())

    @property
    def broke_off(self) -> str:
        """Why the connection ended before the source did, where it did."""
        # a server that says no length ends like a broken one
        ends = any(fault.startswith("Stream ends prematurely") and _UNKNOWN_LENGTH in fault for fault in self._faults())
        reasons = [fault.removeprefix(_BROKEN) for fault in self._faults() if fault.startswith(_BROKEN)]
        return reasons[-1] if reasons and not ends else ""

    @property
    def cut_off(self) -> bool:
        """Whether ffmpeg says that what came lacks its end."""
        return says_cut_off("\n".join(self._lines))

    def wait(self, seconds: float) -> bool:
        """Wait until a frame is there or the source is over; False where neither came about in time."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._waiting) or self._finished, seconds)

    def take(self) -> SourceFrame | None:
        """The next frame, if one is there."""
        with self._changed:
            frame = self._waiting.popleft() if self._waiting else None
            self._begun = True
            self._changed.notify_all()
            return frame

    def close(self) -> None:
        """End ffmpeg and the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._child.kill()
        self._thread.join()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout, self._child.stderr):
            if stream is not None:
                with contextlib.suppress(OSError, ValueError):
                    stream.close()

    def reason(self) -> str:
        """Why there is no frame, for a message."""
        if self.header is not None and self.header.refused:
            return self.header.refused
        faults = self._faults()
        if self.lacks_beginning:
            return (
                "refers to its end, which is not there; of a pipe, name the file itself or send Matroska (-f matroska)"
            )
        cause = next((fault for fault in faults if not fault.startswith(_FOLLOWS)), "")
        if "certificate verify failed" in cause:
            return "its certificate cannot be verified; if you trust the server, name the certificate in SSL_CERT_FILE"
        if "matches no streams" in cause:
            return "holds no video"
        if not cause or "Invalid data found" in cause:
            return "is not a video that can be read"
        return f"cannot be opened ({hide_passwords(_TERSE.sub('', cause))})"

    def _faults(self) -> list[str]:
        return [match[1] for line in list(self._lines) if (match := _FAULT.match(line))]

    @property
    def _refused(self) -> bool:
        """Whether the header says that it is not a video. ffmpeg is killed then, but may have sent a frame before."""
        return self._head is None and (self.header is None or bool(self.header.refused))

    # in the thread

    def _receive(self) -> None:
        clock: FrameClock | None = None
        try:
            for index, decoded in enumerate(decoded_frames(self._child, said=self._listen)):
                # times, which are known of every frame
                interval = 1 / (self.header.fps if self.header and self.header.fps else DEFAULT_FPS)
                clock = clock or FrameClock(interval)
                seconds = clock.tick(decoded.seconds)
                self._arrived = time.monotonic()
                if index >= self._wanted.stop or self._closed or self._refused:
                    return
                if index in self._wanted:
                    self._put(SourceFrame(index, f"{index:05d}", decoded.image, seconds, interval))
        finally:
            self._child.kill()
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def _put(self, frame: SourceFrame) -> None:
        with self._changed:
            if self.live:
                # the first frame is kept: masks may be given for it
                while len(self._waiting) > (not self._begun):
                    self._waiting.pop()
                    self.dropped += 1
            else:
                self._changed.wait_for(lambda: len(self._waiting) < _AHEAD or self._closed)
            self._waiting.append(frame)
            self._changed.notify_all()

    def _listen(self, line: bytes) -> None:
        """A line of ffmpeg: part of the header, or a fault."""
        text = line.decode("utf-8", "replace").rstrip()
        self._lines.append(text)
        if self._head is None:
            return
        self._head.append(re.sub(r"^\[\w+\] ", "", text))
        if "Stream mapping:" in text or "Output #0" in text or len(self._head) > _LONGEST_HEADER:
            self.header, self._head = parse_header("\n".join(self._head)), None
            if self._refused:
                self._child.kill()
            elif self.live is None and self.header is not None:
                self.live = self.header.seconds == 0


def _feed(pipe: IO[bytes]) -> None:
    """Copy standard input to a pipe, until either ends."""
    with contextlib.suppress(OSError, ValueError), pipe:
        # bytes that were looked at before stand in Python's buffer
        reader = cast(io.BufferedReader, sys.stdin.buffer)
        buffered = reader.peek(1)
        data = reader.read1(len(buffered)) if buffered else b""
        descriptor = reader.fileno()
        while data:
            pipe.write(data)
            pipe.flush()
            data = os.read(descriptor, 1 << 16)  # Python cannot end while a thread holds the lock of sys.stdin
