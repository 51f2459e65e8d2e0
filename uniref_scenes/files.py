"""Reading and writing files: one kind of error, which names the file, and no file that is half written."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from uniref_scenes.types import UInt8Array

_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM", "GIF")  # by content; Pillow starts Ghostscript for EPS
_MAX_PIXELS = 89_478_485


class SceneError(Exception):
    """A source of scenes (an image, a package, a file of a bank) cannot be used; one line that names it."""


@contextlib.contextmanager
def open_image(path: Path, use: str) -> Iterator[Image.Image]:
    """An image file for the time of a block.

    Args:
        path: The file.
        use: What it is for, in messages: "an object".

    Raises:
        SceneError: Missing, not an image, of more than 89 million pixels, or damaged: errors of the decoder inside
            the block count.
    """
    # the header, and a check of the size before anything is decoded
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limit on pixels is checked here
            with Image.open(path, formats=_FORMATS) as image:
                if image.width * image.height > _MAX_PIXELS:
                    raise SceneError(f"{path}: cannot be used as {use} (it has more than {_MAX_PIXELS:,} pixels)")
                yield image
    # one kind of error, whatever the decoder raises
    except SceneError:
        raise
    except FileNotFoundError:
        raise SceneError(f"{path}: cannot be used as {use} (no such file)") from None
    except Exception as error:
        raise SceneError(f"{path}: cannot be used as {use} ({_first_line(error)})") from error


def read_json(path: Path, advice: str) -> Any:
    """The value of a JSON file.

    Raises:
        SceneError: Missing, or not valid JSON; `advice` says what to do.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SceneError(f"{path}: no such file; {advice}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise SceneError(f"{path}: cannot be read ({_first_line(error)}); {advice}") from None


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8, complete or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def write_label_map(path: Path, labels: UInt8Array) -> None:
    """Write object numbers, uint8 [H, W], as a palette PNG in the colours of DAVIS and Pascal VOC."""
    image = Image.fromarray(labels, mode="P")
    image.putpalette(_palette().tobytes())
    image.save(path, format="PNG")


def _palette() -> UInt8Array:
    """The 256 RGB colours, uint8 [256, 3]: the bits of a number are dealt to the channels, highest bits first."""
    numbers = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for step in range(8):
        for channel in range(3):
            bit = (numbers >> (3 * step + channel)) & 1
            colours[:, channel] |= (bit << (7 - step)).astype(np.uint8)
    return colours


def _first_line(error: BaseException) -> str:
    """An exception's message, at most one line of it."""
    lines = (getattr(error, "strerror", None) or str(error)).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
