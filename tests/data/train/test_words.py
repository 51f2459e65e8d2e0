"""Words under flips and crops."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uniref.data.train.augment import has_ordinal, swap_sides


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("man on left", "man on right"),
        ("leftmost bright cat right of upright post", "rightmost bright cat left of upright post"),
        ("left most", "right most"),
        ("lefthand side alright", "righthand side alright"),
        ("a cleft", "a cleft"),
        ("two lefts and the rights of man", "two rights and the lefts of man"),
        ("leftward, rightwards, lefter, left handed", "rightward, leftwards, righter, right handed"),
    ],
)
def test_whole_words_trade_sides(text: str, mirrored: str) -> None:
    assert swap_sides(text) == mirrored
    assert swap_sides(mirrored) == text


def test_the_released_way_also_reaches_into_words() -> None:
    assert swap_sides("bright left", released=True) == "bleft right"


@given(st.lists(st.sampled_from(["left", "right", "leftmost", "bright", "rights", "man", "2nd"])))
def test_twice_mirrored_is_the_same(words: list[str]) -> None:
    text = " ".join(words)
    for released in (False, True):
        assert swap_sides(swap_sides(text, released), released) == text


@pytest.mark.parametrize(
    ("text", "whole", "released"),
    [
        ("second cup", True, True),
        ("cup in seconds", False, True),
        ("3rd from left", True, False),
        ("three men", False, False),
        ("tenth", True, True),
    ],
)
def test_ordinals(text: str, whole: bool, released: bool) -> None:
    assert has_ordinal(text) is whole
    assert has_ordinal(text, released=True) is released
