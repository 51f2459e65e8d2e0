"""Predictions for videos against the truth: one track an object or expression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from uniref.core.tasks import Task
from uniref.core.types import BoolMask
from uniref.data.index import Media
from uniref.evaluation.benchmark import Benchmark, Case, frame_name
from uniref.evaluation.masks_on_disk import BadMask, read_binary, read_ids
from uniref.evaluation.metrics.masks import score_masks, score_pairs
from uniref.evaluation.metrics.tracks import best_assignment, statistics
from uniref.evaluation.places import find_folder
from uniref.evaluation.truth import ClipTruth

R = TypeVar("R")


@dataclass
class Track:
    """Scores of one object or expression over the frames that count."""

    sample: int
    name: str
    """Folder of its prediction."""
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
    prediction: int = 1
    """Which value of the predicted files it is; of black and white ones, 1."""
    expected: int = 0
    """Frames that count; where some are missing, more than have scores."""
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

    @property
    def score(self) -> float:
        """J&F."""
        return (statistics(self.region).mean + statistics(self.boundary).mean) / 2

    @property
    def share(self) -> float:
        """How much of the frame the object covers where it is visible, on average; 0 where it never is."""
        visible = [share for share in self.truth if share > 0]
        return fmean(visible) if visible else 0.0

    def compare(self, frame: int, predicted: BoolMask, truth: BoolMask, void: BoolMask | None) -> None:
        """One more frame, from its masks."""
        score = score_masks(predicted, truth, void)
        self.add(frame, score.region, score.boundary, share(predicted), share(truth))


def share(mask: BoolMask) -> float:
    """How much of the frame a mask covers, 0..1."""
    return np.count_nonzero(mask) / mask.size


class _Reader:
    """A case's predicted files; what is wrong with them is noted, not raised."""

    def __init__(self, folder: Path, root: Path, media: Media) -> None:
        self._folder, self._media = folder, media
        self._shown = folder.relative_to(root).as_posix()
        self.missing: list[str] = []
        self.problems: list[str] = []
        self.strays: list[str] = []
        if folder.is_dir():
            known = {f"{frame_name(media, t)}.png" for t in range(media.length)}
            self.strays = sorted(f"{self._shown}/{path.name}" for path in folder.iterdir() if path.name not in known)

    def read(self, frame: int, read: Callable[[Path], R]) -> R | None:
        path = self._folder / f"{frame_name(self._media, frame)}.png"
        if not path.exists():
            self.missing.append(f"{self._shown}/{path.name}")
            return None
        try:
            return read(path)
        except BadMask as error:
            self.problems.append(f"{self._shown}/{path.name}: {error}")
            return None


def score_clip(benchmark: Benchmark, unit: int, root: Path) -> dict[str, Any]:
    """Score every case of a video.

    Returns:
        `items`: `Track`s as plain values; `missing`, `problems` and `strays`: lines for people, nothing is raised for
        those.

    Raises:
        UniRefError: The truth cannot be read.
    """
    tracks: list[Track] = []
    readers: list[_Reader] = []
    for case in benchmark.cases(unit):
        media = benchmark.index.media(case.sample.media)
        reader = _Reader(find_folder(case, root), root, media)
        tracks += _way(benchmark)(benchmark, case, media, reader)
        readers.append(reader)
    return {
        "items": [asdict(track) for track in tracks if track.expected],
        "missing": [line for reader in readers for line in reader.missing],
        "problems": [line for reader in readers for line in reader.problems],
        "strays": [line for reader in readers for line in reader.strays],
    }


def _way(benchmark: Benchmark) -> Callable[[Benchmark, Case, Media, _Reader], list[Track]]:
    if benchmark.one_mask:
        return _one_target
    return _by_id if benchmark.protocol.task == Task.VOS else _by_assignment


