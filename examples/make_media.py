"""Draws the example media of this folder with the package's own scene generator: nothing in them is anybody else's.

    python examples/make_media.py

street.mp4      cars of four colours, a dog and a tree; street-masks/ holds object ids (PNG) for every eighth frame
table.jpg       things on a table
shelf.jpg       a query for the few-shot example; cup-1.jpg, cup-2.jpg and their masks are its supports
"""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image
from uniref_scenes.trajectory import Motion, make_trajectory

from uniref.media.mask import write_labels
from uniref_scenes.backgrounds import make_background
from uniref_scenes.drawings.appearance import Appearance, draw_sprite
from uniref_scenes.language import NOUNS
from uniref_scenes.motion import SceneObject
from uniref_scenes.render import ImageEffects, render

HERE = Path(__file__).parent
FRAMES, STEP = 48, 8
BLUE = 7  # the seed of a plain blue


def obj(
    noun: str,
    colour: str,
    x: float,
    y: float,
    size: float,
    motion: Motion | None = None,
    frames: int = 1,
    style: int = 90,
    finish: str = "lit",
    seed: int = 90,
) -> SceneObject:
    """One object: centre and size in pixels, and how it moves."""
    motion = motion or Motion()
    sprite = draw_sprite(Appearance(noun, style, colour, finish=finish, seed=seed), 160)
    trajectory = make_trajectory(x, y, size, 0.0, motion.dx < 0, motion, frames)
    return SceneObject(NOUNS[noun], sprite, "plain", trajectory)


def street() -> None:
    """The clip of the README's first command."""
    height, width = 216, 384
    background = make_background("street", 93, height, width)
    far, near = Motion(dx=-90, pivot=0.0), Motion(dx=150, pivot=0.0)
    objects = [
        obj("tree", "green", 52, 100, 92, frames=FRAMES, style=88),
        obj("car", "white", 318, 124, 66, far, FRAMES, style=86),
        obj("dog", "brown", 214, 133, 40, Motion(dx=-24, pivot=0.0), FRAMES, style=91),
        obj("car", "yellow", 124, 138, 62, Motion(), FRAMES, style=95),
        obj("car", "blue", 326, 170, 94, Motion(dx=-24, pivot=0.0), FRAMES, style=97, seed=BLUE),
        obj("car", "red", 84, 190, 104, near, FRAMES, style=90),
    ]
    effects = ImageEffects(shadow=0.25, soft=True)
    frames, labels = render([background.pixels] * FRAMES, objects, effects, np.random.default_rng(0))
    iio.imwrite(HERE / "street.mp4", np.stack(frames), fps=12, codec="libx264", macro_block_size=1, quality=8)
    folder = HERE / "street-masks"
    folder.mkdir(exist_ok=True)
    for number in range(0, FRAMES, STEP):
        write_labels(folder / f"{number:05d}.png", labels[number])


def still(name: str, background: tuple[str, int], objects: list[SceneObject], mask: int | None = None) -> None:
    """A picture; with `mask`, the mask of that object (counted from 1) beside it."""
    back = make_background(*background, 240, 320)
    frames, labels = render([back.pixels], objects, ImageEffects(shadow=0.3, soft=True), np.random.default_rng(0))
    Image.fromarray(frames[0]).save(HERE / f"{name}.jpg", quality=92)
    if mask is not None:
        Image.fromarray((labels[0] == mask).astype(np.uint8) * 255).save(HERE / f"{name}-mask.png")


def main() -> None:
    """Write everything."""
    street()
    still(
        "table",
        ("room", 92),
        [
            obj("lamp", "yellow", 60, 110, 110, style=87),
            obj("cup", "white", 130, 190, 56, style=92),
            obj("cup", "blue", 200, 196, 60, style=89, seed=BLUE),
            obj("apple", "red", 252, 200, 44, style=94),
            obj("apple", "green", 292, 176, 40, style=86),
        ],
    )
    still("cup-1", ("gradient", 91), [obj("cup", "red", 160, 120, 130, style=86)], mask=1)
    still("cup-2", ("meadow", 90), [obj("cup", "green", 180, 150, 110, style=98)], mask=1)
    still(
        "shelf",
        ("room", 88),
        [
            obj("book", "blue", 60, 150, 80, style=90),
            obj("bottle", "green", 130, 150, 90, style=93),
            obj("cup", "red", 205, 180, 60, style=95),
            obj("clock", "white", 275, 150, 70, style=87),
        ],
    )


if __name__ == "__main__":
    main()
