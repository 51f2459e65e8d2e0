"""Scores of label maps whose ids say nothing: DAVIS's unsupervised protocol, which Ref-DAVIS17 uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uniref.data.index import Media
from uniref.evaluation.dataset import EvalDataset, EvalItem
from uniref.evaluation.metrics.masks import score_pairs
from uniref.evaluation.metrics.videos import best_assignment
from uniref.evaluation.prediction_files import read_proposals
from uniref.evaluation.track_scores import MaskReader, TrackScore, VideoGroundTruth, covered_share, new_track


@dataclass(frozen=True)
class _FramePairs:
    """A frame: every prediction against every object; the last prediction and the last object are empty masks."""

    frame: int
    scores: npt.NDArray[np.float64]
    """[objects + 1, predictions + 1, 2]: J and F."""
    predicted: list[float]
    """Share of the frame per prediction."""
    ground_truth: list[float]
    """Share of the frame per object."""

    def of(self, objects: int, predictions: int) -> npt.NDArray[np.float64]:
        """Scores [objects, predictions, 2] with more of both: what a frame does not show is empty there."""
        rows = np.minimum(np.arange(objects), len(self.scores) - 1)
        columns = np.minimum(np.arange(predictions), self.scores.shape[1] - 1)
        return self.scores[np.ix_(rows, columns)]


def score_by_assignment(dataset: EvalDataset, item: EvalItem, media: Media, reader: MaskReader) -> list[TrackScore]:
    """Label maps whose ids count expressions: each object gets its best prediction (DAVIS, unsupervised protocol).

    As in the official evaluator any ids up to 20 are predictions, with gaps as empty ones, and fewer predictions than
    objects are padded with empty ones.

    Args:
        dataset: Ref-DAVIS17.
        item: A video with the expressions of one annotator.
        media: The video.
        reader: Of the item's files.

    Returns:
        Tracks of every object by optimal assignment and by ids; where the official evaluator takes others for the
        objects, those by optimal assignment as well.
    """
    # every prediction against every object, frame by frame
    rows = dataset.objects_of(media)
    ground_truth = VideoGroundTruth(dataset, item, [[row] for row in rows])
    compared: list[_FramePairs] = []
    for frame in range(media.length):
        labels = reader.read(frame, lambda path: read_proposals(path, ground_truth.size))
        if labels is None:
            continue
        masks, void = ground_truth.masks(frame), ground_truth.void(frame)
        predictions = [labels == number for number in range(1, int(labels.max()) + 1)]
        empty = np.zeros(ground_truth.size, np.bool_)
        scores = score_pairs([*predictions, empty], [*masks, empty], ground_truth.size, void)
        compared.append(
            _FramePairs(frame, scores, [covered_share(p) for p in predictions], [covered_share(m) for m in masks])
        )
    # the assignment with the largest mean J&F, and that of the ids
    count = max([len(rows), *(len(each.predicted) for each in compared)])
    best = _best(compared, range(len(rows)), count)
    tracks = _assigned_tracks(dataset, item, media, rows, compared, best, "best")
    direct = _direct_assignment(item, rows, count)
    tracks += _assigned_tracks(dataset, item, media, rows, compared, direct, "direct")
    # what the official evaluator takes for the objects: every id up to the largest in the first frame
    if compared and compared[0].frame == 0:
        numbers = [dataset.index.object(row).source_id for row in rows]
        shown = [n for n, share in zip(numbers, compared[0].ground_truth, strict=True) if share]
        expected = range(1, max(shown, default=0) + 1)
        if set(numbers) != set(expected):
            places = [numbers.index(n) if n in numbers else len(rows) for n in expected]
            official = [rows[place] if place < len(rows) else -1 for place in places]
            most = max(len(each.predicted) for each in compared)
            found = _best(compared, places, max(len(places), most))
            tracks += _assigned_tracks(dataset, item, media, official, compared, found, "official", places)
    return tracks


def _best(compared: Sequence[_FramePairs], places: Sequence[int], count: int) -> list[int]:
    """The prediction of each object that gives the largest mean J&F."""
    if not compared:
        return list(range(len(places)))
    means = np.mean([each.of(max(places, default=0) + 1, count) for each in compared], axis=0)
    return best_assignment(means[list(places)].mean(-1).tolist())


def _assigned_tracks(
    dataset: EvalDataset,
    item: EvalItem,
    media: Media,
    rows: Sequence[int],
    compared: Sequence[_FramePairs],
    assigned: Sequence[int],
    matched: str,
    places: Sequence[int] | None = None,
) -> list[TrackScore]:
    """A track per object with its prediction; `places` are the objects' rows in `compared` (in order by default)."""
    tracks = []
    for row, place, number in zip(rows, places or range(len(rows)), assigned, strict=True):
        key = str(dataset.index.object(row).source_id) if row >= 0 else "none"
        track = new_track(dataset, item, media, row, key, matched)
        track.prediction, track.counted = number + 1, list(range(media.length))
        for each in compared:
            region, boundary = each.of(place + 1, number + 1)[place, number].tolist()
            predicted = each.predicted[number] if number < len(each.predicted) else 0.0
            truth = each.ground_truth[place] if place < len(each.ground_truth) else 0.0
            track.add(each.frame, region, boundary, predicted, truth)
        tracks.append(track)
    return tracks


def _direct_assignment(item: EvalItem, rows: Sequence[int], count: int) -> list[int]:
    """Expression j is object j's; objects without an expression get empty predictions, which come last."""
    positions = {row: position for position, row in enumerate(item.sample.objects)}
    spare = iter(range(max(count, len(item.expressions)), count + len(item.expressions) + len(rows)))
    return [positions[row] if row in positions else next(spare) for row in rows]
