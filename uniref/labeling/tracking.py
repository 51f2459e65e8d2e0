"""Following the objects of a project through its video, with the tracker of `uniref predict`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from uniref.core import rle
from uniref.core.errors import MediaError
from uniref.core.parallel import prefetch
from uniref.core.types import BoolMask, UInt8Image
from uniref.inference.results import SCORE_THRESHOLD, FrameResult
from uniref.labeling.frames import FrameReader
from uniref.labeling.plan import Pass, Segment, text_in_force
from uniref.labeling.records import MaskRecord, pack_soft
from uniref.labeling.store import ProjectStore
from uniref.media.frame import SourceFrame
from uniref.media.source import MediaSource, Selection

if TYPE_CHECKING:
    from uniref.inference.predictor import Predictor
    from uniref.inference.video import VideoTracker


def new_tracker(
    predictor: Predictor, support: Mapping[int, Sequence[tuple[UInt8Image, BoolMask]]] | None = None
) -> VideoTracker:
    """The tracker that `uniref predict` uses, which keeps probabilities. `support`: as for `Predictor.track`."""
    start = predictor.score_threshold
    return predictor.track(
        support=support,
        score_threshold=SCORE_THRESHOLD,
        start_threshold=SCORE_THRESHOLD if start is None else start,
        probabilities=True,
    )


class Follower:
    """Follows objects through one reading of the frames, and stores every frame as it is done.

    Args:
        store: Of the project.
        frames: Of its video, for masks of earlier frames.
        predictor: The model.
        work: What to follow.
        action: That the changes belong to.
    """

    def __init__(self, store: ProjectStore, frames: FrameReader, predictor: Predictor, work: Pass, action: int) -> None:
        self._store, self._frames, self._work, self._action = store, frames, work, action
        self._step = work.step
        self._tracker = new_tracker(predictor)
        self._given = {each.object: store.given(each.object) for each in work.segments}
        self._waiting = list(work.segments)
        self._followed: dict[int, Segment] = {}
        self._texts: dict[int, str] = {}
        self._reaches = Reaches(store, self._given, self._step, action)

    def run(self, keep_going: Callable[[], bool], report: Callable[[int], None]) -> bool:
        """Follow until the last frame.

        Args:
            keep_going: Asked before each frame.
            report: Called with the index of every frame that is done.

        Returns:
            False where `keep_going` ended it before.

        Raises:
            UniRefError: The video cannot be read, a mask is given for a damaged frame, or the project cannot be
                written; the frames before are stored.
        """
        with self._store.writing():
            for segment in self._work.segments:
                self._reaches.begin(segment)
        with contextlib.closing(self._reading()) as reading:
            for frame in reading:
                if not keep_going():
                    return False
                self._segment(frame)
                report(frame.index)
        # what the video does not show at its end does not stay out of date
        with self._store.writing():
            for segment in self._work.segments:
                self._reaches.advance(segment, segment.last)
        return True

    def _reading(self) -> Generator[SourceFrame]:
        """The frames of the pass, read ahead in a thread."""
        source = MediaSource(self._frames.path, fast=False)
        if self._step > 0:
            return prefetch(source.frames(Selection(str(self._work.first), str(self._work.last + 1))))
        return prefetch(source.frames_backwards(Selection(str(self._work.last)), self._work.first))

    def _segment(self, frame: SourceFrame) -> None:
        """Segment a frame, and store it with how far the objects have been followed."""
        index, size = frame.index, (frame.image.shape[0], frame.image.shape[1])
        # objects that end before this frame, and those that begin
        for number in [n for n, each in self._followed.items() if (index - each.last) * self._step > 0]:
            del self._followed[number]
        starting = [each for each in self._waiting if (index - each.first) * self._step >= 0]
        self._waiting = [each for each in self._waiting if each not in starting]
        self._followed |= {each.object: each for each in starting}
        masks = self._start(starting, frame)
        for number in self._tracker.ids:
            if number not in self._followed:
                self._tracker.remove(number)
        if not self._followed:
            return
        # the frame
        stored = {each.object: each for each in self._store.masks(index)}
        if frame.damaged:
            result = FrameResult(index, np.zeros(size, np.uint8), {}, {}, {}).with_absent([*self._followed], True)
        else:
            taken = _taken([each for n, each in stored.items() if n not in self._followed], size)
            result = replace(self._tracker.step(frame.image, masks, taken=taken), index=index)
        # its masks
        with self._store.writing():
            for number, segment in self._followed.items():
                before = stored.get(number)
                is_done = before is not None and before.given and self._step < 0 and before.forwards is not None
                if number in result.masks and not is_done:  # else the run forwards was here, with all objects
                    self._store.put_mask(self._action, record_of(result, number, before, frame.damaged))
                self._reaches.advance(segment, index)

    # where objects begin

    def _start(self, starting: Sequence[Segment], frame: SourceFrame) -> dict[int, BoolMask]:
        """Let the tracker follow objects from this frame on; returns the masks that are given in it."""
        masks: dict[int, BoolMask] = {}
        resumed: list[Segment] = []
        for segment in starting:
            number, given = segment.object, self._given[segment.object]
            anchor = next(each for each in given if each.frame == segment.anchor)
            text, is_anchor = text_in_force(given, segment.anchor), segment.first == segment.anchor
            # an object of the same text goes on with it from a mask of its own
            goes_on = number in self._tracker.ids
            if goes_on and (not is_anchor or anchor.text is not None or text != self._texts.get(number)):
                self._tracker.remove(number)
                goes_on = False
            if text is not None and not goes_on:
                self._tracker.add({number: text})
                self._texts[number] = text
            if not is_anchor:
                resumed.append(segment)
            elif anchor.text is None:
                if frame.index != anchor.frame or frame.damaged:
                    raise MediaError(
                        f"{self._frames.path}: frame {anchor.frame}, for which a mask is given, is damaged"
                    )
                masks[number] = anchor.pixels
        self._resume(resumed)
        return masks

    def _resume(self, segments: Sequence[Segment]) -> None:
        """Give the tracker the first and last masks of objects that were followed before."""
        roles: dict[int, dict[int, tuple[MaskRecord, set[str]]]] = {}
        for segment in segments:
            for role, record in self._earlier(segment).items():
                roles.setdefault(record.frame, {}).setdefault(record.object, (record, set()))[1].add(role)
        for index, objects in sorted(roles.items()):
            frame = self._tracker.encode(self._frames.read(index).image)
            self._tracker.restore(
                frame,
                {n: record.pixels for n, (record, _) in objects.items()},
                first=[n for n, (_, names) in objects.items() if "first" in names],
                previous=[n for n, (_, names) in objects.items() if "previous" in names],
                given=[n for n, (record, _) in objects.items() if record.given and record.text is None],
            )

    def _earlier(self, segment: Segment) -> dict[str, MaskRecord]:
        """The first and the last mask that an object had before a segment; empty where it was not found so far."""
        number, step = segment.object, self._step
        if segment.resumed_from is not None:
            first = self._store.mask(number, segment.anchor)
            previous = self._store.mask(number, segment.resumed_from)
        else:
            first = self._store.nearest(number, segment.anchor, step, segment.first - step)
            previous = self._store.nearest(number, segment.first - step, -step, segment.anchor)
        if first is None or previous is None or not first.area or not previous.area:
            return {}
        return {"first": first, "previous": previous}


class Reaches:
    """Notes how far given masks have been followed.

    Args:
        store: Of the project.
        given: Object id -> its given masks, by frame.
        step: 1 = forwards, -1 = backwards.
        action: That the changes belong to.
    """

    def __init__(self, store: ProjectStore, given: Mapping[int, Sequence[MaskRecord]], step: int, action: int) -> None:
        self._store, self._step, self._action = store, step, action
        self._ordered = {n: sorted(records, key=lambda each: each.frame * step) for n, records in given.items()}
        self._connected: set[Segment] = set()

    def begin(self, segment: Segment) -> None:
        """A segment is about to be followed, anew where it has been before."""
        if segment.resumed_from is not None:
            return
        anchor = next(each for each in self._ordered[segment.object] if each.frame == segment.anchor)
        reach = anchor.forwards if self._step > 0 else anchor.backwards
        covered = anchor.frame if reach is None else reach
        if (segment.first - covered) * self._step > 1:
            return  # there is a gap before it
        self._connected.add(segment)
        if reach is not None:
            before = segment.first - self._step if segment.first != segment.anchor else segment.anchor
            self._set(segment.object, anchor.frame, before)

    def advance(self, segment: Segment, index: int) -> None:
        """A segment has been followed up to a frame."""
        if segment in self._connected:
            self._set(segment.object, segment.anchor, index)
        # masks that were followed from the other side, up to here, are no more
        behind = [each for each in self._ordered[segment.object] if (each.frame - index) * self._step > 0]
        other = behind[0] if behind else None
        if other is None or segment.resumed_from is not None:
            return
        reach = other.backwards if self._step > 0 else other.forwards
        if reach is not None and (index - reach) * self._step >= 0:
            self._set(segment.object, other.frame, index + self._step, opposite=True)

    def _set(self, number: int, frame: int, reach: int, opposite: bool = False) -> None:
        forwards = (self._step > 0) != opposite
        self._store.set_reach(self._action, number, frame, reach if forwards else None, None if forwards else reach)


def record_of(result: FrameResult, number: int, before: MaskRecord | None, damaged: bool = False) -> MaskRecord:
    """An object of a result as a row.

    Args:
        result: Of its frame, with probabilities.
        number: The object.
        before: The row that it replaces; what the user gave stays.
        damaged: The frame cannot be seen.
    """
    mask, own = result.masks[number], result.labels == number
    is_given = before is not None and bool(before.given)
    is_painted = before is not None and is_given and before.text is None
    if before is not None and is_painted:
        mask = before.pixels
    return MaskRecord(
        object=number,
        frame=result.index,
        given=int(is_given),
        prompt=before.prompt if before is not None and is_given else None,
        score=None if damaged else float(result.scores[number]),
        box=np.asarray(result.boxes[number], "<f4").tobytes(),
        height=mask.shape[0],
        width=mask.shape[1],
        counts=rle.encode(mask),
        own=None if np.array_equal(mask, own) else rle.encode(own),
        soft=None if is_painted else pack_soft(result.probabilities[number]),
        area=int(mask.sum()),
        forwards=before.forwards if before is not None and is_given else None,
        backwards=before.backwards if before is not None and is_given else None,
    )


def _taken(records: Sequence[MaskRecord], size: tuple[int, int]) -> BoolMask | None:
    """Bool [H, W], the pixels of objects in a frame of this size; None where there are none."""
    masks = [each.own_pixels for each in records if each.area and (each.height, each.width) == size]
    return np.logical_or.reduce(masks) if masks else None
