"""A scene: an image or clip as a pure function of its set, seed and number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from uniref_scenes.backgrounds import Background, make_background
from uniref_scenes.bank import DRAWN, Bank
from uniref_scenes.facts import measure_scene
from uniref_scenes.layout import Frame, Thing, choose_kinds, place
from uniref_scenes.nouns import Noun
from uniref_scenes.queries import View
from uniref_scenes.referring import Expression, express
from uniref_scenes.render import Bar, Effects, render
from uniref_scenes.sets import SceneSet
from uniref_scenes.sprite import FINISHES, PATTERNS, Look, Sprite

Rng = np.random.Generator
UInt8 = npt.NDArray[np.uint8]

_ASPECTS = ((1.0, 1.0), (1.0, 1.0), (0.75, 1.0), (0.75, 1.0), (0.625, 1.0), (1.0, 0.75))  # height, width
_PATTERN_SHARES = (0.62, 0.11, 0.1, 0.07, 0.1)  # of PATTERNS


@dataclass(frozen=True)
class SceneOptions:
    """What decides a scene besides its set and number."""

    size: int = 256
    """Longest side, pixels."""
    frames: int = 1
    """1 for an image."""
    seed: int = 0
    per_object: int = 3
    """At most so many expressions an object."""
    nothing: float = 0.0
    """Share of scenes that have an expression which fits nothing."""


@dataclass(frozen=True)
class Scene:
    """A rendered scene."""

    frames: Sequence[UInt8]
    """RGB [H, W, 3], one a frame."""
    labels: Sequence[UInt8]
    """[H, W]: 0, or 1 + the object's position in `things`."""
    things: Sequence[Thing]
    ground: Background
    view: View
    expressions: Sequence[Expression]


def make_scene(set_name: str, number: int, options: SceneOptions, bank: Bank = DRAWN) -> Scene:
    """Scene `number` of one of the bank's sets.

    The same arguments give the same pixels, masks and expressions, whatever was made before and on however many
    processes.
    """
    scenes = bank.sets[set_name]
    rng = np.random.default_rng([options.seed, scenes.number, int(options.frames > 1), number])
    frame = _frame(rng, options)
    bank = bank.of_scene(rng, scenes)
    ground = bank.ground(rng, scenes, frame)
    members = _members(rng, scenes, options.size, bank)
    things = place(rng, frame, ground, members)
    backs = pan(rng, ground, frame)
    frames, labels = render(backs, things, _effects(rng), rng, _bar(rng, frame))
    view = View(measure_scene(frame, things, labels), frame.height, frame.width, ground.words)
    expressions = express(rng, view, scenes, bank, options.per_object, options.nothing)
    return Scene(frames, labels, things, ground, view, expressions)


def _frame(rng: Rng, options: SceneOptions) -> Frame:
    tall, wide = _ASPECTS[int(rng.integers(len(_ASPECTS)))]
    return Frame(_even(options.size * tall), _even(options.size * wide), options.frames)


def _even(length: float) -> int:
    return max(2, round(length / 2) * 2)


def _members(rng: Rng, scenes: SceneSet, size: int, bank: Bank) -> list[tuple[Noun, Sprite, str]]:
    shown, wanted = bank.shown(scenes), bank.wanted(scenes)
    colours = {noun: bank.colours(scenes, noun) for noun in {*shown, *wanted}}
    usual = {noun: bank.usual(noun) for noun in colours}
    kinds = choose_kinds(rng, shown, colours, wanted, usual)
    if scenes.asks == "pairs":
        kinds = _with_a_held_out_pair(rng, kinds, scenes, bank)
    one_style = rng.random() < 0.35  # instances of a noun that differ in nothing but colour
    style = int(rng.integers(scenes.styles.start, scenes.styles.stop))
    members = []
    for noun, colour in kinds:
        look = Look(
            noun=noun,
            style=style if one_style else int(rng.integers(scenes.styles.start, scenes.styles.stop)),
            colour=colour,
            pattern=_pattern(rng),
            finish=FINISHES[int(rng.integers(len(FINISHES)))],
            seed=int(rng.integers(1 << 31)),
        )
        members.append((bank.nouns[noun], *bank.draw(look, sprite_side(size))))
    return members


def sprite_side(size: int) -> int:
    """Pixels of a drawn object, for pictures with this longest side."""
    return max(96, round(size * 0.6))


def _with_a_held_out_pair(
    rng: Rng, kinds: list[tuple[str, str]], scenes: SceneSet, bank: Bank
) -> list[tuple[str, str]]:
    """The first object in a colour that training never shows it in."""
    pairs = [
        (noun, colour)
        for noun in bank.shown(scenes)
        for colour in bank.colours(scenes, noun)
        if bank.held_out_pair(noun, colour)
    ]
    noun, colour = pairs[int(rng.integers(len(pairs)))]
    first = kinds[0][0]
    rest = [(noun if name == first else name, other) for name, other in kinds[1:]]
    return [(noun, colour), *(pair for pair in rest if pair != (noun, colour))]


def _pattern(rng: Rng) -> str:
    return PATTERNS[int(rng.choice(len(PATTERNS), p=_PATTERN_SHARES))]


def pan(rng: Rng, ground: Background, frame: Frame) -> list[UInt8]:
    """The background of every frame: a slow pan and zoom over patterns and photographs, a fixed view of scenery."""
    if ground.horizon is not None or frame.length == 1:
        part = ground.pixels[: frame.height, : frame.width]
        return [part] * frame.length
    height, width = ground.pixels.shape[:2]
    image = Image.fromarray(ground.pixels)
    slack = np.array([width - frame.width, height - frame.height], float)
    start, end = rng.random(2) * slack, rng.random(2) * slack
    if rng.random() < 0.35:
        end = start
    views = []
    for t in np.linspace(0, 1, frame.length):
        x, y = start + (end - start) * t
        data = (1.0, 0.0, float(x), 0.0, 1.0, float(y))
        moved = image.transform((frame.width, frame.height), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
        views.append(np.asarray(moved))
    return views


def _effects(rng: Rng) -> Effects:
    gain = float(rng.uniform(0.9, 1.08))
    tint = rng.uniform(0.97, 1.03, 3) * gain
    return Effects(
        gain=(float(tint[0]), float(tint[1]), float(tint[2])),
        lift=float(rng.uniform(-6, 6)),
        blur=float(rng.uniform(0.4, 1.0)) if rng.random() < 0.25 else 0.0,
        noise=float(rng.uniform(1, 5)) if rng.random() < 0.3 else 0.0,
        shadow=float(rng.uniform(0.15, 0.4)) if rng.random() < 0.4 else 0.0,
        soft=bool(rng.random() < 0.4),
    )


def _bar(rng: Rng, frame: Frame) -> Bar | None:
    """Sometimes a pole or wall that objects pass behind."""
    if rng.random() >= (0.2 if frame.length > 1 else 0.08):
        return None
    width = max(4, round(frame.width * float(rng.uniform(0.04, 0.1))))
    left = int(rng.integers(0, frame.width - width))
    kind = ("gradient", "noise", "planks", "stripes")[int(rng.integers(4))]
    return Bar(left, left + width, make_background(kind, int(rng.integers(1 << 20)), frame.height, width).pixels)
