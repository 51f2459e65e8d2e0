"""HOTA (Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021).

Objects and predicted tracks of one class are matched in each frame, at 19 thresholds of their overlap. DetA says how
well they are found, AssA how well matches stay with the same pair; HOTA is their geometric mean, averaged over
thresholds. As TrackEval computes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

THRESHOLDS = np.arange(0.05, 0.99, 0.05)
_EPSILON = np.finfo(np.float64).eps


@dataclass(frozen=True)
class HotaCounts:
    """Counts of one class in some videos, per threshold, [19]; those of several videos are added."""

    matched: npt.NDArray[np.float64]
    missed: npt.NDArray[np.float64]
    wrong: npt.NDArray[np.float64]
    association: npt.NDArray[np.float64]
    """Sum over matches of the share of its two tracks in which they are matched."""

    def __add__(self, other: HotaCounts) -> HotaCounts:
        return HotaCounts(
            self.matched + other.matched,
            self.missed + other.missed,
            self.wrong + other.wrong,
            self.association + other.association,
        )

    def values(self) -> dict[str, float]:
        """HOTA, DetA and AssA, 0..1."""
        detection = self.matched / np.maximum(1, self.matched + self.missed + self.wrong)
        association = self.association / np.maximum(1, self.matched)
        hota = np.sqrt(detection * association)
        return {"HOTA": float(hota.mean()), "DetA": float(detection.mean()), "AssA": float(association.mean())}


def hota_counts(
    overlaps: npt.NDArray[np.float64], present: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_]
) -> HotaCounts:
    """Counts of one class in one video.

    Args:
        overlaps: IoU in every frame of every object with every predicted track, [T, N, P].
        present: Whether an object is in a frame, [T, N].
        predicted: Whether a track is, [T, P].
    """
    from scipy.optimize import linear_sum_assignment

    overlaps = overlaps * (present[:, :, None] & predicted[:, None, :])
    lengths = present.sum(0)[:, None] + predicted.sum(0)[None, :]
    # how well tracks agree over the whole video, before anything is matched
    rivals = overlaps.sum(1, keepdims=True) + overlaps.sum(2, keepdims=True) - overlaps
    alike = np.divide(overlaps, rivals, out=np.zeros_like(overlaps), where=rivals > _EPSILON).sum(0)
    agreement = alike / np.maximum(lengths - alike, _EPSILON)
    # matches in each frame, by agreement and overlap
    pairs = np.zeros((len(THRESHOLDS), *agreement.shape))
    for overlap, rows, columns in zip(overlaps, present, predicted, strict=True):
        objects, tracks = np.flatnonzero(rows), np.flatnonzero(columns)
        shown = np.ix_(objects, tracks)
        chosen = linear_sum_assignment(-(agreement[shown] * overlap[shown]))
        for i, j in zip(objects[chosen[0]], tracks[chosen[1]], strict=True):
            pairs[:, i, j] += overlap[i, j] >= THRESHOLDS - _EPSILON
    # how much of both tracks is matched with each other
    matched = pairs.sum((1, 2))
    association = (pairs * pairs / np.maximum(1, lengths - pairs)).sum((1, 2))
    return HotaCounts(matched, present.sum() - matched, predicted.sum() - matched, association)
