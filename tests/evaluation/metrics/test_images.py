from __future__ import annotations

import numpy as np
import pytest

from uniref.core.errors import UniRefError
from uniref.evaluation.metrics.images import Overlap, box_iou, few_shot, overlap, referring


def test_referring_by_hand() -> None:
    found = referring([Overlap(8, 10, 100), Overlap(0, 40, 100), Overlap(30, 50, 100)], [0.5, None, 0.4999])
    assert found["oIoU"] == pytest.approx(38 / 100)
    assert found["mIoU"] == pytest.approx((0.8 + 0 + 0.6) / 3, abs=1e-6)
    assert [found[f"P@{x}"] for x in (0.5, 0.7, 0.8)] == pytest.approx([2 / 3, 1 / 3, 1 / 3])  # 0.8 + rounding is above
    assert found["P@0.9"] == 0
    assert found["box accuracy"] == 0.5


def test_empty_masks() -> None:
    empty = np.zeros((4, 5), bool)
    assert overlap(empty, empty).iou == 1
    assert overlap(empty, ~empty).iou == pytest.approx(0, abs=1e-6)
    assert referring([overlap(empty, empty)])["oIoU"] == 1
    assert "box accuracy" not in referring([overlap(empty, empty)])


def test_another_size_is_refused() -> None:
    with pytest.raises(UniRefError, match="never resized"):
        overlap(np.zeros((4, 5), bool), np.zeros((5, 4), bool))


def test_few_shot_weighs_classes_not_images() -> None:
    found = few_shot([Overlap(5, 10, 20), Overlap(5, 10, 20), Overlap(10, 10, 20)], [1, 1, 2])
    assert found["mIoU"] == pytest.approx((0.5 + 1) / 2)
    assert found["image mIoU"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["image oIoU"] == pytest.approx(20 / 30)
    # background: 10 of 15, 10 of 15, 10 of 10
    assert found["FB-IoU"] == pytest.approx((20 / 30 + 30 / 40) / 2)


def test_boxes() -> None:
    assert box_iou([[0, 0, 2, 2]], [[1, 1, 3, 3]])[0, 0] == pytest.approx(1 / 7)
    assert box_iou([[0, 0, 1, 1]], [[2, 2, 3, 3]])[0, 0] == 0
    assert box_iou([[1, 1, 1, 1]], [[1, 1, 1, 1]])[0, 0] == 0


def one_iou(a: list[float], b: list[float]) -> float:
    """The straightforward way, one pair at a time."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


def test_many_boxes_are_single_ones() -> None:
    a = [[0, 0, 2, 2], [1, 1, 1, 1], [4.5, 0, 9, 3]]
    b = [[1, 1, 3, 3], [0, 0, 2, 2], [1, 1, 1, 1], [-3, -3, 20, 20]]
    assert box_iou(a, b).tolist() == [[one_iou(one, other) for other in b] for one in a]
    assert box_iou(a, []).shape == (3, 0)
    assert box_iou([], b).shape == (0, 4)
