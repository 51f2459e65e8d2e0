"""What objects are put on: patterns, drawn scenery, or photographs."""

from __future__ import annotations

from uniref_scenes.backgrounds.make import Background, make_background

__all__ = ["Background", "make_background"]
