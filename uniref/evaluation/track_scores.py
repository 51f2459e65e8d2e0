"""Scores of one object or expression of a video, and the masks that they are computed from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import numpy as np

from uniref.core.errors import UniRefError
from uniref.core.tasks import Task
from uniref.core.types import BoolMask, LabelMap
from uniref.data.index import Annotations, Media
from uniref.evaluation.dataset import EvalDataset, EvalItem, frame_name
from uniref.evaluation.metrics.adaptive import score_adaptive
from uniref.evaluation.metrics.masks import box_overlap, score_masks
from uniref.evaluation.metrics.videos import statistics
from uniref.evaluation.prediction_files import VOID, BadMask, read_values
from uniref.evaluation.truth_files import find_label_maps, find_truth, object_ids

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
    """How a prediction was assigned where ids do not say: `best` (optimal assignment), `direct`, or `official` (best
    among what the official evaluator takes for the objects, where that differs)."""
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
    category: int = -1
    """Of the object, where `overlaps` are known."""
    overlaps: dict[str, list[float]] | None = None
    """IoU per frame with the predicted masks of the objects of its category, by their keys (BURST)."""
    box_overlaps: dict[str, list[float]] | None = None
    """The same of the boxes around the masks."""
    adaptive: list[float] | None = None
    """F per frame within a tolerance that depends on the object's size; J is MOSEv2's too then. None: other data."""

    def add(
        self, frame: int, region: float, boundary: float, predicted: float, ground_truth: float, adaptive: float = 0.0
    ) -> None:
        """One more frame: J, F, the shares of the frame that prediction and ground truth cover, and MOSEv2's F."""
        self.frames.append(frame)
        self.region.append(region)
        self.boundary.append(boundary)
        self.predicted_share.append(predicted)
        self.ground_truth_share.append(ground_truth)
        if self.adaptive is not None:
            self.adaptive.append(adaptive)

    def without_absent(self) -> TrackScore:
        """The same without the frames whose prediction is missing."""
        out = replace(self, absent=[], frames=[], region=[], boundary=[], ground_truth_share=[], predicted_share=[])
        out.adaptive = None if self.adaptive is None else []
        kept = [place for place, frame in enumerate(self.frames) if frame not in self.absent]
        out.overlaps, out.box_overlaps = (
            None if table is None else {key: [values[place] for place in kept] for key, values in table.items()}
            for table in (self.overlaps, self.box_overlaps)
        )
        adaptive = self.adaptive or [0.0] * len(self.frames)
        scores = (self.region, self.boundary, self.predicted_share, self.ground_truth_share, adaptive)
        for frame, *values in zip(self.frames, *scores, strict=True):
            if frame not in self.absent:
                out.add(frame, *values)
        return out

    def add_overlaps(self, labels: LabelMap | None, ground_truth: BoolMask) -> None:
        """IoU of one more frame with every prediction that the tables name; None: nothing is predicted there."""
        if self.overlaps is None or self.box_overlaps is None:
            return
        for key, values in self.overlaps.items():
            predicted = np.zeros_like(ground_truth) if labels is None else labels == int(key)
            union = np.count_nonzero(predicted | ground_truth)
            values.append(np.count_nonzero(predicted & ground_truth) / union if union else 0.0)
            self.box_overlaps[key].append(box_overlap(predicted, ground_truth))

    def start_where_visible(self) -> None:
        """Leave out what comes before the object is in the truth or in the prediction, and an object that never is in
        the truth, as the evaluator of SA-V does."""
        shown = [a > 0 or b > 0 for a, b in zip(self.ground_truth_share, self.predicted_share, strict=True)]
        start = shown.index(True) if any(self.ground_truth_share) else len(shown)
        first = self.frames[start] if start < len(shown) else None
        self.counted = [frame for frame in self.counted if first is not None and frame >= first]
        for values in (self.frames, self.region, self.boundary, self.predicted_share, self.ground_truth_share):
            del values[:start]

    @property
    def score(self) -> float:
        """J&F, 0..1; with MOSEv2's F where the track has that."""
        return (statistics(self.region).mean + statistics(self.adaptive or self.boundary).mean) / 2

    @property
    def share(self) -> float:
        """Mean share of the frame that the object covers where it is visible; 0 where it never is."""
        visible = [share for share in self.ground_truth_share if share > 0]
        return fmean(visible) if visible else 0.0

    @property
    def is_main(self) -> bool:
        """Whether it is the score of its object, not that of another way of matching."""
        return self.matched in ("", "best")

    @property
    def missing(self) -> int:
        """Number of frames that count and have no prediction."""
        return len(self.counted) - len(self.frames) + len(self.absent)

    def compare(self, frame: int, predicted: BoolMask, ground_truth: BoolMask, void: BoolMask | None) -> None:
        """One more frame, from its masks, bool [H, W]."""
        shares = (covered_share(predicted), covered_share(ground_truth))
        if self.adaptive is None:
            score = score_masks(predicted, ground_truth, void)
            self.add(frame, score.region, score.boundary, *shares)
        else:
            own = score_adaptive(predicted, ground_truth)
            self.add(frame, own.region, own.boundary, *shares, own.adaptive)


def covered_share(mask: BoolMask) -> float:
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
            self._folder = find_truth(dataset, item, dataset.ground_truth)
            if self._one_mask and find_label_maps(dataset, item, dataset.ground_truth) is not None:
                self._one_mask, self._ids = False, [object_ids(dataset, item, dataset.ground_truth)]
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


class MaskReader:
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
        """What `read` makes of a frame's file; None where it is missing or cannot be used."""
        path = self._folder / f"{frame_name(self._media, frame)}.png"
        if not path.exists():
            self.missing.append(f"{self._shown}/{path.name}")
            return None
        try:
            return read(path)
        except BadMask as error:
            self.problems.append(f"{self._shown}/{path.name}: {error}")
            return None


def new_track(dataset: EvalDataset, item: EvalItem, media: Media, row: int, key: str, matched: str = "") -> TrackScore:
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
        prediction=1 if dataset.one_mask or dataset.protocol.task != Task.VOS else int(key),
        pixels=media.height * media.width,
        adaptive=[] if dataset.protocol.summary == "reappearance" else None,
    )
