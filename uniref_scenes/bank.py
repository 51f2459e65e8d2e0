"""What scenes are made of: sets of scenes, and the bank of nouns, objects and backgrounds they draw from."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from uniref_scenes.backgrounds import SceneBackground, background_kinds, make_background
from uniref_scenes.drawings.appearance import Appearance, draw_sprite
from uniref_scenes.language import HELD_OUT, NOUNS, Noun
from uniref_scenes.motion import SceneShape
from uniref_scenes.sprite import COLOUR_WORDS, Sprite
from uniref_scenes.types import Rng


@dataclass(frozen=True)
class SceneSet:
    """A family of scenes and what they may show."""

    name: str
    number: int
    """Part of every scene's seed."""
    styles: range
    """Numbers of the objects' proportions."""
    backgrounds: str
    """Which backgrounds: `train`, `val` or `test`."""
    subject: str = "any"
    """What expressions are about: `any`; `novel` nouns; `pairs` of colour and noun that training never shows."""
    wording: str = "train"
    """Which templates and synonyms: `train` or `test`."""
    images: str = "emoji"
    """Which images the named bank shows: `emoji`, those of another drawing `style`, or cut out of a `photo`."""


_TRAIN, _VAL, _TEST = range(0, 70), range(70, 85), range(85, 100)  # numbered proportions, and backgrounds of a kind
BACKGROUND_STYLES: Mapping[str, range] = {"train": _TRAIN, "val": _VAL, "test": _TEST}

SETS: Mapping[str, SceneSet] = {
    s.name: s
    for s in (
        SceneSet("train", 0, _TRAIN, "train"),
        SceneSet("val", 1, _VAL, "val"),
        SceneSet("test", 2, _TEST, "test"),
        SceneSet("seen", 3, _TRAIN, "train"),
        SceneSet("novel", 4, _TEST, "test", subject="novel"),
        SceneSet("pairs", 5, _TEST, "test", subject="pairs"),
        SceneSet("wording", 6, _TEST, "test", wording="test"),
    )
}
"""Sets by name. `train`, `val` and `test` differ in objects and backgrounds; the others test one thing each."""

NAMED_SETS: Mapping[str, SceneSet] = {
    s.name: s
    for s in (
        *(replace(s, number=s.number + 20) for s in SETS.values()),
        SceneSet("backgrounds", 27, _TRAIN, "test"),
        SceneSet("style", 28, _TRAIN, "test", images="style"),
        SceneSet("photo", 29, _TRAIN, "test", images="photo"),
    )
}
"""Sets of the named bank: those of the drawn bank, and three that test other backgrounds and images."""
_PAIRS_HELD_OUT = 12  # one of so many pairs of noun and colour


class ObjectBank:
    """The drawn bank: everything is drawn from random numbers. Other banks inherit, and override what they add to."""

    sets: Mapping[str, SceneSet] = SETS
    nouns: Mapping[str, Noun] = NOUNS
    """Nouns by name."""
    held_out: frozenset[str] = HELD_OUT
    """Nouns that only the `novel` sets show and name."""

    def choose_for_scene(self, rng: Rng, scene_set: SceneSet) -> ObjectBank:
        """The bank that one scene is made of: all of it, or a part that `rng` chooses."""
        return self

    def shown_nouns(self, scene_set: SceneSet) -> list[str]:
        """Nouns that a set may show besides its targets."""
        return [name for name in self.nouns if name not in self.held_out]

    def target_nouns(self, scene_set: SceneSet) -> list[str]:
        """Nouns that a set's expressions are about."""
        return sorted(self.held_out) if scene_set.subject == "novel" else self.shown_nouns(scene_set)

    def usual_colours(self, noun: str) -> tuple[str, ...]:
        """Colour words that a noun mostly comes in; may be empty."""
        return self.nouns[noun].colours

    def allowed_colours(self, scene_set: SceneSet, noun: str) -> list[str]:
        """Colour words that a set may show a noun in; never empty."""
        return [word for word in COLOUR_WORDS if scene_set.subject == "pairs" or not self.held_out_pair(noun, word)]

    def held_out_pair(self, noun: str, colour: str) -> bool:
        """Whether only the `pairs` sets show this noun in this colour (about a twelfth; never a usual one)."""
        usual = self.usual_colours(noun) if noun in self.nouns else ()
        return colour not in usual and zlib.crc32(f"{colour} {noun}".encode()) % _PAIRS_HELD_OUT == 0

    def draw_object(self, appearance: Appearance, side: int) -> tuple[Sprite, str]:
        """An object, at most `side` pixels wide and high, and the pattern that is said of it (`unknown`: none is)."""
        return draw_sprite(appearance, side), appearance.pattern

    def draw_background(self, rng: Rng, scene_set: SceneSet, shape: SceneShape) -> SceneBackground:
        """A background for an image, larger where it can be panned over."""
        patterns, scenery = background_kinds(scene_set.backgrounds)
        kinds = scenery if rng.random() < 0.5 else patterns
        kind = kinds[int(rng.integers(len(kinds)))]
        styles = BACKGROUND_STYLES[scene_set.backgrounds]
        margin = 1.2 if shape.num_frames > 1 and kind in patterns else 1.0
        number = int(rng.integers(styles.start, styles.stop))
        return make_background(kind, number, round(shape.height * margin), round(shape.width * margin))


DRAWN_BANK = ObjectBank()
