from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from uniref.losses.matching import NONE, Matches, hungarian, sim_ota
from uniref.recipe.loss import FocalConfig, HungarianConfig, SimOtaConfig

FOCAL, OTA, HUNGARIAN = FocalConfig(), SimOtaConfig(), HungarianConfig()


def problem(seed: int, queries: int, objects: int, classes: int = 1, layers: int = 2) -> tuple[Tensor, ...]:
    """Logits, boxes, target boxes, target classes; most boxes lie near an object."""
    g = torch.Generator().manual_seed(seed)
    targets = torch.rand(objects, 4, generator=g) * torch.tensor([0.6, 0.6, 0.3, 0.3]) + torch.tensor(
        [0.2, 0.2, 0.05, 0.05]
    )
    near = targets[torch.randint(objects, (layers, queries), generator=g)]
    boxes = (near + 0.08 * torch.randn(layers, queries, 4, generator=g)).clamp(0.02, 0.98)
    logits = 3 * torch.randn(layers, queries, classes, generator=g)
    return logits, boxes, targets, torch.randint(classes, (objects,), generator=g)


def one_image(logits: Tensor, boxes: Tensor, targets: Tensor, classes: Tensor) -> Tensor:
    """SimOTA of a batch of one: int64 [L, Q]."""
    return sim_ota(logits[:, None], boxes[:, None], [targets], [classes], FOCAL, OTA)[0]


# --- the same in plain Python, one pair at a time


def corners(box: Tensor) -> tuple[float, float, float, float]:
    cx, cy, w, h = box.double().tolist()
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2


def overlap(a: Tensor, b: Tensor) -> tuple[float, float]:
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = corners(a), corners(b)
    inner = max(0.0, min(ax1, bx1) - max(ax0, bx0)) * max(0.0, min(ay1, by1) - max(ay0, by0))
    union = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - inner
    hull = (max(ax1, bx1) - min(ax0, bx0)) * (max(ay1, by1) - min(ay0, by0))
    return inner / union, inner / union - (hull - union) / hull


def focal_cost(logit: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    return 0.25 * (1 - p) ** 2 * -math.log(p + 1e-8) - 0.75 * p**2 * -math.log(1 - p + 1e-8)


def slow_sim_ota(logits: Tensor, boxes: Tensor, targets: Tensor, classes: Tensor) -> list[int]:
    """One layer: logits [Q, K], boxes [Q, 4]."""
    queries, objects = range(len(boxes)), range(len(targets))
    cost, iou = np.zeros((len(boxes), len(targets))), np.zeros((len(boxes), len(targets)))
    for q in queries:
        cx, cy = boxes[q, :2].tolist()
        in_box = [x0 < cx < x1 and y0 < cy < y1 for x0, y0, x1, y1 in map(corners, targets)]
        in_square = [max(abs(cx - t[0]), abs(cy - t[1])) < 2.5 / 32 for t in targets.tolist()]
        for j in objects:
            iou[q, j], giou = overlap(boxes[q], targets[j])
            cost[q, j] = focal_cost(float(logits[q, classes[j]])) - 3 * giou
            cost[q, j] += 0 if in_box[j] and in_square[j] else 100
            cost[q, j] += 0 if any(in_box) or any(in_square) else 10000
    takers: list[list[int]] = [[] for _ in queries]
    for j in objects:
        k = max(1, math.floor(sum(sorted(iou[:, j])[-10:]) + 1e-6))
        for q in np.argsort(cost[:, j])[:k]:
            takers[q].append(j)
    matched = [
        NONE if not each else each[0] if len(each) == 1 else int(cost[q].argmin()) for q, each in enumerate(takers)
    ]
    while empty := [j for j in objects if j not in matched]:
        pairs = [(cost[q, j], q, j) for q in queries if matched[q] == NONE for j in empty]
        if not pairs:
            break
        _, q, j = min(pairs)
        matched[q] = j
    return matched


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("queries", "objects", "classes"), [(40, 3, 1), (25, 6, 4), (12, 1, 1), (9, 8, 2), (4, 7, 1)])
def test_sim_ota_equals_the_plain_procedure(seed: int, queries: int, objects: int, classes: int) -> None:
    logits, boxes, targets, ids = problem(seed, queries, objects, classes)
    matched = one_image(logits, boxes, targets, ids)
    for layer in range(len(logits)):
        assert matched[layer].tolist() == slow_sim_ota(logits[layer], boxes[layer], targets, ids)


