"""MOSEv2: its numbers against the published definitions, written out plainly."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare
from tests.evaluation.conftest import Score
from tests.evaluation.oracle import boundaries
from uniref.evaluation.metrics.adaptive import score_adaptive
from uniref.evaluation.metrics.masks import disk_rows

VIDEO = "00ff00ff"
SIZE = (120, 160)
"""Of the frames: in tiny ones the evaluator's disks are empty."""


def footprint(radius: float) -> np.ndarray:
    """What skimage.morphology.disk gives for any radius."""
    axis = np.arange(-radius, radius + 1)
    x, y = np.meshgrid(axis, axis)
    return np.asarray(x**2 + y**2 <= radius**2)


def dilate(mask: np.ndarray, element: np.ndarray) -> np.ndarray:
    """cv2.dilate: a pixel gets the largest value under the element, whose anchor is in the middle of the array."""
    height, width = mask.shape
    anchor = element.shape[0] // 2
    padded = np.pad(mask, element.shape[0])
    out = np.zeros_like(mask)
    for i, j in zip(*np.nonzero(element), strict=True):
        top, left = element.shape[0] + i - anchor, element.shape[0] + j - anchor
        out |= padded[top : top + height, left : left + width]
    return out


def contour(prediction: np.ndarray, truth: np.ndarray, radius: float) -> float:
    drawn, wanted = boundaries(prediction), boundaries(truth)
    if not drawn.any() or not wanted.any():
        return float(drawn.any() == wanted.any())
    precision = (drawn & dilate(wanted, footprint(radius))).sum() / drawn.sum()
    recall = (wanted & dilate(drawn, footprint(radius))).sum() / wanted.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def plain(prediction: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """J, F and F_new of a frame."""
    union = int((prediction | truth).sum())
    j = (int((prediction & truth).sum()) + 1) / (union + 1) if union else 1.0
    of_image = 0.008 * math.sqrt(truth.shape[0] ** 2 + truth.shape[1] ** 2)
    own = min(of_image, math.ceil(0.1 * math.sqrt(truth.sum()))) if truth.any() else of_image
    f_new = contour(prediction, truth, own)
    return j, (contour(prediction, truth, math.ceil(of_image)) if own < of_image else f_new), f_new


@pytest.mark.parametrize("size", [(24, 32), (200, 330), (301, 417)])
@pytest.mark.parametrize("side", [0, 5, 17, 90])
def test_scores_of_a_mask(size: tuple[int, int], side: int) -> None:
    """Objects smaller and larger than the image's tolerance, at its border too."""
    rng = np.random.default_rng(side)
    for _ in range(3):
        y, x = rng.integers(0, size[0]), rng.integers(0, size[1])
        truth = build.box_mask(y, x, y + side, x + side, *size)
        prediction = np.roll(truth, rng.integers(-4, 5, 2), (0, 1)) ^ (rng.random(size) < 0.0005)
        found = score_adaptive(prediction, truth)
        assert (found.region, found.boundary, found.adaptive) == pytest.approx(plain(prediction, truth), abs=1e-12)


def test_disks_between_integers() -> None:
    """Whole radii are centred; others are not, as in the evaluator."""
    assert disk_rows(1) == ((1, 0, 0), (0, -1, 1), (-1, 0, 0))
    for radius in (1.0, 2.4, 3.264, 3.7, 17.62):
        point = np.zeros((61, 61), bool)
        point[30, 30] = True
        expected = dilate(point, footprint(radius))
        found = np.zeros_like(point)
        for row, first, last in disk_rows(radius):
            found[30 + row, 30 + first : 31 + last] = True
        assert np.array_equal(found, expected)


def frames(length: int, gone: dict[int, tuple[int, ...]]) -> list[dict[int, tuple[int, int, int, int]]]:
    """Boxes by object id and frame; object n is absent in `gone[n]`."""
    places = {1: (3, 3, 9, 9), 2: (12, 12, 20, 20), 3: (1, 20, 5, 30)}
    return [{n: box for n, box in places.items() if t not in gone.get(n, ())} for t in range(length)]


def test_numbers(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    """Object 1 vanishes twice and is back once, object 2 is away at first and comes back, object 3 stays."""
    length, gone = 10, {1: (3, 4, 8, 9), 2: (1, 2)}
    for t, boxes in enumerate(frames(length, gone)):
        build.picture(tmp_path / f"m/valid/JPEGImages/{VIDEO}/{t:05d}.jpg", *SIZE)
        build.label_map(tmp_path / f"truth/{VIDEO}/{t:05d}.png", boxes, *SIZE)
        moved = {n: (y + t % 3, x, b + t % 3, r) for n, (y, x, b, r) in boxes.items()}
        if t in (2, 4):
            moved = frames(length, {})[t]  # also what is not there
        build.label_map(tmp_path / f"p/{VIDEO}/{t:05d}.png", moved, *SIZE)
    build.label_map(tmp_path / f"m/valid/Annotations/{VIDEO}/00000.png", frames(1, {})[0], *SIZE)
    prepare("mose-v2", tmp_path / "m", "val")
    found = score("mose-v2/val", tmp_path / "p", "--truth", str(tmp_path / "truth"))["numbers"]

    def labels(folder: str, t: int) -> np.ndarray:
        return np.asarray(Image.open(tmp_path / folder / VIDEO / f"{t:05d}.png"))

    # objects, frames 1 to T - 2
    values = {
        n: np.array([plain(labels("p", t) == n, labels("truth", t) == n) for t in range(1, length - 1)])
        for n in (1, 2, 3)
    }
    j, f, f_new = np.mean([v.mean(0) for v in values.values()], 0)
    assert [found[k] for k in ("J", "F", "F_new")] == pytest.approx([j, f, f_new], abs=1e-12)
    assert (found["J&F"], found["J&F_new"]) == (pytest.approx((j + f) / 2), pytest.approx((j + f_new) / 2))
    both = {n: (v[:, 0] + v[:, 2]) / 2 for n, v in values.items()}  # places are frames less 1
    disappearance = (both[1][2:4].mean() + both[1][7:8].mean()) / 2
    reappearance = (both[1][4:7].mean() + both[2][2:].mean()) / 2
    assert found["J&F_new disappearance"] == pytest.approx(disappearance, abs=1e-12)
    assert found["J&F_new reappearance"] == pytest.approx(reappearance, abs=1e-12)
    assert next(iter(found)) == "J&F_new"


def test_missing_videos_count_as_zero(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    """In J and F, but not where objects disappear or come back."""
    for video in (VIDEO, "11aa11aa"):
        for t, boxes in enumerate(frames(6, {1: (2,)})):
            build.picture(tmp_path / f"m/valid/JPEGImages/{video}/{t:05d}.jpg", *SIZE)
            build.label_map(tmp_path / f"truth/{video}/{t:05d}.png", boxes, *SIZE)
            if video == VIDEO:
                build.label_map(tmp_path / f"p/{video}/{t:05d}.png", boxes, *SIZE)
        build.label_map(tmp_path / f"m/valid/Annotations/{video}/00000.png", frames(1, {})[0], *SIZE)
    prepare("mose-v2", tmp_path / "m", "val")
    options = ("--truth", str(tmp_path / "truth"), "--allow-missing")
    found = score("mose-v2/val", tmp_path / "p", *options)["numbers"]
    assert (found["J&F_new"], found["F"], found["J&F_new without missing"]) == (0.5, 0.5, 1)
    assert (found["J&F_new disappearance"], found["J&F_new reappearance"]) == (1, 1)
