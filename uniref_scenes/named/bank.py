"""A bank of named objects: emoji beside drawn objects, photographs beside drawn backgrounds."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from uniref_scenes.backgrounds import SceneBackground
from uniref_scenes.bank import DRAWN_BANK, NAMED_SETS, ObjectBank, SceneSet
from uniref_scenes.drawings.appearance import Appearance
from uniref_scenes.files import SceneError, open_image, read_json, write_text
from uniref_scenes.language import NOUNS, Noun
from uniref_scenes.motion import SceneShape
from uniref_scenes.named.photos import BackgroundPhoto, part_of
from uniref_scenes.named.recolour import MainHueRegion, coloured, main_hue_region, recoloured
from uniref_scenes.sprite import COLOUR_WORDS, Sprite, visible_box, with_margin
from uniref_scenes.types import Rng

OWN = "own"
"""Used like a colour word: the image as it is, where no colour word fits it."""
_HELD_OUT = 5  # one noun of so many is left to the `novel` sets
_KINDS, _KIND_SHARES = ("drawn", "images", "mixed"), (0.25, 0.4, 0.35)  # of scenes
_PHOTO_SHARE = 0.55  # of backgrounds
_MIN_ALPHA = 8  # from which something can be seen


@dataclass(frozen=True)
class ObjectImage:
    """An image of a noun, and the colours that it can be shown in."""

    path: Path
    glazed: bool
    """Whether it shows panes, which do not count for its colour."""
    own: str
    """The colour word that fits it as it is, or `OWN`."""
    others: tuple[str, ...] = ()
    """Colour words that it can be recoloured to."""

    def comes_in(self, colour: str) -> bool:
        """Whether it can be shown in a colour (a word or `OWN`)."""
        return colour == self.own or colour in self.others


class NamedBank(ObjectBank):
    """Nouns with images, besides the drawn ones.

    Args:
        named: Nouns of the images; one that is drawn as well has the words of both.
        images: By the kind of images (`emoji`, `style`, `photo`), then by noun.
        photos: Backgrounds, besides the drawn ones.
    """

    sets = NAMED_SETS

    def __init__(
        self,
        named: Sequence[Noun],
        images: Mapping[str, Mapping[str, tuple[ObjectImage, ...]]],
        photos: Sequence[BackgroundPhoto] = (),
    ) -> None:
        self.nouns = {**NOUNS, **{noun.name: noun for noun in named}}
        # held out are only nouns that no other noun is called by
        said = {word for noun in self.nouns.values() for word in (*noun.synonyms, *noun.hypernyms)}
        new = (noun.name for noun in named if noun.name not in NOUNS and noun.name not in said)
        self.held_out = DRAWN_BANK.held_out | {
            name for name in new if zlib.crc32(f"held out {name}".encode()) % _HELD_OUT == 0
        }
        self.images = images
        self.photos = {name: [x for x in photos if x.division == name] for name in ("train", "val", "test")}
        self._scene_banks: dict[tuple[str, str], _SceneBank] = {}

    def choose_for_scene(self, rng: Rng, scene_set: SceneSet) -> ObjectBank:
        """Drawn objects alone, images alone, or both; images alone in the sets `style` and `photo`."""
        kind = _KINDS[int(rng.choice(len(_KINDS), p=_KIND_SHARES))] if scene_set.images == "emoji" else "images"
        bank = self._scene_bank(kind, scene_set.images)
        # with few images there may be no target among them
        return bank if bank.serves(scene_set) else self._scene_bank("drawn", "emoji")

    def _scene_bank(self, kind: str, images: str) -> _SceneBank:
        if (kind, images) not in self._scene_banks:
            self._scene_banks[kind, images] = _SceneBank(self, kind, self.images.get(images, {}))
        return self._scene_banks[kind, images]


class _SceneBank(ObjectBank):
    """The part of a bank that one scene may show: drawn objects, images, or both (`_KINDS`)."""

    def __init__(self, bank: NamedBank, kind: str, images: Mapping[str, tuple[ObjectImage, ...]]) -> None:
        self.photos = bank.photos
        self.held_out = bank.held_out
        self.images = images if kind != "drawn" else {}
        # not shapes beside images: next to an image of an orange, "the circle" would be open to doubt
        self.drawn = frozenset(
            name for name, noun in NOUNS.items() if kind == "drawn" or (kind == "mixed" and not _is_shape(noun))
        )
        self.nouns = {name: noun for name, noun in bank.nouns.items() if name in self.drawn or name in self.images}
        self._colours: dict[tuple[bool, str], list[str]] = {}

    def serves(self, scene_set: SceneSet) -> bool:
        """Whether there is a target for a set's expressions."""
        if not self.shown_nouns(scene_set) or not self.target_nouns(scene_set):
            return False
        if scene_set.subject != "pairs":
            return True
        nouns = self.shown_nouns(scene_set)
        return any(self.held_out_pair(noun, word) for noun in nouns for word in self.allowed_colours(scene_set, noun))

    def target_nouns(self, scene_set: SceneSet) -> list[str]:
        """Nouns that a set's expressions are about."""
        novel = scene_set.subject == "novel"
        return sorted(self.held_out & self.nouns.keys()) if novel else self.shown_nouns(scene_set)

    def usual_colours(self, noun: str) -> tuple[str, ...]:
        """Colour words that a noun mostly comes in: the drawn one's, and those of its images as they are."""
        drawn = self.nouns[noun].colours if noun in self.drawn else ()
        return tuple(dict.fromkeys((*drawn, *(image.own for image in self.images.get(noun, ())))))

    def allowed_colours(self, scene_set: SceneSet, noun: str) -> list[str]:
        """Colour words, or `OWN`, that a set may show a noun in; never empty."""
        key = (scene_set.subject == "pairs", noun)
        if key not in self._colours:
            self._colours[key] = [word for word in self._possible(noun) if key[0] or not self.held_out_pair(noun, word)]
        return self._colours[key]

    def _possible(self, noun: str) -> list[str]:
        if noun in self.drawn:
            possible = set(COLOUR_WORDS)
        else:
            possible = {word for image in self.images[noun] for word in (image.own, *image.others)}
        return [word for word in (*COLOUR_WORDS, OWN) if word in possible]

    def held_out_pair(self, noun: str, colour: str) -> bool:
        """As of the drawn bank; `OWN` is never held out."""
        return colour != OWN and super().held_out_pair(noun, colour)

    def draw_object(self, appearance: Appearance, side: int) -> tuple[Sprite, str]:
        """An image of the noun, recoloured where needed, or a drawing; the pattern of an image is `unknown`."""
        images = self.images.get(appearance.noun, ())
        fitting = [image for image in images if image.comes_in(appearance.colour)]
        if appearance.noun in self.drawn and (not fitting or appearance.seed % 2):
            # where the `pairs` sets exchange the noun, `OWN` may have been the colour of the other one
            drawn = replace(appearance, colour="gray") if appearance.colour == OWN else appearance
            return super().draw_object(drawn, side)
        choice = fitting or images
        return _show(choice[appearance.style % len(choice)], appearance, side), "unknown"

    def draw_background(self, rng: Rng, scene_set: SceneSet, shape: SceneShape) -> SceneBackground:
        """A part of a photograph that the set may show, or a drawn background."""
        photos = self.photos[scene_set.backgrounds]
        if rng.random() >= _PHOTO_SHARE or not photos:
            return super().draw_background(rng, scene_set, shape)
        return part_of(rng, photos[int(rng.integers(len(photos)))], shape)


