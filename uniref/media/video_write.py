"""Videos written frame by frame through imageio's ffmpeg."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

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
        try:
            self._writer: Any = imageio_ffmpeg.write_frames(
                str(self.path),
                (width, height),
                fps=Fraction(fps).limit_denominator(100_000),  # 29.97003 becomes 30000/1001
                codec=codec,
                pix_fmt_in="rgba" if alpha else "rgb24",
                pix_fmt_out=_pixel_format(codec, height, width),
                macro_block_size=1,
                quality=None,
                ffmpeg_log_level="error",
                output_params=[*_CODECS[codec], "-threads", "1"],
            )
            self._writer.send(None)
        except (OSError, RuntimeError) as error:
            raise MediaError(f"{path}: cannot start the video encoder ({first_line(error)})") from None

    def write(self, frame: npt.NDArray[np.uint8]) -> None:
        """Append a frame, uint8 [H, W, 3 or 4]. Raises MediaError where the encoder fails (disk full, say)."""
        try:
            self._writer.send(np.ascontiguousarray(frame))
        except (OSError, RuntimeError, StopIteration) as error:
            raise MediaError(f"{self.path}: cannot be written ({first_line(error)})") from None

    def close(self) -> None:
        """Finish the file. Raises MediaError where nothing usable came out."""
        try:
            self._writer.close()
        except (OSError, RuntimeError) as error:
            raise MediaError(f"{self.path}: cannot be written ({first_line(error)})") from None
        if not self.path.is_file() or self.path.stat().st_size == 0:
            raise MediaError(f"{self.path}: the encoder wrote nothing (disk full?)")


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
