"""Run-length masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from uniref.core import rle

MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@given(MASKS)
def test_round_trip(mask: np.ndarray) -> None:
    counts = rle.encode(mask)
    np.testing.assert_array_equal(rle.decode(counts, *mask.shape), mask)
    assert rle.area(counts, *mask.shape) == mask.sum()
    assert rle.covered(counts) == mask.size
    x0, y0, x1, y1 = (int(v) for v in rle.box(counts, *mask.shape))
    inside = np.zeros_like(mask)
    inside[y0:y1, x0:x1] = True
    assert not (mask & ~inside).any()


def test_large_runs_are_counted() -> None:
    mask = np.zeros((3000, 2000), bool)
    mask[1500:, 1990:] = True
    mask[7, 3] = True
    assert rle.covered(rle.encode(mask)) == mask.size


@given(st.binary(max_size=30))
def test_damaged_counts_are_an_error_or_do_not_fill_the_image(counts: bytes) -> None:
    try:
        assert rle.covered(counts) >= 0
    except ValueError:
        return
    with pytest.raises(ValueError, match="cover"):
        rle.from_segmentation({"size": [10**4, 10**4 + 1], "counts": counts}, 10**4, 10**4 + 1)


def test_every_kind_of_segmentation() -> None:
    polygon = [2.0, 1.0, 8.0, 1.0, 8.0, 5.0, 2.0, 5.0]
    counts = rle.from_segmentation([polygon], 10, 12)
    assert counts is not None
    expected = coco.decode(coco.frPyObjects([polygon], 10, 12))[..., 0]
    np.testing.assert_array_equal(rle.decode(counts, 10, 12), expected)
    runs = {"size": [2, 3], "counts": [1, 2, 3]}
    assert rle.decode(rle.from_segmentation(runs, 2, 3) or b"", 2, 3).T.reshape(-1).tolist() == [0, 1, 1, 0, 0, 0]
    text = {"size": [10, 12], "counts": counts.decode()}
    assert rle.from_segmentation(text, 10, 12) == counts
    assert rle.from_segmentation([[1.0, 2.0, 3.0, 4.0]], 10, 12) is None
    two = rle.from_segmentation([polygon, [9.0, 6.0, 11.0, 6.0, 11.0, 9.0]], 10, 12)
    assert two is not None
    assert rle.area(two, 10, 12) > rle.area(counts, 10, 12)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [10, 11], "counts": "0"}, "size"),
        ({"size": [10, 12], "counts": [3, 4]}, "cover 7"),
        ({"size": [10, 12]}, "no counts"),
        ("abc", "not polygons"),
        ([["a", 1, 2, 3, 4, 5]], "not a number"),
        ([[float("nan"), 1, 2, 3, 4, 5]], "finite"),
    ],
)
def test_what_is_refused(segmentation: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rle.from_segmentation(segmentation, 10, 12)
