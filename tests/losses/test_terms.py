"""Losses against numbers worked by hand and PyTorch's own functions."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from uniref.losses.terms import aggregate, bootstrapped_loss, dice_loss, focal_loss, iou_and_giou, soft_iou_loss


def test_focal_without_focus_is_half_the_cross_entropy() -> None:
    logits, targets = torch.randn(50), (torch.rand(50) > 0.5).float()
    expected = 0.5 * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    assert torch.allclose(focal_loss(logits, targets, 0.5, 0.0), expected)


def test_focal_by_hand() -> None:
    # p = 0.8: positive 0.25 * 0.2^2 * -ln 0.8, negative 0.75 * 0.8^2 * -ln 0.2
    logit = torch.tensor([math.log(4.0)] * 2)
    expected = torch.tensor([0.25 * 0.04 * -math.log(0.8), 0.75 * 0.64 * -math.log(0.2)])
    assert torch.allclose(focal_loss(logit, torch.tensor([1.0, 0.0]), 0.25, 2.0), expected)


def test_focal_stays_finite_for_huge_logits() -> None:
    logits = torch.tensor([1e4, -1e4], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([0.0, 1.0]), 0.25, 2.0)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert logits.grad is not None
    assert torch.allclose(logits.grad, torch.tensor([0.75, -0.25]))


def test_overlaps_by_hand() -> None:
    # 2 x 2 boxes that share a quarter: union 7, hull 9
    iou, giou = iou_and_giou(torch.tensor([0.0, 0, 2, 2]), torch.tensor([1.0, 1, 3, 3]))
    assert iou == pytest.approx(1 / 7)
    assert giou == pytest.approx(1 / 7 - 2 / 9)


def test_overlaps_of_boxes_apart_and_equal() -> None:
    boxes = torch.tensor([[0.0, 0, 1, 1], [3, 0, 4, 1]])
    iou, giou = iou_and_giou(boxes[:, None], boxes)
    assert torch.equal(iou, torch.eye(2))
    assert torch.allclose(giou, torch.tensor([[1, -0.5], [-0.5, 1]]))  # hull 4, union 2


def test_overlap_of_a_box_without_area_is_zero() -> None:
    point = torch.tensor([0.5, 0.5, 0.5, 0.5])
    iou, giou = iou_and_giou(point, point)
    assert iou == 0
    assert giou == 0


def test_dice_by_hand() -> None:
    p, t = torch.tensor([[[1.0, 0.5], [0, 0]]]), torch.tensor([[[1.0, 0], [1, 0]]])
    assert dice_loss(p, t) == pytest.approx(1 - (2 * 1 + 1) / (1.5 + 2 + 1))
    assert dice_loss(t, t) == pytest.approx(0)


def test_aggregation_is_softmax_over_the_logits_of_background_and_object() -> None:
    logits = 4 * torch.randn(100)
    p = logits.sigmoid().double()
    pair = torch.stack([1 - p, p])
    assert torch.allclose(aggregate(logits).sigmoid(), torch.logit(pair).softmax(0)[1].float(), atol=1e-6)


def test_bootstrapping_takes_the_hardest_pixels_of_each_mask() -> None:
    logits, targets = torch.randn(3, 5, 5), (torch.rand(3, 5, 5) > 0.5).float()
    every = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").flatten(1)
    expected = every.sort(dim=1, descending=True).values[:, :10].mean(1)
    assert torch.allclose(bootstrapped_loss(logits, targets), expected)


def test_soft_iou_by_hand() -> None:
    p, t = torch.tensor([[[1.0, 0.5]], [[0, 0]]]), torch.tensor([[[1.0, 0.0]], [[0, 0]]])
    assert torch.allclose(soft_iou_loss(p, t), torch.tensor([1 - 1 / 1.5, 1.0]))
