import numpy as np

from uniref.core.boxes import mask_bounds
from uniref.media.draw import _shortened, colour, draw_overlay, drawable


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
    assert mask_bounds(empty) is None


def test_a_label_is_written_near_the_object(picture: np.ndarray, disk: np.ndarray) -> None:
    plain, written = draw_overlay(picture, {1: disk}), draw_overlay(picture, {1: disk}, {1: "dog"})
    assert not np.array_equal(plain, written)


def test_masks_at_the_border(picture: np.ndarray) -> None:
    full = np.ones(picture.shape[:2], bool)
    assert draw_overlay(picture, {3: full}, {3: "everything"}).shape == picture.shape


def labelled(labels: dict[int, str], size: tuple[int, int] = (120, 320)) -> np.ndarray:
    """Where the labels of equal masks stand: the pixels that differ from the drawing without them."""
    ground = np.zeros((*size, 3), np.uint8)
    mask = np.zeros(size, bool)
    mask[50:80, 20:60] = True
    masks = dict.fromkeys(labels, mask)
    return (draw_overlay(ground, masks, labels) != draw_overlay(ground, masks)).any(-1)


def test_labels_of_one_place_do_not_cover_each_other() -> None:
    one, two, three = (labelled({n: "a cup 0.50" for n in range(1, count + 1)}).sum() for count in (1, 2, 3))
    assert two > 1.8 * one
    assert three > 2.6 * one


def test_long_labels_are_shortened_and_keep_their_score() -> None:
    columns = np.flatnonzero(labelled({1: "word " * 60 + "0.79"}).any(0))
    assert columns[-1] - columns[0] < 0.65 * 320
    assert _shortened("a very long name 0.79", 12, len) == "a ve... 0.79"
    assert _shortened("short 0.79", 12, len) == "short 0.79"


def test_letters_that_the_font_lacks() -> None:
    assert drawable("a caf\u00e9 in \u0141\u00f3d\u017a")
    assert not drawable("\u043c\u0430\u0448\u0438\u043d\u0430")
