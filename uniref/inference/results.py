"""Results of prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from uniref.core.boxes import mask_box
from uniref.core.errors import UsageError
from uniref.core.types import BoolMask

if TYPE_CHECKING:
    import supervision

MAX_ID = 255
"""Largest id of an object: labels are uint8, 0 is background."""
SCORE_THRESHOLD = 0.3
"""Where nothing else is asked for: that of the published protocols for texts."""


@dataclass(frozen=True)
class ImageResult:
    """The object that a reference means, in one image."""

    mask: BoolMask
    """Bool [H, W] at the image's own size."""
    score: float
    """Confidence of the chosen query, 0..1; also of an object that is not present."""
    box: npt.NDArray[np.float32]
    """Float32 [4]: x0, y0, x1, y1 in pixels of the image, clipped to it. A SAM model's is the mask's tight box, zeros
    for an empty mask."""
    present: bool = True
    """Whether the score is above the threshold that was asked for; the mask is empty where it is not."""
    probability: npt.NDArray[np.float32] | None = None
    """Float32 [H, W], 0..1, a mask with soft edges (`mask` is where it is over 0.5, but for the pixels of the edge);
    None unless it was asked for."""

    def to_supervision(self, class_name: str | None = None) -> supervision.Detections:
        """The object as `supervision.Detections`, for its annotators, metrics and exports; none for an empty mask.

        Args:
            class_name: What to call the object, by default "object".

        Raises:
            UsageError: The package `supervision`, which is not a dependency, is not installed.
        """
        return _detections({0: self.mask}, {0: self.score}, {0: class_name or "object"}, tracked=False)


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
    """Object id -> float32 [H, W], 0..1, how probable it is that a pixel is the object's; empty unless asked for."""

    def with_absent(self, numbers: Sequence[int], probabilities: bool) -> FrameResult:
        """The same frame with further objects, which are not in it: their scores, and all their values, are 0."""
        if not numbers:
            return self
        size = self.labels.shape
        soft = {number: np.zeros(size, np.float32) for number in numbers} if probabilities else {}
        return replace(
            self,
            masks=self.masks | {number: np.zeros(size, np.bool_) for number in numbers},
            scores=self.scores | dict.fromkeys(numbers, 0.0),
            boxes=self.boxes | {number: np.zeros(4, np.float32) for number in numbers},
            probabilities=self.probabilities | soft,
        )

    def to_supervision(self, class_names: Mapping[int, str] | None = None) -> supervision.Detections:
        """The visible objects as `supervision.Detections`, for its annotators, metrics and exports.

        Args:
            class_names: Object id -> what to call it, by default "object ID".

        Returns:
            One row per object with a pixel, by id: its mask's tight box, mask, score, and its id as `tracker_id` and
            `class_id`.

        Raises:
            UsageError: The package `supervision`, which is not a dependency, is not installed.
        """
        names = {number: (class_names or {}).get(number, f"object {number}") for number in self.masks}
        return _detections(self.masks, self.scores, names, tracked=True)


def _detections(
    masks: Mapping[int, BoolMask], scores: Mapping[int, float], names: Mapping[int, str], tracked: bool
) -> supervision.Detections:
    """`supervision.Detections` of the masks that mark a pixel, with their ids if they are `tracked`."""
    try:
        import supervision
    except ImportError:
        raise UsageError(
            "to_supervision: needs the package supervision; install it with: pip install supervision"
        ) from None
    boxes = {number: box for number, mask in sorted(masks.items()) if (box := mask_box(mask)) is not None}
    numbers = list(boxes)
    if not numbers:
        return supervision.Detections.empty()
    data: dict[str, Any] = {"class_name": np.array([names[number] for number in numbers])}
    return supervision.Detections(
        xyxy=np.array(list(boxes.values()), np.float32),
        mask=np.stack([masks[number] for number in numbers]),
        confidence=np.array([scores.get(number, 0.0) for number in numbers], np.float32),
        class_id=np.array(numbers, np.int64),
        tracker_id=np.array(numbers, np.int64) if tracked else None,
        data=data,
    )
