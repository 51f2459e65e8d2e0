"""Scores of predictions for videos: J and F per frame of every object or expression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from uniref.core.errors import UniRefError
from uniref.core.tasks import Task
from uniref.core.types import BoolMask, LabelMap
from uniref.data.index import Annotations, Media
from uniref.data.protocol import Protocol
from uniref.evaluation.dataset import EvalDataset, EvalItem, frame_name
from uniref.evaluation.metrics.masks import score_masks, score_pairs
from uniref.evaluation.metrics.videos import best_assignment, statistics
from uniref.evaluation.prediction_files import VOID, BadMask, find_folder, read_binary, read_ids, read_values

R = TypeVar("R")


@dataclass
class TrackScore:
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
    """Whether an empty ground-truth mask means that the object is absent."""
    seen: bool | None
    matched: str = ""
    """How a prediction was assigned where ids do not say: `best` (optimal assignment) or `direct`."""
    prediction: int = 1
    """Its value in the predicted files; in black-and-white ones, 1."""
    counted: list[int] = field(default_factory=list)
    """Frames that count, ascending; where predictions are missing, more than have scores."""
    absent: list[int] = field(default_factory=list)
    """Frames whose prediction is missing and that have the score which the published evaluator gives them."""
    frames: list[int] = field(default_factory=list)
    region: list[float] = field(default_factory=list)
    """J per frame."""
    boundary: list[float] = field(default_factory=list)
    """F per frame."""
    ground_truth_share: list[float] = field(default_factory=list)
    """Share of the frame that the object covers, 0..1."""
    predicted_share: list[float] = field(default_factory=list)
    """Share of the frame that its prediction covers, 0..1."""
    foreground: list[float] = field(default_factory=list)
    """Pixels of all foreground of each counted frame, where the data set knows them (ReVOS)."""
    pixels: int = 0
    """Of a frame."""
    no_target: bool = False
    """The expression refers to nothing in the video."""

    def add(self, frame: int, region: float, boundary: float, predicted: float, ground_truth: float) -> None:
        """One more frame: J, F, and the shares of the frame that prediction and ground truth cover."""
        self.frames.append(frame)
        self.region.append(region)
        self.boundary.append(boundary)
        self.predicted_share.append(predicted)
        self.ground_truth_share.append(ground_truth)

    def without_absent(self) -> TrackScore:
        """The same without the frames whose prediction is missing."""
        out = replace(self, absent=[], frames=[], region=[], boundary=[], ground_truth_share=[], predicted_share=[])
        scores = (self.region, self.boundary, self.predicted_share, self.ground_truth_share)
        for frame, *values in zip(self.frames, *scores, strict=True):
            if frame not in self.absent:
                out.add(frame, *values)
        return out

    @property
    def score(self) -> float:
        """J&F, 0..1."""
        return (statistics(self.region).mean + statistics(self.boundary).mean) / 2

    @property
    def share(self) -> float:
        """Mean share of the frame that the object covers where it is visible; 0 where it never is."""
        visible = [share for share in self.ground_truth_share if share > 0]
        return fmean(visible) if visible else 0.0

    @property
    def missing(self) -> int:
        """Number of frames that count and have no prediction."""
        return len(self.counted) - len(self.frames) + len(self.absent)

    def compare(self, frame: int, predicted: BoolMask, ground_truth: BoolMask, void: BoolMask | None) -> None:
        """One more frame, from its masks, bool [H, W]."""
        score = score_masks(predicted, ground_truth, void)
        self.add(frame, score.region, score.boundary, _share(predicted), _share(ground_truth))


def _share(mask: BoolMask) -> float:
    """Share of the frame that a mask covers, 0..1."""
    return np.count_nonzero(mask) / mask.size


class VideoGroundTruth:
    """Ground-truth masks of an item's targets, frame by frame, from the index or from a folder of PNGs.

    Args:
        dataset: Data of videos.
        item: One of its items.
        rows: Object rows of each target: one each, or several of which the union counts.
    """

    def __init__(self, dataset: EvalDataset, item: EvalItem, rows: Sequence[Sequence[int]]) -> None:
        index = dataset.index
        self._media = index.media(item.sample.media)
        self.size = (self._media.height, self._media.width)
        self._ids = [[index.object(row).source_id for row in group] for group in rows]
        self._folder: Path | None = None
        self._one_mask = dataset.one_mask
        self._marks_void = dataset.protocol.summary == "assigned"
        self._tracks: list[list[Annotations]] = []
        self._void: list[Annotations] = []
        if dataset.ground_truth is not None:
            self._folder = find_folder(item, dataset.ground_truth)
            self._labels = lru_cache(maxsize=1)(self._read)
        else:
            self._tracks = [[index.annotations(row) for row in group] for group in rows]
            self._void = dataset.void_of(self._media)

    def masks(self, frame: int) -> list[BoolMask]:
        """One mask per target, bool [H, W]; all False where it is absent.

        Raises:
            UniRefError: A file of the ground truth is missing or damaged.
        """
        if self._folder is None:
            return [self._union(group, frame) for group in self._tracks]
        labels = self._labels(frame)
        if self._one_mask:
            # 255 is the object in a map of 0 and 255, and void beside other values
            objects = (labels != 0) & (labels != VOID)
            return [objects if objects.any() else labels != 0]
        return [np.isin(labels, ids) for ids in self._ids]

    def void(self, frame: int) -> BoolMask | None:
        """Pixels that do not count, or None: 255 in a folder's label maps, in the unsupervised protocol alone."""
        if self._folder is not None:
            void = self._labels(frame) == VOID if self._marks_void else None
        else:
            void = self._union(self._void, frame) if self._void else None
        return void if void is not None and void.any() else None

    def _union(self, tracks: Sequence[Annotations], frame: int) -> BoolMask:
        out: BoolMask | None = None
        for track in tracks:
            position = track.at(frame)
            mask = None if position is None else track.mask(position)
            if mask is not None:
                out = mask if out is None else out | mask
        return np.zeros(self.size, np.bool_) if out is None else np.ascontiguousarray(out)

    def _read(self, frame: int) -> LabelMap:
        assert self._folder is not None
        path = self._folder / f"{frame_name(self._media, frame)}.png"
        try:
            return read_values(path, self.size)
        except BadMask as error:
            raise UniRefError(f"{path}: {error}; it is part of --truth") from None


