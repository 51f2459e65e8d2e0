"""What emojibase's subgroups tell of their emoji: wider words, where they are put, and what may be done to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Subgroup:
    """What its members share."""

    wider: tuple[str, ...] = ()
    """Hypernyms."""
    maybe: tuple[str, ...] = ()
    """Words that some would use."""
    place: str = "any"
    turns: bool = True
    """Whether a rotation can be seen and is natural."""
    recolours: bool = True
    """Whether another hue is natural enough: not for skin."""
    glazed: bool = False
    """Whether its pictures show panes, which say nothing of an object's colour."""


_MAN = ("man", "woman", "boy", "girl", "animal")
_PERSON = Subgroup(("person", "human"), _MAN, "ground", False, False)
_BODY = Subgroup(turns=False, recolours=False)
_ANIMAL = Subgroup(("animal",), (), "ground", False)
_BUILDING = Subgroup(("building",), (), "ground", False, glazed=True)
_FOOD = Subgroup(("food",))
_STANDS = Subgroup(place="ground", turns=False)
_THING = Subgroup()

SUBGROUPS: Mapping[str, Subgroup] = {
    **dict.fromkeys(("person", "person-role", "person-activity", "person-sport"), _PERSON),
    "person-fantasy": Subgroup((), ("person", "human", *_MAN), "ground", False, False),
    **dict.fromkeys(("body-parts", "hand-fingers-open", "hand-fingers-closed", "hand-prop"), _BODY),
    **dict.fromkeys(("face-smiling", "face-costume", "face-negative"), _BODY),
    **dict.fromkeys(("heart", "emotion"), _THING),
    "animal-mammal": _ANIMAL,
    "animal-bird": Subgroup(("bird", "animal"), (), "any", False),
    "animal-amphibian": _ANIMAL,
    "animal-reptile": _ANIMAL,
    "animal-marine": Subgroup(("animal",), (), "any", False),
    "animal-bug": Subgroup(("insect",), ("animal", "bug"), "any", False),
    "plant-flower": Subgroup(("flower", "plant"), (), "ground"),
    "plant-other": Subgroup(("plant",), (), "ground"),
    "food-fruit": Subgroup(("fruit", "food")),
    "food-vegetable": Subgroup(("vegetable", "food")),
    "food-prepared": _FOOD,
    "food-asian": _FOOD,
    "food-sweet": _FOOD,
    "drink": Subgroup(("drink",)),
    "dishware": _THING,
    "place-map": Subgroup(turns=False),
    "place-geographic": _STANDS,
    "place-building": _BUILDING,
    "place-religious": _BUILDING,
    "place-other": _STANDS,
    "transport-ground": Subgroup(("vehicle",), (), "ground", False, glazed=True),
    "transport-water": Subgroup(("vehicle",), (), "water", False, glazed=True),
    "transport-air": Subgroup(("aircraft", "vehicle"), (), "sky", glazed=True),
    "hotel": _STANDS,
    "time": Subgroup(turns=False),
    "sky-weather": Subgroup(place="sky"),
    "event": _THING,
    "award-medal": Subgroup(turns=False),
    "sport": _THING,
    "game": _THING,
    "arts-crafts": _THING,
    "clothing": Subgroup(("piece of clothing",)),
    "sound": _THING,
    "music": _THING,
    "musical-instrument": Subgroup(("musical instrument",)),
    "phone": _THING,
    "computer": _THING,
    "light-video": _THING,
    "book-paper": _THING,
    "money": _THING,
    "mail": _STANDS,
    "writing": Subgroup((), ("tool",)),
    "office": _THING,
    "lock": _THING,
    "tool": Subgroup(("tool",)),
    "science": _THING,
    "medical": _THING,
    "household": _THING,
    "other-object": _STANDS,
}
"""By emojibase's key; those that are missing have no emoji in the reviewed table."""
