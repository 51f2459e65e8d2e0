"""The one place where picture files are opened: a fixed list of formats, a bound on pixels, one kind of error."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from uniref.core.errors import UniRefError
from uniref.core.files import first_line

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM", "GIF", "AVIF")
"""Formats by their content, whatever the file is called. Others reach further than their file: to read EPS, Pillow
starts Ghostscript."""
MAX_PIXELS = 89_478_485
"""Width times height; as an RGB picture that is a quarter of a gibibyte."""


MAX_SIDE = 65_535
"""Width or height; the most that a JPEG has."""


class PictureProblem(UniRefError):
    """A picture cannot be read; the message does not name it."""


@contextlib.contextmanager
def open_image(file: Path | IO[bytes], formats: tuple[str, ...] = FORMATS) -> Iterator[Image.Image]:
    """A picture file for the time of a block, its header read and its size checked.

    Args:
        file: The file, or its open content.
        formats: Those that are accepted, of `FORMATS`.

    Raises:
        PictureProblem: Missing, not a picture, too large, or damaged: any error of a decoder inside the block counts.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the bound on pixels is ours
            with Image.open(file, formats=_known(formats)) as image:
                if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
                    raise PictureProblem(
                        f"is too large a picture ({image.width} x {image.height}; at most {MAX_PIXELS:,} pixels, and "
                        f"{MAX_SIDE:,} on a side)"
                    )
                yield image
    except UniRefError:
        raise
    except UnidentifiedImageError:
        raise PictureProblem("is not a picture that can be read") from None
    except FileNotFoundError:
        raise PictureProblem("no such file") from None
    except MemoryError:
        raise PictureProblem("needs more memory than this machine has") from None
    except Image.DecompressionBombError:
        raise PictureProblem(f"is too large a picture (more than {MAX_PIXELS:,} pixels)") from None
    except Exception as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise PictureProblem(f"damaged picture ({reason})") from error


@functools.cache
def _known(formats: tuple[str, ...]) -> tuple[str, ...]:
    """Of the formats, those that this Pillow has (AVIF came with 11.3)."""
    Image.init()
    return tuple(name for name in formats if name in Image.OPEN)
