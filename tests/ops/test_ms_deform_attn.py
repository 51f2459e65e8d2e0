import pytest
import torch
from torch import Tensor

from uniref.ops.ms_deform_attn import ms_deform_attn

SIZES = [(5, 7), (3, 4), (1, 2)]


def sample(batch: int = 2, queries: int = 6, heads: int = 3, dim: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    tokens = sum(h * w for h, w in SIZES)
    value = torch.randn(batch, tokens, heads, dim)
    locations = torch.rand(batch, queries, heads, len(SIZES), 2, 2) * 1.6 - 0.3  # also outside
    weights = torch.rand(batch, queries, heads, len(SIZES), 2)
    return value, locations, weights


def test_a_point_on_a_pixel_centre_reads_that_pixel() -> None:
    value = torch.arange(12.0).view(1, 12, 1, 1)
    centre = torch.tensor([(2 + 0.5) / 4, (1 + 0.5) / 3]).view(1, 1, 1, 1, 1, 2)  # x 2, y 1 of a 3 x 4 map
    assert ms_deform_attn(value, [(3, 4)], centre, torch.ones(1, 1, 1, 1, 1)).item() == pytest.approx(6)


def test_half_outside_counts_half() -> None:
    value = torch.full((1, 12, 1, 1), 8.0)
    corner = torch.tensor([0.0, 1.5 / 3]).view(1, 1, 1, 1, 1, 2)  # half a pixel left of the first centre
    assert ms_deform_attn(value, [(3, 4)], corner, torch.ones(1, 1, 1, 1, 1)).item() == pytest.approx(4)


def test_far_away_points_give_zero() -> None:
    value, locations, weights = sample()
    for far in (-1e9, 1e9):
        assert ms_deform_attn(value, SIZES, torch.full_like(locations, far), weights).abs().max() == 0


def test_gradients_flow_to_values_locations_and_weights() -> None:
    inputs = [x.requires_grad_() for x in sample()]
    ms_deform_attn(inputs[0], SIZES, inputs[1], inputs[2]).square().sum().backward()
    assert all(x.grad is not None and x.grad.abs().sum() > 0 for x in inputs)
