"""Short real videos and masks for them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from uniref.core import rle
from uniref.core.types import BoolMask, UInt8Image
from uniref.inference.results import FrameResult
from uniref.media.mask import read_mask
from uniref.media.source import MediaSource, Selection
from uniref.media.video_write import VideoWriter

STREET = Path(__file__).parents[2] / "examples/street.mp4"
Masks = dict[int, dict[int, BoolMask]]


def street_frames(count: int, size: tuple[int, int] = (108, 192)) -> list[UInt8Image]:
    """The first frames of the example video, scaled to `size` (H, W)."""
    frames = MediaSource(STREET).frames(Selection(end=str(count)))
    return [np.asarray(Image.fromarray(frame.image).resize((size[1], size[0]))) for frame in frames]


def write_clip(path: Path, count: int) -> Path:
    images = street_frames(count)
    writer = VideoWriter(path, images[0].shape[:2], 12.0)
    for image in images:
        writer.write(image)
    writer.close()
    return path


def street_masks(size: tuple[int, int] = (108, 192)) -> dict[int, BoolMask]:
    """Object id -> its known mask in the first frame, of two of the objects."""
    labels = Image.fromarray(read_mask(STREET.parent / "street-masks/00000.png"))
    small = np.asarray(labels.resize((size[1], size[0]), Image.Resampling.NEAREST))
    largest = sorted((n for n in np.unique(small) if n), key=lambda n: -int((small == n).sum()))[:2]
    return {position: small == n for position, n in enumerate(largest, start=1)}


def runs(mask: BoolMask) -> dict[str, object]:
    """A mask as the page sends it."""
    return {"size": list(mask.shape), "counts": rle.to_runs(mask)}


def masks_of(results: Iterable[FrameResult], first: int = 0) -> Masks:
    """Frame -> object -> its pixels."""
    return {result.index + first: result.masks for result in results}
