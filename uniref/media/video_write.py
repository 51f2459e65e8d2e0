"""Videos written frame by frame by imageio's ffmpeg."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections import deque
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

from uniref.core.errors import MediaError
from uniref.media.ffmpeg import first_line, run_ffmpeg

_CODECS: dict[str, list[str]] = {
    "libx264": ["-crf", "18", "-preset", "veryfast", "-movflags", "+faststart"],
    "libvpx-vp9": ["-crf", "24", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "6"],
    "prores_ks": ["-profile:v", "4444"],
}


_PATIENCE = 10  # seconds for a failed encoder to end


class VideoWriter:
    """A video of the frames' own size: H.264 mp4 by default.

    Args:
        path: Where; overwritten. The extension chooses the container.
        size: (height, width) of the frames.
        fps: Frames a second.
        codec: "libx264", "libvpx-vp9" or "prores_ks".
        alpha: Frames are RGBA and their transparency is kept (VP9 and ProRes only).

    Raises:
        MediaError: ffmpeg cannot be started.
    """

    def __init__(
        self, path: Path, size: tuple[int, ...], fps: float, codec: str = "libx264", alpha: bool = False
    ) -> None:
        self.path = Path(path)
        height, width = size
        rate = Fraction(fps).limit_denominator(100_000)  # 29.97003 becomes 30000/1001
        frames = ["-f", "rawvideo", "-pix_fmt", "rgba" if alpha else "rgb24", "-s", f"{width}x{height}"]
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *frames, "-r", str(rate), "-i", "-", "-an"]
        command += ["-c:v", codec, "-pix_fmt", _pixel_format(codec, height, width), *_CODECS[codec], "-threads", "1"]
        try:
            # in a session of its own, Ctrl-C on the terminal reaches us alone
            self._process = subprocess.Popen(  # noqa: S603 - our own ffmpeg, no shell
                [*command, str(self.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise MediaError(f"{path}: cannot start the video encoder ({first_line(error)})") from None
        self._said: deque[bytes] = deque(maxlen=20)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        self._said.extend(self._process.stderr)

    def write(self, frame: npt.NDArray[np.uint8]) -> None:
        """Append a frame, uint8 [H, W, 3 or 4]. Raises MediaError where the encoder fails (disk full, say)."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(np.ascontiguousarray(frame).data)
        except (OSError, ValueError):
            raise self._failure() from None

    def close(self) -> None:
        """Finish the file. Raises MediaError where the encoder failed; what it left is no video then."""
        assert self._process.stdin is not None
        assert self._process.stderr is not None
        with contextlib.suppress(OSError):  # it stopped before; its exit code says so
            self._process.stdin.close()
        code = self._process.wait()
        self._listener.join()
        self._process.stderr.close()
        if code != 0:
            raise self._failure()

    def _failure(self) -> MediaError:
        with contextlib.suppress(subprocess.TimeoutExpired):  # it is about to end
            self._process.wait(_PATIENCE)
            self._listener.join(_PATIENCE)
        said = b"".join(self._said).decode("utf-8", "replace").splitlines()
        reasons = [line.rpartition(": ")[2] for line in said if "rror" in line]
        return MediaError(f"{self.path.name} cannot be written ({reasons[0] if reasons else 'the encoder stopped'})")


def _pixel_format(codec: str, height: int, width: int) -> str:
    """4:2:0 needs even sides; an odd size is kept exactly by full-resolution colour instead of a resize."""
    if codec == "prores_ks":
        return "yuva444p10le"
    if codec == "libvpx-vp9":
        return "yuva420p"  # VP9 rounds odd sides itself
    return "yuv420p" if height % 2 == 0 and width % 2 == 0 else "yuv444p"


def add_audio(video: Path, source: Path, start: float) -> str | None:
    """Put the sound of `source`, from `start` seconds on, under a finished video, in place.

    The sound is copied where the container can hold it, else encoded as AAC. A source without sound changes nothing.

    Returns:
        None, or why the sound could not be kept (the video stays as it was).
    """
    if "Audio:" not in run_ffmpeg(["-i", str(source)])[1]:
        return None
    joined = video.with_name(f"{video.stem}.audio{video.suffix}")
    reason = ""
    for audio in (["-c:a", "copy"], ["-c:a", "aac", "-b:a", "160k"]):
        inputs = ["-i", str(video), "-ss", f"{start:.6f}", "-i", str(source)]
        maps = ["-map", "0:v:0", "-map", "1:a:0", "-c:v", "copy", *audio, "-shortest", "-movflags", "+faststart"]
        code, output = run_ffmpeg(["-v", "error", "-y", *inputs, *maps, str(joined)])
        if code == 0 and joined.is_file() and joined.stat().st_size > 0:
            joined.replace(video)
            return None
        reason = first_line(output)
        joined.unlink(missing_ok=True)
    return reason
