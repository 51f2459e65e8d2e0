"""Images and videos that training and evaluation splits have in common.

Data sets of one family (`DataSet.media_family`) took them from each other. COCO's images are the same where their ids
are; videos where their names are, or where their first frames show the same picture: MeViS and ReVOS have videos of
MOSE and OVIS under names of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from uniref.core.errors import UniRefError
from uniref.data.index import Index, Media
from uniref.data.prepare.catalog import data_sets
from uniref.data.prepare.dataset import COCO_IMAGES
from uniref.media.image import ImageProblem, open_image

_SIDE = 16  # pixels of the picture that is compared
_SAME = 0.999  # correlation of two pictures, from which on they are one
_ASPECT = 0.02  # relative difference of the aspect ratio, up to which they may be
_FLAT = 4.0  # grey levels of standard deviation; pictures below it (black ones) are not compared


def leaks(index: Index, root: Path) -> list[str]:
    """Images or videos that a training split and prepared evaluation splits have in common; one line per split.

    Args:
        index: A split.
        root: Folder of all indexes.
    """
    entry = data_sets().get(index.manifest.dataset)
    if entry is None or not entry.media_family:
        return []
    training = _trains(index.manifest.split)
    own = _Contents(index, by_id=entry.media_family == COCO_IMAGES)
    lines = []
    for name, other in _others(index, root, entry.media_family):
        same, renamed = own.shared(_Contents(other, own.by_id))
        if same + renamed:
            use = "evaluation" if training else "training"
            named = f" ({renamed:,} under another name, by their first frames)" if renamed else ""
            lines.append(f"{same + renamed:,} of its images or videos are also in {name}{named}, which is for {use}")
    return lines


def _others(index: Index, root: Path, family: str) -> Iterator[tuple[str, Index]]:
    """Prepared splits of a family that are for the other use."""
    datasets = {entry.name for entry in data_sets().values() if entry.media_family == family}
    for manifest in sorted((root / "index").glob("*/*/manifest.json")):
        dataset, split = manifest.parent.parent.name, manifest.parent.name
        if dataset not in datasets or _trains(split) == _trains(index.manifest.split) or split.startswith("."):
            continue
        try:
            yield f"{dataset}/{split}", Index.open(manifest.parent)
        except UniRefError:
            continue


def _trains(split: str) -> bool:
    return "train" in split


class _Contents:
    """What identifies the media of a split.

    Args:
        index: The split.
        by_id: By the data set's own ids; else by names without folders (ReVOS's begin with the data set that a video
            comes from), and by first frames.
    """

    def __init__(self, index: Index, by_id: bool) -> None:
        self.by_id = by_id
        self._index = index
        self._pictures: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None = None
        ids = index.media_column("source_id").tolist()
        names = (index.media(row).name.rpartition("/")[2] for row in range(len(ids)))
        self.names: list[int | str] = ids if by_id else list(names)

    @property
    def pictures(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """First frames of the media, [N, 256] with a mean of 0 and a norm of 1 (or 0: not to be compared), and aspect
        ratios [N]."""
        if self._pictures is None:
            media = [self._index.media(row) for row in range(len(self.names))]
            found = np.stack([_picture(each) for each in media])
            self._pictures = found, np.array([each.width / each.height for each in media], np.float32)
        return self._pictures

    def shared(self, other: _Contents) -> tuple[int, int]:
        """Number of the media that the other split has too: under the same name, and under another one."""
        names = set(other.names)
        renamed = [row for row, name in enumerate(self.names) if name not in names]
        same = len(names.intersection(self.names))
        if self.by_id or not renamed:
            return same, 0
        (own, own_aspects), (others, aspects) = self.pictures, other.pictures
        alike = own[renamed] @ others.T > _SAME
        alike &= np.abs(own_aspects[renamed][:, None] / aspects[None] - 1) < _ASPECT
        return same, int(alike.any(1).sum())


def _picture(media: Media) -> npt.NDArray[np.float32]:
    """The first frame as a small grey picture, [256], with a mean of 0 and a norm of 1; zeros where there is none."""
    nothing = np.zeros(_SIDE * _SIDE, np.float32)
    if media.kind == "video":
        return nothing
    try:
        with open_image(media.frame_path(0)) as image:
            image.draft("L", (8 * _SIDE, 8 * _SIDE))  # JPEG: decoded at a fraction of its size
            small = np.asarray(image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float32)
    except ImageProblem:
        return nothing
    if small.std() < _FLAT:
        return nothing
    values = (small - small.mean()).ravel()
    return values / np.float32(np.linalg.norm(values))
