"""Segments one source and writes its outputs: reading, predicting and writing in parallel, one frame in flight at each
stage."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from uniref.core.errors import MediaError, UsageError
from uniref.core.parallel import prefetch
from uniref.core.progress import Progress
from uniref.core.types import BoolMask, UInt8Image
from uniref.inference.clip import MediaClip
from uniref.inference.image_predictor import Side
from uniref.inference.predictor import Predictor
from uniref.inference.preview import PreviewSink
from uniref.inference.prompt_regions import check_regions
from uniref.inference.prompts import Objects
from uniref.inference.recorder import Recorder, StoppedError
from uniref.inference.results import SCORE_THRESHOLD, FrameResult
from uniref.inference.sink_base import Context
from uniref.inference.sinks import SINKS, draw_result
from uniref.inference.two_pass import BothWays
from uniref.inference.video import VideoTracker
from uniref.media.frame import SourceFrame
from uniref.media.source import MediaSource, Selection, never


@dataclass(frozen=True)
class PredictOptions:
    """How to process an input."""

    save: tuple[str, ...] = ("overlay", "masks")
    """Kinds of output, keys of `SINKS`."""
    selection: Selection = field(default_factory=Selection)
    propagate: bool = True
    score_threshold: float = SCORE_THRESHOLD
    """An object whose score is not above this is not in the image or frame."""
    start_threshold: float = SCORE_THRESHOLD
    """The same for a text or support images: in images, and in videos until the object is found."""
    all_instances: bool = False
    """Every instance of a text or of support images is an object."""
    instance_threshold: float | None = None
    """Scores of instances are above it; None: above a share of the best one's."""
    short_side: Side = "default"
    long_side: Side = "default"
    two_pass: bool = False
    """Videos: look for every text in all frames first, then follow its best sight in both directions."""
    both_ways: bool = False
    """Videos: follow objects also backwards, from where they are given or first found."""
    labels: bool = True
    """Write texts and scores into the overlay."""
    live: bool | None = None
    """Of a stream: drop the frames that come while the model is busy; None = of cameras and network streams."""
    duration: float | None = None
    """Seconds of a stream after which to stop."""

    def __post_init__(self) -> None:
        if (self.two_pass or self.both_ways) and not self.propagate:
            option = "--two-pass" if self.two_pass else "--both-ways"
            raise UsageError(f"{option}: follows objects by their masks; leave out --no-propagate")

    @property
    def probabilities(self) -> bool:
        """Whether an output needs masks with soft edges."""
        return any(SINKS[name].needs_probabilities for name in self.save)


