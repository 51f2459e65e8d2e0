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
from uniref_scenes.relations import MeasuredScene, measure_objects
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
    """Number of frames; 1 makes an image."""
    seed: int = 0
    per_object: int = 3
    """Maximum number of expressions per object."""
    nothing: int = 0
    """At most so many further expressions, which refer to no object; they change nothing else of the scene."""


@dataclass(frozen=True)
class Scene:
    """A rendered scene of T frames."""

    frames: Sequence[UInt8Array]
    """T images, uint8 RGB [H, W, 3]."""
    labels: Sequence[UInt8Array]
    """T label maps, uint8 [H, W]: 0, or 1 + the object's position in `objects`."""
    objects: Sequence[SceneObject]
    """In front of a background with a horizon, the furthest first."""
    background: SceneBackground
    measured: MeasuredScene
    expressions: Sequence[ReferringExpression]


def make_scene(set_name: str, number: int, options: SceneOptions, bank: ObjectBank = DRAWN_BANK) -> Scene:
    """Scene `number` of one of the bank's sets.

    The same arguments give the same pixels, masks and expressions, whatever was made before and on however many
    processes.

    Raises:
        KeyError: The bank has no such set.
        SceneError: An image of the bank cannot be used.
    """
    scene_set = bank.sets[set_name]
    rng = np.random.default_rng([options.seed, scene_set.number, int(options.frames > 1), number])
    # what is shown
    shape = _choose_shape(rng, options)
    bank = bank.choose_for_scene(rng, scene_set)
    background = bank.draw_background(rng, scene_set, shape)
    sprites = _draw_sprites(rng, scene_set, options.size, bank)
    # where it is, and the images
    objects = place_objects(rng, shape, background, sprites)
    backgrounds = pan(rng, background, shape)
    frames, labels = render(backgrounds, objects, _choose_effects(rng), rng, _choose_occluder(rng, shape))
    # what is said of it
    measured = MeasuredScene(measure_objects(objects, labels), shape.height, shape.width, background.words)
    expressions = express(rng, measured, scene_set, bank, options.per_object, options.nothing)
    return Scene(frames, labels, objects, background, measured, expressions)


def _choose_shape(rng: Rng, options: SceneOptions) -> SceneShape:
    tall, wide = _ASPECTS[int(rng.integers(len(_ASPECTS)))]
    return SceneShape(_even(options.size * tall), _even(options.size * wide), options.frames)


def _even(length: float) -> int:
    return max(2, round(length / 2) * 2)


def _draw_sprites(rng: Rng, scene_set: SceneSet, size: int, bank: ObjectBank) -> list[tuple[Noun, Sprite, str]]:
    """Noun, sprite and pattern of 2 to 6 objects."""
    # nouns and colours
    shown, targets = bank.shown_nouns(scene_set), bank.target_nouns(scene_set)
    colours = {noun: bank.allowed_colours(scene_set, noun) for noun in {*shown, *targets}}
    usual = {noun: bank.usual_colours(noun) for noun in colours}
    members = choose_members(rng, shown, colours, targets, usual)
    if scene_set.subject == "pairs":
        members = _with_held_out_pair(rng, members, scene_set, bank)
    # the rest of their appearance; with one style, instances of a noun differ in nothing but colour
    one_style = rng.random() < 0.35
    style = int(rng.integers(scene_set.styles.start, scene_set.styles.stop))
    sprites = []
    for noun, colour in members:
        appearance = Appearance(
            noun=noun,
            style=style if one_style else int(rng.integers(scene_set.styles.start, scene_set.styles.stop)),
            colour=colour,
            pattern=PATTERNS[int(rng.choice(len(PATTERNS), p=_PATTERN_SHARES))],
            finish=FINISHES[int(rng.integers(len(FINISHES)))],
            seed=int(rng.integers(1 << 31)),
        )
        sprites.append((bank.nouns[noun], *bank.draw_object(appearance, sprite_side(size))))
    return sprites


def sprite_side(size: int) -> int:
    """Longest side of a sprite, pixels, for images with this longest side."""
    return max(96, round(size * 0.6))


