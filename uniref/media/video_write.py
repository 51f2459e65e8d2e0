"""Videos written frame by frame through imageio's ffmpeg."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

from uniref.core.errors import MediaError


class VideoWriter:
    """An H.264 mp4 of the frames' own size.

    Args:
        path: Where; overwritten.
        size: (height, width) of the frames.
        fps: Frames a second.

    Raises:
        MediaError: ffmpeg cannot be started.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        self.path = Path(path)
        height, width = size
        # 4:2:0 needs even sides; an odd size is kept exactly by full-resolution colour instead of a resize
        pixels = "yuv420p" if height % 2 == 0 and width % 2 == 0 else "yuv444p"
        try:
            self._writer: Any = imageio_ffmpeg.write_frames(
                str(self.path),
                (width, height),
                fps=Fraction(fps).limit_denominator(100_000),
                codec="libx264",
                pix_fmt_out=pixels,
                macro_block_size=1,
                quality=None,
                ffmpeg_log_level="error",
                output_params=["-crf", "18", "-preset", "veryfast", "-movflags", "+faststart", "-threads", "1"],
            )
            self._writer.send(None)
        except (OSError, RuntimeError) as error:
            raise MediaError(f"{path}: cannot start the video encoder ({_first_line(error)})") from None

    def write(self, frame: npt.NDArray[np.uint8]) -> None:
        """Append a frame, uint8 RGB [H, W, 3]. Raises MediaError where the encoder fails (disk full, say)."""
        try:
            self._writer.send(np.ascontiguousarray(frame))
        except (OSError, RuntimeError, StopIteration) as error:
            raise MediaError(f"{self.path}: cannot be written ({_first_line(error)})") from None

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
