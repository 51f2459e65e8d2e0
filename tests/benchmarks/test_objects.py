"""How answers of several objects are counted."""

import numpy as np
import pytest

from benchmarks.objects import Counts, compare, middle, objects_by_noun, scores, tight_box
from uniref.inference.results import ImageResult
from uniref_scenes import SceneOptions, make_scene


def square(x: int, y: int = 0) -> np.ndarray:
    """bool [10, 40]: 8 x 8 pixels."""
    mask = np.zeros((10, 40), np.bool_)
    mask[y : y + 8, x : x + 8] = True
    return mask


def answer(mask: np.ndarray) -> ImageResult:
    return ImageResult(mask, 0.5, np.zeros(4, np.float32), True, None)


def test_each_object_is_found_once_and_the_rest_is_wrong() -> None:
    first, second, third = square(0), square(10), square(20)
    assert compare([answer(square(1)), answer(first), answer(second)], [first, second, third]) == Counts(2, 1, 1)
    assert compare([], [first]) == Counts(0, 0, 1)
    assert compare([answer(square(5))], [first]) == Counts(0, 1, 1)


def test_precision_recall_and_their_mean_are_over_all_phrases() -> None:
    precision, recall, mean = scores([Counts(2, 1, 1), Counts(1, 0, 2)])
    assert (precision, recall) == (0.75, 0.5)
    assert mean == pytest.approx(0.6)
    assert scores([Counts(0, 0, 3)]) == (0, 0, 0)


def test_objects_of_a_scene_are_grouped_by_noun() -> None:
    scene = make_scene("seen", 0, SceneOptions(size=96, seed=12))
    groups = objects_by_noun(scene)
    assert sum(map(len, groups.values())) == sum(bool(obj.visible[0]) for obj in scene.measured.objects) > 1
    assert groups.keys() <= {obj.noun.name for obj in scene.measured.objects}
    assert tight_box(square(3, 1)) == (3, 1, 11, 9)


def test_a_point_lies_on_its_object() -> None:
    ring = square(2) | square(20)
    x, y = middle(ring)
    assert ring[int(y), int(x)]
    assert x == 9  # the edge that faces the centre
    assert middle(square(3, 1))[0] in (6, 7)
