"""The sets of scenes and what each may show: what one holds out, no training scene has."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

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
    pictures: str = "emoji"
    """Which pictures the named bank shows: `emoji`, or those of another `style`, or cut out of a `photo`."""


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

NAMED_SETS: Mapping[str, SceneSet] = {
    s.name: s
    for s in (
        *(replace(s, number=s.number + 20) for s in SETS.values()),
        SceneSet("backgrounds", 27, _TRAIN, "test"),
        SceneSet("style", 28, _TRAIN, "test", pictures="style"),
        SceneSet("photo", 29, _TRAIN, "test", pictures="photo"),
    )
}
"""Those of the named bank: the drawn bank's, and three that ask what changes with the pictures."""


def unusual_pair(noun: str, colour: str) -> bool:
    """Whether a noun in a colour that is not usual for it is left to the `pairs` sets: about a twelfth of all."""
    return zlib.crc32(f"{colour} {noun}".encode()) % 12 == 0
