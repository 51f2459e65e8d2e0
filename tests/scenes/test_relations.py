"""Which object an expression refers to, and that it refers to none where people would differ."""

from __future__ import annotations

import numpy as np
import pytest

from uniref_scenes.language import NOUNS, NounPhrase, Query
from uniref_scenes.relations import MeasuredObject, MeasuredScene, resolve

SIDE = 200
ANY = NounPhrase()


def measured(
    noun: str,
    x: float | np.ndarray = 100.0,
    y: float = 100.0,
    side: float | np.ndarray = 30.0,
    shown: float = 1.0,
    frames: int = 1,
    turn: float = 0.0,
) -> MeasuredObject:
    """An object as a square; `x` and `side` per frame or for all."""
    xs, sides = np.broadcast_to(x, frames).astype(float), np.broadcast_to(side, frames).astype(float)
    ys = np.full(frames, y)
    return MeasuredObject(
        noun=NOUNS[noun],
        colour="red",
        colours=frozenset(("red", "pink")),
        pattern="plain",
        area=sides**2 * shown,
        visible_share=np.full(frames, shown),
        x=xs,
        y=ys,
        box=np.stack([xs - sides / 2, ys - sides / 2, xs + sides / 2, ys + sides / 2], 1),
        path=np.stack([xs, ys], 1),
        size=sides,
        angle=np.linspace(0, turn, frames),
    )


def target(query: Query, *objects: MeasuredObject, words: tuple[str | None, ...] = ()) -> int | None:
    return resolve(query, MeasuredScene(objects, SIDE, SIDE, words))


@pytest.mark.parametrize(("ratio", "expected"), [(1.45, None), (1.55, 1)])
def test_the_largest_is_half_as_large_again(ratio: float, expected: int | None) -> None:
    small, large = measured("car"), measured("car", side=30 * ratio**0.5)
    assert target(Query("size", NounPhrase("car"), "largest"), small, large) == expected
    assert target(Query("size", NounPhrase("car"), "smallest"), large, small) == expected


def test_sizes_of_half_hidden_objects_are_not_compared() -> None:
    query = Query("size", ANY, "largest")
    assert target(query, measured("car", side=60), measured("cup")) == 0
    assert target(query, measured("car", side=60, shown=0.6), measured("cup")) is None


@pytest.mark.parametrize(("gap", "expected"), [(19, None), (21, 0)])
def test_left_needs_a_gap(gap: float, expected: int | None) -> None:
    query = Query("place", NounPhrase("car"), "left")
    assert target(query, measured("car", x=50), measured("car", x=50 + gap)) == expected


def test_the_middle_is_one_of_three() -> None:
    cars = [measured("car", x=x) for x in (150, 50, 100)]
    assert target(Query("place", NounPhrase("car"), "middle"), *cars) == 2
    assert target(Query("place", NounPhrase("car"), "second from the left"), *cars) == 2
    assert target(Query("place", NounPhrase("car"), "right"), *cars) == 0
    assert target(Query("place", NounPhrase("car"), "middle"), *cars, measured("car", x=190)) is None


def test_a_word_that_some_would_use_is_no_rival_and_no_target() -> None:
    """Some call a truck a car: beside one, "the car" is open to doubt."""
    query = Query("name", NounPhrase("car"))
    assert target(query, measured("car"), measured("cup")) == 0
    assert target(query, measured("car"), measured("truck")) is None
    assert target(Query("name", NounPhrase("truck")), measured("car"), measured("truck")) == 1
    assert target(Query("name", NounPhrase("car", "pink")), measured("car"), measured("cup")) is None


def test_what_the_background_shows_is_not_referred_to() -> None:
    house, cup = measured("house"), measured("cup")
    assert target(Query("name", NounPhrase("house")), house, cup) == 0
    assert target(Query("name", NounPhrase("house")), house, cup, words=("house", None)) is None
    assert target(Query("place", ANY, "left"), measured("cup", x=20), house, words=(None,)) is None


def test_motion_is_net_displacement() -> None:
    moves = Query("motion", NounPhrase("car"), "moves right")
    goes, stays = measured("car", x=np.linspace(50, 120, 5), frames=5), measured("car", x=20, frames=5)
    assert target(moves, goes, stays) == 0
    assert target(Query("motion", NounPhrase("car"), "still"), goes, stays) == 1
    slow = measured("car", x=np.linspace(50, 65, 5), frames=5)
    assert target(moves, slow, stays) is None
    assert target(Query("motion", NounPhrase("car"), "still"), slow, stays) is None


def test_growing_and_turning() -> None:
    grows, turns = measured("ball", side=np.linspace(30, 50, 5), frames=5), measured("ball", frames=5, turn=120)
    assert target(Query("motion", NounPhrase("ball"), "grows"), grows, turns) == 0
    assert target(Query("motion", NounPhrase("ball"), "turns"), grows, turns) == 1
    assert target(Query("motion", NounPhrase("ball"), "grows"), measured("ball", frames=5), turns) is None


def test_relations_have_one_anchor() -> None:
    cup, left, right = measured("cup"), measured("car", x=50), measured("car", x=150)
    assert target(Query("relation", NounPhrase("car"), "left of", NounPhrase("cup")), cup, left, right) == 1
    assert target(Query("relation", NounPhrase("cup"), "right of", NounPhrase("car")), cup, left, right) is None


def test_in_front_of_hides_a_part() -> None:
    behind, front = measured("car", x=90, shown=0.7), measured("cup", x=105)
    query = Query("relation", NounPhrase("cup"), "in front of", NounPhrase("car"))
    assert target(query, behind, front) == 1
    assert target(query, measured("car", x=90), front) is None
