"""Merged scores of one data set: its numbers, and what is wrong with its predictions.

Shards are merged in their order, whichever process scored them, so that any number of processes gives the same bits.
All numbers are fractions, 0..1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from uniref.core.errors import UniRefError
from uniref.core.tasks import Task
from uniref.data.prepare.datasets.lvos import UNSEEN_2024
from uniref.data.protocol import Protocol
from uniref.evaluation.dataset import EvalDataset
from uniref.evaluation.expression_numbers import long_numbers, missing_kind, reasoning_numbers, target_numbers
from uniref.evaluation.lvos import ABOUT_YEAR, YEAR, numbers_of_year
from uniref.evaluation.metrics.images import BOX_METRICS, box_precision, few_shot, generalised, reasoning, referring
from uniref.evaluation.metrics.videos import deviation, jitter, statistics
from uniref.evaluation.reappearance import HEADLINE, reappearance_numbers
from uniref.evaluation.score_images import BoxScore, ImageScore, box_scores, class_agnostic, to_coco
from uniref.evaluation.shard_store import ShardStore
from uniref.evaluation.track_scores import TrackScore
from uniref.evaluation.tracking import ABOUT_BOXES, tracking_numbers

ItemScore = ImageScore | TrackScore | BoxScore
"""Score of a single expression, query image, object or image."""
Numbers = dict[str, float]
"""Metric -> value, 0..1, the headline first."""

SIZES = (("small", 0.01), ("medium", 0.1), ("large", 1.0))
"""Objects by the share of the image that they cover, at most this much (in a video: on average where visible)."""


@dataclass
class PredictionIssues:
    """What is wrong with predictions, by name."""

    missing: list[str] = field(default_factory=list)
    """They are not there."""
    problems: list[str] = field(default_factory=list)
    """They cannot be used, and why."""
    unexpected: list[str] = field(default_factory=list)
    """Files that are no prediction of the data set."""
    uncounted: list[str] = field(default_factory=list)
    """Objects of which no frame counts; they are in no number."""

    def add(self, scored: Mapping[str, Any]) -> None:
        """Those of one shard's scores."""
        self.missing += scored["missing"]
        self.problems += scored["problems"]
        self.unexpected += scored.get("strays", ())
        self.uncounted += scored.get("uncounted", ())


@dataclass(frozen=True)
class DatasetResult:
    """Merged scores of one data set."""

    dataset: EvalDataset
    numbers: Numbers = field(default_factory=dict)
    """Empty where only a server has the ground truth."""
    images: Sequence[ImageScore] = ()
    tracks: Sequence[TrackScore] = ()
    boxes: Sequence[BoxScore] = ()
    issues: PredictionIssues = field(default_factory=PredictionIssues)
    notes: Sequence[str] = ()
    """Remarks on the numbers, one line each."""

    @property
    def scores(self) -> Sequence[ItemScore]:
        """Score of each item; of several ways of matching, the official one."""
        return self.images or self.boxes or [t for t in self.tracks if t.frames and t.is_main]

    @property
    def complete(self) -> bool:
        """Whether every prediction was there."""
        return not self.issues.missing


def merge_scores(store: ShardStore, unexpected: Sequence[str] = ()) -> DatasetResult:
    """Merge the scores of all shards.

    Args:
        store: With every shard scored, unless there is no ground truth.
        unexpected: Unexpected files outside the items' own folders.

    Raises:
        UniRefError: Scores cannot be read.
    """
    dataset = store.dataset
    notes = list(dataset.notes)
    if not dataset.has_ground_truth:
        return DatasetResult(dataset, notes=[*notes, "only a server has the ground truth: nothing was scored here"])
    # scores in the order of the shards
    records: list[dict[str, Any]] = []
    issues = PredictionIssues(unexpected=list(unexpected))
    for shard in range(len(dataset.shards)):
        scored = store.read_scores(shard)
        records += scored["items"]
        issues.add(scored)
    # numbers by the data set's protocol
    images: list[ImageScore] = []
    tracks: list[TrackScore] = []
    boxes: list[BoxScore] = []
    numbers: Numbers = {}
    summary = dataset.protocol.summary
    if dataset.protocol.task == Task.DETECTION:
        numbers = box_precision(*to_coco(dataset, records))
        boxes = box_scores(dataset, records)
        if class_agnostic(records):
            notes.append("the model predicts a single class: all categories count as one")
    elif dataset.protocol.is_video:
        tracks = [_restored(TrackScore, record, store) for record in records]
        scored_tracks = [track for track in tracks if track.frames]
        numbers = _video_numbers(summary, scored_tracks) if scored_tracks else {}
        if scored_tracks and (line := caveat(summary, scored_tracks)):
            notes.append(line)
        if issues.missing:
            notes.append(f"incomplete: {len(issues.missing)} missing masks {_MISSING[dataset.protocol.missing]}")
        if issues.uncounted:
            notes.append(_uncounted_note(issues.uncounted))
        if summary == "videos" and f"J&F{YEAR}" in numbers:
            notes.append(ABOUT_YEAR)
        if summary == "tracking":
            notes.append(ABOUT_BOXES)
    else:
        images = [_restored(ImageScore, record, store) for record in records]
        numbers = IMAGE_SUMMARIES[summary](images) if images else {}
        if issues.missing:
            notes.append(f"incomplete: {len(issues.missing)} missing predictions count as empty masks")
    return DatasetResult(dataset, numbers, images, tracks, boxes, issues, notes)