def predict_source(
    predictor: Predictor,
    source: MediaSource,
    objects: Objects,
    options: PredictOptions,
    folder: Path,
    progress: Progress,
    warn: Callable[[str], None],
    stop: Callable[[], bool] = never,
    show: Callable[[UInt8Image], None] | None = None,
    preview: bool = False,
) -> dict[str, Any]:
    """Segment one source and write every kind of output into `folder`.

    Args:
        predictor: The model.
        source: Image, video, folder of frames or stream.
        objects: What to segment in it.
        options: How.
        folder: Existing folder for the outputs; incomplete if this raises or is stopped.
        progress: Called with the iteration over frames, of every pass.
        warn: Called with one line per kind of damage that was survived.
        stop: Asked after each frame; True ends the run early with closed files.
        show: Called with each frame of a video, its objects drawn in.
        preview: Write `preview.jpg` too, small pictures for the page about a batch.

    Returns:
        The summary (JSON types), with `complete` False where `stop` ended the run on a source that has an end.

    Raises:
        UniRefError: The source cannot be read, an object does not fit it, or a file cannot be written.
        StoppedError: `stop` ended the run before its last pass, which writes, or before the first frame of a stream.
    """
    begun = time.monotonic()
    for note in source.notes:
        warn(note)
    # passes before the last one keep what they find in a temporary file
    follow = None if source.kind == "image" else _new_follower(predictor, source, objects, options, folder)
    with contextlib.closing(follow) if follow else contextlib.nullcontext():
        if follow and not follow.prepare(progress, stop):
            raise StoppedError
        # stages of the last one: read in a thread, predict here, write in a thread
        context = Context(folder, source, objects, options.selection.stride, options.labels, warn)
        recorder = Recorder(context, [*(SINKS[name] for name in options.save), *([PreviewSink] if preview else [])])
        reading = source.frames(options.selection, stop)
        if source.seekable:  # a stream has a thread of its own, and the frames in between would be old
            reading = prefetch(reading)
        frames = progress(reading, source.path.name, source.selected_count(options.selection))
        model_seconds, stopped = time.monotonic() - begun, False
        try:
            for frame in frames:
                before = time.monotonic()
                if frame.damaged:
                    result = _empty_result(frame, context)
                elif follow is None:
                    result = _segment_image(predictor, frame, objects, options)
                else:
                    result = follow.step(frame)
                model_seconds += time.monotonic() - before
                recorder.add(frame, result)
                if show is not None and follow is not None:
                    show(draw_result(context, frame, result))
                if stop():
                    stopped = True
                    break
        finally:
            frames.close()
            reading.close()
            recorder.finish()
    # what went wrong while writing, then what was survived
    recorder.check(stop)
    if report := source.stream_report():
        stopped = report["ended"] == "stopped" and not source.open_ended
    summary = recorder.summary(not stopped, time.monotonic() - begun, model_seconds)
    _add_anchors(summary, follow)
    recorder.warn_of_damage()
    for note in objects.notes:
        warn(note)
    return summary | {
        "notes": [*source.notes, *objects.notes],
        "device": str(predictor.device),
        "precision": predictor.precision,
        "attention_precision": predictor.attention_precision,
        "options": _plain(options),
    }


class _OnePass:
    """Follows objects forwards, from the frames on where they are given."""

    def __init__(
        self, tracker: VideoTracker, objects: Objects, masks_of: Callable[[SourceFrame], dict[int, BoolMask]]
    ) -> None:
        self._tracker, self._texts, self._masks_of = tracker, objects.texts, masks_of
        self._waiting = {number: objects.text_frames.get(number, 0) for number in objects.texts}

    def prepare(self, progress: Progress, stop: Callable[[], bool]) -> bool:
        """Nothing has to be known before."""
        return True

    def step(self, frame: SourceFrame) -> FrameResult:
        """The objects of the next frame."""
        begin = {number: self._texts[number] for number, first in self._waiting.items() if first <= frame.index}
        self._waiting = {number: first for number, first in self._waiting.items() if number not in begin}
        self._tracker.add(begin)
        return self._tracker.step(frame.image, self._masks_of(frame))

    def close(self) -> None:
        """Nothing has to be removed."""


def _new_follower(
    predictor: Predictor, source: MediaSource, objects: Objects, options: PredictOptions, folder: Path
) -> _OnePass | BothWays:
    """What follows the objects of a video, in one or several passes, of which the last one gives the results."""
    new_tracker = functools.partial(
        predictor.track,
        support={objects.support_id: objects.support} if objects.support_id is not None else None,
        propagate=options.propagate,
        score_threshold=options.score_threshold,
        short_side=options.short_side,
        long_side=options.long_side,
        probabilities=options.probabilities,
        start_threshold=options.start_threshold,
        all_instances=options.all_instances,
        instance_threshold=options.instance_threshold,
        reserved=objects.ids,
    )
    masks_of: Callable[[SourceFrame], dict[int, BoolMask]]
    masks_of = functools.partial(_masks_of_frame, source=source, objects=objects)
    given: dict[int, set[int]] = {frame: {*masks} for frame, masks in objects.masks.items()}
    if objects.regions:
        masks_of = _ShownMasks(new_tracker(support=None), objects, masks_of)
        for frame, shown in objects.regions.items():
            given.setdefault(frame, set()).update(shown)
    if not (options.two_pass or options.both_ways):
        return _OnePass(new_tracker(), objects, masks_of)
    clip = MediaClip(source, options.selection)
    texts, starts = objects.texts, objects.text_frames
    return BothWays(clip, new_tracker, texts, starts, given, masks_of, options.two_pass, folder)


