"""A tiny model's frozen answers (see `tests.golden.tiny`): they are compared everywhere, also without `../shared`."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from tests.golden import tiny
from uniref.inference.predictor import Predictor

PIXELS = 0.002  # share that may differ: those at the border of a mask, where processors round differently


@pytest.fixture(scope="module")
def found() -> Mapping[str, np.ndarray]:
    return tiny.answers(tiny.tiny_bundle())


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(tiny.tiny_bundle(), "cpu", own=True)


with np.load(tiny.FILE) as archive:
    EXPECTED = {name: archive[name] for name in archive.files}


def test_nothing_is_missing(found: Mapping[str, np.ndarray]) -> None:
    assert set(found) == set(EXPECTED)
    assert tiny.FILE.stat().st_size < 1_000_000


@pytest.mark.parametrize("name", EXPECTED)
def test_answer(name: str, found: Mapping[str, np.ndarray]) -> None:
    expected = EXPECTED[name]
    assert found[name].shape == expected.shape
    if expected.dtype in (np.uint8, np.bool_):
        assert len(np.unique(expected)) > 1
        frames = (found[name] != expected).reshape(-1, *expected.shape[-2:])
        assert frames.mean((1, 2)).max() <= PIXELS
    elif name.startswith("loss_"):
        assert found[name] == pytest.approx(expected, rel=1e-3, abs=1e-6)
    else:
        assert np.abs(found[name] - expected).max() < (0.1 if name.endswith("box") else 1e-3)


def test_a_score_at_the_threshold_means_absent(predictor: Predictor) -> None:
    """Of a text in its first frame, and of an object that a mask was given for in its second."""
    score = tiny.followed_text(predictor)[0].scores[1]
    assert not tiny.followed_text(predictor, threshold=score)[0].masks[1].any()
    assert tiny.followed_text(predictor, threshold=float(np.nextafter(score, 0)))[0].masks[1].any()
    score = tiny.videos(predictor)[1].scores[9]
    assert not tiny.videos(predictor, threshold=score)[1].masks[9].any()
    assert tiny.videos(predictor, threshold=float(np.nextafter(score, 0)))[1].masks[9].any()


def test_objects_are_merged_in_the_order_of_their_ids_as_text(predictor: Predictor) -> None:
    """The background's probability is a product, whose rounding depends on the order."""
    tracker = predictor.track({9: "a disk", 20: "a disk", 100: "a disk"})
    assert tracker._order() == [100, 20, 9]


@pytest.mark.parametrize("side", [24, 47, 96])
def test_what_is_put_out_where_a_mask_is_given(side: int, predictor: Predictor) -> None:
    """The mask itself, or what the released system makes of it: nearest pixel centres to the network, bilinear back."""
    image, masks = tiny.scene(0)
    given = {0: {1: masks[0]}}
    exact = next(predictor.segment_video([image], masks=given, short_side=side))
    assert np.array_equal(exact.labels == 1, masks[0])
    released = next(predictor.segment_video([image], masks=given, short_side=side, exact_masks=False))
    height, width = masks[0].shape
    size = (round(width * side / height), side)
    small = np.asarray(Image.fromarray(masks[0].astype(np.uint8)).resize(size, Image.Resampling.NEAREST))
    back = F.interpolate(torch.tensor(small)[None, None].float(), (height, width), mode="bilinear")[0, 0] > 0.5
    assert np.array_equal(released.labels == 1, back.numpy())
    assert (side == 96) == np.array_equal(back.numpy(), masks[0])
