"""Masks as PNG files, as servers want them and as other tools write them."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image

from uniref.core.errors import UniRefError
from uniref.core.types import BoolMask, LabelMap
from uniref.media.open_image import PictureProblem, open_image
from uniref.media.palette import write_labels

VOID = 255


class BadMask(UniRefError):
    """A mask file cannot be used; the message does not name it."""


def write_png(path: Path, values: BoolMask | LabelMap) -> None:
    """Write a mask, bool [H, W], as an 8-bit grey PNG of 0 and 255, or a label map as a palette PNG."""
    if values.dtype == np.bool_:
        Image.fromarray(values.astype(np.uint8) * 255).save(path, format="PNG")
    else:
        write_labels(path, values.astype(np.uint8))


def read_values(
    file: Path | IO[bytes], size: tuple[int, int], modes: tuple[str, ...] = ("P", "L", "1")
) -> npt.NDArray[np.uint8]:
    """Pixel values of a mask file, uint8 [H, W]: palette indices or grey values.

    Args:
        file: The file, or its open content.
        size: (H, W) that it must have.
        modes: Kinds of picture that are accepted.

    Raises:
        BadMask: Damaged, of another kind or of another size.
    """
    try:
        with open_image(file) as image:
            if image.format != "PNG":
                raise BadMask(f"is a {image.format} file, not a PNG")
            if image.mode not in modes:
                raise BadMask(f"is a {image.mode} picture, not {' or '.join(_KINDS[mode] for mode in modes)}")
            if image.size != (size[1], size[0]):
                raise BadMask(f"is {image.width} x {image.height}, the frame {size[1]} x {size[0]}")
            return np.asarray(image).astype(np.uint8)
    except PictureProblem as problem:
        raise BadMask(str(problem)) from None


_KINDS = {"P": "a palette PNG", "L": "an 8-bit grey PNG", "1": "a black and white PNG"}


def read_ids(path: Path, size: tuple[int, int], known: frozenset[int]) -> LabelMap:
    """A predicted label map.

    Raises:
        BadMask: As `read_values`, or it shows an id that the clip does not have.
    """
    labels = read_values(path, size)
    if strange := sorted(set(_values(labels)) - known - {0}):
        listed = ", ".join(map(str, sorted(known)))
        raise BadMask(f"shows object {strange[0]}; the objects here are {listed}")
    return labels


def read_binary(path: Path, size: tuple[int, int]) -> BoolMask:
    """A predicted mask of one object: every value but 0.

    Raises:
        BadMask: As `read_values`, or it holds several ids.
    """
    values = read_values(path, size)
    found = _values(values)
    if len(found) > 2 or (len(found) == 2 and found[0] != 0):
        raise BadMask(f"holds the values {', '.join(map(str, found[:4]))}; a mask is 0 and one other value")
    return values != 0


def _values(values: npt.NDArray[np.uint8]) -> list[int]:
    """The different values of an array, ascending."""
    return [int(value) for value in np.flatnonzero(np.bincount(values.ravel(), minlength=256))]
