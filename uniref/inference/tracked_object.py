"""One object of a video that is followed, and what is predicted for it in a frame."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from uniref.inference.inference_model import MaskPredictions
from uniref.model.structures import ProjectedReference


@dataclass
class TrackedObject:
    """The references of one object; nothing here grows with the number of frames."""

    static: ProjectedReference | None = None
    """A text or support images: the same in every frame."""
    follow: bool = True
    """Use the object's own masks as references for later frames."""
    thresholds: tuple[float, float] | None = None
    """A best score at or below it means that the object is not in the frame: before it has a mask, and from then on.
    None: it is in every frame."""
    independent: bool = False
    """Its mask may overlap other objects'."""
    first: ProjectedReference | None = None
    """Its mask in the first frame where it has one."""
    previous: ProjectedReference | None = None
    """Its mask in the last frame where it has one."""

    def is_present(self, score: float) -> bool:
        """Whether the object is in a frame where its best query has this score."""
        return self.thresholds is None or score > self.thresholds[self.first is not None]

    @property
    def group(self) -> tuple[int, ...]:
        """Equal for objects that can be fused as one batch with shared attention: texts with as many tokens and no
        masks, and objects whose two masks belong to the same two frames."""
        static = tuple(level.values.shape[1] for level in self.static or ())
        return (*static, *(id(masks[0].keys) for masks in (self.first, self.previous) if masks))


@dataclass(frozen=True)
class ObjectPrediction:
    """One object in one frame."""

    predictions: MaskPredictions
    row: int
    """Of the object in `predictions`."""
    probability: Tensor
    """Float32 [H, W]."""

    @property
    def score(self) -> float:
        """Confidence, 0..1."""
        return self.predictions.scores[self.row]
