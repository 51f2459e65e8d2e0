"""The language of expressions: nouns, what an expression says as a query, and templates that put a query in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from uniref_scenes.types import Rng


@dataclass(frozen=True)
class Noun:
    """What one kind of object may be called, and what is usual for it."""

    name: str
    synonyms: tuple[str, ...] = ()
    hypernyms: tuple[str, ...] = ()
    maybe: tuple[str, ...] = ()
    """Words that only some people would use: no expression with such a word is used where the object is in doubt."""
    colours: tuple[str, ...] = ()
    """Usual colours; any other occurs too. One that is listed twice is twice as frequent."""
    setting: str = "any"
    """Where it is placed in front of a background with a horizon: `ground`, `sky`, `water` or `any`."""
    turns: bool = True
    """Whether a rotation is natural and can be seen."""

    def fits(self, word: str | None) -> int:
        """Whether a word names it: 1 anyone would say so, 0 some would, -1 nobody would; None names everything."""
        if word is None or word == self.name or word in self.synonyms or word in self.hypernyms:
            return 1
        return 0 if word in self.maybe else -1


@dataclass(frozen=True)
class NounPhrase:
    """A noun, a colour, a pattern, or several of them: "red car", "striped one"; all None: any object."""

    noun: str | None = None
    colour: str | None = None
    pattern: str | None = None


@dataclass(frozen=True)
class Query:
    """What an expression says: a noun phrase, and perhaps a condition that singles out one of the objects it fits."""

    kind: str
    """`name`, `size`, `place`, `motion`, `relation` or `order`."""
    name: NounPhrase = NounPhrase()
    condition: str = ""
    """Which one of its kind: `largest`, `left`, `moves left`, `next to`, `leaves`, ...; empty for a `name`."""
    anchor: NounPhrase | None = None
    """The object that a relation is to."""


# hypernyms: vehicles, animals, plants, fruit, buildings, shapes, clothes, furniture
_V, _A, _P, _F, _B = ("vehicle",), ("animal",), ("plant",), ("fruit", "food"), ("building",)
_S, _C, _U = ("shape",), ("piece of clothing",), ("piece of furniture",)

_ALL = (
    Noun("car", ("automobile",), _V, (), ("red", "blue", "gray", "white", "black", "green", "yellow"), "ground", False),
    Noun("truck", ("lorry",), _V, ("car", "van"), (), "ground", False),
    Noun("bus", ("coach",), _V, ("car", "truck", "van"), ("red", "yellow", "blue"), "ground", False),
    Noun("train", ("locomotive",), _V, ("car",), (), "ground", False),
    Noun("tractor", ("farm tractor",), _V, ("car", "truck"), ("red", "green", "blue"), "ground", False),
    Noun("bicycle", ("bike",), _V, (), (), "ground", False),
    Noun("motorcycle", ("motorbike",), _V, ("bike", "bicycle", "person"), (), "ground", False),
    Noun("boat", ("sailboat", "sailing boat"), _V, ("ship",), (), "water", False),
    Noun("ship", ("steamer",), _V, ("boat",), (), "water", False),
    Noun("airplane", ("plane", "aeroplane"), ("vehicle", "aircraft"), (), ("white", "gray", "blue"), "sky"),
    Noun("helicopter", ("chopper",), ("vehicle", "aircraft"), ("airplane", "plane"), (), "sky", False),
    Noun("rocket", ("spaceship",), (), ("vehicle", "aircraft", "ship", "airplane"), (), "sky"),
    Noun("tree", (), _P, (), ("green", "green", "orange", "brown"), "ground", False),
    Noun("pine", ("pine tree", "fir"), ("tree", "plant"), ("triangle", "arrow"), ("green",), "ground", False),
    Noun("flower", ("blossom",), _P, ("sun",), ("red", "pink", "yellow", "purple", "white"), "ground"),
    Noun("tulip", (), ("flower", "plant"), (), ("red", "pink", "yellow", "purple", "white"), "ground"),
    Noun("cactus", (), _P, ("tree",), ("green",), "ground", False),
    Noun("mushroom", ("toadstool",), (), ("plant", "food", "umbrella"), ("red", "brown"), "ground"),
    Noun("cloud", (), (), (), ("white", "gray"), "sky", False),
    Noun("sun", (), (), ("star", "circle", "flower", "shape"), ("yellow", "orange"), "sky"),
    Noun("leaf", (), (), ("plant", "tree", "pine", "fir"), ("green", "orange", "brown", "yellow")),
    Noun("mountain", ("peak",), (), ("triangle", "shape"), ("gray", "brown", "blue"), "ground", False),
    Noun("fish", (), _A, (), ("orange", "blue", "red"), "any"),
    Noun("bird", (), _A, ("duck",), ("blue", "red", "brown", "yellow"), "any", False),
    Noun("duck", ("duckling",), ("bird", "animal"), (), ("yellow", "white"), "water", False),
    Noun("cat", ("kitten", "kitty"), _A, (), ("black", "gray", "orange", "white"), "ground", False),
    Noun("dog", ("puppy",), _A, (), ("brown", "black", "white"), "ground", False),
    Noun("rabbit", ("bunny", "hare"), _A, (), ("white", "gray", "brown"), "ground", False),
    Noun("turtle", ("tortoise",), _A, (), ("green", "brown"), "ground", False),
    Noun("butterfly", (), ("insect",), ("animal",), ("blue", "orange", "yellow", "purple"), "sky"),
    Noun("snail", (), _A, (), ("brown", "orange"), "ground", False),
    Noun("snake", ("serpent",), _A, (), ("green", "brown"), "ground"),
    Noun("elephant", (), _A, (), ("gray", "gray", "blue", "pink"), "ground", False),
    Noun("crab", (), _A, (), ("red", "orange"), "ground"),
    Noun("house", ("cottage",), _B, (), ("white", "yellow", "red", "blue"), "ground", False),
    Noun("castle", ("fortress",), _B, ("house",), ("gray", "brown"), "ground", False),
    Noun("tent", (), (), ("house", "building", "triangle", "shape"), ("green", "orange", "blue"), "ground", False),
    Noun("ball", (), (), ("circle", "shape", "balloon"), ("red", "blue", "orange", "white"), "ground"),
    Noun("cup", ("mug",), (), (), ("white", "red", "blue"), "ground"),
    Noun("umbrella", ("parasol",), (), (), (), "any"),
    Noun("balloon", (), (), ("ball", "circle"), ("red", "blue", "yellow", "pink"), "sky"),
    Noun("hat", (), _C, ("cap",), (), "any"),
    Noun("lamp", ("table lamp",), (), _U, (), "ground", False),
    Noun("chair", (), _U, (), ("brown", "red", "black"), "ground", False),
    Noun("table", ("desk",), _U, (), ("brown", "white"), "ground", False),
    Noun("bottle", (), (), (), ("green", "brown", "blue"), "ground"),
    Noun("book", (), (), ("rectangle",), (), "any"),
    Noun("present", ("gift",), (), ("box", "square"), (), "ground"),
    Noun("bell", (), (), (), ("yellow",), "any"),
    Noun("clock", ("alarm clock",), (), ("circle",), (), "any", False),
    Noun("kite", (), (), ("diamond", "rhombus", "shape"), (), "sky"),
    Noun("shirt", ("t-shirt",), _C, (), (), "any"),
    Noun("shoe", ("sneaker", "trainer"), _C, (), (), "ground"),
    Noun("backpack", ("rucksack",), (), ("bag",), (), "ground"),
    Noun("key", (), (), (), ("yellow", "gray"), "any"),
    Noun("guitar", (), (), (), ("brown", "orange"), "any"),
    Noun("person", ("human",), (), ("animal", "robot"), (), "ground", False),
    Noun("robot", (), (), ("person", "human"), ("gray", "blue"), "ground", False),
    Noun("snowman", (), (), ("person", "human"), (), "ground", False),
    Noun("apple", (), _F, (), ("red", "green", "yellow"), "any"),
    Noun("pear", (), _F, (), ("green", "yellow"), "any"),
    Noun("banana", (), _F, ("crescent", "moon"), ("yellow",), "any"),
    Noun("carrot", (), ("vegetable", "food"), (), ("orange",), "any"),
    Noun("cherry", ("cherries",), _F, (), ("red",), "any"),
    Noun("strawberry", (), _F, (), ("red",), "any"),
    Noun("cake", (), ("food",), (), ("pink", "brown", "white"), "ground", False),
    Noun("ice cream", ("ice cream cone",), ("food",), (), ("pink", "white", "brown"), "any"),
    Noun("pumpkin", (), ("vegetable", "food"), ("fruit", "ball"), ("orange",), "ground"),
    Noun("circle", ("disc",), _S, ("ball", "oval"), (), "any", False),
    Noun("oval", ("ellipse",), _S, ("circle", "ball", "disc"), ()),
    Noun("square", (), _S, ("box", "rectangle", "diamond", "rhombus"), ()),
    Noun("rectangle", (), _S, ("box", "square", "book"), ()),
    Noun("triangle", (), _S, ("mountain", "tent", "arrow"), ()),
    Noun("star", (), _S, ("sun",), ("yellow",)),
    Noun("heart", (), _S, (), ("red", "pink")),
    Noun("diamond", ("rhombus",), _S, ("square", "kite"), ()),
    Noun("hexagon", (), _S, ("circle",), ()),
    Noun("cross", ("plus sign",), _S, (), ()),
    Noun("ring", ("hoop",), ("shape",), ("circle", "disc"), (), "any", False),
    Noun("arrow", (), _S, ("triangle",), ()),
    Noun("crescent", ("moon", "crescent moon"), (), ("shape", "banana"), ("yellow",), "sky"),
)

NOUNS: Mapping[str, Noun] = {noun.name: noun for noun in _ALL}
"""The nouns of drawn objects, by name."""

HELD_OUT = frozenset(
    ("tractor", "tulip", "rabbit", "ship", "kite", "pear", "hexagon", "backpack", "guitar", "snail", "bell", "castle")
)
"""Nouns that only the `novel` sets show and name."""

_FRAMES = (
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
"""Sentences around a noun phrase: those of training, and those that training never uses."""
_CONDITIONS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
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
"""A noun phrase with its condition (and the anchor): templates of training, and those that training never uses."""
_PATTERNS = {"striped": ("striped",), "dotted": ("dotted", "spotted"), "checked": ("checked", "checkered")}
_TYPO_SHARE = 0.02
PLURALS = (
    *("lungs", "grapes", "blueberries", "french fries", "fries", "jeans", "pants", "gloves", "socks"),
    *("shorts", "glasses", "spectacles", "sunglasses", "goggles", "headphones", "scissors", "scales"),
    *("beads", "chopsticks", "maracas", "underpants", "briefs", "bricks", "peas", "lips"),
    "traffic lights",
)
UNCOUNTABLE = (
    *("bread", "cheese", "corn", "wheat", "ginger", "garlic", "lettuce", "broccoli", "bacon", "salad"),
    *("popcorn", "butter", "soap", "money", "coral", "spaghetti", "pasta", "sushi", "milk", "coffee"),
    *("beer", "soda", "rope", "dna", "rice", "meat", "toilet paper", "fire", "lightning", "salt"),
    *("shaved ice", "noodle soup", "champagne", "whiskey", "boba", "bubble tea", "yarn", "luggage"),
)
_NO_ARTICLE = frozenset((*PLURALS, *UNCOUNTABLE))
"""Nouns that take no "a"."""


def phrase(rng: Rng, query: Query, wording: str = "train") -> str:
    """An English expression of a query.

    Args:
        rng: Chooses the template.
        query: What it says.
        wording: `train`, or `test` for templates that training never uses; only `train` has typing errors.
    """
    held_out = wording == "test"
    # the noun phrase with its condition: "red car on the left"
    core = noun_phrase(rng, query.name)
    if query.kind != "name":
        template = _choose(rng, _CONDITIONS[query.condition][held_out])
        anchor = () if query.anchor is None else (noun_phrase(rng, query.anchor),)
        core = template.format(core, *anchor)
    # the sentence around it: "find the red car on the left"
    frames = _FRAMES[held_out] if held_out or query.kind != "name" else (*_FRAMES[0], "a {}")
    text = _choose(rng, frames).format(core)
    if text == f"a {core}" and query.name.noun in _NO_ARTICLE:
        text = core
    elif text.startswith("a ") and text[2] in "aeiou":
        text = f"an{text[1:]}"
    return text if held_out or rng.random() >= _TYPO_SHARE else _mistype(rng, text)


def noun_phrase(rng: Rng, name: NounPhrase) -> str:
    """The words of a noun phrase: "red car", "striped thing", "one"."""
    noun = name.noun
    if noun is None:
        noun = _choose(rng, ("one", "thing", "object") if name.colour or name.pattern else ("thing", "object", "one"))
    words = [_choose(rng, _PATTERNS[name.pattern])] if name.pattern else []
    if name.colour:
        words.append("grey" if name.colour == "gray" and rng.random() < 0.4 else name.colour)
    return " ".join([*words, noun])


def _choose(rng: Rng, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _mistype(rng: Rng, text: str) -> str:
    """The text with two neighbouring letters of a word exchanged, or one left out."""
    positions = [k for k in range(1, len(text) - 2) if text[k].isalpha() and text[k + 1].isalpha()]
    if not positions:
        return text
    k = positions[int(rng.integers(len(positions)))]
    return text[:k] + (text[k + 1] + text[k] if rng.random() < 0.5 else text[k + 1]) + text[k + 2 :]
