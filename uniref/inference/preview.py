"""`preview.jpg`: small pictures of the first, best and last frame side by side, for the page about a batch."""

from __future__ import annotations

import numpy as np
from PIL import Image

from uniref.core.types import UInt8Image
from uniref.inference.results import FrameResult
from uniref.inference.sink_base import Context, Sink
from uniref.media.draw import draw_overlay
from uniref.media.frame import SourceFrame

PREVIEW = "preview.jpg"
_HEIGHT, _WIDTH = 132, 236  # most of a picture; the page shows it at half the size
_GAP = 4


class PreviewSink(Sink):
    """Keeps three small pictures in memory and writes them at the end. The best frame has the highest score."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._first: tuple[int, UInt8Image] | None = None
        self._best: tuple[int, UInt8Image] | None = None
        self._best_score = 0.0
        self._last: tuple[SourceFrame, FrameResult] | None = None

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Keep the frame if it is the first, or better than those before."""
        self._last = (frame, result)
        score = sum(result.scores.get(number, 0.0) for number, mask in result.masks.items() if mask.any())
        if self._first is None:
            self._first = (frame.index, _small(frame, result))
        if score > self._best_score:
            self._best, self._best_score = (frame.index, _small(frame, result)), score

    def close(self) -> None:
        """Write the picture."""
        if self._first is None or self._last is None:
            return
        frame, result = self._last
        pictures = dict(filter(None, (self._first, self._best)))
        if frame.index not in pictures:
            pictures[frame.index] = _small(frame, result)
        tiles = [pictures[index] for index in sorted(pictures)]
        height = max(tile.shape[0] for tile in tiles)
        strip = Image.new("RGB", (sum(tile.shape[1] + _GAP for tile in tiles) - _GAP, height), (128, 128, 128))
        left = 0
        for tile in tiles:
            strip.paste(Image.fromarray(tile), (left, 0))
            left += tile.shape[1] + _GAP
        strip.save(self.context.folder / PREVIEW, quality=80)


def _small(frame: SourceFrame, result: FrameResult) -> UInt8Image:
    """A frame with its objects drawn in, reduced first."""
    height, width = frame.image.shape[:2]
    scale = min(_HEIGHT / height, _WIDTH / width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    image = np.asarray(Image.fromarray(frame.image).resize(size[::-1], Image.Resampling.BILINEAR, reducing_gap=2))
    rows = (np.arange(size[0]) * height // size[0])[:, None]
    cols = (np.arange(size[1]) * width // size[1])[None]
    return draw_overlay(image, {number: mask[rows, cols] for number, mask in result.masks.items()})
