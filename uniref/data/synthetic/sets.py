"""The sets of scenes and what each may show: what one holds out, no training scene has."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from uniref.data.synthetic.colour import WORDS
from uniref.data.synthetic.nouns import HELD_OUT, NOUNS

STYLES = 100
"""Numbered proportions of every noun, and numbered backgrounds of every kind."""


@dataclass(frozen=True)
class SceneSet:
    """A family of scenes."""

    name: str
    number: int
    """Part of every scene's seed."""
    styles: range
    """Objects' proportions."""
    grounds: str
    """Which backgrounds: `train`, `val` or `test`."""
    asks: str = "any"
    """What expressions are about: `any`; `novel` nouns; `pairs` of colour and noun that training never shows."""
    wording: str = "train"
    """Which templates and synonyms: `train` or `test`."""


_TRAIN, _VAL, _TEST = range(0, 70), range(70, 85), range(85, 100)
GROUND_STYLES: Mapping[str, range] = {"train": _TRAIN, "val": _VAL, "test": _TEST}

SETS: Mapping[str, SceneSet] = {
    s.name: s
    for s in (
        SceneSet("train", 0, _TRAIN, "train"),
        SceneSet("val", 1, _VAL, "val"),
        SceneSet("test", 2, _TEST, "test"),
        SceneSet("seen", 3, _TRAIN, "train"),
        SceneSet("novel", 4, _TEST, "test", asks="novel"),
        SceneSet("pairs", 5, _TEST, "test", asks="pairs"),
        SceneSet("wording", 6, _TEST, "test", wording="test"),
    )
}
"""By name. `train`, `val` and `test` differ in objects and backgrounds; the others ask one question each."""


def held_out_pair(noun: str, colour: str) -> bool:
    """Whether only the `pairs` sets show this noun in this colour (about a twelfth of all; never a usual colour)."""
    usual = NOUNS[noun].colours if noun in NOUNS else ()
    return colour not in usual and zlib.crc32(f"{colour} {noun}".encode()) % 12 == 0


def nouns_of(scenes: SceneSet) -> list[str]:
    """Nouns that a set may show besides those it asks about."""
    return [name for name in NOUNS if name not in HELD_OUT]


def colours_of(scenes: SceneSet, noun: str) -> list[str]:
    """Colour words that a set may show a noun in."""
    return [word for word in WORDS if scenes.asks == "pairs" or not held_out_pair(noun, word)]
