"""Predictions for videos against the truth: one track an object or expression."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from uniref.core.tasks import Task
from uniref.data.index import Media, Sample
from uniref.evaluation.benchmark import Benchmark
from uniref.evaluation.masks_on_disk import BadMask, read_binary, read_ids
from uniref.evaluation.metrics.masks import Mask, score_masks, score_pairs
from uniref.evaluation.metrics.tracks import best_assignment
from uniref.evaluation.places import find_folder
from uniref.evaluation.predict_clips import frame_name
from uniref.evaluation.truth import ClipTruth

R = TypeVar("R")


@dataclass
class Track:
    """Scores of one object or expression over the frames that count."""

    sample: int
    media: str
    key: str
    """Object id or expression id."""
    text: str
    group: int
    row: int
    """Object row, or -1 for a union."""
    complete: bool
    """Whether an empty true mask means that the object is absent."""
    seen: bool | None
    matched: str = ""
    """How a prediction was chosen where ids do not say: `best` (optimal assignment) or `direct`."""
    frames: list[int] = field(default_factory=list)
    region: list[float] = field(default_factory=list)
    boundary: list[float] = field(default_factory=list)
    truth: list[float] = field(default_factory=list)
    """Share of the frame that the object covers."""
    predicted: list[float] = field(default_factory=list)

    def add(self, frame: int, region: float, boundary: float, predicted: float, truth: float) -> None:
        """One more frame: J, F, and the shares that prediction and truth cover."""
        self.frames.append(frame)
        self.region.append(region)
        self.boundary.append(boundary)
        self.predicted.append(predicted)
        self.truth.append(truth)

    def compare(self, frame: int, predicted: Mask, truth: Mask, void: Mask | None) -> None:
        """One more frame, from its masks."""
        score = score_masks(predicted, truth, void)
        self.add(frame, score.region, score.boundary, share(predicted), share(truth))


def share(mask: Mask) -> float:
    """How much of the frame a mask covers, 0..1."""
    return np.count_nonzero(mask) / mask.size


class _Reader:
    """A sample's predicted files; what is wrong with them is noted, not raised."""

    def __init__(self, folder: Path, root: Path, media: Media) -> None:
        self._folder, self._root, self._media = folder, root, media
        self.missing: list[str] = []
        self.problems: list[str] = []

    def read(self, frame: int, read: Callable[[Path], R]) -> R | None:
        path = self._folder / f"{frame_name(self._media, frame)}.png"
        if not path.exists():
            self.missing.append(_shown(path, self._root))
            return None
        try:
            return read(path)
        except BadMask as error:
            self.problems.append(f"{_shown(path, self._root)}: {error}")
            return None


def score_clip(benchmark: Benchmark, unit: int, root: Path) -> dict[str, Any]:
    """Score every sample of a video.

    Returns:
        `tracks` (plain values), `missing` files and `problems` (lines for people); nothing is raised for those.

    Raises:
        UniRefError: The truth cannot be read.
    """
    tracks: list[Track] = []
    missing: list[str] = []
    problems: list[str] = []
    for sample in benchmark.samples(unit):
        media = benchmark.index.media(sample.media)
        reader = _Reader(find_folder(benchmark, sample, root), root, media)
        tracks += _way(benchmark)(benchmark, sample, media, reader)
        missing += reader.missing
        problems += reader.problems
    return {"tracks": [asdict(track) for track in tracks if track.frames], "missing": missing, "problems": problems}


def _way(benchmark: Benchmark) -> Callable[[Benchmark, Sample, Media, _Reader], list[Track]]:
    if benchmark.one_mask:
        return _one_target
    return _by_id if benchmark.protocol.task == Task.VOS else _by_assignment


