"""Polygons of masks, filled again by others."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask
from scipy.ndimage import gaussian_filter

from uniref.inference.polygons import join_polygons, mask_polygons


def fill(polygons: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """The mask that pycocotools makes of polygons."""
    return coco_mask.decode(
        coco_mask.merge(coco_mask.frPyObjects([ring.flatten().tolist() for ring in polygons], *shape))
    ).astype(bool)


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def blobs(seed: int, shape: tuple[int, int] = (96, 128), sigma: float = 4) -> np.ndarray:
    """Several parts with holes, and holes with parts inside."""
    return gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma) > 0


@pytest.mark.parametrize("sigma", [0, 1, 4])
def test_exact_outlines_give_the_same_mask(sigma: float) -> None:
    mask = blobs(1, sigma=sigma)
    polygons = mask_polygons(mask, tolerance=0)
    assert np.array_equal(fill(polygons, mask.shape), mask)
    assert np.array_equal(fill([join_polygons(polygons)], mask.shape), mask)


def test_simpler_outlines_have_fewer_points_and_nearly_the_same_mask() -> None:
    mask = blobs(2, (480, 640), 12)
    exact, simple = mask_polygons(mask, 0), mask_polygons(mask)
    assert len(exact) == len(simple)
    assert sum(map(len, simple)) < sum(map(len, exact)) / 2
    assert iou(fill(simple, mask.shape), mask) > 0.99
    assert iou(fill([join_polygons(simple)], mask.shape), mask) > 0.99


def test_holes_are_left_out_by_even_odd_filling_too() -> None:
    ys, xs = np.mgrid[:200, :200]
    distance = np.hypot(ys - 100, xs - 90)
    mask = (distance < 80) & (distance > 40) | (distance < 15)
    polygons = mask_polygons(mask)
    assert len(polygons) == 2
    assert len(polygons[0]) > len(polygons[1])  # largest first
    image = Image.new("1", (200, 200))
    ImageDraw.Draw(image).polygon([tuple(point - 0.5) for point in join_polygons(polygons)], fill=1)
    drawn = np.asarray(image)
    assert not drawn[100, 90 + 27]
    assert drawn[100, 90] and drawn[100, 90 + 60]
    assert iou(drawn, mask) > 0.95  # Pillow draws the outline too


def test_parts_that_touch_at_a_corner_are_two() -> None:
    mask = np.zeros((8, 8), np.bool_)
    mask[1:4, 1:4] = mask[4:7, 4:7] = True
    assert len(mask_polygons(mask)) == 2
    assert np.array_equal(fill(mask_polygons(mask), mask.shape), mask)


@pytest.mark.parametrize("region", [np.s_[2:3, 2:3], np.s_[2:3, 1:8], np.s_[0:6, 0:9], np.s_[0:6, 8:9]])
def test_small_thin_and_full_masks_are_exact(region: tuple[slice, slice]) -> None:
    mask = np.zeros((6, 9), np.bool_)
    mask[region] = True
    [polygon] = mask_polygons(mask)
    assert np.array_equal(fill([polygon], mask.shape), mask)
    assert polygon.min() >= 0
    assert (polygon.max(0) <= (9, 6)).all()


def test_an_empty_mask_has_none() -> None:
    assert mask_polygons(np.zeros((6, 9), np.bool_)) == []
