"""Large inputs take other kernels and share work between objects; the results must not care."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import tiny_config
from uniref import Predictor
from uniref.inference import inference_model
from uniref.inference.inference_model import pool_tokens
from uniref.kernels.matmul import cpu_has_bfloat16
from uniref.model import deformable_layers
from uniref.model.structures import ReferenceTokens
from uniref.recipe.model import FusionConfig
from uniref.weights.checkpoint import Checkpoint, load_checkpoint

SIZE = (128, 160)  # small enough for the plain kernels; the tests lower the limits


@pytest.fixture(scope="module")
def loaded(checkpoint: Path) -> Checkpoint:
    """The tiny model with heads as wide as the model, so that its projections fold."""
    from uniref.model.uniref import UniRef

    loaded = load_checkpoint(checkpoint)
    torch.manual_seed(1)
    wide = UniRef(tiny_config(fusion=FusionConfig(heads=2, head_dim=32))).eval()
    torch.nn.init.normal_(wide.fusion.modulation.weight, std=0.2)
    return Checkpoint(wide, loaded.tokenizer, loaded.config)


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    ground = np.random.default_rng(5).integers(0, 256, (*SIZE, 3), np.uint8)
    return [np.roll(ground, 3 * i, axis=1) for i in range(3)]


@pytest.fixture(scope="module")
def masks() -> dict[int, np.ndarray]:
    ys, xs = np.mgrid[: SIZE[0], : SIZE[1]]
    return {n: (ys - 60) ** 2 + (xs - 40 * n) ** 2 < 18**2 for n in (1, 2, 3)}


def run(loaded: Checkpoint, frames, masks, fast: bool = False, dtype: str = "float32") -> list[list[float]]:
    predictor = Predictor(loaded, device="cpu", dtype=dtype, fast=fast)
    stream = predictor.segment_video(frames, "dog", masks={0: masks}, score_threshold=0.0, short_side=None)
    return [list(result.scores.values()) for result in stream]


def test_fast_kernels_and_shared_work_change_nothing(loaded, frames, masks, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = run(loaded, frames, masks)
    monkeypatch.setattr(inference_model, "_LARGE", 1)
    monkeypatch.setattr(deformable_layers, "_MANY_ROWS", 1)
    monkeypatch.setattr("uniref.model.unifusion._MANY_TOKENS", 1)
    fast = run(loaded, frames, masks)
    np.testing.assert_allclose(fast, plain, atol=1e-4)


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="this CPU has no bfloat16 products")
def test_automatic_precision_rounds_the_attention_alone(loaded, frames, masks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uniref.model.unifusion._MANY_TOKENS", 1)
    exact, rounded = run(loaded, frames, masks), run(loaded, frames, masks, dtype="auto")
    np.testing.assert_allclose(rounded, exact, atol=1e-3)
    assert rounded != exact


def test_precision_is_told(loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    for has in (True, False):
        monkeypatch.setattr(inference_model, "cpu_has_bfloat16", lambda has=has: has)
        told = {dtype: Predictor(loaded, "cpu", dtype) for dtype in ("auto", "float32", "bfloat16")}
        assert [told[d].precision for d in told] == ["float32", "float32", "bfloat16"]
        first = Predictor(loaded, "cpu", "auto").attention_precision
        assert first == ("bfloat16" if has else "float32")
        assert Predictor(loaded, "cpu", "float32").attention_precision == "float32"


def test_the_fast_option_stays_close(loaded, frames, masks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uniref.model.unifusion._MANY_TOKENS", 1)
    np.testing.assert_allclose(run(loaded, frames, masks, fast=True), run(loaded, frames, masks), atol=0.05)


def test_pooling_averages_what_is_not_padded() -> None:
    keys = torch.arange(12.0).view(1, 12, 1)  # a level of 3 x 4
    padding = torch.zeros(1, 12, dtype=torch.bool)
    padding[0, [3, 7, 10, 11]] = True  # the last column, and the last row's right half
    pooled = pool_tokens(ReferenceTokens(keys, keys, padding, keys[:, 0]), (3, 4))
    assert pooled.padding.tolist() == [[False, False, False, True]]
    assert pooled.keys[0, :3, 0].tolist() == [2.5, 4.0, 8.5]


def test_feed_forward_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = deformable_layers.FeedForward(8, 16, 0.0).eval(), torch.randn(2, 700, 8)
    expected = net(x)
    monkeypatch.setattr(deformable_layers, "_MANY_ROWS", 1)
    monkeypatch.setattr(deformable_layers, "_ROWS", 100)
    with torch.no_grad():
        torch.testing.assert_close(net(x), expected)
