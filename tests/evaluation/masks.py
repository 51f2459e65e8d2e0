"""Masks as another tool would write them: the truth, changed at will."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from uniref.evaluation.benchmark import Benchmark, Case, frame_name
from uniref.evaluation.masks_on_disk import write_png
from uniref.evaluation.score_images import truth_mask
from uniref.evaluation.truth import ClipTruth

Masks = dict[int, np.ndarray]
"""By object id; of one target, under 1."""
Change = Callable[[Case, int, Masks], Masks]
"""A case, a frame and its true masks -> the masks that are written."""


def unchanged(case: Case, frame: int, masks: Masks) -> Masks:
    return masks


def write_masks(benchmark: Benchmark, root: Path, change: Change = unchanged) -> Path:
    """Write a mask for everything that is asked, in the published layout; returns `root`."""
    for unit in range(len(benchmark.units)):
        for case in benchmark.cases(unit):
            if benchmark.protocol.is_video:
                _write_clip(benchmark, case, root / case.name, change)
            else:
                path = root / f"{case.name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_png(path, change(case, 0, {1: truth_mask(benchmark, case.sample)})[1])
    return root


def _write_clip(benchmark: Benchmark, case: Case, folder: Path, change: Change) -> None:
    media = benchmark.index.media(case.sample.media)
    rows = benchmark.things(media) if benchmark.protocol.summary == "assigned" else list(case.sample.objects)
    truth = ClipTruth(benchmark, case, [rows] if benchmark.one_mask else [[row] for row in rows])
    ids = [1] if benchmark.one_mask else [benchmark.index.object(row).source_id for row in rows]
    folder.mkdir(parents=True)
    for frame in range(benchmark.first_frame(case.sample), media.length):
        masks = change(case, frame, dict(zip(ids, truth.masks(frame), strict=True)))
        path = folder / f"{frame_name(media, frame)}.png"
        if benchmark.one_mask:
            write_png(path, masks[1])
            continue
        labels = np.zeros(truth.size, np.uint8)
        for number, mask in masks.items():
            labels[mask] = number
        write_png(path, labels)
