"""Reading image files: a fixed list of formats, a bound on pixels, one kind of error, upright RGB."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from uniref.core.errors import MediaError, UniRefError
from uniref.core.files import first_line
from uniref.core.types import UInt8Image

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".avif")
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM", "GIF", "AVIF")
"""Formats by their content, whatever the file is called. Others reach further than their file: to read EPS, Pillow
starts Ghostscript."""
MAX_PIXELS = 89_478_485
"""Width times height; as RGB, a quarter of a gibibyte."""


MAX_SIDE = 65_535
"""Width or height; the most that a JPEG has."""


class ImageProblem(UniRefError):
    """An image cannot be read; the message does not name the file."""


@contextlib.contextmanager
def open_image(file: Path | IO[bytes], formats: tuple[str, ...] = FORMATS) -> Iterator[Image.Image]:
    """Open an image file for a block, its header read and its size checked.

    Args:
        file: The file, or its open content.
        formats: Those that are accepted, of `FORMATS`.

    Raises:
        ImageProblem: Missing, not an image, too large, or damaged: any error of a decoder inside the block counts.
    """
    try:
        # check size and format
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the bound on pixels is checked here
            with Image.open(file, formats=_supported(formats)) as image:
                if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
                    raise ImageProblem(
                        f"is too large an image ({image.width} x {image.height}; at most {MAX_PIXELS:,} pixels, and "
                        f"{MAX_SIDE:,} on a side)"
                    )
                yield image
    # one kind of error for every failure
    except UniRefError:
        raise
    except UnidentifiedImageError:
        raise ImageProblem("is not an image that can be read") from None
    except FileNotFoundError:
        raise ImageProblem("no such file") from None
    except MemoryError:
        raise ImageProblem("needs more memory than this machine has") from None
    except Image.DecompressionBombError:
        raise ImageProblem(f"is too large an image (more than {MAX_PIXELS:,} pixels)") from None
    except Exception as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise ImageProblem(f"damaged image ({reason})") from error


@functools.cache
def _supported(formats: tuple[str, ...]) -> tuple[str, ...]:
    """The formats that this Pillow supports (AVIF since 11.3)."""
    Image.init()
    return tuple(name for name in formats if name in Image.OPEN)


def read_image(path: Path) -> UInt8Image:
    """Read an image as it is meant to be seen: uint8 RGB [H, W, 3].

    Rotates it by its EXIF orientation, scales 16-bit values to 8 bits, repeats grey, drops transparency; of
    an animation, the first frame.

    Raises:
        MediaError: Missing, damaged, too large, or not an image.
    """
    try:
        with open_image(path) as image:
            return np.asarray(_rgb(upright(image)))
    except ImageProblem as problem:
        raise MediaError(f"{path}: {problem}") from None


def is_image(path: Path) -> bool:
    """Whether a file begins like an image, even if it is damaged later."""
    try:
        with open_image(path):
            return True
    except ImageProblem:
        return False


def upright(image: Image.Image) -> Image.Image:
    """The image rotated by its EXIF orientation."""
    image.load()
    return ImageOps.exif_transpose(image)


def fitted(image: UInt8Image, size: tuple[int, int]) -> UInt8Image:
    """An image [h, w, C] inside one of another size [H, W, C]: scaled as a whole, centred, and zero around it."""
    height, width = image.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    result = np.zeros((*size, *image.shape[2:]), np.uint8)
    scaled = Image.fromarray(image).resize((inner[1], inner[0]), Image.Resampling.BILINEAR)
    result[top : top + inner[0], left : left + inner[1]] = np.asarray(scaled)
    return result


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits per pixel
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray((values.clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        values = np.asarray(image)
        scale = 255.0 if float(values.max(initial=0)) <= 1 else 1.0
        return Image.fromarray((np.nan_to_num(values) * scale).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "P":
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")
