"""Examples as pictures: prediction above, truth below; of a clip, a strip of frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from uniref.core.errors import UniRefError
from uniref.core.html import picture_address
from uniref.core.types import BoolMask, UInt8Image
from uniref.data.frames import read_frames
from uniref.evaluation.benchmark import Case, frame_name
from uniref.evaluation.image_predictions import Prediction, block_path, read_block
from uniref.evaluation.masks_on_disk import BadMask, read_values
from uniref.evaluation.outcome import Entry
from uniref.evaluation.places import find_folder
from uniref.evaluation.score_boxes import Boxes, BoxItem
from uniref.evaluation.score_clips import Track
from uniref.evaluation.score_images import Item, predicted_mask, truth_mask
from uniref.evaluation.store import Store
from uniref.evaluation.truth import ClipTruth
from uniref.media.overlay import colour, draw_overlay

_FRAMES = 5
_STRIP, _SINGLE = 220, 340  # longest side of a picture in a strip, and alone
_GAP = 4
_PREDICTED, _TRUE = 1, 3  # colours of media/overlay.py: red, green


@dataclass(frozen=True)
class Gallery:
    """Draws what was scored."""

    store: Store
    given: Mapping[str, Any] | None = None
    """Predictions of another tool for images."""

    def draw(self, entry: Entry) -> str | None:
        """A picture as a `data:` address; None where the prediction (or the picture) is not there any more."""
        try:
            if isinstance(entry, BoxItem):
                rows: list[list[UInt8Image]] | None = self._boxes(entry)
            else:
                rows = self._track(entry) if isinstance(entry, Track) else self._item(entry)
        except UniRefError:
            return None
        return None if rows is None else picture_address(_grid(rows), "JPEG")

    @cached_property
    def _units(self) -> dict[int, int]:
        return {row: unit for unit, rows in enumerate(self.store.benchmark.units) for row in rows}

    def _case(self, entry: Item | Track) -> Case:
        cases = self.store.benchmark.cases(self._units[entry.sample])
        return next(case for case in cases if case.name == entry.name)

    def _item(self, item: Item) -> list[list[UInt8Image]] | None:
        benchmark = self.store.benchmark
        case = self._case(item)
        media = benchmark.index.media(case.sample.media)
        prediction = self._prediction(item)
        if prediction is None and not item.missing:
            return None
        [image] = read_frames(media, [0])
        predicted = predicted_mask(prediction, (media.height, media.width))
        shown = ((_PREDICTED, predicted), (_TRUE, truth_mask(benchmark, case.sample)))
        return [[_small(draw_overlay(image, {number: mask}), _SINGLE) for number, mask in shown]]

    def _prediction(self, item: Item) -> Prediction:
        if self.given is not None:
            found: Prediction = self.given.get(item.name)
            return found
        unit = self._units[item.sample]
        if not block_path(self.store.predictions, unit).exists():
            return None
        records = read_block(self.store.benchmark, self.store.predictions, unit)
        return next(r for r in records if isinstance(r, dict) and r["key"] == item.name)

    def _boxes(self, item: BoxItem) -> list[list[UInt8Image]]:
        [image] = read_frames(self.store.benchmark.index.media(item.sample), [0])
        shown = ((_PREDICTED, item.predicted), (_TRUE, item.truth))
        return [[_small(_draw_boxes(image, boxes, colour(number)), _SINGLE) for number, boxes in shown]]

    def _track(self, track: Track) -> list[list[UInt8Image]] | None:
        benchmark = self.store.benchmark
        case = self._case(track)
        folder = find_folder(case, self.store.predictions)
        if not folder.is_dir():
            return None
        media = benchmark.index.media(case.sample.media)
        targets = [[track.row]] if track.row >= 0 else [list(case.sample.objects)]
        truth = ClipTruth(benchmark, case, targets)
        places = np.unique(np.linspace(0, len(track.frames) - 1, _FRAMES).round().astype(int))
        chosen = [track.frames[place] for place in places]
        rows: list[list[UInt8Image]] = [[], []]
        for t, image in zip(chosen, read_frames(media, chosen), strict=True):
            try:
                values = read_values(folder / f"{frame_name(media, t)}.png", truth.size)
            except BadMask:
                return None
            predicted: BoolMask = values != 0 if benchmark.one_mask else values == track.prediction
            for row, number, mask in ((0, _PREDICTED, predicted), (1, _TRUE, truth.masks(t)[0])):
                rows[row].append(_small(draw_overlay(image, {number: mask}), _STRIP))
        return rows


def _small(picture: UInt8Image, side: int) -> UInt8Image:
    image = Image.fromarray(picture)
    scale = side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC))


def _draw_boxes(image: UInt8Image, boxes: Boxes, outline: tuple[int, int, int]) -> UInt8Image:
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    width = max(1, round(min(picture.size) / 160))
    for x0, y0, x1, y1 in boxes:  # the last pixel lies within
        draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=outline, width=width)
    return np.asarray(picture)


def _grid(rows: Sequence[Sequence[UInt8Image]]) -> UInt8Image:
    """Pictures of one size in rows and columns, with white between."""
    height, width = rows[0][0].shape[:2]
    shape = (len(rows) * (height + _GAP) - _GAP, len(rows[0]) * (width + _GAP) - _GAP, 3)
    out = np.full(shape, 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            y, x = i * (height + _GAP), j * (width + _GAP)
            out[y : y + height, x : x + width] = picture
    return out
