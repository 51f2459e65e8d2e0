"""Results of prediction."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from uniref.core.types import BoolMask


@dataclass(frozen=True)
class ImageResult:
    """The object that a reference means, in one image."""

    mask: BoolMask
    """Bool [H, W] at the image's own size."""
    score: float
    """Confidence of the chosen query, 0..1."""
    box: npt.NDArray[np.float32]
    """Float32 [4]: x0, y0, x1, y1 in pixels of the image, clipped to it. A SAM model's is the mask's tight box, zeros
    for an empty mask."""


@dataclass(frozen=True)
class DetectionResult:
    """All objects detected in one image, best first."""

    boxes: npt.NDArray[np.float32]
    """Float32 [N, 4]: x0, y0, x1, y1 in pixels of the image, clipped to it."""
    scores: npt.NDArray[np.float32]
    """Float32 [N], 0..1."""
    classes: npt.NDArray[np.int64]
    """Int64 [N]; 0 for a class-agnostic model."""


@dataclass(frozen=True)
class FrameResult:
    """All objects in one frame of a video."""

    index: int
    """Position in the sequence of frames, from 0."""
    labels: npt.NDArray[np.uint8]
    """Object id of every pixel, [H, W]; 0 = background. Overlaps go to the most probable object."""
    masks: dict[int, BoolMask]
    """Object id -> bool [H, W]; all False where the object is not visible. Objects given by a mask, and texts
    without propagation, do not overlap (`labels == id`); propagated texts are independent and may overlap."""
    scores: dict[int, float]
    """Object id -> confidence of the chosen query, 0..1."""
    boxes: dict[int, npt.NDArray[np.float32]]
    """Object id -> the chosen query's box: x0, y0, x1, y1 in pixels, clipped to the frame; of a SAM model as above."""
    instance_of: dict[int, int] = field(default_factory=dict)
    """Objects found as instances of a text: object id -> the text's id (which its first instance has itself)."""
    probabilities: dict[int, npt.NDArray[np.float32]] = field(default_factory=dict)
    """Object id -> float32 [H, W], how probable it is that a pixel is the object's; empty unless asked for
    (`VideoTracker.keep_probabilities`)."""
