"""Kernels and work shared between objects: the results must not depend on them."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import tiny_config
from uniref import Predictor
from uniref.inference.inference_model import InferenceModel, pool_tokens
from uniref.inference.results import FrameResult
from uniref.inference.video import VideoTracker
from uniref.kernels import InferenceKernel
from uniref.kernels.matmul import cpu_has_bfloat16
from uniref.model.structures import ReferenceTokens
from uniref.recipe.model import FusionConfig
from uniref.weights.checkpoint import Checkpoint, load_checkpoint

SIZE = (128, 160)  # fewer tokens than kernels are for; the tests lower the limits


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


@pytest.fixture
def kernels_for_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uniref.kernels.unifusion._MANY_TOKENS", 1)
    monkeypatch.setattr("uniref.kernels.feed_forward._MANY_ROWS", 1)
    monkeypatch.setattr("uniref.kernels.matmul._LARGE", 1)


def predictor(loaded: Checkpoint, **options: object) -> Predictor:
    return Predictor(loaded, device="cpu", **options)


def run(predictor: Predictor, frames, masks) -> list[list[float]]:
    """Scores of a text and of objects given by masks."""
    stream = predictor.segment_video(frames, "dog", masks={0: masks}, score_threshold=0.0, short_side=None)
    return [list(result.scores.values()) for result in stream]


@pytest.mark.usefixtures("kernels_for_any_size")
def test_kernels_change_nothing(loaded, frames, masks, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = predictor(loaded)
    assert any(isinstance(part, InferenceKernel) for part in prepared._model.network.modules())
    monkeypatch.setattr("uniref.inference.image_predictor.prepare_for_inference", lambda *_, **__: None)
    plain = predictor(loaded)
    assert not any(isinstance(part, InferenceKernel) for part in plain._model.network.modules())
    np.testing.assert_allclose(run(prepared, frames, masks), run(plain, frames, masks), atol=1e-4)


@pytest.mark.usefixtures("kernels_for_any_size")
@pytest.mark.parametrize("plain", [True, False])
def test_objects_predicted_together_equal_objects_predicted_alone(loaded, frames, masks, plain: bool) -> None:
    model = predictor(loaded)._model
    if plain:
        model = InferenceModel(loaded.model, loaded.tokenizer, torch.device("cpu"))

    def track(objects: dict[int, np.ndarray], texts: dict[int, str]) -> FrameResult:
        tracker = VideoTracker(model, texts, score_threshold=0.0, short_side=None)
        return [tracker.step(frame, objects if index == 0 else None) for index, frame in enumerate(frames[:2])][1]

    together = track(masks, {7: "dog", 8: "cat"})
    for number, mask in masks.items():
        assert track({number: mask}, {}).scores[number] == pytest.approx(together.scores[number], abs=1e-4)
    assert track({}, {7: "dog"}).scores[7] == pytest.approx(together.scores[7], abs=1e-4)


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="this CPU has no bfloat16 products")
@pytest.mark.usefixtures("kernels_for_any_size")
def test_automatic_precision_rounds_the_attention_alone(loaded, frames, masks) -> None:
    exact, rounded = (run(predictor(loaded, dtype=dtype), frames, masks) for dtype in ("float32", "auto"))
    np.testing.assert_allclose(rounded, exact, atol=1e-3)
    assert rounded != exact


def test_precision_is_reported(loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    for has in (True, False):
        monkeypatch.setattr("uniref.kernels.prepare.cpu_has_bfloat16", lambda has=has: has)
        made = {dtype: predictor(loaded, dtype=dtype) for dtype in ("auto", "float32", "bfloat16")}
        assert [each.precision for each in made.values()] == ["float32", "float32", "bfloat16"]
        assert made["auto"].attention_precision == ("bfloat16" if has else "float32")
        assert made["float32"].attention_precision == "float32"
        assert made["bfloat16"].attention_precision == "bfloat16"


@pytest.mark.usefixtures("kernels_for_any_size")
def test_the_fast_option_stays_close(loaded, frames, masks) -> None:
    fast, exact = (run(predictor(loaded, fast=fast), frames, masks) for fast in (True, False))
    np.testing.assert_allclose(fast, exact, atol=0.05)


def test_an_own_model_is_prepared_itself(loaded) -> None:
    shared = predictor(loaded)
    assert shared._model.network is not loaded.model
    checkpoint = Checkpoint(copy.deepcopy(loaded.model), loaded.tokenizer, loaded.config)
    assert predictor(checkpoint, own=True)._model.network is checkpoint.model


def test_pooling_averages_what_is_not_padded() -> None:
    keys = torch.arange(12.0).view(1, 12, 1)  # a level of 3 x 4
    padding = torch.zeros(1, 12, dtype=torch.bool)
    padding[0, [3, 7, 10, 11]] = True  # the last column, and the last row's right half
    pooled = pool_tokens(ReferenceTokens(keys, keys, padding, keys[:, 0]), (3, 4))
    assert pooled.padding.tolist() == [[False, False, False, True]]
    assert pooled.keys[0, :3, 0].tolist() == [2.5, 4.0, 8.5]


def test_frames_may_change_their_size_across_the_limits_of_kernels(
    loaded, frames, masks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First and previous reference differ in length, and the frames lie on both sides of the limit."""
    monkeypatch.setattr("uniref.kernels.unifusion._MANY_TOKENS", 300)
    sizes = [frames[0], *(np.ascontiguousarray(frame[:64, :96]) for frame in frames[1:])]
    results = list(predictor(loaded).segment_video(sizes, masks={0: masks}, score_threshold=0.0, short_side=None))
    assert [result.labels.shape for result in results] == [SIZE, (64, 96), (64, 96)]