class _MaskReader:
    """An item's predicted files; what is wrong with them is noted, not raised."""

    def __init__(self, folder: Path, root: Path, media: Media) -> None:
        self._folder, self._media = folder, media
        self._shown = folder.relative_to(root).as_posix()
        self.video = next((each for each in (folder, *folder.parents) if each.name == media.name), folder)
        """Folder of the video, with the masks of all its items."""
        self.missing: list[str] = []
        self.problems: list[str] = []
        self.unexpected: list[str] = []
        if folder.is_dir():
            names = {f"{frame_name(media, t)}.png" for t in range(media.length)}
            extra = [path.name for path in folder.iterdir() if path.name not in names]
            self.unexpected = sorted(f"{self._shown}/{name}" for name in extra)

    def has(self, frame: int) -> bool:
        """Whether a frame's file is there, usable or not."""
        return (self._folder / f"{frame_name(self._media, frame)}.png").exists()

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


def score_video(dataset: EvalDataset, shard: int, root: Path) -> dict[str, Any]:
    """Score every item of a video.

    Args:
        dataset: Data of videos.
        shard: Number of the video.
        root: Folder of predictions.

    Returns:
        `items`: `TrackScore`s as plain values; `missing`, `problems`, `strays` (unexpected files) and `uncounted`
        (objects without a frame that counts): lines for people; nothing is raised for those.

    Raises:
        UniRefError: The ground truth cannot be read.
    """
    if dataset.one_mask:
        score = _score_one_target
    else:
        score = _score_by_id if dataset.protocol.task == Task.VOS else _score_by_assignment
    tracks: list[TrackScore] = []
    readers: list[_MaskReader] = []
    for item in dataset.items(shard):
        media = dataset.index.media(item.sample.media)
        reader = _MaskReader(find_folder(item, root), root, media)
        tracks += score(dataset, item, media, reader)
        readers.append(reader)
    return {
        "items": [asdict(track) for track in tracks if track.counted],
        "missing": [line for reader in readers for line in reader.missing],
        "problems": [line for reader in readers for line in reader.problems],
        "strays": [line for reader in readers for line in reader.unexpected],
        "uncounted": [f"{track.name}, {track.key}" for track in tracks if not track.counted],
    }


def _add_absent(
    protocol: Protocol, reader: _MaskReader, track: TrackScore, frame: int, mask: BoolMask, void: BoolMask | None
) -> None:
    """A frame whose prediction is missing, as the published evaluator scores it; not at all where that one stops."""
    if protocol.missing == "stop" or reader.has(frame):
        return
    track.absent.append(frame)
    if protocol.missing == "empty" and reader.video.is_dir():
        track.compare(frame, np.zeros_like(mask), mask, void)
    else:
        track.add(frame, 0.0, 0.0, 0.0, _share(mask))


def _score_by_id(dataset: EvalDataset, item: EvalItem, media: Media, reader: _MaskReader) -> list[TrackScore]:
    """Label maps whose ids are the objects' (DAVIS, semi-supervised protocol)."""
    # objects, their ids and the frames that count
    rows = [row for row in item.sample.objects if not dataset.index.object(row).crowd]
    ground_truth = VideoGroundTruth(dataset, item, [[row] for row in rows])
    ids = [dataset.index.object(row).source_id for row in rows]
    counted = [dataset.counted_frames(media, row) for row in rows]
    tracks = [_new_track(dataset, item, media, row, str(number)) for row, number in zip(rows, ids, strict=True)]
    for track, frames in zip(tracks, counted, strict=True):
        track.counted = frames
    # frame by frame, each file is read once
    of_frame = [frozenset(frames) for frames in counted]
    for frame in sorted(frozenset[int]().union(*of_frame)):
        labels = reader.read(frame, lambda path: read_ids(path, ground_truth.size, frozenset(ids)))
        if labels is None and dataset.protocol.missing == "stop":
            continue
        masks, void = ground_truth.masks(frame), ground_truth.void(frame)
        for track, number, frames_of_track, mask in zip(tracks, ids, of_frame, masks, strict=True):
            if frame not in frames_of_track:
                continue
            if labels is None:
                _add_absent(dataset.protocol, reader, track, frame, mask, void)
            else:
                track.compare(frame, labels == number, mask, void)
    return tracks


