"""A contact sheet of an index's samples, so that people see what they got."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from uniref.core.types import UInt8Image
from uniref.data.frames import read_frame
from uniref.data.index import Annotations, Index, Sample
from uniref.media.draw import draw_overlay, write_contact_sheet


def write_preview(index: Index, path: Path, count: int, seed: int = 0) -> None:
    """Draw samples with their masks (or boxes) and expressions into one PNG.

    Args:
        index: Where they come from.
        path: The PNG.
        count: How many; drawn at random by `seed`, in order.

    Raises:
        UniRefError: The PNG cannot be written; a picture cannot be read.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(index))[:count])
    write_contact_sheet(path, [draw_sample(index, index.sample(int(row))) for row in rows])


def draw_sample(index: Index, sample: Sample) -> tuple[UInt8Image, str]:
    """A sample's picture (of a clip, the frame that shows most of them) and what to write under it."""
    media = index.media(sample.media)
    tracks = {row: index.annotations(row) for row in sample.objects}
    frame = _best_frame(tracks.values())
    masks: dict[int, npt.NDArray[np.bool_]] = {}
    for number, track in enumerate(tracks.values(), start=1):
        place = track.at(frame)
        if place is not None:
            mask = track.mask(place)
            masks[number] = _frame_of(track.boxes[place], media.height, media.width) if mask is None else mask
    texts = [index.expression(row).text for row in sample.expressions]
    category = index.manifest.categories.get(sample.category, "")
    what = " | ".join(texts) or category or f"{len(sample.objects)} objects"
    return draw_overlay(read_frame(media, frame), masks), f"{sample.row}: {what}"


def _best_frame(tracks: Iterable[Annotations]) -> int:
    """Where most of the objects is seen; the first frame if they are nowhere."""
    areas: dict[int, float] = {}
    for track in tracks:
        for frame, area in zip(track.frames.tolist(), track.areas.tolist(), strict=True):
            areas[frame] = areas.get(frame, 0.0) + area
    return max(sorted(areas), key=lambda frame: areas[frame], default=0)


def _frame_of(box: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.bool_]:
    """A box without a mask, as its outline."""
    x0, y0, x1, y1 = (round(float(v)) for v in box)
    thick = max(1, round(min(height, width) / 200))
    outer = np.zeros((height, width), bool)
    outer[max(y0, 0) : y1, max(x0, 0) : x1] = True
    outer[max(y0 + thick, 0) : max(y1 - thick, 0), max(x0 + thick, 0) : max(x1 - thick, 0)] = False
    return outer
