"""Animated images (WebP, PNG, AVIF) as videos, through imageio."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from uniref.core.errors import MediaError
from uniref.core.files import reading
from uniref.core.types import UInt8Image
from uniref.media.frame import MAX_FRAME_PIXELS, SourceFrame
from uniref.media.image import ImageProblem, open_image
from uniref.media.video_colors import BT709, ColorTags

EXTENSIONS = (".webp", ".png", ".apng", ".avif")

_FORMATS = ("WEBP", "PNG", "AVIF")
_TOO_SHORT, _USUAL = 0.0101, 0.1  # seconds: browsers show a frame of 10 ms or less for 100 ms


def is_animation(path: Path) -> bool:
    """Whether a file is an image of several frames that follow each other in time."""
    return _frame_count(path) > 1


def _frame_count(path: Path) -> int:
    """Frames that the header of an animated image announces; 0 for anything else."""
    try:
        with open_image(path, _FORMATS) as image:
            count = int(getattr(image, "n_frames", 1))
            if count > 1 and image.width * image.height > MAX_FRAME_PIXELS:
                raise MediaError(
                    f"{path}: has frames of {image.width} x {image.height}; at most {MAX_FRAME_PIXELS:,} pixels are "
                    "read"
                )
            return count
    except ImageProblem:  # reading it as an image reports what is wrong
        return 0


class AnimatedImage:
    """An animated image, with the attributes of a `VideoFile`. Frames come as uint8 RGB [H, W, 3].

    Args:
        path: The file; its content counts, not its extension.

    Raises:
        MediaError: Missing, damaged from the first frame on, or not an animation.
    """

    indexed = True
    seekable = False
    hdr = tone_mapped = cut_off = lacks_end = has_sound = False
    colors: ColorTags = BT709
    pixel_aspect = Fraction(1)
    time_base = Fraction(1, 1000)
    resized: str | None = None

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        announced = _frame_count(self.path)
        if announced < 2:
            raise MediaError(f"{path}: is not an animated image that can be read")
        # decode all frames once: durations come with them
        starts = [0.0]
        with reading(self.path, MediaError), iio.imopen(self.path, "r", plugin="pillow") as file:
            for index in range(announced):
                try:
                    file.read(index=index)
                    duration = float(file.metadata(index=index).get("duration") or 0) / 1000
                except Exception:  # noqa: BLE001 - decoders report damage with exceptions of any type
                    break
                starts.append(starts[-1] + (duration if duration > _TOO_SHORT else _USUAL))
        if len(starts) == 1:
            raise MediaError(f"{path}: damaged image (no frame of its animation can be decoded)")
        # frame count and rate of the whole animation
        self._starts = np.array(starts)
        self.frame_count = len(starts) - 1
        self.fps = self.frame_count / starts[-1]
        self._lost = announced - self.frame_count
        self.tail_lost = 0
        """Frames at the end that the file announces but does not hold; known once `frames` has reached the end."""

    def exact_frame_count(self) -> int:
        """Frames that can be decoded."""
        return self.frame_count

    def index_at(self, seconds: float) -> int:
        """The first frame that is shown at a time or later; after the end, their number."""
        return int(np.searchsorted(self._starts[:-1], seconds - 1e-3))

    def frames(self, first: int = 0, last: int | None = None, stride: int = 1) -> Iterator[SourceFrame]:
        """Every `stride`-th frame from `first` up to but not including `last`, in order."""
        stop = self.frame_count if last is None else min(last, self.frame_count)
        with reading(self.path, MediaError), iio.imopen(self.path, "r", plugin="pillow") as file:
            for index in range(first, stop, stride):
                image: UInt8Image = file.read(index=index, mode="RGB")
                start, end = self._starts[index], self._starts[index + 1]
                yield SourceFrame(index, f"{index:05d}", image, float(start), float(end - start))
        if stop == self.frame_count:
            self.tail_lost = len(range(0, self._lost, stride))
