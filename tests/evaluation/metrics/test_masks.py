from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.evaluation.oracle import boundaries, scores
from uniref.core.errors import UniRefError
from uniref.evaluation.metrics.masks import boundary_map, boundary_radius, score_labels, score_masks, score_pairs


@st.composite
def masks(draw: st.DrawFn, count: int = 2) -> list[np.ndarray]:
    """Masks of one size: noise, or a rectangle that may touch the border; small frames have a radius of 1 or 2."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 140))
    out = []
    for _ in range(count):
        if draw(st.booleans()):
            out.append(draw(arrays(np.bool_, (height, width))))
            continue
        mask = np.zeros((height, width), bool)
        y, x = draw(st.integers(0, height)), draw(st.integers(0, width))
        mask[y : y + draw(st.integers(0, height)), x : x + draw(st.integers(0, width))] = True
        out.append(mask)
    return out


@given(masks())
@settings(max_examples=200, deadline=None)
def test_equals_dilation_of_full_frames(pair: list[np.ndarray]) -> None:
    prediction, truth = pair
    found = score_masks(prediction, truth)
    assert (found.region, found.boundary) == pytest.approx(scores(prediction, truth), abs=1e-12)


@given(masks(1))
@settings(max_examples=50, deadline=None)
def test_identity_is_one(one: list[np.ndarray]) -> None:
    assert score_masks(one[0], one[0].copy()).mean == 1.0
    assert (boundary_map(one[0]) == boundaries(one[0])).all()


@given(masks())
@settings(max_examples=50, deadline=None)
def test_symmetry(pair: list[np.ndarray]) -> None:
    there, back = score_masks(*pair), score_masks(*reversed(pair))
    assert there.region == back.region
    assert there.boundary == pytest.approx(back.boundary, abs=1e-15)
    turned = score_masks(pair[0].T, pair[1].T)  # the boundary looks right and down alike
    assert turned == there


@given(masks(3))
@settings(max_examples=50, deadline=None)
def test_void_is_background(three: list[np.ndarray]) -> None:
    prediction, truth, void = three
    assert score_masks(prediction, truth, void) == score_masks(prediction & ~void, truth & ~void)


@given(masks(5))
@settings(max_examples=50, deadline=None)
def test_pairs_are_single_scores(five: list[np.ndarray]) -> None:
    predictions, truths = five[:2], five[2:]
    found = score_pairs(predictions, truths, truths[0].shape)
    assert found.shape == (3, 2, 2)
    for n, truth in enumerate(truths):
        for p, prediction in enumerate(predictions):
            one = score_masks(prediction, truth)
            assert tuple(found[n, p]) == (one.region, one.boundary)


def test_large_radius_against_full_frames() -> None:
    ys, xs = np.mgrid[:480, :854]
    truth = ((ys - 30) / 90) ** 2 + ((xs - 830) / 120) ** 2 < 1  # touches two borders
    prediction = np.roll(truth, (7, -5), (0, 1))
    assert boundary_radius(480, 854) == 8
    found = score_masks(prediction, truth)
    assert (found.region, found.boundary) == pytest.approx(scores(prediction, truth), abs=1e-12)


def test_conventions_for_empty_masks() -> None:
    empty, full = np.zeros((6, 9), bool), np.ones((6, 9), bool)
    some = empty.copy()
    some[2:4, 3:6] = True
    assert score_masks(empty, empty) == score_masks(full, full)
    assert score_masks(empty, empty).mean == 1
    for pair in ((empty, some), (some, empty)):
        assert score_masks(*pair).mean == 0
    assert score_masks(full, empty).boundary == 1  # neither has a boundary


def test_labels_are_scored_by_id() -> None:
    truth = np.zeros((20, 30), np.uint8)
    truth[2:9, 2:9], truth[10:18, 12:25] = 1, 2
    prediction = np.where(truth == 2, 5, truth).astype(np.uint8)
    one, two, five = score_labels(prediction, truth, [1, 2, 5])
    assert one.mean == 1
    assert two.mean == five.mean == 0


def test_another_size_is_refused() -> None:
    with pytest.raises(UniRefError, match="a mask is 9 x 6 pixels, the ground truth 8 x 6; masks are never resized"):
        score_masks(np.zeros((6, 9), bool), np.zeros((6, 8), bool))
    with pytest.raises(UniRefError, match="never resized"):
        score_labels(np.zeros((6, 9), np.uint8), np.zeros((9, 6), np.uint8), [1])
    with pytest.raises(UniRefError, match="never resized"):
        score_pairs([np.zeros((6, 9), bool)], [np.zeros((6, 8), bool)], (6, 8))
