from __future__ import annotations

import math

import pytest
import torch

from uniref.losses.box_inst import (
    box_masks,
    neighbours,
    pairwise_terms,
    projection_loss,
    rgb_to_lab,
    similar_neighbours,
)
from uniref.recipe.loss import BoxInstConfig

CONFIG = BoxInstConfig()
NEAR = BoxInstConfig(dilation=1)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 128, 0), (46.23, -51.70, 49.90)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
    ],
)
def test_lab_of_known_colours(rgb: tuple[int, ...], lab: tuple[float, ...]) -> None:
    found = rgb_to_lab(torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1)).flatten()
    assert torch.allclose(found, torch.tensor(lab, dtype=torch.float32), atol=0.05)


def test_neighbours_are_around_the_pixel_row_by_row() -> None:
    x = torch.arange(25.0).view(1, 1, 5, 5)
    assert neighbours(x, NEAR)[0, 0, :, 2, 2].tolist() == [6, 7, 8, 11, 13, 16, 17, 18]
    assert neighbours(x, CONFIG)[0, 0, :, 2, 2].tolist() == [0, 2, 4, 10, 14, 20, 22, 24]
    assert neighbours(x, CONFIG)[0, 0, :, 0, 0].tolist() == [0, 0, 0, 0, 2, 0, 10, 12]


def test_pairwise_loss_by_hand() -> None:
    """Two pixels side by side with p = 0.8 and 0.5: the same label with probability 0.8 * 0.5 + 0.2 * 0.5."""
    logits = torch.tensor([[[math.log(4.0), 0.0]]])
    similar = torch.zeros(1, 8, 1, 2, dtype=torch.bool)
    similar[0, 4, 0, 0] = True  # the right neighbour of the left pixel
    boxes = torch.ones(1, 1, 2)
    loss, pairs = pairwise_terms(logits, similar, boxes, NEAR)
    assert loss == pytest.approx(-math.log(0.5))
    assert pairs == 1
    assert pairwise_terms(logits, similar, torch.tensor([[[0.0, 1.0]]]), NEAR)[1] == 0


def test_pairwise_loss_stays_finite() -> None:
    logits = torch.full((1, 4, 4), 1e4).requires_grad_()
    loss, _ = pairwise_terms(
        logits * torch.tensor([1.0, -1, 1, -1]), torch.ones(1, 8, 4, 4).bool(), torch.ones(1, 4, 4), NEAR
    )
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_projection_loss_sees_extents_only() -> None:
    box = torch.zeros(1, 6, 6)
    box[:, 1:5, 2:5] = 1
    cross = torch.zeros(1, 6, 6)
    cross[:, 1:5, 3] = 1
    cross[:, 2, 2:5] = 1
    assert projection_loss(cross, box) == pytest.approx(0, abs=1e-4)
    # only the left column: 1 of 3 columns, 2 * 1 / (1 + 3)
    cross[:, :, 3:] = 0
    cross[:, 1:5, 2] = 1
    assert projection_loss(cross, box) == pytest.approx(0.5, abs=1e-4)


def test_box_masks_hold_the_pixels_whose_place_is_inside() -> None:
    # mask pixels stand for input pixels 2, 6, 10, 14; the edge pixel at floor(x1) counts
    found = box_masks(torch.tensor([[2.0, 6.0, 10.0, 9.9], [2.9, 0, 5.9, 16]]), (4, 4), 4)
    assert found[0].nonzero().tolist() == [[1, 0], [1, 1], [1, 2]]
    assert found[1].nonzero().tolist() == [[y, 0] for y in range(4)]


def test_similar_neighbours_stop_at_colours_padding_and_bottom() -> None:
    images = torch.zeros(1, 3, 64, 64)
    images[:, 0, :, 32:] = 200
    padding = torch.zeros(1, 64, 64, dtype=torch.bool)
    padding[:, :, 56:] = True
    found = similar_neighbours(images, padding, 4, CONFIG)
    right, below = 4, 6
    # dilation 2: from column 6 the right neighbour is column 8, the first of the other colour
    assert found[0, right, 4].tolist() == [True] * 6 + [False] * 2 + [True] * 4 + [False] * 4
    # rows 54 and later are ignored: mask row 13 stands for pixel row 54, so nobody looks down to it
    assert found[0, below, :, 4].tolist() == [True] * 11 + [False] * 5


def test_colours_are_compared_with_red_and_blue_exchanged() -> None:
    """As the released system does. The similarity of the first pair is 0.53 so and 0.11 otherwise, of the second 0.11
    and 0.53."""
    for first, second, alike in [
        ((29, 5, 222), (39, 11, 224), False),
        ((222, 5, 29), (224, 11, 39), True),
    ]:
        images = torch.tensor([first, second], dtype=torch.float32).T.reshape(1, 3, 1, 2)
        images = images.repeat_interleave(4, 2).repeat_interleave(4, 3)  # one mask pixel each
        config = BoxInstConfig(dilation=1, bottom_rows=0)
        found = similar_neighbours(images, torch.zeros(1, 4, 8, dtype=torch.bool), 4, config)
        assert bool(found[0, 4, 0, 0]) is alike  # the right neighbour of the left pixel
