"""Counts per object for the summary of a prediction; their size does not depend on the number of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from uniref.inference.results import FrameResult


@dataclass
class _Tally:
    predicted: int = 0
    present: int = 0
    scores: float = 0.0
    best: float = 0.0


class PredictTallies:
    """In how many frames each object was predicted and is present, and how sure the model was.

    Objects may be added while frames pass.
    """

    def __init__(self) -> None:
        self._tallies: dict[int, _Tally] = {}

    def add(self, result: FrameResult) -> None:
        """Count one frame. An object counts as present where its mask marks a pixel."""
        for number, score in result.scores.items():
            tally = self._tallies.setdefault(number, _Tally())
            tally.predicted += 1
            tally.scores += score
            tally.best = max(tally.best, score)
            tally.present += bool(result.masks[number].any())

    def summary(self, numbers: Iterable[int], describe: Callable[[int], dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Object id, as text -> what it is and its counts, as JSON types.

        Args:
            numbers: Ids of the objects asked for; one that was never predicted is absent.
            describe: What an object is.
        """
        objects = {}
        for number in numbers:
            tally = self._tallies.get(number, _Tally())
            predicted = tally.predicted
            objects[str(number)] = describe(number) | {
                "present": tally.present > 0,
                "frames_present": tally.present,
                "frames_predicted": predicted,
                "mean_score": round(tally.scores / predicted, 6) if predicted else None,
                "best_score": round(tally.best, 6) if predicted else None,
            }
        return objects
