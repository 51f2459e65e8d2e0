"""UniRef++: segment the object you refer to by text, by a mask, or by example images.

The names below load on first use, so that `import uniref` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from uniref.version import __version__

if TYPE_CHECKING:
    from uniref.core.errors import CheckpointError, MediaError, UniRefError, UsageError
    from uniref.inference.predictor import Predictor
    from uniref.inference.results import FrameResult, ImageResult
    from uniref.inference.video import VideoTracker
    from uniref.media.source import MediaSource
    from uniref.media.stream import open_source
    from uniref.model.sam import UniRefSam
    from uniref.model.unifusion import UniFusion
    from uniref.model.uniref import UniRef
    from uniref.recipe.model import ModelConfig, SamModelConfig
    from uniref.weights.convert import convert
    from uniref.weights.locate import CheckpointInfo, available_checkpoints

_HOMES = {
    "CheckpointInfo": "uniref.weights.locate",
    "available_checkpoints": "uniref.weights.locate",
    "CheckpointError": "uniref.core.errors",
    "FrameResult": "uniref.inference.results",
    "ImageResult": "uniref.inference.results",
    "MediaError": "uniref.core.errors",
    "MediaSource": "uniref.media.source",
    "ModelConfig": "uniref.recipe.model",
    "Predictor": "uniref.inference.predictor",
    "SamModelConfig": "uniref.recipe.model",
    "UniFusion": "uniref.model.unifusion",
    "UniRef": "uniref.model.uniref",
    "UniRefError": "uniref.core.errors",
    "UniRefSam": "uniref.model.sam",
    "UsageError": "uniref.core.errors",
    "VideoTracker": "uniref.inference.video",
    "convert": "uniref.weights.convert",
    "open_source": "uniref.media.stream",
}

__all__ = [
    "CheckpointError",
    "CheckpointInfo",
    "FrameResult",
    "ImageResult",
    "MediaError",
    "MediaSource",
    "ModelConfig",
    "Predictor",
    "SamModelConfig",
    "UniFusion",
    "UniRef",
    "UniRefError",
    "UniRefSam",
    "UsageError",
    "VideoTracker",
    "__version__",
    "available_checkpoints",
    "convert",
    "open_source",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'uniref' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
