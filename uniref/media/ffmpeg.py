"""Running the ffmpeg program that imageio-ffmpeg brings."""

from __future__ import annotations

import contextlib
import os
import subprocess
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import imageio_ffmpeg

_LONGEST = 600  # seconds for a task that only copies packets
_PIPE = 1 << 20  # bytes
_LOCAL = ["-protocol_whitelist", "file,crypto,data"]  # a playlist from a stranger must not reach the network

# a playlist without an end mark is one whose recording was interrupted: all of it, and no waiting for more
_ENDED = ["-live_start_index", "0", "-max_reload", "3", "-m3u8_hold_counters", "3"]

_children: weakref.WeakSet[subprocess.Popen[bytes]] = weakref.WeakSet()


def input_arguments(path: Path) -> list[str]:
    """ffmpeg's arguments that open a file of the user's, whatever its name.

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
    """Let a pipe hold more than the usual 64 kB, where the system can: frames are larger."""
    try:
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
    except (ImportError, AttributeError, OSError):  # another system, or the user's share is used up
        return


def kill_children() -> None:
    """End every ffmpeg that still runs, so that no thread goes on waiting for one."""
    for child in list(_children):
        child.kill()


def run_ffmpeg(arguments: Sequence[str]) -> tuple[int, str]:
    """Run ffmpeg to its end.

    Returns:
        Exit code (1 where it could not run) and everything it printed.
    """
    try:
        with running_ffmpeg(
            ["-hide_banner", "-nostdin", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as child:
            output, _ = child.communicate(timeout=_LONGEST)
            return child.returncode, output.decode("utf-8", "replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
