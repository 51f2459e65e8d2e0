"""Rows of a project: objects, and masks as run lengths."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from uniref.core import rle
from uniref.core.boxes import mask_bounds
from uniref.core.errors import MediaError
from uniref.core.types import BoolMask


@dataclass(frozen=True)
class ObjectRecord:
    """An object of a project."""

    object: int
    """Id, 1..255."""
    name: str
    colour: str
    """`#rrggbb`."""
    visible: int
    """Whether the page shows it, 0 or 1."""


@dataclass(frozen=True)
class MaskRecord:
    """One object in one frame."""

    object: int
    frame: int
    given: int
    """1 for a mask of the user's, which the object is followed from; 0 for one that was followed to here."""
    prompt: str | None
    """JSON of how a given mask was asked for: `kind`, and `text`, `box` or `points`."""
    score: float | None
    """Confidence, 0..1; None where the frame is damaged."""
    box: bytes | None
    """float32 [4], little-endian: x0, y0, x1, y1 of the chosen query; None = the mask's tight box."""
    height: int
    width: int
    counts: bytes
    """The mask, COCO's compressed run lengths."""
    own: bytes | None = None
    """The pixels that the label map gives to it, where those are not all of the mask."""
    soft: bytes | None = None
    """Its probabilities, see `pack_soft`; None = those of a mask with hard edges."""
    area: int = 0
    """Pixels of the mask."""
    forwards: int | None = None
    """Of a given mask: the last frame up to which it has been followed; None = not yet."""
    backwards: int | None = None
    """Of a given mask: the first frame back to which it has been followed; None = not yet."""
    revision: int = 0
    """When it was written."""

    @property
    def pixels(self) -> BoolMask:
        """Bool [H, W]. Raises MediaError where the project is damaged."""
        return self._decode(self.counts)

    @property
    def own_pixels(self) -> BoolMask:
        """As `pixels`, those that the label map gives to the object."""
        return self.pixels if self.own is None else self._decode(self.own)

    def _decode(self, counts: bytes) -> BoolMask:
        try:
            return rle.decode(counts, self.height, self.width)
        except ValueError as error:
            raise MediaError(f"mask of object {self.object} in frame {self.frame}: is damaged ({error})") from None

    @property
    def about(self) -> dict[str, Any]:
        """How a given mask was asked for; empty for others."""
        return dict(json.loads(self.prompt)) if self.prompt else {}

    @property
    def text(self) -> str | None:
        """The text that is looked for from here on; None where a mask is given."""
        return str(self.about["text"]) if self.about.get("kind") == "text" else None


def pack_soft(probability: npt.NDArray[np.float32]) -> bytes:
    """Probabilities [H, W], 0..1, in 255 steps, compressed: the part that is not 0, behind its rows and columns."""
    values = (probability * 255 + 0.5).clip(0, 255).astype(np.uint8)
    bounds = mask_bounds(values > 0)
    if bounds is None:
        return b""
    rows, columns = bounds
    place = np.array([rows.start, rows.stop, columns.start, columns.stop], "<u4").tobytes()
    return place + zlib.compress(np.ascontiguousarray(values[rows, columns]).tobytes(), 1)


def unpack_soft(packed: bytes, height: int, width: int) -> npt.NDArray[np.float32]:
    """Probabilities, float32 [height, width]. Raises MediaError where they are damaged."""
    values = np.zeros((height, width), np.uint8)
    if packed:
        try:
            top, bottom, left, right = (int(each) for each in np.frombuffer(packed[:16], "<u4"))
            size = (bottom - top, right - left)
            if not (0 <= top < bottom <= height and 0 <= left < right <= width):
                raise ValueError("outside of the frame")
            content = zlib.decompressobj().decompress(packed[16:], size[0] * size[1])
            values[top:bottom, left:right] = np.frombuffer(content, np.uint8).reshape(size)
        except (ValueError, zlib.error) as error:
            raise MediaError(f"a mask's soft edges are damaged ({error})") from None
    return values.astype(np.float32) / np.float32(255)