def _score_one_target(dataset: EvalDataset, item: EvalItem, media: Media, reader: _MaskReader) -> list[TrackScore]:
    """Black-and-white masks of the objects of one expression."""
    objects = item.sample.objects
    ground_truth = VideoGroundTruth(dataset, item, [list(objects)])
    row = objects[0] if len(objects) == 1 else -1
    key = dataset.index.expression(item.expressions[0]).source_id if item.expressions else "0"
    track = _new_track(dataset, item, media, row, key)
    track.counted = list(range(media.length)) if row < 0 else dataset.counted_frames(media, row)
    track.no_target = item.sample.no_target
    if (foreground := dataset.foreground_of(media)) is not None:
        positions = [foreground.at(frame) for frame in track.counted]
        track.foreground = [0.0 if position is None else float(foreground.areas[position]) for position in positions]
    for frame in track.counted:
        predicted = reader.read(frame, lambda path: read_binary(path, ground_truth.size))
        if predicted is None and dataset.protocol.missing == "stop":
            continue
        [mask] = ground_truth.masks(frame)
        if predicted is None:
            _add_absent(dataset.protocol, reader, track, frame, mask, ground_truth.void(frame))
        else:
            track.compare(frame, predicted, mask, ground_truth.void(frame))
    return [track]


@dataclass(frozen=True)
class _FramePairs:
    """A frame: every prediction against every object."""

    frame: int
    scores: npt.NDArray[np.float64]
    """[objects, predictions, 2]: J and F."""
    predicted: list[float]
    """Share of the frame per prediction."""
    ground_truth: list[float]
    """Share of the frame per object."""


def _score_by_assignment(dataset: EvalDataset, item: EvalItem, media: Media, reader: _MaskReader) -> list[TrackScore]:
    """Label maps whose ids count expressions: each object gets its best prediction (DAVIS, unsupervised protocol)."""
    rows = dataset.objects_of(media)
    ground_truth = VideoGroundTruth(dataset, item, [[row] for row in rows])
    count = len(item.expressions)
    ids = frozenset(range(1, count + 1))
    # every prediction against every object, frame by frame
    compared: list[_FramePairs] = []
    for frame in range(media.length):
        labels = reader.read(frame, lambda path: read_ids(path, ground_truth.size, ids))
        if labels is None:
            continue
        masks, void = ground_truth.masks(frame), ground_truth.void(frame)
        # fewer predictions than objects are padded with empty ones
        predictions = [labels == number for number in range(1, max(count, len(rows)) + 1)]
        scores = score_pairs(predictions, masks, ground_truth.size, void)
        compared.append(_FramePairs(frame, scores, [_share(p) for p in predictions], [_share(m) for m in masks]))
    # the assignment with the largest mean J&F, and that of the ids
    nothing = np.zeros((len(rows), max(count, len(rows)), 2))
    means = np.mean([each.scores for each in compared], axis=0) if compared else nothing
    assignments = {"best": best_assignment(means.mean(-1).tolist()), "direct": _direct_assignment(item, rows)}
    # a track per object and assignment
    tracks = []
    for matched, assigned in assignments.items():
        for position, (row, number) in enumerate(zip(rows, assigned, strict=True)):
            track = _new_track(dataset, item, media, row, str(dataset.index.object(row).source_id), matched)
            track.prediction, track.counted = number + 1, list(range(media.length))
            for each in compared:
                region, boundary = each.scores[position, number].tolist()
                track.add(each.frame, region, boundary, each.predicted[number], each.ground_truth[position])
            tracks.append(track)
    return tracks


def _direct_assignment(item: EvalItem, rows: Sequence[int]) -> list[int]:
    """Expression j is object j's; objects without an expression get empty predictions, which come last."""
    positions = {row: position for position, row in enumerate(item.sample.objects)}
    spare = iter(range(len(item.expressions), len(rows) + len(item.expressions)))
    return [positions[row] if row in positions else next(spare) for row in rows]


def _new_track(dataset: EvalDataset, item: EvalItem, media: Media, row: int, key: str, matched: str = "") -> TrackScore:
    """A track without frames."""
    text = ""
    if matched and row in item.sample.objects:
        text = dataset.index.expression(item.expressions[item.sample.objects.index(row)]).text
    elif item.expressions and not matched:
        text = dataset.text(item)
    return TrackScore(
        sample=item.sample.row,
        name=item.name,
        media=media.name,
        key=key,
        text=text,
        group=item.sample.group,
        row=row,
        complete=media.complete or dataset.ground_truth is not None,
        seen=dataset.seen(row),
        matched=matched,
        prediction=int(key) if dataset.protocol.task == Task.VOS else 1,
        pixels=media.height * media.width,
    )