def _by_id(benchmark: Benchmark, sample: Sample, media: Media, reader: _Reader) -> list[Track]:
    """Label maps whose ids are the objects' (video object segmentation)."""
    rows = [row for row in sample.objects if not benchmark.index.object(row).crowd]
    truth = ClipTruth(benchmark, sample, [[row] for row in rows])
    ids = [benchmark.index.object(row).source_id for row in rows]
    counted = [frozenset(benchmark.counted_frames(media, row)) for row in rows]
    tracks = [_track(benchmark, sample, media, row, str(number)) for row, number in zip(rows, ids, strict=True)]
    for frame in sorted(frozenset[int]().union(*counted)):
        labels = reader.read(frame, lambda path: read_ids(path, truth.size, frozenset(ids)))
        if labels is None:
            continue
        masks, void = truth.masks(frame), truth.void(frame)
        for track, number, frames, mask in zip(tracks, ids, counted, masks, strict=True):
            if frame in frames:
                predicted = labels == number
                track.compare(frame, predicted, mask, void)
    return tracks


def _one_target(benchmark: Benchmark, sample: Sample, media: Media, reader: _Reader) -> list[Track]:
    """Black and white masks of what one expression refers to."""
    truth = ClipTruth(benchmark, sample, [list(sample.objects)])
    key = benchmark.index.expression(sample.expressions[0]).source_id if sample.expressions else "0"
    row = sample.objects[0] if len(sample.objects) == 1 else -1
    track = _track(benchmark, sample, media, row, key)
    if row < 0:
        frames: Iterable[int] = range(media.length)
    else:
        frames = benchmark.counted_frames(media, row)
    for frame in frames:
        predicted = reader.read(frame, lambda path: read_binary(path, truth.size))
        if predicted is not None:
            [mask] = truth.masks(frame)
            track.compare(frame, predicted, mask, truth.void(frame))
    return [track]


def _by_assignment(benchmark: Benchmark, sample: Sample, media: Media, reader: _Reader) -> list[Track]:
    """Label maps whose ids count expressions: each object gets the prediction that fits best (DAVIS, unsupervised)."""
    rows = [row for row in media.objects if not benchmark.index.object(row).crowd]
    truth = ClipTruth(benchmark, sample, [[row] for row in rows])
    count = len(sample.expressions)
    known = frozenset(range(1, max(count, 1) + 1))
    seen: list[_Compared] = []
    for frame in range(media.length):
        labels = reader.read(frame, lambda path: read_ids(path, truth.size, known))
        if labels is None:
            continue
        masks, void = truth.masks(frame), truth.void(frame)
        # fewer predictions than objects are padded with empty ones
        predictions = [labels == number for number in range(1, max(count, len(rows)) + 1)]
        scores = score_pairs(predictions, masks, truth.size, void)
        seen.append(_Compared(frame, scores, [share(p) for p in predictions], [share(m) for m in masks]))
    if not seen:
        return []
    means = np.mean([one.scores for one in seen], axis=0)
    ways = {"best": best_assignment(means.mean(-1).tolist()), "direct": _direct(sample, rows)}
    tracks = []
    for way, chosen in ways.items():
        for place, (row, number) in enumerate(zip(rows, chosen, strict=True)):
            track = _track(benchmark, sample, media, row, str(benchmark.index.object(row).source_id), way)
            for one in seen:
                region, boundary = one.scores[place, number].tolist()
                track.add(one.frame, region, boundary, one.predicted[number], one.truth[place])
            tracks.append(track)
    return tracks


@dataclass(frozen=True)
class _Compared:
    """A frame: every prediction against every object."""

    frame: int
    scores: npt.NDArray[np.float64]
    """[objects, predictions, 2]."""
    predicted: list[float]
    truth: list[float]


def _direct(sample: Sample, rows: Sequence[int]) -> list[int]:
    """Expression j is object j's; objects that nobody described get empty predictions, which come last."""
    places = {row: place for place, row in enumerate(sample.objects)}
    spare = iter(range(len(sample.expressions), len(rows) + len(sample.expressions)))
    return [places[row] if row in places else next(spare) for row in rows]


def _track(benchmark: Benchmark, sample: Sample, media: Media, row: int, key: str, matched: str = "") -> Track:
    index = benchmark.index
    text = ""
    if sample.expressions:
        mine = sample.objects.index(row) if matched and row in sample.objects else 0
        described = not matched or row in sample.objects
        text = index.expression(sample.expressions[mine]).text if described else ""
    return Track(
        sample=sample.row,
        media=media.name,
        key=key,
        text=text,
        group=sample.group,
        row=row,
        complete=media.complete or benchmark.truth is not None,
        seen=benchmark.seen(row),
        matched=matched,
    )
