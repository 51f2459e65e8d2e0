"""Which emoji are used and what they may be called: emojibase's labels, cleaned by a reviewed table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from uniref.core.errors import UniRefError
from uniref.core.json_files import read_json
from uniref_scenes.named.subgroups import SUBGROUPS
from uniref_scenes.nouns import NOUNS, Noun

_DENIED_CODES = frozenset(("1f4ce", "1f587", "1f3ae", "1f579"))  # paperclips, game pad, joystick: trademarks of others
_DENIED_PARTS = frozenset(("1f4bb",))  # with a joiner: technologists
_DENIED_GROUPS = frozenset(("flags", "symbols", "component"))
_SKIN = frozenset(("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"))
_GENDER = frozenset(("2640", "2642"))
_JOINER = "200d"


@dataclass(frozen=True)
class Emoji:
    """One entry of emojibase."""

    code: str
    """Code points in lower case, joined by `-`, without variation selectors: part of a sprite's file name."""
    label: str
    group: str
    subgroup: str


@dataclass(frozen=True)
class Named:
    """A noun and the emoji that show it."""

    noun: Noun
    codes: tuple[str, ...]
    recolours: bool
    """Whether it may be shown in other colours than its own."""
    glazed: bool
    """Whether its pictures show panes."""


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
        UniRefError: Missing, or of another form.
    """
    data, messages = (_json(folder / name) for name in ("data.json", "messages.json"))
    try:
        groups = {item["order"]: item["key"] for item in messages["groups"]}
        subgroups = {item["order"]: item["key"] for item in messages["subgroups"]}
        return [
            Emoji(code_of(entry["hexcode"]), entry["label"], groups[entry["group"]], subgroups[entry["subgroup"]])
            for entry in data
            if "group" in entry
        ]
    except (KeyError, TypeError) as error:
        raise UniRefError(f"{folder}: is not emojibase-data's folder en ({error!r}); 17.0.0 is known to work") from None


def _json(path: Path) -> Any:
    return read_json(path)


_LINE = re.compile(
    r"(?P<labels>[^=>?]+)(=\s*(?P<own>!)?(?P<names>[^>?]+))?(>\s*(?P<wider>[^?]+))?(\?\s*(?P<maybe>.+))?$"
)


@dataclass(frozen=True)
class Row:
    """A line of the reviewed table."""

    labels: tuple[str, ...]
    names: tuple[str, ...]
    wider: tuple[str, ...]
    maybe: tuple[str, ...]
    own: bool
    """Whether the wider words of its subgroup are left out."""


def read_table() -> list[Row]:
    """The reviewed table `assets/emoji-nouns.txt`."""
    text = (files("uniref_scenes") / "assets/emoji-nouns.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [_row(line) for line in lines]


def _row(line: str) -> Row:
    match = _LINE.match(line)
    assert match is not None, f"emoji-nouns.txt: {line}"
    labels = _split(match["labels"], ";")
    return Row(
        labels=labels,
        names=_split(match["names"], "/") or (labels[0].lower(),),
        wider=_split(match["wider"], ","),
        maybe=_split(match["maybe"], ","),
        own=match["own"] is not None,
    )


def _split(text: str | None, at: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(at) if part.strip())


def named_nouns(emoji: list[Emoji], shown: frozenset[str]) -> list[Named]:
    """Nouns of the emoji that are both listed and shown (by code), sorted by name.

    A noun that is drawn too keeps the drawn one's words and gets those of the table besides.
    """
    known = {entry.label: entry for entry in emoji if entry.code in shown and not denied(entry)}
    found: dict[str, Named] = {}
    for row in read_table():
        entries = [known[label] for label in row.labels if label in known]
        if entries:
            named = _named(row, entries)
            before = found.get(named.noun.name)
            found[named.noun.name] = named if before is None else _both(before, named)
    return [found[name] for name in sorted(found)]


def _named(row: Row, entries: list[Emoji]) -> Named:
    name, *synonyms = row.names
    group = SUBGROUPS[entries[0].subgroup]
    wider = row.wider if row.own else (*row.wider, *group.wider)
    noun = Noun(name, tuple(synonyms), wider, (*row.maybe, *group.maybe), (), group.place, group.turns)
    if name in NOUNS:
        noun = _merged(NOUNS[name], noun)
    return Named(noun, tuple(entry.code for entry in entries), group.recolours, group.glazed)


def _both(a: Named, b: Named) -> Named:
    return Named(_merged(a.noun, b.noun), (*a.codes, *b.codes), a.recolours and b.recolours, a.glazed or b.glazed)


def _merged(a: Noun, b: Noun) -> Noun:
    """The first one with the second one's words; a word that surely fits is no longer in doubt."""
    synonyms = _unique(a.synonyms, b.synonyms, without={a.name})
    wider = _unique(a.hypernyms, b.hypernyms, without={a.name, *synonyms})
    maybe = _unique(a.maybe, b.maybe, without={a.name, *synonyms, *wider})
    return Noun(a.name, synonyms, wider, maybe, a.colours, a.place, a.turns)


def _unique(*groups: tuple[str, ...], without: set[str]) -> tuple[str, ...]:
    return tuple(word for word in dict.fromkeys(word for group in groups for word in group) if word not in without)
