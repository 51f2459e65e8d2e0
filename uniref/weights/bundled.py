"""Checkpoints that come with the package, by name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

SMALL = "small"
"""The default of `uniref predict`: trained on synthetic scenes alone, see docs/small-model.md."""

_NAMES = (SMALL,)


def is_bundled(name: str) -> bool:
    """Whether a checkpoint of this name comes with the package."""
    return name in _NAMES


def checkpoint_folder(checkpoint: str | Path) -> Path:
    """The folder of a checkpoint: a bundled one for its bare name, else the path itself.

    A folder of one's own that is called like a bundled checkpoint is reached as `./small`. `Path` drops the dot, so
    only a string can say so.
    """
    if not is_bundled(str(checkpoint)):
        return Path(checkpoint)
    return Path(str(resources.files("uniref") / "assets" / str(checkpoint)))