def _by_id(benchmark: Benchmark, case: Case, media: Media, reader: _Reader) -> list[Track]:
    """Label maps whose ids are the objects'."""
    rows = [row for row in case.sample.objects if not benchmark.index.object(row).crowd]
    truth = ClipTruth(benchmark, case, [[row] for row in rows])
    ids = [benchmark.index.object(row).source_id for row in rows]
    counted = [frozenset(benchmark.counted_frames(media, row)) for row in rows]
    tracks = [_track(benchmark, case, media, row, str(number)) for row, number in zip(rows, ids, strict=True)]
    for track, frames in zip(tracks, counted, strict=True):
        track.expected = len(frames)
    for frame in sorted(frozenset[int]().union(*counted)):
        labels = reader.read(frame, lambda path: read_ids(path, truth.size, frozenset(ids)))
        if labels is None:
            continue
        masks, void = truth.masks(frame), truth.void(frame)
        for track, number, frames, mask in zip(tracks, ids, counted, masks, strict=True):
            if frame in frames:
                track.compare(frame, labels == number, mask, void)
    return tracks


def _one_target(benchmark: Benchmark, case: Case, media: Media, reader: _Reader) -> list[Track]:
    """Black and white masks of what one expression refers to."""
    objects = case.sample.objects
    truth = ClipTruth(benchmark, case, [list(objects)])
    row = objects[0] if len(objects) == 1 else -1
    key = benchmark.index.expression(case.expressions[0]).source_id if case.expressions else "0"
    track = _track(benchmark, case, media, row, key)
    frames = range(media.length) if row < 0 else benchmark.counted_frames(media, row)
    track.expected = len(frames)
    for frame in frames:
        predicted = reader.read(frame, lambda path: read_binary(path, truth.size))
        if predicted is not None:
            [mask] = truth.masks(frame)
            track.compare(frame, predicted, mask, truth.void(frame))
    return [track]


def _by_assignment(benchmark: Benchmark, case: Case, media: Media, reader: _Reader) -> list[Track]:
    """Label maps whose ids count expressions: each object gets the prediction that fits best (DAVIS, unsupervised)."""
    rows = benchmark.things(media)
    truth = ClipTruth(benchmark, case, [[row] for row in rows])
    count = len(case.expressions)
    known = frozenset(range(1, count + 1))
    compared: list[_Compared] = []
    for frame in range(media.length):
        labels = reader.read(frame, lambda path: read_ids(path, truth.size, known))
        if labels is None:
            continue
        masks, void = truth.masks(frame), truth.void(frame)
        # fewer predictions than objects are padded with empty ones
        predictions = [labels == number for number in range(1, max(count, len(rows)) + 1)]
        scores = score_pairs(predictions, masks, truth.size, void)
        compared.append(_Compared(frame, scores, [share(p) for p in predictions], [share(m) for m in masks]))
    nothing = np.zeros((len(rows), max(count, len(rows)), 2))
    means = np.mean([one.scores for one in compared], axis=0) if compared else nothing
    ways = {"best": best_assignment(means.mean(-1).tolist()), "direct": _direct(case, rows)}
    tracks = []
    for way, chosen in ways.items():
        for place, (row, number) in enumerate(zip(rows, chosen, strict=True)):
            track = _track(benchmark, case, media, row, str(benchmark.index.object(row).source_id), way)
            track.prediction, track.expected = number + 1, media.length
            for one in compared:
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


def _direct(case: Case, rows: Sequence[int]) -> list[int]:
    """Expression j is object j's; objects that nobody described get empty predictions, which come last."""
    places = {row: place for place, row in enumerate(case.sample.objects)}
    spare = iter(range(len(case.expressions), len(rows) + len(case.expressions)))
    return [places[row] if row in places else next(spare) for row in rows]


def _track(benchmark: Benchmark, case: Case, media: Media, row: int, key: str, matched: str = "") -> Track:
    text = ""
    if matched and row in case.sample.objects:
        text = benchmark.index.expression(case.expressions[case.sample.objects.index(row)]).text
    elif case.expressions and not matched:
        text = benchmark.text(case)
    return Track(
        sample=case.sample.row,
        name=case.name,
        media=media.name,
        key=key,
        text=text,
        group=case.sample.group,
        row=row,
        complete=media.complete or benchmark.truth is not None,
        seen=benchmark.seen(row),
        matched=matched,
        prediction=int(key) if benchmark.protocol.task == Task.VOS else 1,
    )
