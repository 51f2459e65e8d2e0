"""Which emoji are used and what they may be called: emojibase's labels, cleaned by a reviewed table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from uniref_scenes.files import SceneError, read_json
from uniref_scenes.language import NOUNS, Noun


@dataclass(frozen=True)
class Subgroup:
    """What the emoji of a subgroup share."""

    wider: tuple[str, ...] = ()
    """Hypernyms."""
    maybe: tuple[str, ...] = ()
    """Words that some would use."""
    setting: str = "any"
    turns: bool = True
    """Whether a rotation can be seen and is natural."""
    recolours: bool = True
    """Whether another hue is natural enough: not that of skin."""
    glazed: bool = False
    """Whether its images show panes, which do not count for an object's colour."""


_MAN = ("man", "woman", "boy", "girl", "animal")
_PERSON = Subgroup(("person", "human"), _MAN, "ground", False, False)
_BODY = Subgroup(turns=False, recolours=False)
_ANIMAL = Subgroup(("animal",), (), "ground", False)
_BUILDING = Subgroup(("building",), (), "ground", False, glazed=True)
_FOOD = Subgroup(("food",))
_STANDS = Subgroup(setting="ground", turns=False)
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
    "sky-weather": Subgroup(setting="sky"),
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
"""By emojibase's key; subgroups that are missing have no emoji in the reviewed table."""

_DENIED_CODES = frozenset(("1f4ce", "1f587", "1f3ae", "1f579"))  # paperclips, game pad, joystick: trademarks of others
_DENIED_PARTS = frozenset(("1f4bb",))  # with a joiner: technologists
_DENIED_GROUPS = frozenset(("flags", "symbols", "component"))
_SKIN = frozenset(("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"))
_GENDER = frozenset(("2640", "2642"))
_JOINER = "200d"
_ADVICE = "fetch emojibase-data 17.0.0 again"


@dataclass(frozen=True)
class Emoji:
    """One entry of emojibase."""

    code: str
    """Code points in lower case, joined by `-`, without variation selectors; also the stem of an image's file name."""
    label: str
    group: str
    subgroup: str


@dataclass(frozen=True)
class NamedNoun:
    """A noun and the codes of the emoji that show it."""

    noun: Noun
    codes: tuple[str, ...]
    recolours: bool
    """Whether it may be shown in other colours than its own."""
    glazed: bool
    """Whether its images show panes."""


def code_of(text: str) -> str:
    """A code point sequence as files and emojibase write it (`1F3CE-FE0F`), in one form."""
    return "-".join(part for part in text.lower().split("-") if part != "fe0f")


def denied(emoji: Emoji) -> bool:
    """Whether an emoji is never used.

    Microsoft could not open the artwork of flags, paperclips, technologists and game pads, for they are trademarks;
    symbols, Japanese buttons and clock faces are no objects that people name; skin tones and gendered doubles show
    what another emoji shows already.
    """
    parts = emoji.code.split("-")
    joined = len(parts) > 1
    return (
        emoji.group in _DENIED_GROUPS
        or emoji.code in _DENIED_CODES
        or (joined and not _DENIED_PARTS.isdisjoint(parts))
        or not _SKIN.isdisjoint(parts)
        or (joined and _JOINER in parts and not _GENDER.isdisjoint(parts))
        or (emoji.label.endswith(("clock", "-thirty")) and emoji.code.startswith(("1f55", "1f56")))
        or (emoji.label.startswith("Japanese") and emoji.label.endswith("button"))
    )


def read_emojibase(folder: Path) -> list[Emoji]:
    """The entries of emojibase-data's `en` folder.

    Raises:
        SceneError: Missing, or of another form.
    """
    data, messages = (read_json(folder / name, _ADVICE) for name in ("data.json", "messages.json"))
    try:
        groups = {item["order"]: item["key"] for item in messages["groups"]}
        subgroups = {item["order"]: item["key"] for item in messages["subgroups"]}
        return [
            Emoji(code_of(entry["hexcode"]), entry["label"], groups[entry["group"]], subgroups[entry["subgroup"]])
            for entry in data
            if "group" in entry
        ]
    except (KeyError, TypeError) as error:
        raise SceneError(f"{folder}: is not the folder `en` of emojibase-data ({error!r}); {_ADVICE}") from None


