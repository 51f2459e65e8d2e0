from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from uniref.core.errors import UniRefError
from uniref.evaluation.metrics.images import BOX_METRICS, Overlap, box_iou, box_precision, few_shot, overlap, referring


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


def crowded_scene(images: int, seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """COCO ground truth with crowds, empty images and all sizes; detections with equal scores, more than 100 in one."""
    rng = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for image in range(images):
        for _ in range(0 if image == 1 else int(rng.integers(1, 9))):
            box = [*rng.uniform(0, 300, 2).tolist(), *np.exp(rng.uniform(1, 5.5, 2)).tolist()]
            numbers = {"id": len(annotations) + 1, "image_id": image, "category_id": int(rng.integers(1, 5))}
            area, crowd = 0.8 * box[2] * box[3], int(rng.random() < 0.1)
            annotations.append({**numbers, "bbox": box, "area": area, "iscrowd": crowd})
        own = [each for each in annotations if each["image_id"] == image]
        for _ in range(130 if image == 2 else 12):
            box, category = [*rng.uniform(0, 300, 2).tolist(), *np.exp(rng.uniform(1, 5.5, 2)).tolist()], 1
            if own and rng.random() < 0.7:
                true = own[int(rng.integers(len(own)))]
                box, category = (np.array(true["bbox"]) + rng.normal(0, 2, 4)).clip(1).tolist(), true["category_id"]
            scored = {"bbox": box, "score": round(float(rng.random()), 1)}
            detections.append({"image_id": image, "category_id": category, **scored})
    truth = {
        "images": [{"id": image, "height": 400, "width": 400} for image in range(images)],
        "annotations": annotations,
        "categories": [{"id": number, "name": str(number)} for number in range(1, 6)],  # 5 never occurs
    }
    return truth, detections


def test_box_precision_is_the_same_by_faster_coco_eval(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faster_coco_eval")
    for seed in range(3):
        fast = box_precision(*crowded_scene(20, seed))
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "faster_coco_eval", None)  # as if it were not installed
            slow = box_precision(*crowded_scene(20, seed))
        assert fast == pytest.approx(slow, abs=1e-12)
        assert list(fast) == list(slow) == list(BOX_METRICS)
        assert 0.01 < fast["AP"] < 0.9


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
