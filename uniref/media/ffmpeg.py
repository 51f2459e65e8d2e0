"""Running the ffmpeg program that imageio-ffmpeg brings, and decoding videos by it, with the time of every frame."""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import re
import subprocess
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from uniref.core.types import UInt8Image

_TIMEOUT = 600  # seconds for a task that only copies packets
_PIPE = 1 << 20  # bytes
_LOCAL = ["-protocol_whitelist", "file,crypto,data"]  # a playlist must not reach the network

# a playlist without an end mark comes from an interrupted recording: read all of it, and do not wait for more
_ENDED = ["-live_start_index", "0", "-max_reload", "3", "-m3u8_hold_counters", "3"]

_children: weakref.WeakSet[subprocess.Popen[bytes]] = weakref.WeakSet()


def input_arguments(path: Path) -> list[str]:
    """Arguments of ffmpeg that open an input file safely, whatever its name.

    An absolute path is neither an option (`-clip.mp4`) nor a protocol (`10:30.mp4`).
    """
    return [*_LOCAL, *(_ENDED if _is_playlist(path) else []), "-i", os.path.abspath(path)]


def _is_playlist(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(7) == b"#EXTM3U"
    except OSError:
        return False


def output_argument(path: Path) -> str:
    """A file to write, as ffmpeg's last argument (see `input_arguments`)."""
    return os.path.abspath(path)


def start_ffmpeg(arguments: Sequence[str], **pipes: Any) -> subprocess.Popen[bytes]:
    """Start ffmpeg beside this process.

    Args:
        arguments: What follows the program's name.
        pipes: `stdin`, `stdout`, `stderr` of subprocess.Popen; stdin is closed unless given.

    Raises:
        OSError: It cannot be started.
    """
    import imageio_ffmpeg  # training on images and frames does without it

    pipes.setdefault("stdin", subprocess.DEVNULL)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), *arguments]
    # in a session of its own, Ctrl-C on the terminal reaches us alone
    child = subprocess.Popen(command, start_new_session=True, **pipes)  # noqa: S603 - no shell
    _children.add(child)
    return child


@contextlib.contextmanager
def running_ffmpeg(arguments: Sequence[str], **pipes: Any) -> Iterator[subprocess.Popen[bytes]]:
    """`start_ffmpeg` for the length of a block; it is killed at the block's end if it still runs."""
    child = start_ffmpeg(arguments, **pipes)
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):  # a pipe that broke before
                    stream.close()


def widen_pipe(pipe: IO[bytes]) -> None:
    """Enlarge a pipe's buffer beyond the usual 64 kB where the system can, because frames are larger."""
    try:
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
    except (ImportError, AttributeError, OSError):  # another system, or the user's share is used up
        return


def kill_children() -> None:
    """Kill every ffmpeg that still runs, so that no thread keeps waiting for one."""
    for child in list(_children):
        child.kill()


