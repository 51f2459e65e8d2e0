"""Deformable attention by weighted gathers against the plain module, in float32 against float64."""

import copy

import pytest
import torch
from torch import Tensor

from uniref.kernels import deformable
from uniref.kernels.deformable import BagDeformableAttention, sample_bags
from uniref.model.deformable_layers import DeformableAttention
from uniref.ops.ms_deform_attn import ms_deform_attn

SIZES = [(5, 7), (3, 4), (1, 2)]
TOKENS = sum(h * w for h, w in SIZES)


def in_pixels(locations: Tensor) -> tuple[Tensor, Tensor]:
    extent = locations.new_tensor([(w, h) for h, w in SIZES])[:, None]
    x, y = (locations * extent - 0.5).unbind(-1)
    return x.flatten(2), y.flatten(2)


def sample(batch: int = 2, queries: int = 6, heads: int = 3, dim: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    value = torch.randn(batch, TOKENS, heads, dim)
    locations = torch.rand(batch, queries, heads, len(SIZES), 2, 2) * 1.6 - 0.3  # also outside
    return value, locations, torch.rand(batch, queries, heads, len(SIZES), 2)


def test_a_bag_is_a_sum_of_bilinear_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deformable, "_QUERIES", 4)  # several parts, the last one incomplete
    value, locations, weights = sample()
    result = sample_bags(value, SIZES, *in_pixels(locations), weights.flatten(2), points=2)
    exact = ms_deform_attn(value.double(), SIZES, locations.double(), weights.double())
    torch.testing.assert_close(result.double(), exact, atol=5e-6, rtol=0)


def test_far_away_points_give_zero() -> None:
    value, locations, weights = sample()
    for far in (-1e9, 1e9):
        x, y = in_pixels(torch.full_like(locations, far))
        assert sample_bags(value, SIZES, x, y, weights.flatten(2), points=2).abs().max() == 0


def attention() -> DeformableAttention:
    plain = DeformableAttention(dim=16, heads=4, levels=3, points=2).eval()
    torch.nn.init.normal_(plain.sampling_offsets.weight)
    torch.nn.init.normal_(plain.attention_weights.weight)
    torch.nn.init.normal_(plain.attention_weights.bias)
    return plain


@pytest.mark.parametrize("coordinates", [2, 4], ids=["points", "boxes"])
@pytest.mark.parametrize("padded", [True, False])
@torch.no_grad()
def test_equals_the_plain_module(coordinates: int, padded: bool) -> None:
    plain = attention()
    kernel = BagDeformableAttention(plain)
    query, references, tokens = torch.randn(2, 9, 16), torch.rand(2, 9, 3, coordinates), torch.randn(2, TOKENS, 16)
    padding = None
    if padded:
        padding = torch.zeros(2, TOKENS, dtype=torch.bool)
        padding[1, 20:35] = True
    double = copy.deepcopy(plain).double()
    locations, weights = double.sampling_points(query.double(), references.double(), SIZES)
    value = double.project_values(tokens.double(), padding).double()
    exact = double.output_proj(ms_deform_attn(value, SIZES, locations.double(), weights.double()))
    torch.testing.assert_close(plain(query, references, tokens, SIZES, padding).double(), exact, atol=2e-5, rtol=0)
    result = kernel(query, references, tokens, SIZES, padding)
    torch.testing.assert_close(result.double(), exact, atol=2e-5, rtol=0)


@torch.no_grad()
def test_locations_are_not_rounded_by_autocast() -> None:
    plain = attention()
    kernel = BagDeformableAttention(plain)
    query, references, tokens = torch.randn(2, 9, 16), torch.rand(2, 9, 3, 2), torch.randn(2, TOKENS, 16)
    with torch.autocast("cpu", torch.bfloat16):
        expected = plain(query, references, tokens, SIZES, None)
        result = kernel(query, references, tokens, SIZES, None)
    torch.testing.assert_close(result, expected, atol=1e-2, rtol=1e-2)
