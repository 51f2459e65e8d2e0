"""Presence and scores of objects over time, in a number of bins that does not grow with the video."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from uniref.inference.results import FrameResult

MOST_BINS = 200


@dataclass
class _Series:
    """Sums per bin."""

    present: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    scored: list[int] = field(default_factory=list)

    def grow(self, bins: int) -> None:
        missing = bins - len(self.present)
        self.present += [0] * missing
        self.scores += [0.0] * missing
        self.scored += [0] * missing

    def halve(self) -> None:
        self.grow(len(self.present) + len(self.present) % 2)
        self.present = [sum(self.present[i : i + 2]) for i in range(0, len(self.present), 2)]
        self.scores = [sum(self.scores[i : i + 2]) for i in range(0, len(self.scores), 2)]
        self.scored = [sum(self.scored[i : i + 2]) for i in range(0, len(self.scored), 2)]


class Timeline:
    """Collects frames; once there are more than `MOST_BINS` bins, two become one."""

    def __init__(self) -> None:
        self._frames, self._per_bin = 0, 1
        self._objects: dict[int, _Series] = {}

    def add(self, result: FrameResult) -> None:
        """Add the next frame."""
        if self._frames == MOST_BINS * self._per_bin:
            self._per_bin *= 2
            for series in self._objects.values():
                series.halve()
        index = self._frames // self._per_bin
        self._frames += 1
        for number, mask in result.masks.items():
            series = self._objects.setdefault(number, _Series())
            series.grow(index + 1)
            series.present[index] += bool(mask.any())
            if number in result.scores:
                series.scores[index] += result.scores[number]
                series.scored[index] += 1

    def summary(self) -> dict[str, Any]:
        """As JSON types: `frames_per_bin`, and per object the share of each bin's frames in which it is `present` and
        its mean `score` there, null where it was not predicted."""
        bins = -(-self._frames // self._per_bin)
        sizes = [min(self._per_bin, self._frames - start * self._per_bin) for start in range(bins)]
        objects = {}
        for number, series in sorted(self._objects.items()):
            series.grow(bins)
            objects[str(number)] = {
                "present": [round(count / size, 3) for count, size in zip(series.present, sizes, strict=True)],
                "score": [
                    round(total / count, 3) if count else None
                    for total, count in zip(series.scores, series.scored, strict=True)
                ],
            }
        return {"frames_per_bin": self._per_bin, "objects": objects}
