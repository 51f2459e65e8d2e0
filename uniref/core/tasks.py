"""The tasks that one set of weights serves, and what each needs."""

from __future__ import annotations

from enum import Enum
from typing import Any


class Task(str, Enum):
    """What is asked of a sample (UniRef++: RIS, FSS, RVOS and VOS, and detection for pretraining).

    The value is the name used in recipes and index manifests.
    """

    DETECTION = "detection"
    """All instances of an image; no reference, no fusion."""
    RIS = "ris"
    """Referring image segmentation: the object that a text names."""
    FSS = "fss"
    """Few-shot segmentation: the object whose class the support images show."""
    VOS = "vos"
    """Video object segmentation: objects given by a mask in the frame where they first appear."""
    RVOS = "rvos"
    """Referring video object segmentation: a text, and masks once some exist."""

    @property
    def needs_text(self) -> bool:
        """Whether every sample has an expression."""
        return self in (Task.RIS, Task.RVOS)

    @property
    def is_video(self) -> bool:
        """Whether samples are clips."""
        return self in (Task.VOS, Task.RVOS)


def missing_part(task: Task, model: Any, text_only: bool = False) -> str | None:
    """The part that a task needs and a model does not have.

    Args:
        task: The task.
        model: Configuration of the model, whose parts `text` and `mask_encoder` may be None.
        text_only: RVOS: no sample has a mask of an earlier frame.

    Returns:
        `text` or `mask_encoder`; None where nothing is missing.
    """
    if task.needs_text and model.text is None:
        return "text"
    needs_masks = task in (Task.FSS, Task.VOS) or (task is Task.RVOS and not text_only)
    return "mask_encoder" if needs_masks and model.mask_encoder is None else None
