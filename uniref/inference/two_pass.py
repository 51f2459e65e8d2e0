"""Find, then follow, both ways: for videos that can be read more than once.

A first pass looks for every text, by the text alone. Where it is found (in its best frame, or in the first one), its
mask becomes the anchor. A pass backwards follows every object from its anchor, or from its first given mask, to the
beginning, and keeps the results on disk; the last pass follows them forwards, and takes the frames before an anchor
from there.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from uniref.core.errors import UsageError
from uniref.core.parallel import prefetch
from uniref.core.progress import Progress
from uniref.inference.clip import Clip
from uniref.inference.frame_stack import FrameStack, StoredObject, to_probability, to_steps
from uniref.inference.results import FrameResult
from uniref.inference.video import VideoTracker, merge_objects
from uniref.media.frame import SourceFrame
from uniref.model.structures import batch_references

AnyMask = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Sight:
    """Where a text was found."""

    frame: int
    """Index of the frame."""
    score: float
    """Confidence, 0..1."""
    steps: npt.NDArray[np.uint8]
    """Probabilities in steps of 1/256, [H, W]; see `to_steps`."""


class TextSearch:
    """Looks for texts in frames, every frame by itself.

    Args:
        tracker: Whose model and resolution to use.
        texts: Object id -> text.
        starts: Object id -> index of the frame from which on to look; the others from the first on.
        best: Find the frame of the best score; else the first one over the tracker's threshold.

    Raises:
        UsageError: A text has no words, or the checkpoint has no text encoder.
    """

    def __init__(self, tracker: VideoTracker, texts: Mapping[int, str], starts: Mapping[int, int], best: bool) -> None:
        self._tracker, self._starts, self._best = tracker, starts, best
        references = tracker.model.text_references(list(texts.values())) if texts else []
        self._references = dict(zip(texts, references, strict=True))
        self.sights: dict[int, Sight] = {}
        """Object id -> where it was found."""
        self.scores = {number: array("f") for number in texts}
        """Object id -> confidence in every frame in which it was looked for, in order."""

    @property
    def done(self) -> bool:
        """Whether further frames cannot change anything."""
        return not self._references or (not self._best and len(self.sights) == len(self._references))

    def look(self, frame: SourceFrame) -> None:
        """Search a frame for every text that still needs it."""
        numbers = [n for n in self._references if self.starts_by(n, frame) and (self._best or n not in self.sights)]
        if not numbers:
            return
        # scores of all; the mask only of a better sight
        model, encoded = self._tracker.model, self._tracker.encode(frame.image)
        predictions = model.predict(encoded, [[batch_references([self._references[n] for n in numbers])]])
        for row, number in enumerate(numbers):
            score = predictions.scores[row]
            self.scores[number].append(score)
            known = self.sights.get(number)
            if score <= (known.score if known else self._tracker.threshold_to_find):
                continue
            probability = model.video_probabilities(predictions, row, encoded, by_mask=False)
            if bool((probability > 0.5).any()):
                self.sights[number] = Sight(frame.index, score, to_steps(probability.cpu().numpy()))

    def starts_by(self, number: int, frame: SourceFrame) -> bool:
        """Whether a text is looked for in a frame."""
        return self._starts.get(number, 0) <= frame.index


class BothWays:
    """Follows objects from where they are seen best, or first, or given, to both ends of a video.

    `prepare` reads the video forwards as far as texts have to be looked for, then backwards from the last anchor;
    `step` takes its frames once more, in order. Between two masks of one object, the earlier one is followed.

    Args:
        clip: The video.
        new_tracker: Makes a tracker without texts and masks. Its support images, which are searched in every frame by
            themselves, are followed in `step`.
        texts: Object id -> text. Texts are used together with the masks of their objects in both directions.
        text_frames: Object id -> index of the frame from which on its text is looked for.
        masks: Index of a frame -> objects that a mask is given for.
        masks_of: The masks that are given in a frame, by object id.
        best: Texts: the anchor is the frame of the best score; else the first one over the threshold.
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
        self._clip, self._texts, self._masks_of = clip, texts, masks_of
        self._forwards, self._backwards = new_tracker(), new_tracker()
        for number in self._backwards.ids:  # support images need no second direction
            self._backwards.remove(number)
        if self._forwards.model.network.mask_encoder is None:
            raise UsageError("this checkpoint has no mask encoder: it cannot follow objects in both directions")
        self._search = TextSearch(self._forwards, texts, text_frames, best)
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
        # texts
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
        # backwards from the last anchor
        anchors = [*self._first_masks, *(sight.frame for sight in self._search.sights.values())]
        last = max(anchors, default=0)
        if self._clip.count(last) < 2:  # nothing comes before
            return True
        frames = self._clip.backwards(last)
        for frame in self._reading(frames, progress, "backwards", self._clip.count(last)):
            first = self._first_masks.get(frame.index, set())
            given = {n: mask for n, mask in self._masks_of(frame).items() if n in first}
            found = self._start_texts(self._backwards, frame)
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
        """Texts that `prepare` found: object id -> index of its anchor's frame."""
        return {number: sight.frame for number, sight in self._search.sights.items()}

    def step(self, frame: SourceFrame) -> FrameResult:
        """The objects of the next frame, which is not damaged."""
        # forwards, from the anchors on
        earlier = self._stack.pop(frame.index)
        self._forwards.keep_probabilities = self._keep_probabilities or bool(earlier)
        found = self._start_texts(self._forwards, frame)
        result = self._forwards.step(frame.image, self._masks_of(frame), found=found)
        # objects that are not found at all, with the score of this frame
        missing = {n: next(scores, 0.0) for n, scores in self._missing.items() if self._search.starts_by(n, frame)}
        return _join(result, earlier, missing, frame.image.shape[:2], self._texts, self._keep_probabilities)

    def close(self) -> None:
        """Remove what was kept on disk."""
        self._stack.close()

    def _start_texts(self, tracker: VideoTracker, frame: SourceFrame) -> dict[int, npt.NDArray[np.float32]]:
        """Begin with the texts whose anchor is this frame; returns their probabilities in it."""
        sights = {n: sight for n, sight in self._search.sights.items() if sight.frame == frame.index}
        tracker.add({number: self._texts[number] for number in sights})
        return {number: to_probability(sight.steps) for number, sight in sights.items()}

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
    texts: Mapping[int, str],
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
        merged, found = merge_objects(maps, texts)
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
