"""Numbers published for the released checkpoints, all on validation splits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from uniref.recipe.model import AnyModelConfig, ModelConfig

SOURCE = "model zoo of the official repository"

_COLUMNS = {
    "refcoco": "oIoU",
    "fss-1000": "image mIoU",
    "ref-youtube-vos": "J&F",
    "ref-davis17": "J&F",
    "youtube-vos-2018": "G",
    "davis17": "J&F",
    "lvos": "J&F",
}
"""Data set -> metric of its column."""
_ROWS: Mapping[str, tuple[float | None, ...]] = {
    "image-joint R50": (76.3, 85.2, None, None, None, None, None),
    "image-joint Swin-L": (79.9, 87.7, None, None, None, None, None),
    "video-joint R50": (75.6, 79.1, 61.5, 63.5, 81.9, 81.5, 60.1),
    "video-joint Swin-L": (79.1, 85.4, 66.9, 67.2, 83.2, 83.9, 67.2),
}


RELEASED = tuple(_ROWS)
"""Names of the released checkpoints."""


@dataclass(frozen=True)
class PublishedNumber:
    """A number to compare with."""

    checkpoint: str
    """`video-joint R50`."""
    metric: str
    percent: float
    source: str = SOURCE

    def as_dict(self) -> dict[str, str | float]:
        """As results.json holds it."""
        return {
            "checkpoint": self.checkpoint,
            "measure": self.metric,
            "percent": self.percent,
            "source": self.source,
        }


def published(checkpoint: str | None, dataset: str, split: str, shots: int = 0) -> PublishedNumber | None:
    """The number published for a released checkpoint on a split; None where there is none."""
    if checkpoint is None or split != "val" or dataset not in _COLUMNS or shots > 1:
        return None
    percent = _ROWS[checkpoint][list(_COLUMNS).index(dataset)]
    return None if percent is None else PublishedNumber(checkpoint, _COLUMNS[dataset], percent)


def scores_of(checkpoint: str) -> dict[str, tuple[str, float]]:
    """Data set -> (metric, percent) of a released checkpoint (`video-joint R50`), on validation splits."""
    values = zip(_COLUMNS.items(), _ROWS[checkpoint], strict=True)
    return {data: (metric, percent) for (data, metric), percent in values if percent is not None}


def released_name(file: str, model: AnyModelConfig | None) -> str | None:
    """Name of the released checkpoint that a converted one is, by its original file name and its backbone; None for
    others."""
    stage = re.search(r"(image|video)[-_ ]?joint", file.lower())
    if stage is None or not isinstance(model, ModelConfig):
        return None
    backbone = model.backbone
    if backbone.name == "resnet50":
        return f"{stage[1]}-joint R50"
    large = "swin_large" in backbone.name or backbone.options.get("embed_dim") == 192
    return f"{stage[1]}-joint Swin-L" if large else None
