"""Agreement with the released system, through `uniref convert` and the public interface."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.golden.compare import DEVICE, SCORE, close, same_pixels
from tests.golden.conftest import Golden
from uniref import Predictor
from uniref.model.deformable_transformer import pixel_positions
from uniref.ops.images import normalise, pad_batch
from uniref.weights.checkpoint import Checkpoint, load_checkpoint

pytestmark = [pytest.mark.golden, pytest.mark.slow]

Converted = Callable[[str], Path]


@pytest.fixture(scope="module")
def loaded(converted: Converted) -> Checkpoint:
    return load_checkpoint(converted("r50"))


@pytest.fixture(scope="module")
def predictor(converted: Converted) -> Predictor:
    return Predictor.from_pretrained(converted("r50"), device=DEVICE)


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


def network_input(image: np.ndarray) -> tuple[Tensor, Tensor]:
    batch = pad_batch([normalise(image, image.shape[:2])])
    return batch.images, batch.padding


@pytest.mark.parametrize(("variant", "step"), [("r50", 16), ("swint", 8), ("swinl", 16)])
def test_backbone(variant: str, step: int, golden: Golden, converted: Converted) -> None:
    expected = golden(f"backbone_{variant}")
    folder = converted(variant)
    maps = load_checkpoint(folder).model.backbone(network_input(expected["image"])[0])
    for name, feature in zip(("res2", "res3", "res4", "res5"), maps, strict=True):
        close(feature[:, ::step], expected[name], 1e-4)
        assert float(feature.abs().mean()) == pytest.approx(float(expected[f"{name}_meanabs"]), rel=1e-4)
    if variant == "swinl":
        shutil.rmtree(folder)  # 1.4 GB that nothing else needs


def test_every_stage_of_an_image_with_text(golden: Golden, loaded: Checkpoint) -> None:
    expected, model = golden("ris"), loaded.model
    assert loaded.tokenizer is not None
    ids, valid = loaded.tokenizer([str(expected["text"])])
    words = ids.shape[1]
    assert np.array_equal(ids, expected["input_ids"][:, :words])
    assert np.array_equal(valid, expected["attention_mask"][:, :words].astype(bool))
    assert not expected["attention_mask"][:, words:].any()
    text = model.encode_text(ids, valid)
    close(text[0].keys, expected["lang_refs"][:, :words], 1e-4)
    close(text[0].embedding, expected["lang_embed"], 1e-4)
    features = model.encode_image(*network_input(expected["image"]))
    assert np.array_equal(features.paddings[0], expected["pad0"])
    close(pixel_positions(features.paddings[3], 256), expected["pos3"], 1e-5)
    fused = model.fuse(features, [model.project(text)])
    for level in (0, 3):
        close(features.levels[level], expected[f"src{level}"], 1e-4)
        close(fused.levels[level], expected[f"fused{level}"], 1e-4)
    found = model.detect(fused)
    close(torch.cat([x.flatten(2).transpose(1, 2) for x in found.memory], 1), expected["memory"], 1e-3)
    close(found.reference_boxes[0], expected["init_reference"], 1e-3)
    close(found.query_states[-1], expected["hs_last"], 1e-3)
    close(found.logits[-1], expected["pred_logits"], 1e-3)
    close(found.boxes[-1], expected["pred_boxes"], 1e-3)
    best = model.best_queries(found)
    assert int(best) == int(expected["top_query"])
    close(model.predict_best_masks(fused, found, best)[0], expected["top_mask_logits"], 1e-3)


@pytest.mark.parametrize(("name", "variant"), [("ris", "r50"), ("ris_swint", "swint")])
def test_image_by_text(name: str, variant: str, golden: Golden, converted: Converted) -> None:
    expected = golden(name)
    predictor = Predictor.from_pretrained(converted(variant), device=DEVICE)
    found = predictor.segment_image(expected["image"], text=str(expected["text"]), short_side=None)
    assert found.score == pytest.approx(float(expected["score"][0]), abs=SCORE)
    assert np.abs(found.box - expected["box_xyxy"][0]).max() < 0.1
    same_pixels(found.mask, expected["mask"])


@pytest.mark.parametrize("shots", [1, 2])
def test_image_by_support(shots: int, golden: Golden, predictor: Predictor, loaded: Checkpoint) -> None:
    expected = golden(f"fss{shots}")
    support = [(expected[f"support{i}"], expected[f"support_mask{i}"]) for i in range(shots)]
    found = predictor.segment_image(expected["image"], support=support, short_side=None)
    assert found.score == pytest.approx(float(expected["score"][0]), abs=SCORE)
    assert np.abs(found.box - expected["box_xyxy"][0]).max() < 0.1
    same_pixels(found.mask, expected["mask"])

    batch = pad_batch([normalise(image, image.shape[:2]) for image, _ in support])
    masks = torch.zeros(batch.images[:, 0].shape)
    for i, (_, mask) in enumerate(support):
        masks[i, : mask.shape[0], : mask.shape[1]] = torch.from_numpy(mask)
    features = loaded.model.encode_image(batch.images, batch.padding)
    reference = loaded.model.encode_mask(features, batch.images, masks)
    for level in (0, 3):
        size = features.levels[level].shape[-2:]
        close(reference[level].values.transpose(1, 2).unflatten(2, size), expected[f"value{level}"], 1e-4)


def test_video_by_masks(golden: Golden, predictor: Predictor) -> None:
    expected = golden("vos")
    first, second = expected["first_masks"]
    masks = {0: {1: first, 2: second}, 2: {3: expected["frame2_mask"][0]}}
    results = list(
        predictor.segment_video(
            expected["frames"], masks=masks, score_threshold=float(expected["score_threshold"]), short_side=None
        )
    )
    for result, labels in zip(results, expected["labels"], strict=True):
        same_pixels(result.labels, labels)
    scores = [score for result in results for score in result.scores.values()]
    assert np.abs(np.array(scores) - expected["scores"][:, 0]).max() < SCORE


def test_video_by_text_with_propagation(golden: Golden, predictor: Predictor) -> None:
    expected = golden("rvos")
    results = list(
        predictor.segment_video(
            expected["frames"],
            text=str(expected["text"]),
            propagate=True,
            score_threshold=float(expected["score_threshold"]),
            short_side=None,
        )
    )
    for result, mask in zip(results, expected["masks"], strict=True):
        same_pixels(result.masks[1], mask)
        same_pixels(result.labels == 1, mask)
    assert np.abs(np.array([r.scores[1] for r in results]) - expected["scores"][:, 0]).max() < SCORE


def test_video_by_texts_frame_by_frame(golden: Golden, predictor: Predictor) -> None:
    expected = golden("rvos")
    texts = [str(text) for text in expected["davis_texts"]]
    results = list(predictor.segment_video(expected["frames"], text=texts, propagate=False, short_side=None))
    for result, labels in zip(results, expected["davis_labels"], strict=True):
        same_pixels(result.labels, labels)
    by_text = [result.scores[number] for number in (1, 2) for result in results]
    assert np.abs(np.array(by_text) - expected["davis_scores"][:, 0]).max() < SCORE


@pytest.mark.parametrize(("variant", "classes", "text"), [("rec_r50", 1, True), ("pre_r50", 365, False)])
def test_partial_variants_convert(variant: str, classes: int, text: bool, converted: Converted) -> None:
    loaded = load_checkpoint(converted(variant))
    assert loaded.config.model is not None
    assert loaded.config.model.classes == classes
    assert (loaded.model.text_encoder is not None) == text
    assert loaded.model.mask_encoder is None
