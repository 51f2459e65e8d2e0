"""Blockwise attention against the softmax written out in double precision."""

import pytest
import torch
from torch import Tensor

from uniref.ops import shared_attention
from uniref.ops.matmul import cpu_has_bfloat16
from uniref.ops.shared_attention import shared_key_attention

SCALE = 0.25


def sample(objects: int = 2, spread: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys whose logits have about this standard deviation, and values far from zero."""
    query, keys = torch.randn(30, 3, 16) * spread, torch.randn(257, 16) + 2
    return query, keys, torch.randn(objects, 257, 16) * 0.1 + 5


def written_out(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """[N, Q, H * C] in float64."""
    weights = (query.double() @ keys.double().T * SCALE).softmax(-1)
    return torch.einsum("qhk,nkc->nqhc", weights, values.double()).flatten(2)


def attend(query: Tensor, keys: Tensor, values: Tensor, rounded: bool) -> Tensor:
    return shared_key_attention(query, keys, values, SCALE, lambda x: x.flatten(2), rounded)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks of queries and keys, the last ones incomplete."""
    monkeypatch.setattr(shared_attention, "_ROWS", 24)
    monkeypatch.setattr(shared_attention, "_KEYS", 100)


@pytest.mark.parametrize("spread", [0.1, 1.0, 60.0], ids=["flat", "usual", "one key takes all"])
@pytest.mark.parametrize("objects", [1, 3])
def test_equals_the_softmax(objects: int, spread: float) -> None:
    query, keys, values = sample(objects, spread)
    found = attend(query, keys, values, rounded=False)
    torch.testing.assert_close(found.double(), written_out(query, keys, values), atol=2e-5, rtol=0)


def test_large_logits_do_not_overflow() -> None:
    query, keys, values = sample(spread=1000.0)
    found = attend(query, keys, values, rounded=False)
    torch.testing.assert_close(found.double(), written_out(query, keys, values), atol=1e-3, rtol=0)


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="needs a CPU with bfloat16")
@pytest.mark.parametrize(("spread", "limit"), [(0.1, 1e-4), (1.0, 2e-3), (60.0, 5e-2), (1000.0, 0.5)])
def test_bfloat16_errs_by_a_fraction_of_what_attention_adds(spread: float, limit: float) -> None:
    query, keys, values = sample(spread=spread)
    found = attend(query, keys, values, rounded=True).double()
    error = (found - written_out(query, keys, values)).abs().max()
    plain = (query.bfloat16() @ keys.bfloat16().T * SCALE).softmax(-1)
    plain_result = torch.einsum("qhk,nkc->nqhc", plain, values.bfloat16()).flatten(2).double()
    assert error < limit
    assert error < (plain_result - written_out(query, keys, values)).abs().max()
