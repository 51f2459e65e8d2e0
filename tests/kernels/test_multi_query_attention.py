"""Blockwise attention against the softmax written out in double precision."""

import pytest
import torch
from torch import Tensor

from uniref.kernels.matmul import cpu_has_bfloat16
from uniref.kernels.multi_query_attention import multi_query_attention

SCALE = 0.25


def sample(objects: int = 2, spread: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys whose logits have about this standard deviation, and values far from zero."""
    query, keys = torch.randn(30, 3, 16) * spread, torch.randn(257, 16) + 2
    return query, keys, torch.randn(objects, 257, 16) * 0.1 + 5


def written_out(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """[N, Q, H * C] in float64."""
    weights = (query.double() @ keys.double().T * SCALE).softmax(-1)
    return torch.einsum("qhk,nkc->nqhc", weights, values.double()).flatten(2)


def attend(query: Tensor, keys: Tensor, values: Tensor, bfloat16: bool) -> Tensor:
    return multi_query_attention(query, keys, values, SCALE, lambda x: x.flatten(2), bfloat16)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks of queries and keys, the last ones incomplete."""
    monkeypatch.setattr("uniref.kernels.multi_query_attention._ROWS", 24)
    monkeypatch.setattr("uniref.kernels.multi_query_attention._KEYS", 100)


@pytest.mark.parametrize("spread", [0.1, 1.0, 60.0], ids=["flat", "usual", "one key takes all"])
@pytest.mark.parametrize("objects", [1, 3])
def test_equals_the_softmax(objects: int, spread: float) -> None:
    query, keys, values = sample(objects, spread)
    found = attend(query, keys, values, bfloat16=False)
    torch.testing.assert_close(found.double(), written_out(query, keys, values), atol=2e-5, rtol=0)


def test_large_logits_do_not_overflow() -> None:
    query, keys, values = sample(spread=1000.0)
    found = attend(query, keys, values, bfloat16=False)
    torch.testing.assert_close(found.double(), written_out(query, keys, values), atol=1e-3, rtol=0)


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="needs a CPU with bfloat16")
@pytest.mark.parametrize(("spread", "limit"), [(0.1, 1e-4), (1.0, 2e-3), (60.0, 5e-2), (1000.0, 0.5)])
def test_bfloat16_errs_by_a_fraction_of_what_attention_adds(spread: float, limit: float) -> None:
    query, keys, values = sample(spread=spread)
    found = attend(query, keys, values, bfloat16=True).double()
    error = (found - written_out(query, keys, values)).abs().max()
    plain = (query.bfloat16() @ keys.bfloat16().T * SCALE).softmax(-1)
    plain_result = torch.einsum("qhk,nkc->nqhc", plain, values.bfloat16()).flatten(2).double()
    assert error < limit
    assert error < (plain_result - written_out(query, keys, values)).abs().max()


def layer(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, torch.nn.Linear]:
    """Of the sizes of the real ones: 8 heads, 256 channels, attention spread over all keys; and the projection."""
    generator = torch.Generator().manual_seed(seed)
    query, keys, values = (
        torch.randn(shape, generator=generator) for shape in ((60, 8, 256), (900, 256), (1, 900, 256))
    )
    out = torch.nn.Linear(8 * 256, 256)
    with torch.no_grad():
        out.weight.copy_(torch.randn(256, 2048, generator=generator) * 2048**-0.5)
    return query * 0.25, keys, values + 1, out


@torch.no_grad()
def relative_error(bfloat16: bool) -> float:
    """Of the projected attention, against float64."""
    query, keys, values, out = layer()
    found = multi_query_attention(query, keys, values, SCALE, lambda x: out(x.flatten(2)), bfloat16)
    exact = written_out(query, keys, values) @ out.weight.double().T + out.bias.double()
    return float((found - exact).norm() / exact.norm())


def test_the_error_of_a_whole_layer_in_float32() -> None:
    assert relative_error(bfloat16=False) < 5e-6


def test_the_error_of_a_whole_layer_with_bfloat16_products() -> None:
    """Ten times as much where the products that are meant to be float32 are rounded as well."""
    assert relative_error(bfloat16=True) < 5e-4


@pytest.mark.parametrize("bfloat16", [False, True])
def test_float32_products_are_never_permitted_to_round(bfloat16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On processors whose oneDNN would round them (matrix tiles), the switch stays off around `project_out`."""
    monkeypatch.setattr("uniref.kernels.matmul.onednn_is_exact", lambda: False)
    switch = getattr(torch.backends.mkldnn, "matmul", None)
    before, seen = getattr(switch, "fp32_precision", None), []

    def project_out(x: Tensor) -> Tensor:
        seen.append(getattr(switch, "fp32_precision", None))
        return x.flatten(2)

    query, keys, values = sample()
    multi_query_attention(query, keys, values, SCALE, project_out, bfloat16)
    assert set(seen) == {before}
