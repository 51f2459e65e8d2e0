"""Prediction with UniFusion in SAM."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.counting import encoder_calls
from tests.tiny import tiny_sam_config
from uniref import Predictor, UsageError
from uniref.core.boxes import mask_box
from uniref.inference.inference_model import Frame, MaskPredictions
from uniref.model.sam import UniRefSam
from uniref.model.structures import Features
from uniref.model.text import TextTokenizer
from uniref.ops.images import normalise, pad_batch
from uniref.weights.checkpoint import Checkpoint, save_checkpoint
from uniref.weights.checkpoint_config import CheckpointMetadata
from uniref_cli.app import run

SIDE = 128


def awake() -> UniRefSam:
    """A model whose references make a difference, and whose masks cover a part of any picture."""
    torch.manual_seed(0)
    made = UniRefSam(tiny_sam_config()).eval()
    for name, parameter in made.named_parameters():
        if parameter.dim() > 1 and name.startswith("sam."):
            torch.nn.init.xavier_uniform_(parameter, 2)
    torch.nn.init.normal_(made.fusion.modulation.weight, std=0.5)
    return made


@pytest.fixture
def loaded() -> Checkpoint:
    model = awake()
    return Checkpoint(model, TextTokenizer.bert_base_uncased(), CheckpointMetadata(model=model.config))


@pytest.fixture
def predictor(loaded: Checkpoint) -> Predictor:
    return Predictor(loaded, device="cpu")


def clip(frames: int = 4) -> list[np.ndarray]:
    ground = np.random.default_rng(3).integers(0, 256, (48, 64, 3), np.uint8)
    return [np.roll(ground, 2 * i, axis=1) for i in range(frames)]


def test_image(predictor: Predictor, picture: np.ndarray, disk: np.ndarray) -> None:
    found = predictor.segment_image(picture, text="the red car")
    assert found.mask.shape == (48, 64)
    assert 0 <= found.score <= 1
    assert 0 < found.mask.sum() < found.mask.size
    assert found.box.tolist() == list(mask_box(found.mask) or ())
    shown = predictor.segment_image(picture, support=[(picture, disk), (picture[:40, :50].copy(), disk[:40, :50])])
    assert not np.array_equal(shown.mask, found.mask)


def test_images_together(predictor: Predictor, picture: np.ndarray) -> None:
    images = [picture, picture[::-1].copy()]
    for image, result in zip(images, predictor.segment_images(images, "a disk", batch=2), strict=True):
        alone = predictor.segment_image(image, "a disk")
        assert result.score == pytest.approx(alone.score, abs=1e-5)
        assert (result.mask == alone.mask).mean() > 0.999


def test_the_encoder_runs_once_an_image(loaded: Checkpoint, picture: np.ndarray, disk: np.ndarray) -> None:
    assert isinstance(loaded.model, UniRefSam)
    predictor = Predictor(loaded, device="cpu")
    calls = encoder_calls(predictor._model.network)
    predictor.segment_image(picture, text=["a car", "a dog", "the tree on the left"])
    assert calls == [1]
    predictor.segment_image(picture, support=[(picture, disk)] * 3)
    assert calls == [1, 1, 3]  # the picture, and the three examples together


def test_the_encoder_runs_once_a_frame(loaded: Checkpoint, disk: np.ndarray) -> None:
    assert isinstance(loaded.model, UniRefSam)
    predictor = Predictor(loaded, device="cpu")
    calls = encoder_calls(predictor._model.network)
    masks = {0: {3: disk, 4: ~disk}, 2: {5: disk}}
    results = list(predictor.segment_video(clip(), text=["a car", "a dog"], masks=masks, score_threshold=-1.0))
    assert calls == [1] * 4
    assert [sorted(result.scores) for result in results] == [[1, 2, 3, 4]] * 2 + [[1, 2, 3, 4, 5]] * 2
    assert np.array_equal(results[0].masks[3], disk & (results[0].labels == 3))


@pytest.mark.parametrize("short_side", [None, 96, "default"])
def test_what_the_square_is_padded_with_is_cut_off(
    predictor: Predictor, loaded: Checkpoint, short_side: object
) -> None:
    image = clip(1)[0]
    result = predictor.segment_image(image, text="a dog", short_side=short_side)
    size = {None: (48, 64), 96: (96, 128), "default": (96, 128)}[short_side]
    model = loaded.model
    with torch.no_grad():
        batch = pad_batch([normalise(image, size), torch.randn(3, 100, 90)], SIDE)  # beside another image
        assert batch.images.shape == (2, 3, SIDE, SIDE)
        assert loaded.tokenizer is not None
        reference = model.project(model.encode_text(*loaded.tokenizer(["a dog", "a dog"])))
        found = model.segment(model.fuse(model.encode_image(batch.images, batch.padding), [reference]))
        logits = F.interpolate(found.logits[:1, None], scale_factor=4, mode="bilinear")[:, :, : size[0], : size[1]]
        mask = F.interpolate((logits > 0).float(), size=(48, 64))[0, 0].bool().numpy()
    assert (mask == result.mask).mean() > 0.999
    assert result.score == pytest.approx(float(found.scores[0]), abs=1e-5)


def test_an_image_larger_than_the_square(predictor: Predictor) -> None:
    large = np.zeros((200, 150, 3), np.uint8)
    assert predictor.segment_image(large, text="a dog").mask.shape == (200, 150)
    assert predictor.segment_image(large, text="a dog", short_side=800, long_side=1333).mask.shape == (200, 150)
    with pytest.raises(UsageError, match="150 x 200 pixels do not fit into this model's square of 128"):
        predictor.segment_image(large, text="a dog", short_side=None)


def test_videos_compare_logits_with_a_half(predictor: Predictor, loaded: Checkpoint) -> None:
    frame = Frame(Features((), (), torch.zeros(1, 2)), torch.zeros(1, 3, SIDE, SIDE), (96, SIDE), (48, 64))
    logits = torch.randn(2, 32, 32)
    p = predictor._model.video_probabilities(MaskPredictions(logits, [0.5, 0.5], None), 1, frame, by_mask=True)
    full = F.interpolate(logits[1:, None], scale_factor=4, mode="bilinear")[:, :, :96]
    expected = F.interpolate(full, size=(48, 64), mode="bilinear")[0, 0]
    assert torch.equal(p > 0.5, expected > 0.5)
    results = list(predictor.segment_video(clip(), text="a dog", score_threshold=-1.0))
    assert any(result.masks[1].any() for result in results)
    assert all(np.array_equal(result.masks[1], result.labels == 1) for result in results)


def test_nothing_seen_has_no_box(predictor: Predictor) -> None:
    (result,) = predictor.segment_video(clip(1), text="a dog", score_threshold=1.0)
    assert not result.masks[1].any()
    assert result.boxes[1].tolist() == [0, 0, 0, 0]


def test_the_fast_way_is_close(loaded: Checkpoint, disk: np.ndarray) -> None:
    exact = list(Predictor(loaded, "cpu").segment_video(clip(2), masks={0: {1: disk}}, score_threshold=-1.0))
    fast = list(Predictor(loaded, "cpu", fast=True).segment_video(clip(2), masks={0: {1: disk}}, score_threshold=-1.0))
    assert (exact[1].labels == fast[1].labels).mean() > 0.9


def test_the_command(loaded: Checkpoint, make_video: Callable[..., Path], mask_png: Path, tmp_path: Path) -> None:
    folder = tmp_path / "loaded"
    folder.mkdir()
    save_checkpoint(folder, loaded.model.state_dict(), loaded.config, loaded.tokenizer)
    command = ["predict", str(make_video()), "--text", "a dog", "--mask", str(mask_png), "--checkpoint", str(folder)]
    assert run([*command, "--out", str(tmp_path / "out"), "--save", "masks,rle", "--quiet"]) == 0
    assert len(list((tmp_path / "out/clip/masks").glob("*.png"))) == 5
    summary = json.loads((tmp_path / "out/clip/summary.json").read_text())
    assert len(summary["objects"]) == 2
