"""Scores of present and absent phrases: kinds, and how well they are told apart."""

import pytest

from benchmarks.presence import auc, auc_range, kind_of
from uniref_scenes import SceneOptions, make_scene


def test_the_area_is_the_share_of_pairs_in_the_right_order() -> None:
    found = [
        {"present": [0.9, 0.4], "other noun": [0.4], "hard": [0.1]},
        {"present": [0.6], "other noun": [0.7], "hard": []},
    ]
    assert auc(found, "hard") == 1
    assert auc(found, "other noun") == pytest.approx((1 + 0.5 + 1 + 1) / 6)
    low, high = auc_range(found, "other noun")
    assert 0 <= low <= auc(found, "other noun") <= high <= 1


def test_an_absent_phrase_is_hard_where_its_noun_is_shown() -> None:
    kinds = set()
    for number in range(6):
        scene = make_scene("seen", number, SceneOptions(size=96, seed=77, nothing=6))
        for place, expression in enumerate(scene.expressions):
            kind = kind_of(scene, place)
            kinds.add(kind)
            assert (kind == "present") == (expression.target is not None)
            if kind == "hard":
                assert any(obj.noun.fits(expression.query.name.noun) == 1 for obj in scene.measured.objects)
    assert kinds == {"present", "other noun", "hard"}
