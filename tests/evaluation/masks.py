"""Masks as another tool would write them: the truth, changed at will."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from uniref.evaluation.dataset import EvalDataset, EvalItem, frame_name
from uniref.evaluation.prediction_files import write_png
from uniref.evaluation.score_images import ground_truth_mask
from uniref.evaluation.track_scores import VideoGroundTruth

Masks = dict[int, np.ndarray]
"""By object id; of one target, under 1."""
Change = Callable[[EvalItem, int, Masks], Masks]
"""A item, a frame and its true masks -> the masks that are written."""


def unchanged(item: EvalItem, frame: int, masks: Masks) -> Masks:
    return masks


def write_masks(dataset: EvalDataset, root: Path, change: Change = unchanged) -> Path:
    """Write a mask for everything that is asked, in the published layout; returns `root`."""
    for shard in range(len(dataset.shards)):
        for item in dataset.items(shard):
            if dataset.protocol.is_video:
                _write_clip(dataset, item, root / item.name, change)
            else:
                path = root / f"{item.name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_png(path, change(item, 0, {1: ground_truth_mask(dataset, item.sample)})[1])
    return root


def _write_clip(dataset: EvalDataset, item: EvalItem, folder: Path, change: Change) -> None:
    media = dataset.index.media(item.sample.media)
    rows = dataset.objects_of(media) if dataset.protocol.summary == "assigned" else list(item.sample.objects)
    truth = VideoGroundTruth(dataset, item, [rows] if dataset.one_mask else [[row] for row in rows])
    ids = [1] if dataset.one_mask else [dataset.index.object(row).source_id for row in rows]
    folder.mkdir(parents=True)
    for frame in range(dataset.first_frame(item.sample), media.length):
        masks = change(item, frame, dict(zip(ids, truth.masks(frame), strict=True)))
        path = folder / f"{frame_name(media, frame)}.png"
        if dataset.one_mask:
            write_png(path, masks[1])
            continue
        labels = np.zeros(truth.size, np.uint8)
        for number, mask in masks.items():
            labels[mask] = number
        write_png(path, labels)
