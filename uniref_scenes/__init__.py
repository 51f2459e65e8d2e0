"""A drawn referring data set: named objects over backgrounds, exact masks, expressions that need their words."""

from __future__ import annotations

from uniref_scenes.scene import Scene, SceneOptions, make_scene
from uniref_scenes.sets import SETS, SceneSet

__all__ = ["SETS", "Scene", "SceneOptions", "SceneSet", "make_scene"]