class _ShownMasks:
    """Masks of a frame: those that are given, and what boxes and points show.

    Args:
        tracker: Whose model and resolution to use.
        objects: Of the source.
        masks_of: Returns a frame's given masks.
    """

    def __init__(
        self, tracker: VideoTracker, objects: Objects, masks_of: Callable[[SourceFrame], dict[int, BoolMask]]
    ) -> None:
        self._tracker, self._regions, self._masks_of = tracker, objects.regions, masks_of
        self._checked = False

    def __call__(self, frame: SourceFrame) -> dict[int, BoolMask]:
        """Object id -> mask. Raises UsageError for a box or point outside of the frame."""
        size = (frame.image.shape[0], frame.image.shape[1])
        shown = self._regions.get(frame.index, {})
        # those of later frames too, before anything is computed
        for objects in [shown] if self._checked else self._regions.values():
            check_regions(objects, size)
        self._checked = True
        masks = self._masks_of(frame)
        if shown:
            regions = {number: given.region for number, given in shown.items()}
            masks = masks | self._tracker.region_masks(self._tracker.encode(frame.image), regions, masks)
        return masks


def _add_anchors(summary: dict[str, Any], follow: object) -> None:
    """Name the frame that each object was followed from, where it was followed both ways."""
    for number, anchor in follow.found.items() if isinstance(follow, BothWays) else ():
        summary["objects"][str(number)]["anchor_frame"] = anchor


def _masks_of_frame(frame: SourceFrame, source: MediaSource, objects: Objects) -> dict[int, BoolMask]:
    """Masks given in a frame, by object id.

    Raises:
        MediaError: One has another size than the frame.
    """
    given = objects.masks.get(frame.index, {})
    height, width = frame.image.shape[:2]
    for mask in given.values():
        if mask.size != (height, width):
            raise MediaError(
                f"{mask.file}: is {mask.size[1]} x {mask.size[0]} pixels, but frame {frame.name} of {source.label} is "
                f"{width} x {height}"
            )
    return {number: mask.pixels for number, mask in given.items()}


def _segment_image(predictor: Predictor, frame: SourceFrame, objects: Objects, options: PredictOptions) -> FrameResult:
    """Objects of an image as a frame."""
    shown = objects.regions.get(frame.index, {})
    check_regions(shown, (frame.image.shape[0], frame.image.shape[1]))
    regions = {number: given.region for number, given in shown.items()}
    return predictor.segment_objects(
        frame.image,
        objects.texts,
        {} if objects.support_id is None else {objects.support_id: objects.support},
        options.short_side,
        options.long_side,
        options.probabilities,
        score_threshold=options.instance_threshold if options.all_instances else options.start_threshold,
        all_instances=options.all_instances,
        start_threshold=options.start_threshold,
        boxes={number: region.box for number, region in regions.items() if region.box},
        points={
            number: [*((x, y, 1) for x, y in region.points), *((x, y, 0) for x, y in region.background)]
            for number, region in regions.items()
        },
    )


def _empty_result(frame: SourceFrame, context: Context) -> FrameResult:
    """Of a damaged frame: no object is segmented in it, and it becomes no reference.

    Raises:
        MediaError: A mask is given for it.
    """
    for kind, given in (("mask", context.objects.masks), ("box or point", context.objects.regions)):
        if frame.index in given:
            raise MediaError(f"{context.source.label}: frame {frame.name}, for which a {kind} is given, is damaged")
    size = frame.image.shape[:2]
    masks = {n: np.zeros(size, np.bool_) for n in context.ids}
    return FrameResult(frame.index, np.zeros(size, np.uint8), masks, {}, {})


def _plain(options: PredictOptions) -> dict[str, Any]:
    selection = options.selection
    return {
        "save": list(options.save),
        "start": selection.start,
        "end": selection.end,
        "stride": selection.stride,
        "propagate": options.propagate,
        "two_pass": options.two_pass,
        "both_ways": options.both_ways,
        "score_threshold": options.score_threshold,
        "start_threshold": options.start_threshold,
        "all_instances": options.all_instances,
        "instance_threshold": options.instance_threshold,
        "short_side": options.short_side,
        "long_side": options.long_side,
    }
