"""A scene: an image or video as a pure function of its set, seed and number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from uniref_scenes.backgrounds import SceneBackground, make_background
from uniref_scenes.bank import DRAWN_BANK, ObjectBank, SceneSet
from uniref_scenes.drawings.appearance import FINISHES, PATTERNS, Appearance
from uniref_scenes.language import Noun
from uniref_scenes.motion import SceneObject, SceneShape, place_objects
from uniref_scenes.referring import ReferringExpression, express
from uniref_scenes.relations import MeasuredScene, measure_scene
from uniref_scenes.render import ImageEffects, Occluder, render
from uniref_scenes.sprite import Sprite
from uniref_scenes.types import Rng, UInt8Array

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

    frames: Sequence[UInt8Array]
    """RGB [H, W, 3], one a frame."""
    labels: Sequence[UInt8Array]
    """[H, W]: 0, or 1 + the object's position in `objects`."""
    objects: Sequence[SceneObject]
    background: SceneBackground
    measured: MeasuredScene
    expressions: Sequence[ReferringExpression]


def make_scene(set_name: str, number: int, options: SceneOptions, bank: ObjectBank = DRAWN_BANK) -> Scene:
    """Scene `number` of one of the bank's sets.

    The same arguments give the same pixels, masks and expressions, whatever was made before and on however many
    processes.
    """
    scene_set = bank.sets[set_name]
    rng = np.random.default_rng([options.seed, scene_set.number, int(options.frames > 1), number])
    shape = _choose_shape(rng, options)
    bank = bank.choose_for_scene(rng, scene_set)
    background = bank.draw_background(rng, scene_set, shape)
    members = _members(rng, scene_set, options.size, bank)
    objects = place_objects(rng, shape, background, members)
    backs = pan(rng, background, shape)
    frames, labels = render(backs, objects, _effects(rng), rng, _bar(rng, shape))
    measured = MeasuredScene(measure_scene(shape, objects, labels), shape.height, shape.width, background.words)
    expressions = express(rng, measured, scene_set, bank, options.per_object, options.nothing)
    return Scene(frames, labels, objects, background, measured, expressions)


def _choose_shape(rng: Rng, options: SceneOptions) -> SceneShape:
    tall, wide = _ASPECTS[int(rng.integers(len(_ASPECTS)))]
    return SceneShape(_even(options.size * tall), _even(options.size * wide), options.frames)


def _even(length: float) -> int:
    return max(2, round(length / 2) * 2)


def _members(rng: Rng, scene_set: SceneSet, size: int, bank: ObjectBank) -> list[tuple[Noun, Sprite, str]]:
    shown, wanted = bank.shown_nouns(scene_set), bank.target_nouns(scene_set)
    colours = {noun: bank.allowed_colours(scene_set, noun) for noun in {*shown, *wanted}}
    usual = {noun: bank.usual_colours(noun) for noun in colours}
    kinds = choose_kinds(rng, shown, colours, wanted, usual)
    if scene_set.subject == "pairs":
        kinds = _with_a_held_out_pair(rng, kinds, scene_set, bank)
    one_style = rng.random() < 0.35  # instances of a noun that differ in nothing but colour
    style = int(rng.integers(scene_set.styles.start, scene_set.styles.stop))
    members = []
    for noun, colour in kinds:
        appearance = Appearance(
            noun=noun,
            style=style if one_style else int(rng.integers(scene_set.styles.start, scene_set.styles.stop)),
            colour=colour,
            pattern=_pattern(rng),
            finish=FINISHES[int(rng.integers(len(FINISHES)))],
            seed=int(rng.integers(1 << 31)),
        )
        members.append((bank.nouns[noun], *bank.draw_object(appearance, sprite_side(size))))
    return members


def sprite_side(size: int) -> int:
    """Pixels of a drawn object, for images with this longest side."""
    return max(96, round(size * 0.6))


