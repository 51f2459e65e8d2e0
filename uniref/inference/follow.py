"""Following objects through all frames of a video, for the methods of `Predictor`."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from uniref.core.errors import UsageError
from uniref.core.parallel import prefetch
from uniref.core.progress import terminal_progress
from uniref.core.types import UInt8Image
from uniref.inference.clip import Clip
from uniref.inference.regions import Box, Points, regions_of
from uniref.inference.results import MAX_ID, FrameResult
from uniref.inference.two_pass import BothWays
from uniref.inference.video import VideoTracker
from uniref.media.frame import SourceFrame

AnyMask = npt.NDArray[np.generic]


@dataclass(frozen=True)
class GivenObjects:
    """Objects given in frames: index of the frame -> object id -> mask, box, or points."""

    masks: Mapping[int, Mapping[int, AnyMask]]
    boxes: Mapping[int, Mapping[int, Box]]
    points: Mapping[int, Mapping[int, Points]]

    @property
    def ids_of_frames(self) -> dict[int, set[int]]:
        """Index of every frame in which objects are given -> their ids, in ascending order of frames."""
        ids: dict[int, set[int]] = {}
        for kind in (self.masks, self.boxes, self.points):
            for index, objects in kind.items():
                if objects:
                    ids.setdefault(index, set()).update(objects)
        return dict(sorted(ids.items()))

    @property
    def ids(self) -> set[int]:
        """Of all objects."""
        return {number for numbers in self.ids_of_frames.values() for number in numbers}

    def step(self, tracker: VideoTracker, image: UInt8Image, index: int) -> FrameResult:
        """A tracker's next frame, with what is given in it."""
        boxes, points = self.boxes.get(index), self.points.get(index)
        return tracker.step(image, self.masks.get(index), boxes=boxes, points=points)

    def masks_of(self, tracker: VideoTracker, image: UInt8Image, index: int) -> dict[int, AnyMask]:
        """Object id -> mask in a frame, given or found by a box or points."""
        masks = dict(self.masks.get(index, {}))
        if regions := regions_of(self.boxes.get(index), self.points.get(index)):
            masks |= tracker.region_masks(tracker.encode(image), regions, masks)
        return masks


def check_prompts(
    function: str, text: str | Sequence[str] | None, given: GivenObjects
) -> tuple[dict[int, str], GivenObjects]:
    """Object id -> text, and the given objects. Raises UsageError where there is neither."""
    texts = [] if text is None else [text] if isinstance(text, str) else list(text)
    if not texts and not given.ids:
        raise UsageError(f"{function}: give at least one text, mask, box or point")
    return number_texts(texts, given.ids), given


def number_texts(texts: Sequence[str], used: set[int]) -> dict[int, str]:
    """Ids for texts: 1, 2, ... without those that masks use.

    Raises:
        UsageError: More objects than ids (255).
    """
    free = [number for number in range(1, MAX_ID + 1) if number not in used]
    if len(texts) > len(free):
        raise UsageError(f"{len(texts) + len(used)} objects: at most {MAX_ID} fit into one label map")
    return dict(zip(free, texts, strict=False))


def follow_frames(tracker: VideoTracker, frames: Iterable[UInt8Image], given: GivenObjects) -> Iterator[FrameResult]:
    """Results of frames as they come; what is given in a frame that does not come is told."""
    count = 0
    for count, image in enumerate(frames, start=1):
        yield given.step(tracker, image, count - 1)
    if waiting := [index for index in given.ids_of_frames if index >= count]:
        warnings.warn(f"masks for frames {waiting}: the video ended after {count} frames", stacklevel=2)


def follow_forwards(clip: Clip, tracker: VideoTracker, given: GivenObjects) -> Iterator[FrameResult]:
    """Results of a clip's frames, in order. Raises UsageError for what is given in a frame that is not read."""
    _check_frames(clip, given)
    return _results(clip, lambda frame: given.step(tracker, frame.image, frame.index))


def follow_both_ways(
    clip: Clip, new_tracker: Callable[[], VideoTracker], texts: Mapping[int, str], given: GivenObjects, best: bool
) -> Iterator[FrameResult]:
    """As `follow_forwards`, with the frames before an object's first mask or sight; see `BothWays`."""
    _check_frames(clip, given)
    finder = new_tracker()

    def masks_of(frame: SourceFrame) -> dict[int, AnyMask]:
        return given.masks_of(finder, frame.image, frame.index)

    both = BothWays(clip, new_tracker, texts, {}, given.ids_of_frames, masks_of, best)

    def results() -> Iterator[FrameResult]:
        with contextlib.closing(both):
            both.prepare(terminal_progress)
            yield from _results(clip, both.step)

    return results()


def _results(clip: Clip, step: Callable[[SourceFrame], FrameResult]) -> Iterator[FrameResult]:
    """Every frame's result; a damaged frame shows no object."""
    for position, frame in enumerate(prefetch(clip.forwards())):
        if frame.damaged:
            yield FrameResult(position, np.zeros(frame.image.shape[:2], np.uint8), {}, {}, {})
        else:
            yield replace(step(frame), index=position)


def _check_frames(clip: Clip, given: GivenObjects) -> None:
    for index in given.ids_of_frames:
        if index not in clip:
            raise UsageError(f"an object is given for frame {index}, which is not among the frames that are read")
