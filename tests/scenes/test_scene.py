"""Drawn scenes: repeatable, exactly masked, truly described, and divided between training and tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from uniref_scenes import SETS, Scene, SceneOptions, make_scene
from uniref_scenes.bank import DRAWN_BANK
from uniref_scenes.language import HELD_OUT, NOUNS
from uniref_scenes.relations import fits

IMAGE, VIDEO = SceneOptions(size=128), SceneOptions(size=96, frames=5)


def scenes(name: str, count: int, options: SceneOptions = IMAGE) -> list[Scene]:
    return [make_scene(name, number, options) for number in range(count)]


@pytest.mark.parametrize("options", [IMAGE, VIDEO])
def test_a_scene_is_a_function_of_its_number(options: SceneOptions) -> None:
    first, again, other = (make_scene("train", number, options) for number in (3, 3, 4))
    for a, b in zip(first.frames, again.frames, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [e.text for e in first.expressions] == [e.text for e in again.expressions]
    assert first.frames[0].shape != other.frames[0].shape or (first.frames[0] != other.frames[0]).any()


def test_shapes_and_labels() -> None:
    for scene in [*scenes("train", 8), *scenes("val", 4, VIDEO)]:
        assert len(scene.frames) == len(scene.labels)
        for image, labels in zip(scene.frames, scene.labels, strict=True):
            assert image.dtype == labels.dtype == np.uint8
            assert image.shape == (*labels.shape, 3)
            assert labels.max() <= len(scene.objects)
        assert 2 <= len(scene.objects) <= 6


def test_objects_cover_a_sensible_part_of_the_image() -> None:
    for scene in scenes("train", 6):
        inside = scene.labels[0] > 0
        assert 0.005 < inside.mean() < 0.9


@pytest.mark.slow
def test_every_expression_refers_to_exactly_one_object() -> None:
    """Checked without the generator's own logic where that is easy: nouns and colours of all objects, and positions."""
    checked = 0
    for scene in scenes("train", 60):
        nouns = [obj.noun for obj in scene.objects]
        for expression in scene.expressions:
            assert expression.target is not None
            assert (scene.labels[0] == expression.target + 1).any()
            name = expression.query.name
            if expression.kind in ("noun", "synonym", "hypernym"):
                fitting = [n for n, noun in enumerate(nouns) if noun.fits(name.noun) == 1]
                assert fitting == [expression.target]
                checked += 1
            elif expression.kind == "place" and expression.query.condition == "left" and name.noun is None:
                visible = [n for n in range(len(nouns)) if (scene.labels[0] == n + 1).any()]
                centres = {n: np.nonzero(scene.labels[0] == n + 1)[1].mean() for n in visible}
                if name.colour is None:
                    assert min(centres, key=lambda n: centres[n]) == expression.target
                    checked += 1
    assert checked > 20


@pytest.mark.slow
def test_the_words_are_needed() -> None:
    """In most scenes another object shares the noun, the hypernym or the colour of the target."""
    rivals = 0
    made = scenes("train", 40)
    for scene in made:
        names = [obj.noun.name for obj in scene.objects]
        wider = [word for obj in scene.objects for word in obj.noun.hypernyms]
        rivals += len(set(names)) < len(names) or len(set(wider)) < len(wider)
    assert rivals > len(made) / 2


@pytest.mark.slow
def test_every_kind_of_expression_occurs() -> None:
    kinds = {e.kind for scene in scenes("train", 80) for e in scene.expressions}
    kinds |= {e.kind for scene in scenes("train", 60, VIDEO) for e in scene.expressions}
    assert {"noun", "synonym", "hypernym", "colour", "colour noun", "size", "place", "motion", "relation"} <= kinds


@pytest.mark.slow
def test_sets_are_disjoint() -> None:
    train, val, test = (SETS[name] for name in ("train", "val", "test"))
    styles = [set(s.styles) for s in (train, val, test)]
    assert not (styles[0] & styles[1] or styles[0] & styles[2] or styles[1] & styles[2])
    assert len({train.backgrounds, val.backgrounds, test.backgrounds}) == 3
    for scene in scenes("train", 30):
        for expression in scene.expressions:
            assert expression.query.name.noun not in HELD_OUT
        assert not {obj.noun.name for obj in scene.objects} & set(HELD_OUT)
    for scene in scenes("novel", 10):
        for expression in scene.expressions:
            assert scene.objects[expression.target or 0].noun.name in HELD_OUT


@pytest.mark.slow
def test_held_out_pairs_are_referred_to_in_their_set_only() -> None:
    asked = [e.query.name for scene in scenes("pairs", 12) for e in scene.expressions]
    assert asked
    assert all(name.noun in NOUNS and DRAWN_BANK.held_out_pair(name.noun, name.colour or "") for name in asked)
    for scene in scenes("train", 30):
        for e in scene.expressions:
            name = e.query.name
            if name.noun in NOUNS and name.colour:
                assert not DRAWN_BANK.held_out_pair(name.noun, name.colour)


@pytest.mark.parametrize("set_name", ["train", "wording"])
def test_expressions_that_refer_to_nothing_are_of_all_kinds_and_change_nothing_else(set_name: str) -> None:
    options = SceneOptions(size=96, nothing=5)
    kinds: set[str] = set()
    hard = 0
    for number in range(30):
        scene = make_scene(set_name, number, options)
        absent = [e for e in scene.expressions if e.target is None]
        present = [e for e in scene.expressions if e.target is not None]
        assert present == list(make_scene(set_name, number, replace(options, nothing=0)).expressions)
        assert len({e.text for e in absent}) == len(absent) <= 5
        for e in absent:
            name = e.query.name
            assert e.kind == "nothing"
            assert all(fits(name, obj) == -1 for obj in scene.measured.objects)
            if name.noun in NOUNS and name.colour:
                assert not DRAWN_BANK.held_out_pair(name.noun, name.colour)
            hard += any(obj.noun.fits(name.noun) == 1 for obj in scene.measured.objects)
            kinds.add(e.query.kind)
            if e.query.anchor is not None:  # the anchor is there, and it is one object
                scores = [fits(e.query.anchor, obj) for obj in scene.measured.objects]
                assert sorted(scores)[-1] == 1
                assert sum(score >= 0 for score in scores) == 1
    assert kinds == {"name", "size", "place", "relation"}
    assert hard > 20  # the right noun in another colour or pattern
