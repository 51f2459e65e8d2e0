"""Rows of the index as the rest of the package sees them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from uniref.core import rle
from uniref.core.types import BoolMask

Kind = Literal["image", "frames", "video"]


@dataclass(frozen=True)
class Media:
    """An image or a video."""

    row: int
    name: str
    """As the data set calls it: a file name without extension, a video's name."""
    kind: Kind
    path: Path
    """Of the image, the folder of frames, or the video file."""
    frames: tuple[str, ...]
    """File names of a folder's frames in order (never assume that they are contiguous); empty otherwise."""
    width: int
    height: int
    length: int
    """Frames; 1 for an image."""
    source_id: int
    """The data set's own number (COCO's image id), or -1."""
    complete: bool
    """Whether a frame without an annotation of an object means that it is absent there, not unlabelled."""
    objects: range
    """Rows of its objects."""

    def frame_path(self, frame: int) -> Path:
        """File of one frame. Raises IndexError outside the video; ValueError for a video file."""
        if self.kind == "video":
            raise ValueError(f"{self.path} is one file")
        if not 0 <= frame < self.length:
            raise IndexError(frame)
        return self.path if self.kind == "image" else self.path / self.frames[frame]


@dataclass(frozen=True)
class Object:
    """An annotated instance of an image, or a track of a video."""

    row: int
    media: int
    source_id: int
    """The data set's own number: annotation id, or the pixel value in its label maps."""
    category: int
    """-1 where there is none."""
    crowd: bool
    given_frame: int
    """Video object segmentation: the frame whose mask is given; -1 where that is not asked."""
    score_range: tuple[int, int] | None
    """First and last frame index that are scored, where the data set limits them (LVOS)."""
    seen: bool | None
    """Whether its category (YouTube-VOS) or video (LVOS) counts as seen in training, where known."""


@dataclass(frozen=True)
class Expression:
    """A referring expression, uncleaned."""

    row: int
    text: str
    source_id: str
    """The data set's own id: expression id or sentence id."""
    annotator: int
    """Who wrote it (Ref-DAVIS17: 0..3), or -1."""


@dataclass(frozen=True)
class Sample:
    """What a sampler or an evaluation iterates over."""

    id: str
    """`refcoco/val:17`."""
    row: int
    media: int
    objects: tuple[int, ...]
    """Object rows. Several: all of them are asked for (video object segmentation), or their union (MeViS)."""
    expressions: tuple[int, ...]
    """Expression rows: alternatives for one object, or one per object (Ref-DAVIS17)."""
    category: int
    """Class of a few-shot sample, else -1."""
    group: int
    """Evaluation run it belongs to (Ref-DAVIS17's annotators), or kind of its expression, else -1."""
    no_target: bool = False
    """Whether its expressions refer to nothing in the image or video; without objects alone, its truth is unknown."""


@dataclass(frozen=True)
class Annotations:
    """Boxes and masks of one object, for the n frames in which it is annotated."""

    frames: npt.NDArray[np.int32]
    """Ascending, [n]."""
    boxes: npt.NDArray[np.float32]
    """(x0, y0, x1, y1) in pixels, [n, 4]."""
    areas: npt.NDArray[np.float64]
    """Pixels of the mask, or the data set's own figure, [n]."""
    roles: npt.NDArray[np.uint8]
    """GIVEN and TRUTH bits, [n]."""
    counts: tuple[bytes | None, ...]
    """Compressed run lengths, or None where only the box is known."""
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.frames)

    def at(self, frame: int) -> int | None:
        """Position of a frame in these arrays, or None where the object has no annotation."""
        position = int(np.searchsorted(self.frames, frame))
        return position if position < len(self.frames) and self.frames[position] == frame else None

    def rle(self, position: int) -> dict[str, Any] | None:
        """COCO run-length record (`size`, `counts` as bytes), or None where there is no mask."""
        counts = self.counts[position]
        return None if counts is None else {"size": [self.height, self.width], "counts": counts}

    def mask(self, position: int) -> BoolMask | None:
        """Bool [H, W], or None where there is no mask."""
        counts = self.counts[position]
        return None if counts is None else rle.decode(counts, self.height, self.width)