def choose_members(
    rng: Rng,
    nouns: list[str],
    colours: Mapping[str, list[str]],
    targets: list[str],
    usual: Mapping[str, tuple[str, ...]],
) -> list[tuple[str, str]]:
    """Nouns and colour words of 2 to 6 objects, such that words are needed to tell them apart.

    Args:
        rng: Decides.
        nouns: Nouns that may be shown.
        colours: Colour words that each noun may be shown in.
        targets: Nouns that expressions may be about; the first object has one of them.
        usual: Colour words that each noun mostly comes in.
    """
    first = _pick(rng, targets)
    plan = rng.random()

    def colour(noun: str) -> str:
        return _choose_colour(rng, usual[noun], colours[noun])

    # different objects
    if plan < 0.28:
        members = [first, *_other_nouns(rng, nouns, first, int(rng.integers(1, 5)))]
        return [(noun, colour(noun)) for noun in members]
    # several of one noun
    if plan < 0.48:
        return [(first, colour(first)) for _ in range(int(rng.integers(2, 6)))]
    # several nouns in one colour, and the first noun in another one
    shared = colour(first)
    others = _other_nouns(rng, nouns, first, int(rng.integers(1, 4)))
    if plan < 0.62:
        group = [(noun, shared if shared in colours[noun] else colour(noun)) for noun in others]
        return [(first, shared), *group, (first, _other_colour(rng, shared, colours[first]))]
    # the first noun in several colours, another noun in its colour, and others
    twins = [(first, _other_colour(rng, shared, colours[first])) for _ in range(int(rng.integers(1, 3)))]
    same = [(noun, shared) for noun in others[:1] if shared in colours[noun]]
    rest = [(noun, colour(noun)) for noun in others[1:]]
    return [(first, shared), *twins, *same, *rest][:6]


def _pick(rng: Rng, names: list[str]) -> str:
    return names[int(rng.integers(len(names)))]


def _other_nouns(rng: Rng, nouns: list[str], first: str, count: int) -> list[str]:
    left = [noun for noun in nouns if noun != first]
    return [left[i] for i in rng.choice(len(left), min(count, len(left)), replace=False)]


def _choose_colour(rng: Rng, usual: tuple[str, ...], allowed: list[str]) -> str:
    """A usual colour in half of the cases, else any."""
    often = [word for word in usual if word in allowed]
    return _pick(rng, often if often and rng.random() < 0.5 else allowed)


def _other_colour(rng: Rng, colour: str, allowed: list[str]) -> str:
    """Another colour, if there is any."""
    return _pick(rng, [word for word in allowed if word != colour] or allowed)


def _with_held_out_pair(
    rng: Rng, members: list[tuple[str, str]], scene_set: SceneSet, bank: ObjectBank
) -> list[tuple[str, str]]:
    """The members with the first noun replaced by one in a colour that training never shows it in."""
    pairs = [
        (noun, colour)
        for noun in bank.shown_nouns(scene_set)
        for colour in bank.allowed_colours(scene_set, noun)
        if bank.held_out_pair(noun, colour)
    ]
    noun, colour = pairs[int(rng.integers(len(pairs)))]
    first = members[0][0]
    rest = [(noun if name == first else name, other) for name, other in members[1:]]
    return [(noun, colour), *(pair for pair in rest if pair != (noun, colour))]


def pan(rng: Rng, background: SceneBackground, shape: SceneShape) -> list[UInt8Array]:
    """The background of every frame, uint8 RGB [H, W, 3]: a slow pan over patterns and photographs; scenery stands."""
    if background.horizon is not None or shape.num_frames == 1:
        part = background.pixels[: shape.height, : shape.width]
        return [part] * shape.num_frames
    # from one corner of the part that is shown to another, or none of it moves
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


def _choose_effects(rng: Rng) -> ImageEffects:
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


def _choose_occluder(rng: Rng, shape: SceneShape) -> Occluder | None:
    """Sometimes a pole or wall that objects pass behind, more often in videos."""
    if rng.random() >= (0.2 if shape.num_frames > 1 else 0.08):
        return None
    width = max(4, round(shape.width * float(rng.uniform(0.04, 0.1))))
    left = int(rng.integers(0, shape.width - width))
    kind = ("gradient", "noise", "planks", "stripes")[int(rng.integers(4))]
    return Occluder(left, left + width, make_background(kind, int(rng.integers(1 << 20)), shape.height, width).pixels)