def test_an_object_that_loses_its_queries_takes_a_free_one() -> None:
    """Two equal objects want the same queries: the first gets them all (equal cost), the second what is left."""
    targets = torch.tensor([[0.5, 0.5, 0.2, 0.2]]).expand(2, 4)
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2], [0.52, 0.5, 0.2, 0.2], [0.9, 0.9, 0.1, 0.1]])
    logits = torch.tensor([1.0, 1.0, 0.0, 5.0])[:, None]
    matched = one_image(logits[None], boxes[None], targets, torch.zeros(2, dtype=torch.int64))
    # best IoUs add up to 1 + 1 + 0.8: two queries each, both the first object's
    assert matched[0].tolist() == [0, 0, 1, NONE]


def test_more_objects_than_queries_leaves_the_dearest_out() -> None:
    logits, boxes, targets, ids = problem(3, 3, 9)
    matched = one_image(logits, boxes, targets, ids)
    assert (matched != NONE).all()
    assert all(len(set(layer)) == 3 for layer in matched.tolist())


def test_no_object_no_match() -> None:
    logits, boxes, targets, ids = problem(0, 8, 2)
    assert (one_image(logits, boxes, targets[:0], ids[:0]) == NONE).all()
    assert (hungarian(logits[:1], boxes[:1], [targets[:0]], [ids[:0]], FOCAL, HUNGARIAN) == NONE).all()


@pytest.mark.parametrize("seed", range(5))
def test_hungarian_is_the_cheapest_assignment(seed: int) -> None:
    logits, boxes, targets, _ = problem(seed, 30, 5, classes=3, layers=1)
    ids = torch.zeros(5, dtype=torch.int64)
    [matched] = hungarian(logits, boxes, [targets], [ids], FOCAL, HUNGARIAN)
    cost = np.array(
        [
            [
                2 * focal_cost(float(logits[0, q, 0]))
                + 5 * float((boxes[0, q].double() - targets[j].double()).abs().sum())
                - 2 * overlap(boxes[0, q], targets[j])[1]
                for j in range(5)
            ]
            for q in range(30)
        ]
    )
    rows, columns = linear_sum_assignment(cost)
    expected = [NONE] * 30
    for q, j in zip(rows, columns, strict=True):
        expected[q] = int(j)
    assert matched.tolist() == expected


def test_images_of_a_batch_are_matched_by_themselves() -> None:
    """Also where one of them has no object, and another has lost some."""
    problems = [problem(seed, 12, objects) for seed, objects in ((0, 3), (1, 1), (2, 11))]
    problems.append((*problems[0][:2], problems[0][2][:0], problems[0][3][:0]))
    logits, boxes = (torch.stack([each[part] for each in problems], dim=1) for part in (0, 1))
    targets, ids = ([each[part] for each in problems] for part in (2, 3))
    matched = sim_ota(logits, boxes, targets, ids, FOCAL, OTA)
    assert torch.equal(matched, torch.stack([one_image(*each) for each in problems]))
    one_to_one = hungarian(logits[0], boxes[0], targets, ids, FOCAL, HUNGARIAN)
    for row, (logit, box, target, number) in enumerate(problems):
        assert torch.equal(one_to_one[row], hungarian(logit[:1], box[:1], [target], [number], FOCAL, HUNGARIAN)[0])
    # as pairs: targets are counted through the batch
    matches = Matches.gather(matched, [len(target) for target in targets])
    first = torch.tensor([0, 3, 4, 15])
    assert len(matches) == int((matched != NONE).sum())
    for layer, row, query, target in zip(matches.layers, matches.rows, matches.queries, matches.targets, strict=True):
        assert matched[row, layer, query] + first[row] == target
