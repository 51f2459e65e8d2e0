"""`report.html` of an evaluation: one file with tables, histograms, and example images inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from uniref.core import html
from uniref.core.errors import UniRefError
from uniref.core.types import BoolMask, UInt8Image
from uniref.data.frames import read_frames
from uniref.evaluation.dataset import EvalItem, frame_name
from uniref.evaluation.prediction_files import (
    BadMask,
    ImagePrediction,
    block_path,
    find_folder,
    read_block,
    read_values,
)
from uniref.evaluation.results import DatasetResult, ItemScore
from uniref.evaluation.score_images import Boxes, BoxScore, ImageScore, ground_truth_mask, predicted_mask
from uniref.evaluation.shard_store import ShardStore
from uniref.evaluation.track_scores import TrackScore, VideoGroundTruth
from uniref.media.draw import colour, draw_overlay

_EXAMPLES = 3  # best, median and worst each
_LISTED = 20  # bad files named in the page
_FRAMES = 5
_STRIP, _SINGLE = 220, 340  # longest side of an image in a strip, and alone
_GAP = 4
_PREDICTED, _TRUE = 1, 3  # colours of media/overlay.py: red, green

_HISTOGRAMS = {
    ImageScore: "IoU of each expression or query",
    TrackScore: "J&F of each object or expression",
    BoxScore: "IoU of the best box for every object, mean of each image",
}


# The page


def report_page(
    results: Sequence[DatasetResult],
    records: Sequence[Mapping[str, Any]],
    examples: Sequence[ExampleImages],
    about: Mapping[str, str],
) -> str:
    """The page.

    Args:
        results: One per data set.
        records: The same as plain values (see `result_writer.record`).
        examples: Draw their examples.
        about: What was evaluated: name -> value.
    """
    return html.render(
        "evaluation.html",
        title="Evaluation",
        about=about,
        compared=any(each["published"] for each in records),
        overview=[_overview(each) for each in records],
        sections=[_section(*each) for each in zip(results, records, examples, strict=True)],
    )


def _overview(record: Mapping[str, Any]) -> dict[str, str]:
    """A row of the first table: the metric that is published, else the first."""
    metric, value = next(iter(record["numbers"].items()), ("", None))
    reference = record["published"]
    if reference:
        metric, value = reference["measure"], record["numbers"].get(reference["measure"])
    source = f"{reference['percent']:.1f} ({reference['checkpoint']}, {reference['source']})" if reference else ""
    return {
        "data": record["name"],
        "metric": metric,
        "percent": "" if value is None else f"{100 * value:.2f}",
        "published": source,
        "state": "" if record["complete"] else "incomplete",
    }


def _section(result: DatasetResult, record: Mapping[str, Any], examples: ExampleImages) -> dict[str, Any]:
    """The template's values for one data set."""
    scores, reference = result.scores, record["published"] or {}
    # files that are missing, unusable or unexpected
    issues = []
    for kind, title in (("missing", "Missing"), ("problems", "Unusable"), ("unexpected", "Unexpected files")):
        if names := getattr(result.issues, kind):
            more = max(0, len(names) - _LISTED)
            issues.append({"title": title, "count": len(names), "names": names[:_LISTED], "more": more})
    # numbers, with the published ones beside them
    numbers = [
        {
            "metric": metric,
            "percent": f"{100 * value:.2f}",
            "published": f"{reference['percent']:.1f}" if reference.get("measure") == metric else "",
        }
        for metric, value in record["numbers"].items()
    ]
    # histogram, and what the examples show
    chart = layout = None
    if scores:
        title = next(text for kind, text in _HISTOGRAMS.items() if isinstance(scores[0], kind))
        chart = html.Histogram.of(title, [each.score for each in scores])
        first, second = ("above", "below") if result.tracks else ("left", "right")
        layout = f"Images: {first} the prediction in red, {second} the ground truth in green."
    return {
        "name": result.dataset.name,
        "notes": result.notes,
        "issues": issues,
        "numbers": numbers,
        "published": bool(reference),
        "chart": chart,
        "layout": layout,
        "examples": [
            {"title": title, "figures": [_figure(score, examples) for score in some]}
            for title, some in _choose_examples(scores)
        ],
    }


