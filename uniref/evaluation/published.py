"""Numbers published for the released checkpoints, all on validation splits."""

from __future__ import annotations

import re
from collections.abc import Mapping

from uniref.core.errors import UsageError
from uniref.recipe.model import ModelConfig

SOURCE = "model zoo of the official repository"

_COLUMNS = ("refcoco", "fss-1000", "ref-youtube-vos", "ref-davis17", "youtube-vos-2018", "davis17", "lvos")
_ROWS: Mapping[str, tuple[float | None, ...]] = {
    "image-joint R50": (76.3, 85.2, None, None, None, None, None),
    "image-joint Swin-L": (79.9, 87.7, None, None, None, None, None),
    "video-joint R50": (75.6, 79.1, 61.5, 63.5, 81.9, 81.5, 60.1),
    "video-joint Swin-L": (79.1, 85.4, 66.9, 67.2, 83.2, 83.9, 67.2),
}
NAMES = tuple(_ROWS)


def published(checkpoint: str | None, dataset: str, split: str) -> float | None:
    """The published percentage of a released checkpoint, or None where there is none."""
    if checkpoint is None or split != "val" or dataset not in _COLUMNS:
        return None
    return _ROWS[checkpoint][_COLUMNS.index(dataset)]


def recognise(file: str, model: ModelConfig | None) -> str | None:
    """Which released checkpoint a converted one is, by its original file name and its backbone."""
    stage = re.search(r"(image|video)[-_ ]?joint", file.lower())
    if stage is None or model is None:
        return None
    backbone = model.backbone.name
    size = "R50" if backbone == "resnet50" else "Swin-L" if "swin_large" in backbone else None
    if size is None and model.backbone.options.get("embed_dim") == 192:
        size = "Swin-L"
    return f"{stage[1]}-joint {size}" if size else None


def named(name: str) -> str:
    """A released checkpoint by name. Raises UsageError."""
    found = [known for known in NAMES if known.lower() == name.strip().lower()]
    if not found:
        raise UsageError(f"--compare {name!r}: unknown; choose from {', '.join(NAMES)}")
    return found[0]
