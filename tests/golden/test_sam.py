"""UniFusion in SAM: agreement with the released system, through `uniref convert` and the public interface."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.golden.compare import SCORE, close, same_pixels
from tests.golden.conftest import Golden
from uniref import Predictor
from uniref.ops.images import normalise, pad_batch
from uniref.weights.checkpoint import Checkpoint, load_checkpoint

pytestmark = [pytest.mark.golden, pytest.mark.slow]


@pytest.fixture(scope="module")
def loaded(converted: Callable[[str], Path]) -> Checkpoint:
    return load_checkpoint(converted("sam_vitb"))


@pytest.fixture(scope="module")
def predictor(converted: Callable[[str], Path]) -> Predictor:
    return Predictor.from_pretrained(converted("sam_vitb"), device="cpu")


@torch.no_grad()
def test_every_stage_of_an_image_with_text(golden: Golden, loaded: Checkpoint, predictor: Predictor) -> None:
    expected, model = golden("sam_ris"), loaded.model
    assert loaded.tokenizer is not None
    image, text = expected["image"], str(expected["text"])
    batch = pad_batch([normalise(image, image.shape[:2])], model.input_size)
    features = model.encode_image(batch.images, batch.padding)
    fused = model.fuse(features, [model.project(model.encode_text(*loaded.tokenizer([text])))])
    close(features.levels[0][:, ::16, ::4, ::4], expected["emb"], 1e-4)
    close(fused.levels[0][:, ::16, ::4, ::4], expected["fused"], 1e-4)
    found = model.segment(fused)
    close(found.scores, expected["iou"], 1e-3)
    logits = F.interpolate(found.logits[:, None], scale_factor=4, mode="bilinear")[0, :, : image.shape[0]]
    close(logits[..., : image.shape[1]], expected["mask_logits"], 1e-3)
    result = predictor.segment_image(image, text=text, short_side=None)
    assert result.score == pytest.approx(float(expected["iou"][0]), abs=SCORE)
    same_pixels(result.mask, expected["mask"])


def test_image_by_support(golden: Golden, predictor: Predictor) -> None:
    expected = golden("sam_fss")
    support = [(expected["support0"], expected["support_mask0"])]
    result = predictor.segment_image(expected["image"], support=support, short_side=None)
    assert result.score == pytest.approx(float(expected["iou"][0]), abs=SCORE)
    same_pixels(result.mask, expected["mask"])


def test_video_by_text_with_propagation(golden: Golden, predictor: Predictor) -> None:
    expected = golden("sam_rvos")
    results = list(predictor.segment_video(expected["frames"], text=str(expected["text"]), short_side=None))
    for result, mask in zip(results, expected["masks"], strict=True):
        same_pixels(result.masks[1], mask)
        same_pixels(result.labels == 1, mask)
    assert np.abs(np.array([result.scores[1] for result in results]) - expected["ious"]).max() < SCORE
