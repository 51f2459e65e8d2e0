"""Scores of predictions for videos: J and F per frame of every object or expression."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from uniref.core.tasks import Task
from uniref.core.types import BoolMask
from uniref.data.index import Media
from uniref.data.protocol import Protocol
from uniref.evaluation.dataset import EvalDataset, EvalItem
from uniref.evaluation.prediction_files import find_folder, read_binary, read_ids, read_values
from uniref.evaluation.score_assigned import score_by_assignment
from uniref.evaluation.track_scores import MaskReader, TrackScore, VideoGroundTruth, covered_share, new_track


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
        score = _score_by_id if dataset.protocol.task == Task.VOS else score_by_assignment
    tracks: list[TrackScore] = []
    readers: list[MaskReader] = []
    for item in dataset.items(shard):
        media = dataset.index.media(item.sample.media)
        reader = MaskReader(find_folder(item, root), root, media)
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
    protocol: Protocol, reader: MaskReader, track: TrackScore, frame: int, mask: BoolMask, void: BoolMask | None
) -> None:
    """A frame whose prediction is missing, as the published evaluator scores it; not at all where that one stops."""
    if protocol.missing == "stop" or reader.has(frame):
        return
    track.absent.append(frame)
    track.add_overlaps(None, mask)
    if protocol.missing == "empty" and reader.video.is_dir():
        track.compare(frame, np.zeros_like(mask), mask, void)
    else:
        track.add(frame, 0.0, 0.0, 0.0, covered_share(mask))


def _score_by_id(dataset: EvalDataset, item: EvalItem, media: Media, reader: MaskReader) -> list[TrackScore]:
    """Label maps whose ids are the objects' (DAVIS, semi-supervised protocol)."""
    # objects, their ids and the frames that count
    rows = [row for row in item.sample.objects if not dataset.index.object(row).crowd]
    ground_truth = VideoGroundTruth(dataset, item, [[row] for row in rows])
    ids = [dataset.index.object(row).source_id for row in rows]
    counted = [dataset.counted_frames(media, row) for row in rows]
    tracks = [new_track(dataset, item, media, row, str(number)) for row, number in zip(rows, ids, strict=True)]
    for track, frames in zip(tracks, counted, strict=True):
        track.counted = frames
    if dataset.protocol.summary == "tracking":
        for track, row in zip(tracks, rows, strict=True):
            track.category = dataset.index.object(row).category
        for track in tracks:
            keys = [other.key for other in tracks if other.category == track.category]
            track.overlaps = {key: [] for key in keys}
            track.box_overlaps = {key: [] for key in keys}
    # frame by frame, each file is read once
    of_frame = [frozenset(frames) for frames in counted]
    known = None if dataset.protocol.other_ids else frozenset(ids)
    size = ground_truth.size
    for frame in sorted(frozenset[int]().union(*of_frame)):
        labels = reader.read(
            frame, lambda path: read_values(path, size) if known is None else read_ids(path, size, known)
        )
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
                track.add_overlaps(labels, mask)
    return tracks


def _score_one_target(dataset: EvalDataset, item: EvalItem, media: Media, reader: MaskReader) -> list[TrackScore]:
    """Black-and-white masks of the objects of one expression, or of an object that has files of its own."""
    objects = item.sample.objects
    ground_truth = VideoGroundTruth(dataset, item, [list(objects)])
    row = objects[0] if len(objects) == 1 else -1
    is_object = dataset.protocol.task == Task.VOS
    key = dataset.index.expression(item.expressions[0]).source_id if item.expressions else "0"
    key = str(dataset.index.object(row).source_id) if is_object else key
    track = new_track(dataset, item, media, row, key)
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
    if is_object:
        track.start_where_visible()
    return [track]
