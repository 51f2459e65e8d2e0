"""The tasks that one set of weights serves, and what each needs."""

from __future__ import annotations

from enum import Enum


class Task(str, Enum):
    """What is asked of a sample (SPEC section 1). The value is the name used in recipes and index manifests."""

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