def choose_kinds(
    rng: Rng,
    nouns: list[str],
    colours: Mapping[str, list[str]],
    wanted: list[str],
    usual: Mapping[str, tuple[str, ...]],
) -> list[tuple[str, str]]:
    """Nouns and colour words of 2 to 6 objects, such that words are needed to tell them apart.

    Args:
        rng: Decides.
        nouns: What may be shown.
        colours: Colour words that a noun may be shown in.
        wanted: Nouns that the expressions are about.
        usual: Colour words that a noun mostly comes in.
    """
    first = _pick(rng, wanted)
    plan = rng.random()

    def colour(noun: str) -> str:
        return _colour(rng, usual[noun], colours[noun])

    if plan < 0.28:  # different objects
        members = [first, *_others(rng, nouns, {first}, int(rng.integers(1, 5)))]
        return [(noun, colour(noun)) for noun in members]
    if plan < 0.48:  # several of one kind
        return [(first, colour(first)) for _ in range(int(rng.integers(2, 6)))]
    shared = colour(first)
    others = _others(rng, nouns, {first}, int(rng.integers(1, 4)))
    if plan < 0.62:  # one colour on several objects
        group = [(noun, shared if shared in colours[noun] else colour(noun)) for noun in others]
        return [(first, shared), *group, (first, _other_colour(rng, shared, colours[first]))]
    twins = [(first, _other_colour(rng, shared, colours[first])) for _ in range(int(rng.integers(1, 3)))]
    same = [(noun, shared) for noun in others[:1] if shared in colours[noun]]
    rest = [(noun, colour(noun)) for noun in others[1:]]
    return [(first, shared), *twins, *same, *rest][:6]


def _pick(rng: Rng, names: list[str]) -> str:
    return names[int(rng.integers(len(names)))]


def _others(rng: Rng, nouns: list[str], without: set[str], count: int) -> list[str]:
    left = [noun for noun in nouns if noun not in without]
    return [left[i] for i in rng.choice(len(left), min(count, len(left)), replace=False)]


def _colour(rng: Rng, usual: tuple[str, ...], allowed: list[str]) -> str:
    often = [word for word in usual if word in allowed]
    return _pick(rng, often if often and rng.random() < 0.5 else allowed)


def _other_colour(rng: Rng, colour: str, allowed: list[str]) -> str:
    """Another one, if there is any."""
    return _pick(rng, [word for word in allowed if word != colour] or allowed)


def _with_a_held_out_pair(
    rng: Rng, kinds: list[tuple[str, str]], scene_set: SceneSet, bank: ObjectBank
) -> list[tuple[str, str]]:
    """The first object in a colour that training never shows it in."""
    pairs = [
        (noun, colour)
        for noun in bank.shown_nouns(scene_set)
        for colour in bank.allowed_colours(scene_set, noun)
        if bank.held_out_pair(noun, colour)
    ]
    noun, colour = pairs[int(rng.integers(len(pairs)))]
    first = kinds[0][0]
    rest = [(noun if name == first else name, other) for name, other in kinds[1:]]
    return [(noun, colour), *(pair for pair in rest if pair != (noun, colour))]


def _pattern(rng: Rng) -> str:
    return PATTERNS[int(rng.choice(len(PATTERNS), p=_PATTERN_SHARES))]


def pan(rng: Rng, background: SceneBackground, shape: SceneShape) -> list[UInt8Array]:
    """The background of every frame: a slow pan and zoom over patterns and photographs, a fixed view of scenery."""
    if background.horizon is not None or shape.num_frames == 1:
        part = background.pixels[: shape.height, : shape.width]
        return [part] * shape.num_frames
    height, width = background.pixels.shape[:2]
    image = Image.fromarray(background.pixels)
    slack = np.array([width - shape.width, height - shape.height], float)
    start, end = rng.random(2) * slack, rng.random(2) * slack
    if rng.random() < 0.35:
        end = start
    frames = []
    for t in np.linspace(0, 1, shape.num_frames):
        x, y = start + (end - start) * t
        data = (1.0, 0.0, float(x), 0.0, 1.0, float(y))
        moved = image.transform((shape.width, shape.height), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
        frames.append(np.asarray(moved))
    return frames


def _effects(rng: Rng) -> ImageEffects:
    gain = float(rng.uniform(0.9, 1.08))
    tint = rng.uniform(0.97, 1.03, 3) * gain
    return ImageEffects(
        gain=(float(tint[0]), float(tint[1]), float(tint[2])),
        lift=float(rng.uniform(-6, 6)),
        blur=float(rng.uniform(0.4, 1.0)) if rng.random() < 0.25 else 0.0,
        noise=float(rng.uniform(1, 5)) if rng.random() < 0.3 else 0.0,
        shadow=float(rng.uniform(0.15, 0.4)) if rng.random() < 0.4 else 0.0,
        soft=bool(rng.random() < 0.4),
    )


def _bar(rng: Rng, shape: SceneShape) -> Occluder | None:
    """Sometimes a pole or wall that objects pass behind."""
    if rng.random() >= (0.2 if shape.num_frames > 1 else 0.08):
        return None
    width = max(4, round(shape.width * float(rng.uniform(0.04, 0.1))))
    left = int(rng.integers(0, shape.width - width))
    kind = ("gradient", "noise", "planks", "stripes")[int(rng.integers(4))]
    return Occluder(left, left + width, make_background(kind, int(rng.integers(1 << 20)), shape.height, width).pixels)