def _is_shape(noun: Noun) -> bool:
    return "shape" in noun.hypernyms or noun.name == "crescent"


def _show(source: ObjectImage, appearance: Appearance, side: int) -> Sprite:
    """The image in the colour that was chosen, or as it is where that cannot be reached."""
    image, region = load_object_image(source.path, source.glazed, side)
    if region is None or not source.others:
        return coloured(image, None)
    own = coloured(image, region)
    if appearance.colour not in source.others:
        return own
    # a varied shade first, then exactly the one that `find_colours` tried
    for rng in (np.random.default_rng([appearance.seed, 19]), None):
        other = recoloured(image, region, appearance.colour, rng)
        if other.colour == appearance.colour:
            return other
    return own


@lru_cache(maxsize=512)
def load_object_image(path: Path, glazed: bool, side: int) -> tuple[Image.Image, MainHueRegion | None]:
    """An image as a sprite's, and its main hue's region.

    Args:
        path: The file.
        glazed: Whether it shows panes.
        side: Longest side that it gets, pixels, without its margin.

    Returns:
        RGBA, cropped to what is visible; and the region, None where no hue prevails.

    Raises:
        SceneError: The file cannot be read, or shows nothing.
    """
    with open_image(path, "an object") as file:
        image = file.convert("RGBA")
    if np.asarray(image.getchannel("A")).max(initial=0) < _MIN_ALPHA:
        raise SceneError(f"{path}: cannot be used as an object (nothing of it is visible)")
    # the visible part, at its size
    image = image.crop(visible_box(image))
    image.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=None)
    image = with_margin(image)
    return image, main_hue_region(image, glazed)


