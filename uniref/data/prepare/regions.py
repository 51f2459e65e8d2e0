"""Label maps (one PNG a frame, pixel value = object id) to run-length masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from uniref.core import rle
from uniref.data.prepare.job import BadRecord
from uniref.media.image import ImageProblem, open_image

VOID = 255


@dataclass(frozen=True)
class Region:
    """One object in one frame."""

    counts: bytes
    box: tuple[float, float, float, float]
    """(x0, y0, x1, y1), pixels."""
    area: int


def read_label_map(path: Path) -> npt.NDArray[np.uint8]:
    """Object ids, uint8 [H, W]: the index plane of a palette PNG, or the values of a grey one.

    Raises:
        BadRecord: Missing, damaged, or a colour picture (its colours say nothing about ids).
    """
    try:
        with open_image(path) as image:
            if image.mode not in ("P", "L", "1"):
                raise BadRecord(f"is a {image.mode} picture; a label map is a palette or 8-bit grey PNG")
            return np.asarray(image).astype(np.uint8)
    except ImageProblem as problem:
        raise BadRecord(str(problem)) from None


def regions(labels: npt.NDArray[np.uint8], void: bool = False) -> dict[int, Region]:
    """Every object of a label map, uint8 [H, W], in one pass over the pixels; 0 is background and 255 void.

    Args:
        labels: The label map.
        void: Whether the void region is wanted too, as `VOID`.
    """
    from pycocotools import mask as coco

    height, width = labels.shape
    flat = labels.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([[0], changes])
    ends = np.concatenate([changes, [flat.size]])
    values = flat[starts]
    found = {}
    for value in np.unique(values):
        if value == 0 or (value == VOID and not void):
            continue
        mine = values == value
        first, last = starts[mine], ends[mine]
        edges = np.stack([first, last], axis=1).reshape(-1)
        runs = np.diff(edges, prepend=0, append=flat.size)
        if runs[-1] == 0:
            runs = runs[:-1]
        record = coco.frPyObjects({"size": [height, width], "counts": runs.tolist()}, height, width)
        counts = bytes(record["counts"])
        found[int(value)] = Region(counts, rle.box(counts, height, width), int((last - first).sum()))
    return found
