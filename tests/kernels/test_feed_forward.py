"""The feed-forward network in chunks against the plain module, in float32 against float64."""

import copy

import pytest
import torch

from uniref.kernels import feed_forward
from uniref.kernels.feed_forward import ChunkedFeedForward
from uniref.model.deformable_layers import FeedForward


@torch.no_grad()
def test_chunks_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, x = FeedForward(8, 16, 0.1).eval(), torch.randn(2, 700, 8)
    kernel = ChunkedFeedForward(plain)
    exact = copy.deepcopy(plain).double()(x.double())
    assert torch.equal(kernel(x), plain(x))  # few tokens: the same arithmetic
    monkeypatch.setattr(feed_forward, "_MANY_ROWS", 1)
    monkeypatch.setattr(feed_forward, "_ROWS", 100)
    torch.testing.assert_close(kernel(x).double(), exact, atol=2e-6, rtol=0)
