"""Looking for objects in the frames of a video, every frame by itself, before they are followed."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from uniref.inference.frame_stack import to_steps
from uniref.inference.image_objects import find_instances
from uniref.inference.inference_model import Frame
from uniref.inference.results import MAX_ID
from uniref.inference.video import VideoTracker
from uniref.media.frame import SourceFrame
from uniref.model.structures import ProjectedReference, batch_references

Steps = npt.NDArray[np.uint8]
"""Probabilities in steps of 1/256, [H, W]; see `to_steps`."""


@dataclass(frozen=True)
class Sight:
    """Where an object was found, or all instances of it."""

    frame: int
    """Index of the frame."""
    score: float
    """Confidence, 0..1; of several instances, the sum."""
    instances: tuple[Steps, ...]
    """Best first, at least one; each has pixels above 0.5."""


class Search:
    """Looks for objects by a text, or by support images, in frames that come in order.

    Args:
        tracker: Whose model, resolution and thresholds to use.
        references: Object id -> its reference.
        starts: Object id -> index of the frame from which on to look; the others from the first on.
        best: Find the frame of the best score; else the first one over the tracker's threshold.
        all_instances: Find all objects that a reference means; the best frame is then the one where their scores have
            the largest sum.
    """

    def __init__(
        self,
        tracker: VideoTracker,
        references: Mapping[int, ProjectedReference],
        starts: Mapping[int, int],
        best: bool,
        all_instances: bool = False,
    ) -> None:
        self._tracker, self._references, self._starts = tracker, references, starts
        self._best, self._all_instances = best, all_instances
        self.sights: dict[int, Sight] = {}
        """Object id -> where it was found."""
        self.scores = {number: array("f") for number in references}
        """Object id -> confidence in every frame in which it was looked for, in order: 4 bytes each."""

    @property
    def done(self) -> bool:
        """Whether further frames cannot change anything."""
        return not self._references or (not self._best and len(self.sights) == len(self._references))

    def starts_by(self, number: int, frame: SourceFrame) -> bool:
        """Whether an object is looked for in a frame."""
        return self._starts.get(number, 0) <= frame.index

    def look(self, frame: SourceFrame) -> None:
        """Search a frame for every object that still needs it."""
        numbers = [n for n in self._references if self.starts_by(n, frame) and (self._best or n not in self.sights)]
        if not numbers:
            return
        encoded = self._tracker.encode(frame.image)
        if self._all_instances:
            for number in numbers:
                self._look_for_all(number, frame.index, encoded)
            return
        # scores of all objects; the mask only of a better sight
        model = self._tracker.model
        groups: dict[tuple[int, ...], list[int]] = {}  # of references with as many tokens
        for number in numbers:
            sizes = tuple(level.values.shape[1] for level in self._references[number])
            groups.setdefault(sizes, []).append(number)
        predictions = model.predict(
            encoded, [[batch_references([self._references[n] for n in group])] for group in groups.values()]
        )
        for row, number in enumerate(n for group in groups.values() for n in group):
            score = predictions.scores[row]
            self.scores[number].append(score)
            known = self.sights.get(number)
            if score > (known.score if known else self._tracker.threshold_to_find):
                probability = model.video_probabilities(predictions, row, encoded, by_mask=False)
                self._note(number, frame.index, score, [probability])

    def _look_for_all(self, number: int, index: int, encoded: Frame) -> None:
        """Search a frame for all instances of one object."""
        tracker, model = self._tracker, self._tracker.model
        start = tracker.threshold_to_find
        found = find_instances(model, encoded, self._references[number], start, tracker.instance_threshold, MAX_ID)
        self.scores[number].append(found.scores[0])
        known = self.sights.get(number)
        total = sum(found.scores)
        if found.scores[0] > start and (known is None or total > known.score):
            rows = range(len(found.scores))
            maps = [model.video_probabilities(found, row, encoded, by_mask=False) for row in rows]
            self._note(number, index, total, maps)

    def _note(self, number: int, index: int, score: float, maps: list[Tensor]) -> None:
        """A sight, unless no instance has a pixel."""
        instances = tuple(to_steps(each.cpu().numpy()) for each in maps if bool((each > 0.5).any()))
        if instances:
            self.sights[number] = Sight(index, score, instances)
