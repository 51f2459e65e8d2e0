"""Find, then follow, both ways: for videos that can be read more than once.

A first pass looks for every text, by the text alone. Where it is found (in its best frame, or in the first one), its
mask becomes the anchor, or those of all instances do. A pass backwards follows every object from its anchor, or from
its first given mask, to the beginning, and keeps the results on disk; the last pass follows them forwards, and takes
the frames before an anchor from there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from uniref.core.errors import UsageError
from uniref.core.parallel import prefetch
from uniref.core.progress import Progress
from uniref.inference.clip import Clip
from uniref.inference.frame_stack import FrameStack, StoredObject, to_probability
from uniref.inference.results import MAX_ID, FrameResult
from uniref.inference.search import Search, Steps
from uniref.inference.video import VideoTracker, merge_objects
from uniref.media.frame import SourceFrame

AnyMask = npt.NDArray[np.generic]


@dataclass(frozen=True)
class _Anchor:
    """Where an object is followed from."""

    frame: int
    steps: Steps


class BothWays:
    """Follows objects from where they are seen best, or first, or given, to both ends of a video.

    `prepare` reads the video forwards as far as texts have to be looked for, then backwards from the last anchor;
    `step` takes its frames once more, in order. Between two masks of one object, the earlier one is followed.

    Args:
        clip: The video.
        new_tracker: Makes a tracker without texts and masks. Where it looks for all instances, those of a text or of
            support images are the ones of one frame, followed by their masks; else its support images are searched in
            every frame by themselves, in `step`.
        texts: Object id -> text. Texts are used together with the masks of their objects in both directions.
        text_frames: Object id -> index of the frame from which on its text is looked for.
        masks: Index of a frame -> objects that a mask is given for.
        masks_of: The masks that are given in a frame, by object id.
        best: Texts: the anchor is the frame of the best score (of all instances: of the largest sum of scores); else
            the first one over the threshold.
        folder: Where to put the results of the backward pass meanwhile; None for the system's temporary folder.

    Raises:
        UsageError: The model cannot follow masks, or a text has no words.
    """

    def __init__(
        self,
        clip: Clip,
        new_tracker: Callable[[], VideoTracker],
        texts: Mapping[int, str],
        text_frames: Mapping[int, int],
        masks: Mapping[int, Iterable[int]],
        masks_of: Callable[[SourceFrame], Mapping[int, AnyMask]],
        best: bool,
        folder: Path | None = None,
    ) -> None:
        self._clip, self._masks_of = clip, masks_of
        self._forwards, self._backwards = new_tracker(), new_tracker()
        model, self._all_instances = self._forwards.model, self._forwards.all_instances
        if model.network.mask_encoder is None:
            raise UsageError("this checkpoint has no mask encoder: it cannot follow objects in both directions")
        # what is looked for; other support images need no second direction
        references = dict(zip(texts, model.text_references(list(texts.values())) if texts else (), strict=True))
        for number in self._backwards.ids:
            self._backwards.remove(number)
        if self._all_instances:
            references |= self._forwards.supports
            for number in self._forwards.ids:
                self._forwards.remove(number)
            self._forwards.all_instances = self._backwards.all_instances = False  # they are found here
        self._search = Search(self._forwards, references, text_frames, best, self._all_instances)
        self._texts = {} if self._all_instances else texts  # that are used together with masks
        self._reserved = {*references, *self._forwards.reserved, *(n for numbers in masks.values() for n in numbers)}
        self._anchors: dict[int, _Anchor] = {}
        self._instance_of: dict[int, int] = {}
        # masks
        self._first_masks: dict[int, set[int]] = {}  # frame -> objects whose first mask is given there
        known: set[int] = set()
        for frame, numbers in sorted(masks.items()):
            self._first_masks[frame] = {*numbers} - known
            known.update(numbers)
        self._keep_probabilities = self._forwards.keep_probabilities
        self._backwards.keep_probabilities = True
        self._missing: dict[int, Iterator[float]] = {}
        self._stack = FrameStack(folder)

    def prepare(self, progress: Progress, stop: Callable[[], bool] = lambda: False) -> bool:
        """Find the anchors, and follow them backwards.

        Args:
            progress: Called with the iteration of each pass.
            stop: Asked after each frame; True ends this early.

        Returns:
            Whether it was completed: False where `stop` ended it.
        """
        # texts, or whatever instances are of
        if not self._search.done:
            frames = self._clip.forwards()
            for frame in self._reading(frames, progress, "looking", self._clip.count()):
                if not frame.damaged:
                    self._search.look(frame)
                if stop():
                    return False
                if self._search.done:
                    break
        self._missing = {n: iter(scores) for n, scores in self._search.scores.items() if n not in self._search.sights}
        self._set_anchors()
        # backwards from the last anchor
        last = max((*self._first_masks, *self.found.values()), default=0)
        if self._clip.count(last) < 2:  # nothing comes before
            return True
        frames = self._clip.backwards(last)
        for frame in self._reading(frames, progress, "backwards", self._clip.count(last)):
            first = self._first_masks.get(frame.index, set())
            given = {n: mask for n, mask in self._masks_of(frame).items() if n in first}
            found = self._start_found(self._backwards, frame)
            result = self._backwards.step(frame.image, given, found=found)
            stored = {
                n: StoredObject(result.scores[n], result.boxes[n], result.probabilities[n])
                for n in result.masks
                if n not in given and n not in found
            }
            if stored:
                self._stack.push(frame.index, stored)
            if stop():
                return False
        return True

    @property
    def found(self) -> dict[int, int]:
        """Objects that `prepare` found: id -> index of the anchor's frame."""
        return {number: anchor.frame for number, anchor in self._anchors.items()}

    def step(self, frame: SourceFrame) -> FrameResult:
        """The objects of the next frame, which is not damaged."""
        # forwards, from the anchors on
        earlier = self._stack.pop(frame.index)
        self._forwards.keep_probabilities = self._keep_probabilities or bool(earlier)
        found = self._start_found(self._forwards, frame)
        result = self._forwards.step(frame.image, self._masks_of(frame), found=found)
        # objects that are not found at all, with the score of this frame
        missing = {n: next(scores, 0.0) for n, scores in self._missing.items() if self._search.starts_by(n, frame)}
        joined = _join(result, earlier, missing, frame.image.shape[:2], self._texts, self._keep_probabilities)
        return replace(joined, instance_of=dict(self._instance_of)) if self._instance_of else joined

    def close(self) -> None:
        """Remove what was kept on disk."""
        self._stack.close()

    def _set_anchors(self) -> None:
        """Anchors of what was found: the best instance has the id that was looked for, others the next free ones."""
        free = (number for number in range(1, MAX_ID + 1) if number not in self._reserved)
        for number, sight in sorted(self._search.sights.items()):
            for own, steps in zip(itertools.chain([number], free), sight.instances, strict=False):
                self._anchors[own] = _Anchor(sight.frame, steps)
                if self._all_instances:
                    self._instance_of[own] = number

    def _start_found(self, tracker: VideoTracker, frame: SourceFrame) -> dict[int, npt.NDArray[np.float32]]:
        """Begin with what has its anchor in this frame; returns probabilities in it, by object id."""
        here = {number: anchor for number, anchor in self._anchors.items() if anchor.frame == frame.index}
        tracker.add({number: self._texts[number] for number in here if number in self._texts})
        return {number: to_probability(anchor.steps) for number, anchor in here.items()}

    def _reading(
        self, frames: Iterator[SourceFrame], progress: Progress, action: str, total: int
    ) -> Iterator[SourceFrame]:
        """Read ahead in a thread, with progress."""
        reading = prefetch(frames)
        shown = progress(reading, f"{self._clip.name}, {action}", total)
        try:
            yield from shown
        finally:
            shown.close()
            reading.close()