def run_ffmpeg(arguments: Sequence[str]) -> tuple[int, str]:
    """Run ffmpeg to its end.

    Returns:
        Exit code (1 if it could not run) and its output.
    """
    try:
        with running_ffmpeg(
            ["-hide_banner", "-nostdin", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as child:
            output, _ = child.communicate(timeout=_TIMEOUT)
            return child.returncode, output.decode("utf-8", "replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)


# one message of the showinfo filter; another thread's may stand before or after it on the same line
_SHOWN = re.compile(rb"n: *(\d+) pts: *\S+ +pts_time: *(\S+)(?: .*?duration_time: *(\S+))? .*?s:(\d+)x(\d+) ")
_FAULTS = (b"[error]", b"[fatal]", b"corrupt decoded frame")


@dataclass(frozen=True)
class DecodedFrame:
    """A frame as ffmpeg presents it."""

    seconds: float | None
    """Time at which it is shown, from the file's start; None where the file does not say."""
    duration: float | None
    """As the file says, which may be wrong."""
    size: tuple[int, int]
    """(height, width) in the file; `image` has the size of the first frame."""
    errors: int
    """Faults that ffmpeg has reported so far."""
    image: UInt8Image
    """RGB, [H, W, 3], turned upright; [0, 0, 3] where only times were asked for."""


def decode(
    path: Path, start: float | None = None, filters: str | None = None, times_only: bool = False
) -> Iterator[DecodedFrame]:
    """All frames that ffmpeg can decode, in order. It conceals damage and continues.

    Args:
        path: The video.
        start: Seconds from the file's start at which to begin. The container must be one in which
            ffmpeg can seek by time.
        filters: Filters of ffmpeg to apply.
        times_only: Decode, but leave the images out.
    """
    begin = ["-ss", f"{start:.6f}"] if start else []
    command = decoding([*begin, *input_arguments(path)], filters, times_only)
    with running_ffmpeg(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        for frame in decoded_frames(child, times_only):
            yield frame if frame.seconds is None or not start else replace(frame, seconds=frame.seconds + start)


def decoding(opening: Sequence[str], filters: str | None = None, times_only: bool = False) -> list[str]:
    """Arguments of ffmpeg that turn an input into PPM images on stdout, with a message per frame on stderr.

    Args:
        opening: Arguments that open the input.
        filters, times_only: As for `decode`.
    """
    arguments = ["-hide_banner", "-nostdin", "-nostats", "-v", "repeat+level+info", *opening]
    arguments += ["-map", "0:V:0", "-fps_mode", "passthrough"]
    arguments += ["-vf", ",".join(["showinfo=checksum=0", *([filters] if filters else [])])]
    return arguments + (
        ["-f", "null", "-"] if times_only else ["-pix_fmt", "rgb24", "-c:v", "ppm", "-f", "image2pipe", "-"]
    )


def decoded_frames(
    child: subprocess.Popen[bytes], times_only: bool = False, said: Callable[[bytes], None] = lambda line: None
) -> Iterator[DecodedFrame]:
    """The frames of an ffmpeg that was started with `decoding`, which is killed at the end.

    Args:
        child: With pipes for stdout and stderr.
        times_only: As for `decoding`.
        said: Called, in another thread, with each line of stderr that is about no frame.
    """
    assert child.stdout is not None
    assert child.stderr is not None
    widen_pipe(child.stdout)
    # pair every image with its message
    shown: queue.SimpleQueue[_Shown | None] = queue.SimpleQueue()
    listener = threading.Thread(target=_listen, args=(child.stderr, shown, said), daemon=True)
    listener.start()
    _decoding[listener] = child
    try:
        while (image := _NOTHING if times_only else _read_ppm(child.stdout)) is not None:
            info = shown.get()
            if info is None:
                return
            yield DecodedFrame(info.seconds, info.duration, info.size, info.errors, image)
    finally:
        child.kill()  # ends the listener
        listener.join()


_decoding: weakref.WeakKeyDictionary[threading.Thread, subprocess.Popen[bytes]] = weakref.WeakKeyDictionary()


@atexit.register
def _end_decoding() -> None:
    """End what a program leaves half read: Python aborts where a thread still reads a pipe that it takes down."""
    for listener, child in list(_decoding.items()):
        child.kill()
        listener.join()


_NOTHING = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class _Shown:
    """Message of ffmpeg's showinfo filter about a frame."""

    seconds: float | None
    duration: float | None
    size: tuple[int, int]
    errors: int


def _listen(stream: IO[bytes], shown: queue.SimpleQueue[_Shown | None], said: Callable[[bytes], None]) -> None:
    """Turn ffmpeg's messages into one item per frame, and None at the end."""
    errors, expected = 0, 0
    for line in stream:
        errors += any(fault in line for fault in _FAULTS)
        if b"showinfo" not in line:
            said(line)
        for match in _SHOWN.finditer(line):
            number, size = int(match[1]), (int(match[5]), int(match[4]))
            for _ in range(expected, number):  # a message got lost; the frame did not
                shown.put(_Shown(None, None, size, errors))
            shown.put(_Shown(_number(match[2]), _number(match[3]), size, errors))
            expected = number + 1
    shown.put(None)


def _number(text: bytes | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:  # NOPTS
        return None


def _read_ppm(stream: IO[bytes]) -> UInt8Image | None:
    """The next binary PPM of a stream, or None at its end."""
    if stream.readline().strip() != b"P6":
        return None
    width, height = (int(number) for number in stream.readline().split())
    stream.readline()
    image = np.empty((height, width, 3), np.uint8)
    rest = image.reshape(-1).data
    while rest:
        count = stream.readinto(rest)  # type: ignore[attr-defined]  # of the buffered reader of a pipe
        if not count:
            return None
        rest = rest[count:]
    return image
