"""ReasonSeg's gIoU and cIoU against their published definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare
from tests.evaluation.conftest import Score
from tests.evaluation.masks import Masks, write_masks
from uniref.evaluation.dataset import EvalItem, open_dataset
from uniref.evaluation.metrics.images import Overlap, reasoning


def test_numbers(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    build.reason_seg(tmp_path / "r")
    index = prepare("reason-seg", tmp_path / "r", "test")
    dataset = open_dataset(tmp_path / "data", "reason-seg/test")
    assert [item.name for item in dataset.all_items()] == ["100_1", "200_2"]

    def shown(item: EvalItem, frame: int, masks: Masks) -> Masks:
        """Left columns; of the first image also everything that does not count."""
        extra = build.box_mask(6, 8, 13, 15) if item.name == "100_1" else False
        return {1: (masks[1] & build.box_mask(0, 0, build.H, 12)) | build.box_mask(0, 0, 3, 5) | extra}

    found = score("reason-seg/test", write_masks(dataset, tmp_path / "p", shown))["numbers"]
    counts = []
    for item in dataset.all_items():
        truth = index.annotations(item.sample.objects[0]).mask(0).astype(np.uint8)
        if item.name == "100_1":
            truth[build.box_mask(6, 8, 13, 15)] = 255
        mask = shown(item, 0, {1: truth == 1})[1] & (truth != 255)
        counts.append(((mask & (truth == 1)).sum(), (mask | (truth == 1)).sum()))
    ious = [i / (u + 1e-5) for i, u in counts]
    assert found["gIoU"] == pytest.approx(np.mean(ious), abs=1e-12)
    assert found["cIoU"] == pytest.approx(sum(i for i, _ in counts) / sum(u for _, u in counts), abs=1e-12)
    assert [found["gIoU short"], found["gIoU long"]] == pytest.approx(ious, abs=1e-12)
    assert next(iter(found)) == "gIoU"


def test_nothing_and_nothing_is_right() -> None:
    found = reasoning([Overlap(0, 0, 100), Overlap(0, 5, 100), Overlap(4, 8, 100)])
    assert found == {"gIoU": pytest.approx((1 + 0 + 0.5) / 3, abs=1e-6), "cIoU": pytest.approx(4 / 13)}
