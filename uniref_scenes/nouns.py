"""The vocabulary: what each drawn object may be called, and what it might be called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """Words for one kind of object."""

    name: str
    synonyms: tuple[str, ...] = ()
    hypernyms: tuple[str, ...] = ()
    maybe: tuple[str, ...] = ()
    """Words that some would use: an expression with one of them never has such an object as its only rival."""
    colours: tuple[str, ...] = ()
    """Usual colours; any other occurs too."""
    place: str = "any"
    """`ground`, `sky`, `water` or `any`: where it is put in a scene with a horizon."""
    turns: bool = True
    """Whether a rotation can be seen and is natural."""

    def fits(self, word: str | None) -> int:
        """1 where the word names it, 0 where some would say so, -1 where nobody would; None names everything."""
        if word is None or word == self.name or word in self.synonyms or word in self.hypernyms:
            return 1
        return 0 if word in self.maybe else -1


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
"""Every drawn noun."""

HELD_OUT = frozenset(
    ("tractor", "tulip", "rabbit", "ship", "kite", "pear", "hexagon", "backpack", "guitar", "snail", "bell", "castle")
)
"""Nouns that only the `novel` sets show and name."""
