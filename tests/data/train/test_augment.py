"""Pictures, masks and boxes move together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uniref.core.boxes import mask_box
from uniref.data.train.augment import Crop, Flip, Transform, draw_clip_transforms, draw_image_transform
from uniref.recipe.data import AugmentConfig

SMALL = AugmentConfig(
    short_sides=(64, 96, 128), max_long_side=200, crop=0.7, crop_short_sides=(80, 110), crop_sides=(50, 90)
)
sizes = st.tuples(st.integers(20, 150), st.integers(20, 150))
seeds = st.integers(0, 2**32)


def picture(size: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A black picture with a white rectangle, and its mask."""
    rng = np.random.default_rng(seed)
    top, bottom = sorted(rng.choice(size[0] + 1, 2, replace=False))
    left, right = sorted(rng.choice(size[1] + 1, 2, replace=False))
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=2), mask


def check_agreement(transform: Transform, image: np.ndarray, mask: np.ndarray) -> None:
    moved, seen = transform.image(image), transform.mask(mask)
    assert seen.shape == moved.shape[:2]
    clear = (moved[..., 0] > 250) | (moved[..., 0] < 5)  # elsewhere the edge is smoothed
    assert ((moved[..., 0] > 128) == seen)[clear].mean() > 0.97
    box, tight = transform.boxes(np.array([mask_box(mask)], np.float32))[0], mask_box(seen)
    if tight is not None:
        # one pixel of the original covers several of the result
        slack = 1 + max(seen.shape) / min(mask.shape)
        np.testing.assert_allclose(box, tight, atol=slack)


@settings(max_examples=60, deadline=None)
@given(sizes, seeds)
def test_image_transforms_move_everything_alike(size: tuple[int, int], seed: int) -> None:
    image, mask = picture(size, seed)
    transform = draw_image_transform(np.random.default_rng(seed), size, SMALL, may_crop=True)
    check_agreement(transform, image, mask)
    height, width = transform.mask(mask).shape
    assert max(height, width) <= 200
    assert min(height, width) in SMALL.short_sides or max(height, width) == 200


@settings(max_examples=60, deadline=None)
@given(sizes, seeds)
def test_clip_transforms_share_size_and_flip(size: tuple[int, int], seed: int) -> None:
    image, mask = picture(size, seed)
    transforms = draw_clip_transforms(np.random.default_rng(seed), size, SMALL, 2)
    for transform in transforms:
        check_agreement(transform, image, mask)
    assert transforms[0].flipped == transforms[1].flipped
    shapes = [transform.mask(mask).shape for transform in transforms]
    short = [min(shape) for shape in shapes if max(shape) < 200]
    assert len(set(short)) <= 1  # unless the long side limits it


def test_clip_frames_are_cropped_each_for_itself() -> None:
    """Whether there is a crop is drawn once per clip."""
    crops, flips, draws = [], 0, 400
    for seed in range(draws):
        transforms = draw_clip_transforms(np.random.default_rng(seed), (120, 150), SMALL, 2)
        crops.append([next((s for s in t.steps if isinstance(s, Crop)), None) for t in transforms])
        flips += transforms[0].flipped
    cropped = np.array([[crop is not None for crop in pair] for pair in crops])
    assert np.abs(cropped.mean(0) - 0.7).max() < 0.1
    assert (cropped[:, 0] == cropped[:, 1]).all()
    assert all(a != b for a, b in crops if a and b)
    assert abs(flips / draws - 0.5) < 0.1


def test_crops_have_the_sides_asked_for() -> None:
    config = SMALL.model_copy(update={"crop": 1.0})
    for seed in range(200):
        steps = draw_image_transform(np.random.default_rng(seed), (120, 150), config, may_crop=True).steps
        crop = next(step for step in steps if isinstance(step, Crop))
        assert min(crop.size) >= 50 and max(crop.size) <= 90
        assert crop.top >= 0 and crop.left >= 0
    small = draw_image_transform(np.random.default_rng(0), (10, 12), config.model_copy(update={"flip": 0}), True)
    assert next(step for step in small.steps if isinstance(step, Crop)).size[0] <= 80


def test_no_crop_where_it_is_not_allowed() -> None:
    for seed in range(100):
        steps = draw_image_transform(np.random.default_rng(seed), (120, 150), SMALL, may_crop=False).steps
        assert not any(isinstance(step, Crop) for step in steps)


def test_flip_is_its_own_inverse() -> None:
    image, mask = picture((30, 40), 3)
    twice = Transform((Flip(40), Flip(40)))
    np.testing.assert_array_equal(twice.image(image), image)
    np.testing.assert_array_equal(twice.mask(mask), mask)
    boxes = np.array([[1, 2, 11, 12]], np.float32)
    np.testing.assert_array_equal(twice.boxes(boxes), boxes)
    np.testing.assert_array_equal(Flip(40).boxes(boxes), [[29, 2, 39, 12]])


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (1080, 1920), (333, 500)])
def test_released_sizes(size: tuple[int, int]) -> None:
    released = AugmentConfig()
    for seed in range(50):
        transform = draw_image_transform(np.random.default_rng(seed), size, released, may_crop=False)
        height, width = transform.mask(np.ones(size, bool)).shape
        assert min(height, width) in range(480, 801, 32) or max(height, width) == 1333
        assert max(height, width) <= 1333
