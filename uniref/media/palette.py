"""Label maps as palette PNGs with the DAVIS colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image


def davis_palette() -> npt.NDArray[np.uint8]:
    """The 256 RGB colours of DAVIS and Pascal VOC, uint8 [256, 3]: bit i of the id goes to a high bit of a channel."""
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for place in range(8):
        for channel in range(3):
            bit = (ids >> (3 * place + channel)) & 1
            colours[:, channel] |= (bit << (7 - place)).astype(np.uint8)
    return colours


PALETTE = davis_palette()


def write_labels(path: Path, labels: npt.NDArray[np.uint8]) -> None:
    """Write object ids, uint8 [H, W], as an indexed PNG."""
    image = Image.fromarray(labels, mode="P") if labels.dtype == np.uint8 else None
    assert image is not None
    image.putpalette(PALETTE.tobytes())
    image.save(path, format="PNG")
