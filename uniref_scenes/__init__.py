"""Synthetic scenes for training: named objects over backgrounds, exact masks, expressions that need their words.

    from uniref_scenes import SceneOptions, make_scene, write_scenes

    scene = make_scene("train", 0, SceneOptions(size=256))        # frames=8 makes a video
    scene.frames[0]                                               # uint8 RGB [H, W, 3]
    scene.labels[0]                                               # uint8 [H, W], 0 or an object's number from 1
    for expression in scene.expressions:
        print(expression.text, expression.kind, expression.target)   # "the red car" colour noun 2

    write_scenes(Path("scenes"), "train", 100, SceneOptions())    # images/, masks/, phrases.csv and classes.csv

A scene is a function of its set, number and options: the same arguments give the same bytes. `SETS` lists the sets;
training sets and test sets differ in the objects, backgrounds and words that they may show.

Reading order: `scene` puts a scene together from a `bank` of objects (`drawings`, `backgrounds`, or `named` for emoji
and photographs), `motion` places and moves them, `render` draws the frames and masks, `relations` measures the result,
`referring` chooses expressions that mean exactly one object, and `language` puts them in words.
"""

from __future__ import annotations

from uniref_scenes.bank import DRAWN_BANK, NAMED_SETS, SETS, ObjectBank, SceneSet
from uniref_scenes.files import SceneError
from uniref_scenes.scene import Scene, SceneOptions, make_scene
from uniref_scenes.write import write_scenes

__all__ = [
    "DRAWN_BANK",
    "NAMED_SETS",
    "SETS",
    "ObjectBank",
    "Scene",
    "SceneError",
    "SceneOptions",
    "SceneSet",
    "make_scene",
    "write_scenes",
]