_LINE = re.compile(
    r"(?P<labels>[^=>?]+)(=\s*(?P<own>!)?(?P<names>[^>?]+))?(>\s*(?P<wider>[^?]+))?(\?\s*(?P<maybe>.+))?$"
)


@dataclass(frozen=True)
class EmojiNounRow:
    """A line of the reviewed table."""

    labels: tuple[str, ...]
    names: tuple[str, ...]
    wider: tuple[str, ...]
    maybe: tuple[str, ...]
    own: bool
    """Whether the wider words of its subgroup are left out."""


def read_table() -> list[EmojiNounRow]:
    """The reviewed table `assets/emoji-nouns.txt`."""
    text = (files("uniref_scenes") / "assets/emoji-nouns.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [_row(line) for line in lines]


def _row(line: str) -> EmojiNounRow:
    match = _LINE.match(line)
    assert match is not None, f"emoji-nouns.txt: {line}"
    labels = _split(match["labels"], ";")
    return EmojiNounRow(
        labels=labels,
        names=_split(match["names"], "/") or (labels[0].lower(),),
        wider=_split(match["wider"], ","),
        maybe=_split(match["maybe"], ","),
        own=match["own"] is not None,
    )


def _split(text: str | None, at: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(at) if part.strip())


def named_nouns(emoji: list[Emoji], shown: frozenset[str]) -> list[NamedNoun]:
    """Nouns of the emoji that are both listed and shown (by code), sorted by name.

    A noun that is drawn too keeps the drawn one's words and gets those of the table besides.
    """
    available = {entry.label: entry for entry in emoji if entry.code in shown and not denied(entry)}
    nouns: dict[str, NamedNoun] = {}
    for row in read_table():
        entries = [available[label] for label in row.labels if label in available]
        if entries:
            named = _named_noun(row, entries)
            before = nouns.get(named.noun.name)
            nouns[named.noun.name] = named if before is None else _merge_named(before, named)
    return [nouns[name] for name in sorted(nouns)]


def _named_noun(row: EmojiNounRow, entries: list[Emoji]) -> NamedNoun:
    name, *synonyms = row.names
    group = SUBGROUPS[entries[0].subgroup]
    wider = row.wider if row.own else (*row.wider, *group.wider)
    noun = Noun(name, tuple(synonyms), wider, (*row.maybe, *group.maybe), (), group.setting, group.turns)
    if name in NOUNS:
        noun = _merge_nouns(NOUNS[name], noun)
    return NamedNoun(noun, tuple(entry.code for entry in entries), group.recolours, group.glazed)


def _merge_named(a: NamedNoun, b: NamedNoun) -> NamedNoun:
    return NamedNoun(
        _merge_nouns(a.noun, b.noun), (*a.codes, *b.codes), a.recolours and b.recolours, a.glazed or b.glazed
    )


def _merge_nouns(a: Noun, b: Noun) -> Noun:
    """The first noun with the words of both; a word that fits one of them surely is no longer in doubt."""
    synonyms = _unique(a.synonyms, b.synonyms, without={a.name})
    wider = _unique(a.hypernyms, b.hypernyms, without={a.name, *synonyms})
    maybe = _unique(a.maybe, b.maybe, without={a.name, *synonyms, *wider})
    return Noun(a.name, synonyms, wider, maybe, a.colours, a.setting, a.turns)


def _unique(*groups: tuple[str, ...], without: set[str]) -> tuple[str, ...]:
    return tuple(word for word in dict.fromkeys(word for group in groups for word in group) if word not in without)
