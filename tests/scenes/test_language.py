"""The tables of words: whole words, each once, and of what exists."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import uniref_scenes
from uniref_scenes.backgrounds import HELD_OUT as HELD_OUT_BACKGROUNDS
from uniref_scenes.backgrounds import PATTERNS, SCENERY
from uniref_scenes.drawings import DRAWINGS
from uniref_scenes.language import (
    HELD_OUT,
    NOUNS,
    PLURALS,
    UNCOUNTABLE,
    NounPhrase,
    Query,
    phrase,
)
from uniref_scenes.named.packages import stamp_nouns
from uniref_scenes.named.photos import KNOWN_PHOTOS
from uniref_scenes.named.words import SUBGROUPS, read_table
from uniref_scenes.sprite import COLOUR_WORDS

LISTS: dict[str, Sequence[str]] = {
    "nouns": tuple(NOUNS),
    "held out": tuple(HELD_OUT),
    "plurals": PLURALS,
    "uncountable": UNCOUNTABLE,
    "colour words": COLOUR_WORDS,
    "names of emoji": tuple({row.names[0] for row in read_table()}),
    **{f"words of noun {n.name}": (n.name, *n.synonyms, *n.hypernyms, *n.maybe) for n in NOUNS.values()},
    **{f"words of emoji {row.labels}": (*row.names, *row.wider, *row.maybe) for row in read_table()},
    **{f"words of subgroup {name}": (*group.wider, *group.maybe) for name, group in SUBGROUPS.items()},
    **{f"words of photograph {name}": [w for w in words if w] for name, (_, words) in KNOWN_PHOTOS.items()},
    **{f"words of scenery {name}": words for name, (_, words) in SCENERY.items()},
}


def test_tables_hold_words_and_each_of_them_once() -> None:
    """A missing comma makes a row of words a row of letters."""
    for name, words in LISTS.items():
        assert not isinstance(words, str), name
        assert [word for word in words if len(word) < 2 or word != word.strip()] == [], name
        assert [word for word, count in Counter(words).items() if count > 1] == [], name


def test_tables_fit_each_other() -> None:
    assert DRAWINGS.keys() == NOUNS.keys()
    assert NOUNS.keys() >= HELD_OUT
    assert {colour for noun in NOUNS.values() for colour in noun.colours} <= set(COLOUR_WORDS)
    assert not set(PLURALS) & set(UNCOUNTABLE)
    assert set().union(*HELD_OUT_BACKGROUNDS.values()) <= {*PATTERNS, *SCENERY}
    assert min(len(noun) for noun in stamp_nouns().values()) > 1
    assert {division for division, _ in KNOWN_PHOTOS.values()} == {"train", "val", "test"}


def test_no_table_unpacks_a_string() -> None:
    """`*("traffic lights"),` is a row of letters: the parentheses alone make no tuple."""
    paths = sorted(Path(uniref_scenes.__file__).parent.rglob("*.py"))
    assert len(paths) > 20
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            unpacked = isinstance(node, ast.Starred) and isinstance(node.value, ast.Constant)
            assert not unpacked, f"{path.name}: line {getattr(node, 'lineno', 0)}"


@pytest.mark.parametrize("noun", [*PLURALS, "rice"])
def test_plurals_and_what_is_not_counted_take_no_article(noun: str) -> None:
    rng = np.random.default_rng(0)
    texts = {phrase(rng, Query("name", NounPhrase(noun, "red"))) for _ in range(200)}
    assert f"the red {noun}" in texts
    assert not {text for text in texts if text.startswith(("a ", "an "))}


def test_an_before_a_vowel() -> None:
    rng = np.random.default_rng(0)
    texts = {phrase(rng, Query("name", NounPhrase("umbrella"))) for _ in range(200)}
    assert "an umbrella" in texts
    assert "a umbrella" not in texts
