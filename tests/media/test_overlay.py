import numpy as np

from uniref.media.overlay import bounds, colour, draw_overlay


def test_inside_is_tinted_and_the_rest_untouched(picture: np.ndarray, disk: np.ndarray) -> None:
    out = draw_overlay(picture, {1: disk})
    far = ~disk.copy()
    far[8:40, 15:50] = False
    assert np.array_equal(out[far], picture[far])
    mixed = picture[24, 32] * 0.55 + np.array(colour(1)) * 0.45
    assert np.abs(out[24, 32] - mixed).max() <= 1
    assert (out == colour(1)).all(-1).sum() > 50  # the outline


def test_empty_masks_and_labels_change_nothing(picture: np.ndarray, disk: np.ndarray) -> None:
    empty = np.zeros_like(disk)
    assert np.array_equal(draw_overlay(picture, {1: empty}, {1: "nothing"}), picture)
    assert bounds(empty) is None


def test_a_label_is_written_near_the_object(picture: np.ndarray, disk: np.ndarray) -> None:
    plain, written = draw_overlay(picture, {1: disk}), draw_overlay(picture, {1: disk}, {1: "dog"})
    assert not np.array_equal(plain, written)


def test_masks_at_the_border(picture: np.ndarray) -> None:
    full = np.ones(picture.shape[:2], bool)
    assert draw_overlay(picture, {3: full}, {3: "everything"}).shape == picture.shape
