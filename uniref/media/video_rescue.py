"""Decoding by ffmpeg's own program, where decord is not enough.

decord stops at the first damaged packet and loses frames around it, and it knows nothing of high dynamic range. ffmpeg
conceals damage and goes on, and has filters; frames are told apart by their time stamps.
"""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

from uniref.media.ffmpeg import run_ffmpeg

_STAMP = re.compile(rb"pts_time:\s*(-?[\d.]+)")
_DURATION = re.compile(r"Duration: (\d+):(\d+):(\d+(?:\.\d+)?)")


def decode_concealing(
    path: Path, start: float | None = None, filters: str | None = None
) -> Iterator[tuple[float, npt.NDArray[np.uint8]]]:
    """All frames that ffmpeg can decode, in order.

    Args:
        path: The video.
        start: Seconds before which nothing is wanted; a seek there may lose frames of a damaged file.
        filters: Of ffmpeg, to apply.

    Yields:
        Time stamp in seconds (as stored in the file) and picture, uint8 RGB [H, W, 3], turned upright.
    """
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-nostats", "-v", "info", "-copyts"]
    command += ["-i", str(path)] if start is None else ["-ss", f"{start:.6f}", "-i", str(path)]
    command += ["-map", "0:v:0", "-vf", ",".join(["showinfo", *([filters] if filters else [])])]
    command += ["-fps_mode", "passthrough", "-c:v", "ppm", "-f", "image2pipe", "-"]
    process = subprocess.Popen(  # noqa: S603 - our own ffmpeg, no shell
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    stamps: list[float] = []
    listener = threading.Thread(target=_collect_stamps, args=(process.stderr, stamps), daemon=True)
    listener.start()
    try:
        while (picture := _read_ppm(process.stdout)) is not None:
            while not stamps and listener.is_alive():
                listener.join(0.01)
            if not stamps:
                return
            yield stamps.pop(0), picture
    finally:
        process.kill()
        process.wait()
        listener.join()
        process.stdout.close()
        process.stderr.close()


def _collect_stamps(stream: IO[bytes], stamps: list[float]) -> None:
    for line in stream:
        if b"showinfo" in line and (match := _STAMP.search(line)):
            stamps.append(float(match[1]))


def _read_ppm(stream: IO[bytes]) -> npt.NDArray[np.uint8] | None:
    """The next binary PPM of a stream, or None at its end."""
    if stream.readline().strip() != b"P6":
        return None
    width, height = (int(number) for number in stream.readline().split())
    stream.readline()
    content = stream.read(width * height * 3)
    if len(content) < width * height * 3:
        return None
    return np.frombuffer(content, np.uint8).reshape(height, width, 3)


def announced_seconds(path: Path) -> float:
    """Duration by the file's header, 0 where it has none."""
    match = _DURATION.search(run_ffmpeg(["-i", str(path)])[1])
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else 0.0


def lacks_end(path: Path) -> bool:
    """Whether a GIF, which announces no length, ends without its end mark."""
    with path.open("rb") as file:
        if file.read(6) not in (b"GIF87a", b"GIF89a"):
            return False
        file.seek(-min(64, path.stat().st_size), 2)
        return not file.read().rstrip(b"\0").endswith(b";")


def breaks_off(path: Path) -> bool:
    """Whether reading the file's video packets (without decoding) ends in an error."""
    _, output = run_ffmpeg(["-v", "error", "-i", str(path), "-map", "0:v:0", "-c", "copy", "-f", "null", "-"])
    return bool(output.strip())
