"""Which frames a run has to segment, and for which objects: from given masks to the next ones.

Every given mask knows how far it has been followed in both directions. What lies between that and the object's next
given mask is out of date.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from uniref.labeling.reader import ProjectReader
from uniref.labeling.records import MaskRecord

Direction = Literal["both", "forwards", "backwards"]


@dataclass(frozen=True)
class Segment:
    """Frames in which an object is followed from one of its given masks."""

    object: int
    anchor: int
    """Frame of the given mask."""
    first: int
    """First frame to segment: the anchor itself, or where it goes on."""
    last: int
    """Last frame to segment; before `first` in a run backwards."""
    resumed_from: int | None = None
    """Where the anchor lies ahead: the frame whose mask is followed instead."""


@dataclass(frozen=True)
class Pass:
    """Frames that are read one after the other, and the segments that lie in them."""

    step: int
    """1 = forwards, -1 = backwards."""
    first: int
    last: int
    segments: tuple[Segment, ...]

    @property
    def direction(self) -> str:
        """For the page."""
        return "forwards" if self.step > 0 else "backwards"


def plan_run(
    project: ProjectReader, numbers: Sequence[int], frame: int | None, direction: Direction, count: int
) -> list[Pass]:
    """What to read and to follow in a run.

    Args:
        project: With the given masks.
        numbers: Ids of the objects.
        frame: Where to begin; None: whatever is out of date.
        direction: From there.
        count: Frames of the video.

    Raises:
        UsageError: An object is not there.
    """
    given = {number: project.given(project.object(number).object) for number in numbers}
    work: list[Pass] = []
    for step in [1] * (direction != "backwards") + [-1] * (direction != "forwards"):
        segments: list[Segment] = []
        for number, records in given.items():
            if frame is None:
                segments += stale_segments(records, step, count)
            else:
                segments += segments_from(records, frame, step, count, functools.partial(_has_mask, project, number))
        work += passes(segments, step)
    return work


def _has_mask(project: ProjectReader, number: int, frame: int) -> bool:
    record = project.mask(number, frame)
    return record is not None and record.area > 0


def segments_from(
    given: Sequence[MaskRecord], frame: int, step: int, count: int, has_mask: Callable[[int], bool]
) -> list[Segment]:
    """What to segment where an object is followed from a frame on.

    Args:
        given: Its given masks, by frame.
        frame: Where to begin.
        step: 1 = forwards, -1 = backwards.
        count: Frames of the video.
        has_mask: Whether the object has a mask with a pixel in a frame.

    Returns:
        From the frame (backwards: from its mask, where it has one) to the next given mask, and on from there as long as
        that is out of date; where no given mask is behind, from the first one ahead, unless the object has a mask in
        the frame.
    """
    ordered = sorted(given, key=lambda each: each.frame * step)
    behind = [each for each in ordered if (each.frame - frame) * step <= 0]
    segments: list[Segment] = []
    if behind:
        anchor, end = behind[-1], _end(ordered, len(behind) - 1, step, count)
        # backwards the mask of the frame stays: in a run both ways it is what the run forwards began with
        first = frame + step if step < 0 and anchor.frame != frame and has_mask(frame) else frame
        if (end - first) * step >= 0:
            segments = [Segment(anchor.object, anchor.frame, first, end)]
    elif ordered and has_mask(frame) and frame + step != ordered[0].frame:
        nearest = ordered[0]
        return [Segment(nearest.object, nearest.frame, frame + step, nearest.frame - step, resumed_from=frame)]
    for position in range(len(behind), len(ordered)):
        segment = _out_of_date(ordered, position, step, count)
        if segment is None:
            break
        segments.append(segment)
    return segments


def stale_segments(given: Sequence[MaskRecord], step: int, count: int) -> list[Segment]:
    """What is out of date of an object. Arguments as of `segments_from`."""
    ordered = sorted(given, key=lambda each: each.frame * step)
    segments = [_out_of_date(ordered, position, step, count) for position in range(len(ordered))]
    return [each for each in segments if each is not None]


def stale_from(given: Sequence[MaskRecord], count: int) -> int | None:
    """First frame whose mask is missing or older than what the user gave; None = everything is up to date."""
    return min((each.first for each in stale_segments(given, 1, count)), default=None)


def _end(ordered: Sequence[MaskRecord], position: int, step: int, count: int) -> int:
    """The last frame that belongs to a given mask, in the direction of `step`."""
    if position + 1 < len(ordered):
        return ordered[position + 1].frame - step
    return count - 1 if step > 0 else 0


def _out_of_date(ordered: Sequence[MaskRecord], position: int, step: int, count: int) -> Segment | None:
    """What is out of date from a given mask to the next one. Backwards, only before the first one of the video."""
    anchor, end = ordered[position], _end(ordered, position, step, count)
    following = ordered[position + 1] if position + 1 < len(ordered) else None
    if step < 0 and following is not None:
        return None
    reach = anchor.forwards if step > 0 else anchor.backwards
    covered = anchor.frame if reach is None else reach
    if (end - covered) * step <= 0:
        return None
    if following is not None and following.backwards is not None and following.backwards <= covered + 1:
        return None  # followed from the other side
    return Segment(anchor.object, anchor.frame, anchor.frame if reach is None else reach + step, end)


def passes(segments: Sequence[Segment], step: int) -> list[Pass]:
    """Segments as few readings of the video, without the frames in between that are of no object."""
    groups: list[list[Segment]] = []
    end = 0
    for segment in sorted(segments, key=lambda each: (each.first * step, each.object)):
        if groups and segment.first * step <= end * step + 1:
            groups[-1].append(segment)
            end = max(end * step, segment.last * step) * step
        else:
            groups.append([segment])
            end = segment.last
    return [
        Pass(step, group[0].first, max(each.last * step for each in group) * step, tuple(group)) for group in groups
    ]


def frames_of(work: Sequence[Pass]) -> set[int]:
    """Indices of the frames that are read at least once."""
    return {index for part in work for index in range(part.first, part.last + part.step, part.step)}


def text_in_force(given: Sequence[MaskRecord], anchor: int) -> str | None:
    """The text by which an object is looked for where it is followed from a given mask: the last one up to there."""
    texts = [each.about["text"] for each in given if each.frame <= anchor and "text" in each.about]
    return str(texts[-1]) if texts else None