_MISSING = {
    "stop": "were left out of the scores (the published evaluator stops where one is missing)",
    "zero": "count as 0, as in the published evaluator; `without missing` leaves them out",
    "empty": "count as empty ones, and missing videos as 0, as in the published evaluator; `without missing` leaves "
    "them out",
}
_LISTED = 5  # objects named in a note


def _uncounted_note(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{len(names)} objects are in no number, because no frame of them counts: {'; '.join(names[:_LISTED])}{more}"


def _video_numbers(summary: str, tracks: Sequence[TrackScore]) -> Numbers:
    """By the published rule; where that scores what is missing, the headlines of what is there as well."""
    numbers = VIDEO_SUMMARIES[summary](tracks)
    if not any(track.absent for track in tracks):
        return numbers
    there = [each for track in tracks if (each := track.without_absent()).frames]
    headlines = VIDEO_SUMMARIES[summary](there) if there else {}
    return numbers | {f"{name} without missing": headlines[name] for name in _HEADLINES if name in headlines}


_HEADLINES = (HEADLINE, "HOTA", "DetA", "AssA", "J&F", "J", "F_new", "F")


def _restored(kind: type[Any], record: dict[str, Any], store: ShardStore) -> Any:
    try:
        return kind(**record)
    except TypeError:
        raise UniRefError(
            f"{store.folder}: holds scores of another version of uniref; run again with --overwrite"
        ) from None


def check_complete(result: DatasetResult) -> None:
    """Raise UniRefError where predictions of a model are missing or cannot be used, or nothing was scored."""
    if wrong := [*result.issues.missing, *result.issues.problems]:
        raise UniRefError(f"{result.dataset.name}: {len(wrong)} predictions are missing or wrong, first: {wrong[0]}")
    if not result.numbers:
        raise UniRefError(f"{result.dataset.name}: nothing was scored; the split has no ground truth")


def size_of(share: float) -> str:
    """`small`, `medium` or `large`, by the share of the image that an object covers."""
    return next((name for name, limit in SIZES if share <= limit), SIZES[-1][0])


# Images


def referring_numbers(scores: Sequence[ImageScore]) -> Numbers:
    """RefCOCO's metrics, mIoU by size of the object, and the share of absent objects without a prediction."""
    numbers = referring([s.overlap for s in scores], [s.box_iou for s in scores]) | _by_size(scores)
    absent = [score for score in scores if not score.ground_truth_pixels]
    if absent:
        numbers["no-object accuracy"] = fmean(not score.predicted_pixels for score in absent)
    return numbers


def generalised_numbers(scores: Sequence[ImageScore]) -> Numbers:
    """gRefCOCO's metrics, and mIoU by size of the targets."""
    return generalised([s.generalised for s in scores]) | _by_size(scores)


def reasoning_image_numbers(scores: Sequence[ImageScore]) -> Numbers:
    """ReasonSeg's metrics, over all images and over those of short and of long queries."""
    out = reasoning([score.overlap for score in scores])
    for group, kind in enumerate(("short", "long")):
        if part := [score.overlap for score in scores if score.group == group]:
            out |= {f"{metric} {kind}": value for metric, value in reasoning(part).items()}
    return out | _by_size(scores)


def few_shot_numbers(scores: Sequence[ImageScore]) -> Numbers:
    """FSS-1000's metrics, and mean IoU of images by size of the object."""
    return few_shot([s.overlap for s in scores], [s.category for s in scores]) | _by_size(scores)


def _by_size(scores: Sequence[ImageScore]) -> Numbers:
    out = {}
    for name, _ in SIZES:
        if part := [s.score for s in scores if s.ground_truth_pixels and size_of(s.share) == name]:
            out[f"mIoU {name}"] = fmean(part)
    return out


IMAGE_SUMMARIES: dict[str, Callable[[Sequence[ImageScore]], Numbers]] = {
    "referring": referring_numbers,
    "generalised": generalised_numbers,
    "reasoning": reasoning_image_numbers,
    "few-shot": few_shot_numbers,
}


# Videos


def object_numbers(tracks: Sequence[TrackScore]) -> Numbers:
    """J, F, their recall and decay: means over all objects (or expressions) of the split, as DAVIS has them."""
    regions = [statistics(track.region) for track in tracks]
    boundaries = [statistics(track.boundary) for track in tracks]
    j, f = fmean(s.mean for s in regions), fmean(s.mean for s in boundaries)
    out = {"J&F": (j + f) / 2, "J": j, "F": f}
    for name, part in (("J", regions), ("F", boundaries)):
        out[f"{name} recall"] = fmean(s.recall for s in part)
        out[f"{name} decay"] = fmean(s.decay for s in part)
    return out | target_numbers(tracks) | _extra_numbers(tracks)


def transformation_numbers(tracks: Sequence[TrackScore]) -> Numbers:
    """VOST: J over the last quarter of the frames that count, when objects have changed, and over all of them."""
    j = fmean(fmean(track.region) for track in tracks)
    late = [statistics(values) for track in tracks if (values := _late_regions(track))]
    if not late:  # only where predictions are missing
        return {"J": j}
    return {"J_tr": fmean(s.mean for s in late), "J": j, "J_tr recall": fmean(s.recall for s in late)}


def _late_regions(track: TrackScore) -> list[float]:
    frames = frozenset(track.counted[math.floor(0.75 * len(track.counted)) :])
    return [region for frame, region in zip(track.frames, track.region, strict=True) if frame in frames]


def category_numbers(tracks: Sequence[TrackScore]) -> Numbers:
    """YouTube-VOS: J and F of seen and unseen categories, G = mean of the four."""
    out: Numbers = {}
    for name, seen in (("seen", True), ("unseen", False)):
        if part := [track for track in tracks if track.seen is seen]:
            out[f"J {name}"] = fmean(statistics(t.region).mean for t in part)
            out[f"F {name}"] = fmean(statistics(t.boundary).mean for t in part)
    overall = {"G": fmean(out.values())} if len(out) == 4 else {}
    return overall | out | object_numbers(tracks)


def two_year_numbers(tracks: Sequence[TrackScore]) -> Numbers:
    """LVOS v1 in both readings: the paper's (2023), and the authors' evaluator of 2024."""
    numbers = video_numbers(tracks)
    return numbers | (numbers_of_year(tracks) if {"J seen", "J unseen"} <= numbers.keys() else {})


def video_numbers(tracks: Sequence[TrackScore]) -> Numbers:
    """LVOS: J, F and V over objects of seen and of unseen videos; overall = mean of the two."""
    # each kind of video
    parts: list[Numbers] = []
    named: Numbers = {}
    for name, seen in (("seen", True), ("unseen", False)):
        if part := [track for track in tracks if track.seen is seen]:
            j, f = (fmean(statistics(t).mean for t in values) for values in _columns(part))
            parts.append({"J&F": (j + f) / 2, "J": j, "F": f, "V": _deviation(part)})
            named |= {f"{metric} {name}": value for metric, value in parts[-1].items()}
    # their mean
    if len(parts) < 2:  # a subset, or another split: no mean of two to take
        return object_numbers(tracks) | named
    overall = {metric: fmean(part[metric] for part in parts) for metric in parts[0]}
    rest = {k: v for k, v in object_numbers(tracks).items() if k not in overall}
    return overall | named | rest


def _columns(tracks: Sequence[TrackScore]) -> tuple[list[list[float]], list[list[float]]]:
    return [t.region for t in tracks], [t.boundary for t in tracks]


def caveat(summary: str, tracks: Sequence[TrackScore]) -> str | None:
    """Why the published headline cannot be computed, where it is a mean over seen and unseen and one of them lacks."""
    if summary == "reasoning":
        return missing_kind(tracks)
    kinds = {"categories": "categories", "videos": "videos", "videos 2024": "videos"}
    seen = {track.seen for track in tracks}
    if summary not in kinds or seen >= {True, False}:
        return None
    if seen == {None}:
        how = "; prepare the train split too" if summary == "categories" else ""
        return f"which {kinds[summary]} were seen in training is not known{how}: J&F is the mean over all objects"
    which = "seen" if True in seen else "unseen"
    return f"only {which} {kinds[summary]} are here: J&F is the mean over all objects, not the published mean of both"


def assigned_numbers(tracks: Sequence[TrackScore]) -> Numbers:
    """Ref-DAVIS17: each annotator's run by optimal assignment, averaged; and by direct matching of ids."""
    # optimal assignment, the mean of the annotators
    best = [t for t in tracks if t.matched == "best"]
    groups = {g: [t for t in best if t.group == g] for g in sorted({t.group for t in best})}
    runs = {group: object_numbers(part) for group, part in groups.items()}
    shared = [name for name in next(iter(runs.values())) if all(name in run for run in runs.values())]
    out = {name: fmean(run[name] for run in runs.values()) for name in shared}
    # each annotator, and ids as they are
    out |= {f"J&F annotator {group}": run["J&F"] for group, run in runs.items()}
    direct = [object_numbers([t for t in tracks if t.matched == "direct" and t.group == group]) for group in groups]
    out |= {f"{name} direct": fmean(run[name] for run in direct) for name in ("J&F", "J", "F")}
    # where the official evaluator takes other ids for the objects
    official = [t for t in tracks if t.matched == "official"]
    if official:
        differ = {(t.group, t.media) for t in official}
        other = [*official, *(t for t in best if (t.group, t.media) not in differ)]
        runs = {group: object_numbers([t for t in other if t.group == group]) for group in groups}
        out |= {f"{name} official": fmean(run[name] for run in runs.values()) for name in ("J&F", "J", "F")}
    return out


def _extra_numbers(tracks: Sequence[TrackScore]) -> Numbers:
    """What the published protocols lack: stability, frames without the object, results by size."""
    out = {"V": _deviation(tracks), "jitter": fmean(jitter(t.region, t.boundary) for t in tracks)}
    # (ground truth, prediction) shares of the frames in which an empty mask means absence
    frames = [pair for t in tracks if t.complete for pair in zip(t.ground_truth_share, t.predicted_share, strict=True)]
    absent = [not predicted for ground_truth, predicted in frames if not ground_truth]
    if absent:
        out["no-object accuracy"] = fmean(absent)
        out["presence accuracy"] = fmean((ground_truth > 0) == (predicted > 0) for ground_truth, predicted in frames)
    # by size of the object
    for name, _ in SIZES:
        if part := [t for t in tracks if t.share and size_of(t.share) == name]:
            out[f"J&F {name}"] = fmean(t.score for t in part)
    return out


def _deviation(tracks: Sequence[TrackScore]) -> float:
    return fmean(deviation(t.region, t.boundary) for t in tracks)


VIDEO_SUMMARIES: dict[str, Callable[[Sequence[TrackScore]], Numbers]] = {
    "objects": object_numbers,
    "categories": category_numbers,
    "videos": two_year_numbers,
    "videos 2024": video_numbers,
    "transformation": lambda tracks: transformation_numbers(tracks) | object_numbers(tracks),
    "tracking": lambda tracks: tracking_numbers(tracks) | object_numbers(tracks),
    "reappearance": lambda tracks: reappearance_numbers(tracks) | _extra_numbers(tracks),
    "assigned": assigned_numbers,
    "reasoning": lambda tracks: reasoning_numbers(tracks) | _extra_numbers(tracks),
    "long": lambda tracks: long_numbers(tracks) | _extra_numbers(tracks),
}


def metric_names(protocol: Protocol) -> tuple[str, ...]:
    """Names of the numbers that data sets of this protocol have, some only where an object has a certain size."""
    if protocol.task == Task.DETECTION:
        return BOX_METRICS
    # a perfect score of an object of each size; in videos also of none, by four annotators, seen, unseen, assigned in
    # every way
    shares = [limit / 2 for _, limit in SIZES]
    if protocol.is_video:
        kinds = itertools.product((0.0, *shares), range(4), (True, False), ("", "best", "direct"))
        objects = [_perfect_track(row, *kind) for row, kind in enumerate(kinds)]
        objects[-1].ground_truth_share[1] = 0.0  # it disappears and comes back
        return tuple(VIDEO_SUMMARIES[protocol.summary](objects))
    counts = [int(1000 * share) for share in shares]
    images = [ImageScore(0, "", "", "", 0, count, count, 1000, count, count, 1.0, False) for count in counts]
    return tuple(IMAGE_SUMMARIES[protocol.summary](images))


def _perfect_track(row: int, share: float, group: int, seen: bool, matched: str) -> TrackScore:
    media = "" if seen else min(UNSEEN_2024)  # as LVOS's second reading has it
    key = str(row)
    track = TrackScore(
        row, key, media, key, "", group, row, complete=True, seen=seen, matched=matched, counted=[0, 1, 2], adaptive=[]
    )
    track.category, track.overlaps, track.box_overlaps = int(seen), {key: [1.0] * 3}, {key: [1.0] * 3}
    for frame in range(3):
        track.add(frame, 1.0, 1.0, share, share, 1.0)
    return track
