"""What scenes are made of: nouns, the objects they name, and backgrounds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from uniref_scenes.backgrounds import Background, make_background
from uniref_scenes.backgrounds.make import kinds_of
from uniref_scenes.colour import WORDS
from uniref_scenes.layout import Frame
from uniref_scenes.nouns import HELD_OUT, NOUNS, Noun
from uniref_scenes.sets import GROUND_STYLES, SETS, SceneSet, unusual_pair
from uniref_scenes.sprite import Look, Sprite, draw

Rng = np.random.Generator


class Bank:
    """The drawn bank: everything from numbers. Others inherit, and replace what they have more of."""

    sets: Mapping[str, SceneSet] = SETS
    nouns: Mapping[str, Noun] = NOUNS
    """Every noun by its name."""
    held_out: frozenset[str] = HELD_OUT
    """Nouns that only the `novel` sets show and name."""

    def of_scene(self, rng: Rng, scenes: SceneSet) -> Bank:
        """What one scene is made of: all of it, or a part that `rng` chooses."""
        return self

    def shown(self, scenes: SceneSet) -> list[str]:
        """Nouns that a set may show besides those it asks about."""
        return [name for name in self.nouns if name not in self.held_out]

    def wanted(self, scenes: SceneSet) -> list[str]:
        """Nouns that a set's expressions are about."""
        return sorted(self.held_out) if scenes.asks == "novel" else self.shown(scenes)

    def usual(self, noun: str) -> tuple[str, ...]:
        """Colour words that a noun mostly comes in; may be empty."""
        return self.nouns[noun].colours

    def colours(self, scenes: SceneSet, noun: str) -> list[str]:
        """Colour words that a set may show a noun in; never empty."""
        return [word for word in WORDS if scenes.asks == "pairs" or not self.held_out_pair(noun, word)]

    def held_out_pair(self, noun: str, colour: str) -> bool:
        """Whether only the `pairs` sets show this noun in this colour (about a twelfth; never a usual one)."""
        usual = self.usual(noun) if noun in self.nouns else ()
        return colour not in usual and unusual_pair(noun, colour)

    def draw(self, look: Look, side: int) -> tuple[Sprite, str]:
        """An object, at most `side` pixels wide and high, and the pattern that is said of it."""
        return draw(look, side), look.pattern

    def ground(self, rng: Rng, scenes: SceneSet, frame: Frame) -> Background:
        """A background for a picture, larger where it can be panned over."""
        patterns, scenery = kinds_of(scenes.grounds)
        kinds = scenery if rng.random() < 0.5 else patterns
        kind = kinds[int(rng.integers(len(kinds)))]
        styles = GROUND_STYLES[scenes.grounds]
        margin = 1.2 if frame.length > 1 and kind in patterns else 1.0
        number = int(rng.integers(styles.start, styles.stop))
        return make_background(kind, number, round(frame.height * margin), round(frame.width * margin))


DRAWN = Bank()