def find_colours(path: Path, glazed: bool, recolours: bool, side: int) -> ObjectImage:
    """The colours that an image can be shown in, found by trying.

    Args:
        path: The file.
        glazed: Whether it shows panes.
        recolours: Whether it may be shown in other colours than its own.
        side: Longest side of the sprite, pixels.

    Raises:
        SceneError: The file cannot be read, or shows nothing.
    """
    image, region = load_object_image(path, glazed, side)
    if region is not None and recolours:
        own = coloured(image, region).colour or OWN
        others = [word for word in COLOUR_WORDS if word != own and recoloured(image, region, word).colour == word]
        if others:
            return ObjectImage(path, glazed, own, tuple(others))
    return ObjectImage(path, glazed, coloured(image, None).colour or OWN)


def write_bank(
    path: Path,
    nouns: Sequence[Noun],
    images: Mapping[str, Mapping[str, Sequence[ObjectImage]]],
    photos: Sequence[BackgroundPhoto],
) -> None:
    """Write a bank as JSON, so that every process that makes scenes reads the same one.

    Args:
        path: The file; images are named relative to its folder.
        nouns: As of `NamedBank`.
        images: As of `NamedBank`.
        photos: As of `NamedBank`.
    """

    def relative(file: Path) -> str:
        return os.path.relpath(file.resolve(), path.parent.resolve())

    def image_row(image: ObjectImage) -> list[str | bool]:
        return [relative(image.path), image.glazed, image.own, *image.others]

    # the keys are those of version 1 of the file
    data = {
        "nouns": [_noun_to_json(noun) for noun in nouns],
        "pictures": {
            kind: {noun: [image_row(image) for image in members] for noun, members in by_noun.items()}
            for kind, by_noun in images.items()
        },
        "photos": [[relative(photo.path), photo.division, *photo.words] for photo in photos],
    }
    write_text(path, json.dumps(data, ensure_ascii=False, indent=0))


def read_bank(path: Path) -> NamedBank:
    """The bank of a file.

    Raises:
        SceneError: Missing or damaged.
    """
    folder, advice = path.parent, "delete it and prepare the data set again"
    data = read_json(path, advice)
    try:
        nouns = [_noun_from_json(**noun) for noun in data["nouns"]]
        images = {
            kind: {noun: tuple(_image_from_json(folder, *row) for row in rows) for noun, rows in by_noun.items()}
            for kind, by_noun in data["pictures"].items()
        }
        photos = [BackgroundPhoto(folder / name, division, tuple(words)) for name, division, *words in data["photos"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SceneError(f"{path}: is not the file of a bank; {advice}") from error
    return NamedBank(nouns, images, photos)


def _noun_to_json(noun: Noun) -> dict[str, Any]:
    return {("place" if name == "setting" else name): value for name, value in asdict(noun).items()}


def _noun_from_json(
    name: str,
    synonyms: list[str],
    hypernyms: list[str],
    maybe: list[str],
    colours: list[str],
    place: str,
    turns: bool,
) -> Noun:
    return Noun(name, tuple(synonyms), tuple(hypernyms), tuple(maybe), tuple(colours), place, turns)


def _image_from_json(folder: Path, name: str, glazed: bool, own: str, *others: str) -> ObjectImage:
    return ObjectImage(folder / name, glazed, own, others)