def _join(
    result: FrameResult,
    earlier: Mapping[int, StoredObject],
    missing: dict[int, float],
    size: Sequence[int],
    independent: Collection[int],
    keep_probabilities: bool,
) -> FrameResult:
    """The objects that are followed forwards in a frame with those of the backward pass, and those that are missing."""
    if not earlier and not missing:
        return result
    # all objects compete for the pixels, as if they had been predicted together
    probabilities = result.probabilities | {n: each.probability for n, each in earlier.items()}
    labels, masks = result.labels, dict(result.masks)
    if earlier:
        maps = {n: torch.from_numpy(probabilities[n]) for n in sorted(probabilities, key=str)}
        merged, found = merge_objects(maps, independent)
        labels, masks = merged.numpy(), {n: mask.numpy() for n, mask in found.items()}
    masks |= {n: np.zeros((size[0], size[1]), np.bool_) for n in missing}
    scores = result.scores | {n: each.score for n, each in earlier.items()} | missing
    boxes = result.boxes | {n: each.box for n, each in earlier.items()} | {n: np.zeros(4, np.float32) for n in missing}
    if keep_probabilities:
        probabilities |= {n: np.zeros((size[0], size[1]), np.float32) for n in missing}
    numbers = sorted(masks)
    return FrameResult(
        index=result.index,
        labels=labels,
        masks={n: masks[n] for n in numbers},
        scores={n: scores[n] for n in numbers},
        boxes={n: boxes[n] for n in numbers},
        probabilities={n: probabilities[n] for n in numbers} if keep_probabilities else {},
    )
