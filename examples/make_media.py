"""Draws the example media of this folder with `uniref_scenes`: nothing in them is under anyone else's copyright.

    python examples/make_media.py

street.mp4      cars of four colours, a dog and a tree; street-masks/ holds object ids (PNG) for every eighth frame
table.jpg       objects on a table
shelf.jpg       a query for the few-shot example; cup-1.jpg, cup-2.jpg and their masks are its supports
"""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image

from uniref_scenes.backgrounds import make_background
from uniref_scenes.drawings.appearance import Appearance, draw_sprite
from uniref_scenes.files import write_label_map
from uniref_scenes.language import NOUNS
from uniref_scenes.motion import Motion, SceneObject, make_trajectory
from uniref_scenes.render import ImageEffects, render

HERE = Path(__file__).parent
FRAMES, STEP = 48, 8
BLUE = 7  # the seed of a plain blue


def draw(
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


def write_street() -> None:
    """Write the video of the README's first command."""
    # the scene
    height, width = 216, 384
    background = make_background("street", 93, height, width)
    far, near = Motion(dx=-90, pivot=0.0), Motion(dx=150, pivot=0.0)
    objects = [
        draw("tree", "green", 52, 100, 92, frames=FRAMES, style=88),
        draw("car", "white", 318, 124, 66, far, FRAMES, style=86),
        draw("dog", "brown", 214, 133, 40, Motion(dx=-24, pivot=0.0), FRAMES, style=91),
        draw("car", "yellow", 124, 138, 62, Motion(), FRAMES, style=95),
        draw("car", "blue", 326, 170, 94, Motion(dx=-24, pivot=0.0), FRAMES, style=97, seed=BLUE),
        draw("car", "red", 84, 190, 104, near, FRAMES, style=90),
    ]
    effects = ImageEffects(shadow=0.25, soft=True)
    frames, labels = render([background.pixels] * FRAMES, objects, effects, np.random.default_rng(0))
    # the video, and masks of some frames
    iio.imwrite(HERE / "street.mp4", np.stack(frames), fps=12, codec="libx264", macro_block_size=1, quality=8)
    folder = HERE / "street-masks"
    folder.mkdir(exist_ok=True)
    for number in range(0, FRAMES, STEP):
        write_label_map(folder / f"{number:05d}.png", labels[number])


def write_image(name: str, background: tuple[str, int], objects: list[SceneObject], mask: int | None = None) -> None:
    """Write an image; with `mask`, the mask of that object (counted from 1) beside it."""
    pixels = make_background(*background, 240, 320).pixels
    effects = ImageEffects(shadow=0.3, soft=True)
    frames, labels = render([pixels], objects, effects, np.random.default_rng(0))
    Image.fromarray(frames[0]).save(HERE / f"{name}.jpg", quality=92)
    if mask is not None:
        Image.fromarray((labels[0] == mask).astype(np.uint8) * 255).save(HERE / f"{name}-mask.png")


def main() -> None:
    """Write all files."""
    write_street()
    write_image(
        "table",
        ("room", 92),
        [
            draw("lamp", "yellow", 60, 110, 110, style=87),
            draw("cup", "white", 130, 190, 56, style=92),
            draw("cup", "blue", 200, 196, 60, style=89, seed=BLUE),
            draw("apple", "red", 252, 200, 44, style=94),
            draw("apple", "green", 292, 176, 40, style=86),
        ],
    )
    # few-shot: two supports with masks, and a query
    write_image("cup-1", ("gradient", 91), [draw("cup", "red", 160, 120, 130, style=86)], mask=1)
    write_image("cup-2", ("meadow", 90), [draw("cup", "green", 180, 150, 110, style=98)], mask=1)
    write_image(
        "shelf",
        ("room", 88),
        [
            draw("book", "blue", 60, 150, 80, style=90),
            draw("bottle", "green", 130, 150, 90, style=93),
            draw("cup", "red", 205, 180, 60, style=95),
            draw("clock", "white", 275, 150, 70, style=87),
        ],
    )


if __name__ == "__main__":
    main()
