"""From a query to English: several templates a kind, some of them held out of training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from uniref_scenes.queries import Name, Query

Rng = np.random.Generator
Templates = Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]

_WRAPS = (
    (
        "the {}",
        "the {}",
        "the {}",
        "the {}",
        "{}",
        "segment the {}",
        "find the {}",
        "please segment the {}",
        "show me the {}",
    ),
    ("where is the {}", "highlight the {}", "can you mark the {}", "I want the {}"),
)
_CORES: Templates = {
    "largest": (("largest {}", "biggest {}", "{} that is the largest"), ("{} bigger than the others",)),
    "smallest": (("smallest {}", "{} that is the smallest", "tiniest {}"), ("{} smaller than the others",)),
    "left": (
        ("{} on the left", "leftmost {}", "left {}", "{} at the far left"),
        ("{} on the left side of the picture",),
    ),
    "right": (
        ("{} on the right", "rightmost {}", "right {}", "{} at the far right"),
        ("{} on the right side of the picture",),
    ),
    "top": (("{} at the top", "topmost {}", "upper {}", "highest {}"), ("{} in the upper part",)),
    "bottom": (("{} at the bottom", "lowest {}", "lower {}"), ("{} in the lower part",)),
    "middle": (("{} in the middle", "middle {}", "{} between the other two"), ("{} in between",)),
    "second from the left": (
        ("second {} from the left", "{} second from the left"),
        ("{} that is second from the left",),
    ),
    "second from the right": (
        ("second {} from the right", "{} second from the right"),
        ("{} that is second from the right",),
    ),
    "moves left": (
        ("{} moving left", "{} moving to the left", "{} that moves left", "{} going left"),
        ("{} heading left",),
    ),
    "moves right": (
        ("{} moving right", "{} moving to the right", "{} that moves right", "{} going right"),
        ("{} heading right",),
    ),
    "moves up": (("{} moving up", "{} that moves up", "{} going up", "{} that rises"), ("{} heading upwards",)),
    "moves down": (
        ("{} moving down", "{} that moves down", "{} going down", "{} that sinks"),
        ("{} heading downwards",),
    ),
    "still": (("{} that stays still", "{} that does not move", "still {}", "{} standing still"), ("motionless {}",)),
    "grows": (("{} getting bigger", "{} that grows", "growing {}", "{} coming closer"), ("{} that becomes larger",)),
    "shrinks": (("{} getting smaller", "{} that shrinks", "shrinking {}"), ("{} that becomes smaller",)),
    "turns": (("{} that rotates", "spinning {}", "turning {}", "{} that turns around"), ("rotating {}",)),
    "leaves": (("{} that leaves", "{} that goes out of the picture", "{} that disappears"), ("{} going out of view",)),
    "enters": (("{} that enters", "{} that comes into the picture", "{} that appears"), ("{} coming into view",)),
    "next to": (("{} next to the {}", "{} beside the {}", "{} near the {}"), ("{} close to the {}",)),
    "left of": (("{} to the left of the {}", "{} left of the {}"), ("{} on the left side of the {}",)),
    "right of": (("{} to the right of the {}", "{} right of the {}"), ("{} on the right side of the {}",)),
    "above": (("{} above the {}", "{} over the {}"), ("{} higher up than the {}",)),
    "below": (("{} below the {}", "{} under the {}"), ("{} lower down than the {}",)),
    "in front of": (("{} in front of the {}", "{} partly covering the {}"), ("{} hiding a part of the {}",)),
    "behind": (("{} behind the {}", "{} partly hidden by the {}"), ("{} partly covered by the {}",)),
}
_PATTERNS = {"striped": ("striped",), "dotted": ("dotted", "spotted"), "checked": ("checked", "checkered")}
_TYPO_SHARE = 0.02
_NO_ARTICLE = frozenset(
    (
        # several things
        *("lungs", "grapes", "blueberries", "french fries", "fries", "jeans", "pants", "gloves", "socks"),
        *("shorts", "glasses", "spectacles", "sunglasses", "goggles", "headphones", "scissors", "scales"),
        *("beads", "chopsticks", "maracas", "underpants", "briefs", "bricks", "peas", "lips"),
        *("traffic lights"),
        # stuff
        *("bread", "cheese", "corn", "wheat", "ginger", "garlic", "lettuce", "broccoli", "bacon", "salad"),
        *("popcorn", "butter", "soap", "money", "coral", "spaghetti", "pasta", "sushi", "milk", "coffee"),
        *("beer", "soda", "rope", "dna", "rice", "meat", "toilet paper", "fire", "lightning", "salt"),
        *("shaved ice", "noodle soup", "champagne", "whiskey", "boba", "bubble tea", "yarn", "luggage"),
    )
)
"""Nouns that take no "a"."""


def phrase(rng: Rng, query: Query, wording: str = "train") -> str:
    """An English expression of a query.

    Args:
        rng: Chooses the template.
        query: What it says.
        wording: `train`, or `test` for templates that training never uses.
    """
    held = wording == "test"
    core = name_phrase(rng, query.name)
    if query.kind != "name":
        core = _choose(rng, _CORES[query.what][held]).format(core, *(_anchor(rng, query)))
    wraps = _WRAPS[held] if held or query.kind != "name" else (*_WRAPS[0], "a {}")
    wrapped = _choose(rng, wraps).format(core)
    if wrapped == f"a {core}" and query.name.noun in _NO_ARTICLE:
        wrapped = core
    elif wrapped.startswith("a ") and wrapped[2] in "aeiou":
        wrapped = f"an{wrapped[1:]}"
    return wrapped if held or rng.random() >= _TYPO_SHARE else _mistyped(rng, wrapped)


def name_phrase(rng: Rng, name: Name) -> str:
    """`red car`, `striped thing`, `one`."""
    noun = name.noun
    if noun is None:
        noun = _choose(rng, ("one", "thing", "object") if name.colour or name.pattern else ("thing", "object", "one"))
    words = [_choose(rng, _PATTERNS[name.pattern])] if name.pattern else []
    if name.colour:
        words.append("grey" if name.colour == "gray" and rng.random() < 0.4 else name.colour)
    return " ".join([*words, noun])


def _anchor(rng: Rng, query: Query) -> tuple[str, ...]:
    return () if query.anchor is None else (name_phrase(rng, query.anchor),)


def _choose(rng: Rng, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _mistyped(rng: Rng, text: str) -> str:
    """Two neighbouring letters within a word exchanged, or one left out."""
    places = [k for k in range(1, len(text) - 2) if text[k].isalpha() and text[k + 1].isalpha()]
    if not places:
        return text
    k = places[int(rng.integers(len(places)))]
    return text[:k] + (text[k + 1] + text[k] if rng.random() < 0.5 else text[k + 1]) + text[k + 2 :]