def _choose_examples(scores: Sequence[ItemScore]) -> list[tuple[str, list[ItemScore]]]:
    """Best, median and worst; nothing is shown twice."""
    order = sorted(range(len(scores)), key=lambda position: (-scores[position].score, position))
    middle = max(0, len(order) // 2 - _EXAMPLES // 2)
    groups = [
        ("Best", order[:_EXAMPLES]),
        ("Median", order[middle : middle + _EXAMPLES]),
        ("Worst", order[::-1][:_EXAMPLES]),
    ]
    shown: set[int] = set()
    out = []
    for title, positions in groups:
        fresh = [position for position in positions if position not in shown]
        shown |= set(fresh)
        if fresh:
            out.append((title, [scores[position] for position in fresh]))
    return out


def _figure(score: ItemScore, examples: ExampleImages) -> dict[str, Any]:
    side = "above, ground truth (green) below" if isinstance(score, TrackScore) else "left, ground truth (green) right"
    if isinstance(score, TrackScore):
        name, metric, text = f"{score.name}, {score.key}", "J&F", score.text
    elif isinstance(score, ImageScore):
        name, metric, text = score.name, "IoU", score.text
    else:
        name, metric, text = score.media, "box IoU", ""
    layout = f"prediction (red) {side}"
    return {
        "address": examples.draw(score),
        "alt": f"{text or name}: {layout}",
        "layout": layout,
        "text": text,
        "score": f"{metric} {100 * score.score:.1f} %",
        "name": name,
    }


# Example images


@dataclass(frozen=True)
class ExampleImages:
    """Draws scored items: prediction and ground truth; of a video, a strip of frames."""

    store: ShardStore
    foreign: Mapping[str, Any] | None = None
    """Predictions of another tool for images, by name."""

    def draw(self, score: ItemScore) -> str | None:
        """An image as a `data:` address; None where the prediction (or the image) is not there any more."""
        try:
            if isinstance(score, BoxScore):
                rows: list[list[UInt8Image]] | None = self._draw_boxes(score)
            else:
                rows = self._draw_track(score) if isinstance(score, TrackScore) else self._draw_masks(score)
        except UniRefError:
            return None
        return None if rows is None else html.image_data_url(_grid(rows), "JPEG")

    @cached_property
    def _shards(self) -> dict[int, int]:
        """Sample row -> shard."""
        return {row: shard for shard, rows in enumerate(self.store.dataset.shards) for row in rows}

    def _item(self, score: ImageScore | TrackScore) -> EvalItem:
        items = self.store.dataset.items(self._shards[score.sample])
        return next(item for item in items if item.name == score.name)

    def _draw_masks(self, score: ImageScore) -> list[list[UInt8Image]] | None:
        dataset = self.store.dataset
        item = self._item(score)
        media = dataset.index.media(item.sample.media)
        prediction = self._prediction(score)
        if prediction is None and not score.missing:
            return None
        [image] = read_frames(media, [0])
        predicted = predicted_mask(prediction, (media.height, media.width))
        shown = ((_PREDICTED, predicted), (_TRUE, ground_truth_mask(dataset, item.sample)))
        return [[_resize(draw_overlay(image, {number: mask}), _SINGLE) for number, mask in shown]]

    def _prediction(self, score: ImageScore) -> ImagePrediction:
        if self.foreign is not None:
            prediction: ImagePrediction = self.foreign.get(score.name)
            return prediction
        shard = self._shards[score.sample]
        if not block_path(self.store.predictions, shard).exists():
            return None
        records = read_block(self.store.dataset, self.store.predictions, shard)
        return next(r for r in records if isinstance(r, dict) and r["key"] == score.name)

    def _draw_boxes(self, score: BoxScore) -> list[list[UInt8Image]]:
        [image] = read_frames(self.store.dataset.index.media(score.sample), [0])
        shown = ((_PREDICTED, score.predicted), (_TRUE, score.ground_truth))
        return [[_resize(_outline_boxes(image, boxes, colour(number)), _SINGLE) for number, boxes in shown]]

    def _draw_track(self, track: TrackScore) -> list[list[UInt8Image]] | None:
        dataset = self.store.dataset
        item = self._item(track)
        folder = find_folder(item, self.store.predictions)
        if not folder.is_dir():
            return None
        # frames at equal distances, with the ground truth of this target
        media = dataset.index.media(item.sample.media)
        targets = [[track.row]] if track.row >= 0 else [list(item.sample.objects)]
        ground_truth = VideoGroundTruth(dataset, item, targets)
        positions = np.unique(np.linspace(0, len(track.frames) - 1, _FRAMES).round().astype(int))
        frames = [track.frames[position] for position in positions]
        # predictions in the first row, ground truth in the second
        rows: list[list[UInt8Image]] = [[], []]
        for t, image in zip(frames, read_frames(media, frames), strict=True):
            try:
                values = read_values(folder / f"{frame_name(media, t)}.png", ground_truth.size)
            except BadMask:
                return None
            predicted: BoolMask = values != 0 if dataset.one_mask else values == track.prediction
            for row, number, mask in ((0, _PREDICTED, predicted), (1, _TRUE, ground_truth.masks(t)[0])):
                rows[row].append(_resize(draw_overlay(image, {number: mask}), _STRIP))
        return rows


def _resize(image: UInt8Image, side: int) -> UInt8Image:
    """An image whose longest side is `side` pixels."""
    source = Image.fromarray(image)
    scale = side / max(source.size)
    size = max(1, round(source.width * scale)), max(1, round(source.height * scale))
    return np.asarray(source.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC))


def _outline_boxes(image: UInt8Image, boxes: Boxes, outline: tuple[int, int, int]) -> UInt8Image:
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    width = max(1, round(min(canvas.size) / 160))
    for x0, y0, x1, y1 in boxes:  # the last pixel lies within
        draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=outline, width=width)
    return np.asarray(canvas)


def _grid(rows: Sequence[Sequence[UInt8Image]]) -> UInt8Image:
    """Images of one size in rows and columns, with white between."""
    height, width = rows[0][0].shape[:2]
    shape = (len(rows) * (height + _GAP) - _GAP, len(rows[0]) * (width + _GAP) - _GAP, 3)
    out = np.full(shape, 255, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            y, x = i * (height + _GAP), j * (width + _GAP)
            out[y : y + height, x : x + width] = image
    return out
