"""Drawn and pictured worlds mixed: emoji beside drawn objects, photographs beside drawn backgrounds."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from uniref.core.errors import UniRefError
from uniref.media.image import ImageProblem, open_image
from uniref_scenes.backgrounds import Background
from uniref_scenes.bank import DRAWN, Bank
from uniref_scenes.colour import WORDS
from uniref_scenes.layout import Frame
from uniref_scenes.named.photos import Photo, part_of
from uniref_scenes.named.recolour import Body, body_of, coloured, recoloured
from uniref_scenes.nouns import NOUNS, Noun
from uniref_scenes.sets import NAMED_SETS, SceneSet
from uniref_scenes.sprite import Look, Sprite, visible_box, with_margin

Rng = np.random.Generator

OWN = "own"
"""In place of a colour word: as the picture is, where no word fits that."""
_HELD_OUT = 5  # one noun of so many
_KINDS, _KIND_SHARES = ("drawn", "pictured", "mixed"), (0.25, 0.4, 0.35)  # of scenes
_PHOTOS = 0.55  # share of scenes before a photograph


@dataclass(frozen=True)
class Picture:
    """One picture of a noun."""

    path: Path
    glazed: bool
    """Whether it has panes."""
    own: str
    """The colour word that fits it as it is, or `OWN`."""
    others: tuple[str, ...] = ()
    """Words it can be recoloured to."""

    def comes_in(self, colour: str) -> bool:
        """Whether it can be shown so."""
        return colour == self.own or colour in self.others


class NamedBank(Bank):
    """Nouns with pictures besides the drawn ones.

    Args:
        named: Nouns of the pictures; one that is drawn too has both's words.
        pictures: By the kind of pictures (`emoji`, `style`, `photo`), then by noun.
        photos: Backgrounds besides the drawn ones.
    """

    sets = NAMED_SETS

    def __init__(
        self,
        named: Sequence[Noun],
        pictures: Mapping[str, Mapping[str, tuple[Picture, ...]]],
        photos: Sequence[Photo] = (),
    ) -> None:
        self.nouns = {**NOUNS, **{noun.name: noun for noun in named}}
        said = {word for noun in self.nouns.values() for word in (*noun.synonyms, *noun.hypernyms)}
        new = (noun.name for noun in named if noun.name not in NOUNS and noun.name not in said)
        self.held_out = DRAWN.held_out | {name for name in new if _by_hash(name)}
        self.pictures = pictures
        self.photos = {name: [x for x in photos if x.division == name] for name in ("train", "val", "test")}
        self._parts: dict[tuple[str, str], _Part] = {}

    def of_scene(self, rng: Rng, scenes: SceneSet) -> Bank:
        """Drawn objects only, pictures only, or both; pictures only in sets that ask about these."""
        kind = _KINDS[int(rng.choice(len(_KINDS), p=_KIND_SHARES))] if scenes.pictures == "emoji" else "pictured"
        part = self._part(kind, scenes.pictures)
        return part if part.serves(scenes) else self._part("drawn", "emoji")  # few pictures: nothing to ask about

    def _part(self, kind: str, pictures: str) -> _Part:
        if (kind, pictures) not in self._parts:
            self._parts[kind, pictures] = _Part(self, kind, self.pictures.get(pictures, {}))
        return self._parts[kind, pictures]


def _by_hash(name: str) -> bool:
    return zlib.crc32(f"held out {name}".encode()) % _HELD_OUT == 0


class _Part(Bank):
    """What one scene may show."""

    def __init__(self, bank: NamedBank, kind: str, pictures: Mapping[str, tuple[Picture, ...]]) -> None:
        self.photos = bank.photos
        self.held_out = bank.held_out
        self.pictures = pictures if kind != "drawn" else {}
        # beside a picture of an orange, "the circle" would be open to doubt
        self.drawn = frozenset(
            name for name, noun in NOUNS.items() if kind == "drawn" or (kind == "mixed" and not _is_shape(noun))
        )
        self.nouns = {name: noun for name, noun in bank.nouns.items() if name in self.drawn or name in self.pictures}
        self._colours: dict[tuple[bool, str], list[str]] = {}

    def serves(self, scenes: SceneSet) -> bool:
        """Whether there is anything of what a set asks about."""
        if not self.shown(scenes) or not self.wanted(scenes):
            return False
        nouns = self.shown(scenes) if scenes.asks == "pairs" else ()
        pairs = (self.held_out_pair(noun, word) for noun in nouns for word in self.colours(scenes, noun))
        return scenes.asks != "pairs" or any(pairs)

    def wanted(self, scenes: SceneSet) -> list[str]:
        """Nouns that a set's expressions are about."""
        return sorted(self.held_out & self.nouns.keys()) if scenes.asks == "novel" else self.shown(scenes)

    def usual(self, noun: str) -> tuple[str, ...]:
        """Colour words that a noun mostly comes in: the drawn one's, and those of its pictures as they are."""
        drawn = self.nouns[noun].colours if noun in self.drawn else ()
        return tuple(dict.fromkeys((*drawn, *(picture.own for picture in self.pictures.get(noun, ())))))

    def colours(self, scenes: SceneSet, noun: str) -> list[str]:
        """Colour words, or `OWN`, that a set may show a noun in; never empty."""
        key = (scenes.asks == "pairs", noun)
        if key not in self._colours:
            self._colours[key] = [word for word in self._possible(noun) if key[0] or not self.held_out_pair(noun, word)]
        return self._colours[key]

    def _possible(self, noun: str) -> list[str]:
        if noun in self.drawn:
            possible = set(WORDS)
        else:
            possible = {word for picture in self.pictures[noun] for word in (picture.own, *picture.others)}
        return [word for word in (*WORDS, OWN) if word in possible]

    def held_out_pair(self, noun: str, colour: str) -> bool:
        """As of the drawn bank; a picture's own colour is never held out."""
        return colour != OWN and super().held_out_pair(noun, colour)

    def draw(self, look: Look, side: int) -> tuple[Sprite, str]:
        """A picture of the noun, recoloured where needed, or a drawing; nobody says what pattern a picture has."""
        pictures = self.pictures.get(look.noun, ())
        fitting = [picture for picture in pictures if picture.comes_in(look.colour)]
        if look.noun in self.drawn and (not fitting or look.seed % 2):
            # `OWN` is another noun's where the `pairs` sets exchange the noun
            return super().draw(replace(look, colour="gray") if look.colour == OWN else look, side)
        choice = fitting or pictures
        return _shown(choice[look.style % len(choice)], look, side), "unknown"

    def ground(self, rng: Rng, scenes: SceneSet, frame: Frame) -> Background:
        """A part of a photograph that the set may show, or a drawn background."""
        photos = self.photos[scenes.grounds]
        if rng.random() >= _PHOTOS or not photos:
            return super().ground(rng, scenes, frame)
        return part_of(rng, photos[int(rng.integers(len(photos)))], frame)


