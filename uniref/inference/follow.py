"""Following objects through all frames of a video, for the methods of `Predictor`."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from uniref.core.errors import UsageError
from uniref.core.parallel import prefetch
from uniref.core.progress import terminal_progress
from uniref.core.types import UInt8Image
from uniref.inference.clip import Clip
from uniref.inference.results import FrameResult
from uniref.inference.two_pass import BothWays
from uniref.inference.video import MAX_ID, VideoTracker
from uniref.media.frame import SourceFrame

AnyMask = npt.NDArray[np.generic]
MasksOfFrames = Mapping[int, Mapping[int, AnyMask]]
"""Index of a frame -> object id -> mask [H, W], non-zero = the object."""


def check_prompts(
    function: str, text: str | Sequence[str] | None, masks: MasksOfFrames | None
) -> tuple[dict[int, str], MasksOfFrames]:
    """Object id -> text, and frame index -> object id -> mask. Raises UsageError where there is neither."""
    texts = [] if text is None else [text] if isinstance(text, str) else list(text)
    masks_of_frames = {index: dict(objects) for index, objects in (masks or {}).items() if objects}
    if not texts and not masks_of_frames:
        raise UsageError(f"{function}: give at least one text or mask")
    return number_texts(texts, {i for objects in masks_of_frames.values() for i in objects}), masks_of_frames


def number_texts(texts: Sequence[str], used: set[int]) -> dict[int, str]:
    """Ids for texts: 1, 2, ... without those that masks use.

    Raises:
        UsageError: More objects than ids (255).
    """
    free = [number for number in range(1, MAX_ID + 1) if number not in used]
    if len(texts) > len(free):
        raise UsageError(f"{len(texts) + len(used)} objects: at most {MAX_ID} fit into one label map")
    return dict(zip(free, texts, strict=False))


def follow_frames(tracker: VideoTracker, frames: Iterable[UInt8Image], masks: MasksOfFrames) -> Iterator[FrameResult]:
    """Results of frames as they come; a mask for a frame that does not come is told."""
    waiting, count = dict(masks), 0
    for count, image in enumerate(frames, start=1):
        yield tracker.step(image, waiting.pop(count - 1, None))
    if waiting:
        warnings.warn(f"masks for frames {sorted(waiting)}: the video ended after {count} frames", stacklevel=2)


def follow_forwards(clip: Clip, tracker: VideoTracker, masks: MasksOfFrames) -> Iterator[FrameResult]:
    """Results of a clip's frames, in order. Raises UsageError for a mask of a frame that is not read."""
    _check_frames(clip, masks)
    return _results(clip, lambda frame: tracker.step(frame.image, masks.get(frame.index)))


def follow_both_ways(
    clip: Clip, new_tracker: Callable[[], VideoTracker], texts: Mapping[int, str], masks: MasksOfFrames, best: bool
) -> Iterator[FrameResult]:
    """As `follow_forwards`, with the frames before an object's first mask or sight; see `BothWays`."""
    _check_frames(clip, masks)
    both = BothWays(clip, new_tracker, texts, {}, masks, lambda frame: masks.get(frame.index, {}), best)

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


def _check_frames(clip: Clip, masks: MasksOfFrames) -> None:
    for index in masks:
        if index not in clip:
            raise UsageError(f"a mask is given for frame {index}, which is not among the frames that are read")
