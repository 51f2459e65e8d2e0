"""The attention of UniFusion against a loop that is easy to believe."""

import pytest
import torch
from torch import Tensor

from uniref.ops.attention import attend_packed, attend_sdpa, cross_attention, flash_applies


def slow_attention(q: Tensor, k: Tensor, v: Tensor, padding: Tensor | None) -> Tensor:
    out = torch.zeros_like(q)
    for b in range(q.shape[0]):
        keep = torch.ones(k.shape[1], dtype=torch.bool) if padding is None else ~padding[b]
        for h in range(q.shape[2]):
            weights = (q[b, :, h] @ k[b, keep, h].T * q.shape[-1] ** -0.5).softmax(-1)
            out[b, :, h] = weights @ v[b, keep, h]
    return out


def sample() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    q, k, v = torch.randn(2, 5, 3, 8), torch.randn(2, 7, 3, 8), torch.randn(2, 7, 3, 8)
    padding = torch.zeros(2, 7, dtype=torch.bool)
    padding[0, 4:] = True
    padding[1, :2] = True
    return q, k, v, padding


@pytest.mark.parametrize("padded", [True, False])
def test_matches_a_plain_loop(padded: bool) -> None:
    q, k, v, padding = sample()
    mask = padding if padded else None
    torch.testing.assert_close(cross_attention(q, k, v, mask), slow_attention(q, k, v, mask))


def test_padded_keys_have_no_influence() -> None:
    q, k, v, padding = sample()
    expected = cross_attention(q, k, v, padding)
    k[padding], v[padding] = 1e4, -1e4
    torch.testing.assert_close(cross_attention(q, k, v, padding), expected)


def varlen_kernel(
    q: Tensor, k: Tensor, v: Tensor, cu_q: Tensor, cu_k: Tensor, max_q: int, max_k: int, dropout_p: float
) -> Tensor:
    """What flash-attn's variable-length kernel computes, by its documentation."""
    assert cu_q.dtype == cu_k.dtype == torch.int32
    assert dropout_p == 0
    assert max_k == int(cu_k.diff().max())
    assert max_q == int(cu_q.diff().max())
    parts = []
    for b in range(len(cu_q) - 1):
        rows, keys = slice(int(cu_q[b]), int(cu_q[b + 1])), slice(int(cu_k[b]), int(cu_k[b + 1]))
        parts.append(slow_attention(q[None, rows], k[None, keys], v[None, keys], None)[0])
    return torch.cat(parts)


def test_packed_path_equals_masked_path() -> None:
    q, k, v, padding = sample()
    packed = attend_packed(varlen_kernel, q, k, v, padding, 0.0)
    torch.testing.assert_close(packed, attend_sdpa(q, k, v, padding, 0.0))


def test_flash_is_for_cuda_half_precision_only() -> None:
    assert not flash_applies(torch.zeros(1, 1, 1, 8))
    assert not flash_applies(torch.zeros(1, 1, 1, 8, dtype=torch.bfloat16))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("padded", [True, False])
def test_flash_equals_sdpa_where_installed(padded: bool) -> None:
    pytest.importorskip("flash_attn")
    q, k, v, padding = (x.cuda() for x in sample())
    q, k, v = (x.to(torch.bfloat16) for x in (q, k, v))
    assert flash_applies(q)
    mask = padding if padded else None
    torch.testing.assert_close(cross_attention(q, k, v, mask), attend_sdpa(q, k, v, mask, 0.0), atol=2e-2, rtol=2e-2)