def _is_shape(noun: Noun) -> bool:
    return "shape" in noun.hypernyms or noun.name == "crescent"


def _shown(picture: Picture, look: Look, side: int) -> Sprite:
    image, body = load_picture(picture.path, picture.glazed, side)
    if body is None or not picture.others:
        return coloured(image, None)
    own = coloured(image, body)
    if look.colour not in picture.others:
        return own
    for rng in (np.random.default_rng([look.seed, 19]), None):
        other = recoloured(image, body, look.colour, rng)
        if other.colour == look.colour:
            return other
    return own


@lru_cache(maxsize=512)
def load_picture(path: Path, glazed: bool, side: int) -> tuple[Image.Image, Body | None]:
    """A picture cropped to what is visible and at most `side` pixels long, and its main hue's part.

    Raises:
        UniRefError: Cannot be read, or shows nothing.
    """
    try:
        with open_image(path) as file:
            image = file.convert("RGBA")
    except ImageProblem as problem:
        raise UniRefError(f"{path}: cannot be used as an object ({problem})") from None
    if np.asarray(image.getchannel("A")).max(initial=0) < 8:
        raise UniRefError(f"{path}: cannot be used as an object (nothing of it is visible)")
    image = image.crop(visible_box(image))
    image.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=None)
    image = with_margin(image)
    return image, body_of(image, glazed)


def survey(path: Path, glazed: bool, recolours: bool, side: int) -> Picture:
    """What colours a picture can be shown in, found by trying."""
    image, body = load_picture(path, glazed, side)
    if body is not None and recolours:
        own = coloured(image, body).colour or OWN
        others = [word for word in WORDS if word != own and recoloured(image, body, word).colour == word]
        if others:
            return Picture(path, glazed, own, tuple(others))
    return Picture(path, glazed, coloured(image, None).colour or OWN)
