"""Running a model on videos; masks go to disk frame by frame."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from uniref.core.atomic import atomic_folder
from uniref.core.parallel import prefetch
from uniref.core.tasks import Task
from uniref.core.types import BoolMask, LabelMap, UInt8Image
from uniref.data.frames import frames_in_order
from uniref.evaluation.benchmark import Benchmark, Case, frame_name
from uniref.evaluation.masks_on_disk import write_png
from uniref.evaluation.predict_images import has_words
from uniref.inference.inference_model import Frame
from uniref.inference.predictor import Predictor
from uniref.inference.results import FrameResult
from uniref.inference.video import VideoTracker


def predict_clip(predictor: Predictor, benchmark: Benchmark, unit: int, root: Path) -> None:
    """Predict every case of a video into its folder below `root`, which appears when the video is complete.

    Raises:
        UniRefError: A frame is missing, or the checkpoint cannot do this task.
    """
    cases = benchmark.cases(unit)
    media = benchmark.index.media(cases[0].sample.media)
    first = min(benchmark.first_frame(case.sample) for case in cases)
    masks = {f"{frame_name(media, t)}.png" for t in range(media.length)}
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(atomic_folder(root / case.name, True, lambda _: masks)) for case in cases]
        frames = prefetch(frames_in_order(media, first))
        for t, results in _results(predictor, benchmark, cases, frames):
            for folder, result in zip(folders, results, strict=True):
                write_png(folder / f"{frame_name(media, t)}.png", result)


def _results(
    predictor: Predictor, benchmark: Benchmark, cases: list[Case], frames: Iterator[tuple[int, UInt8Image]]
) -> Iterator[tuple[int, list[BoolMask | LabelMap]]]:
    """For each frame, what each case's folder gets: a mask or a label map."""
    if benchmark.protocol.task == Task.VOS:
        return _given(predictor, benchmark, cases, frames)
    if benchmark.one_mask:
        return _one_text_each(predictor, benchmark, cases, frames)
    return _texts_together(predictor, benchmark, cases, frames)


def _given(
    predictor: Predictor, benchmark: Benchmark, cases: list[Case], frames: Iterator[tuple[int, UInt8Image]]
) -> Iterator[tuple[int, list[BoolMask | LabelMap]]]:
    """Objects given by masks: a label map of their ids."""
    short, long = benchmark.protocol.sides
    trackers = [
        predictor.track(
            score_threshold=benchmark.protocol.threshold, short_side=short, long_side=long, exact_masks=False
        )
        for _ in cases
    ]
    masks = [given_masks(benchmark, case) for case in cases]
    for t, image in frames:
        out: list[BoolMask | LabelMap] = []
        encoded: Frame | None = None
        for tracker, given in zip(trackers, masks, strict=True):
            encoded = encoded or tracker.encode(image)
            out.append(tracker.step(image, given.get(t), encoded).labels)
        yield t, out


def given_masks(benchmark: Benchmark, case: Case) -> dict[int, dict[int, BoolMask]]:
    """Frame -> object id -> the mask that is given there."""
    given: dict[int, dict[int, BoolMask]] = {}
    for row in case.sample.objects:
        thing, annotations = benchmark.index.object(row), benchmark.index.annotations(row)
        if thing.crowd:
            continue
        frame = benchmark.given_frame(row)
        place = annotations.at(frame)
        mask = None if place is None else annotations.mask(place)
        if mask is not None and mask.any():
            given.setdefault(frame, {})[thing.source_id] = mask
    return given


def _one_text_each(
    predictor: Predictor, benchmark: Benchmark, cases: list[Case], frames: Iterator[tuple[int, UInt8Image]]
) -> Iterator[tuple[int, list[BoolMask | LabelMap]]]:
    """Texts that are followed by themselves: a mask each."""
    texts = {number: benchmark.text(case) for number, case in enumerate(cases, start=1)}
    asked = {number: text for number, text in texts.items() if has_words(text)}
    tracker = _text_tracker(predictor, benchmark, asked)
    for t, image in frames:
        found = tracker.step(image).masks
        yield t, [found[number] if number in found else np.zeros(image.shape[:2], np.bool_) for number in texts]


def _texts_together(
    predictor: Predictor, benchmark: Benchmark, cases: list[Case], frames: Iterator[tuple[int, UInt8Image]]
) -> Iterator[tuple[int, list[BoolMask | LabelMap]]]:
    """Texts that share out the pixels: a label map of their places, 1, 2, ... (Ref-DAVIS17)."""
    texts = [[benchmark.index.expression(row).text for row in case.expressions] for case in cases]
    trackers = [_text_tracker(predictor, benchmark, dict(enumerate(some, start=1))) for some in texts]
    for t, image in frames:
        encoded = trackers[0].encode(image)
        results: list[FrameResult] = [tracker.step(image, frame=encoded) for tracker in trackers]
        yield t, [result.labels for result in results]


def _text_tracker(predictor: Predictor, benchmark: Benchmark, texts: dict[int, str]) -> VideoTracker:
    protocol = benchmark.protocol
    short, long = protocol.sides
    return predictor.track(
        texts, propagate=protocol.propagate, score_threshold=protocol.threshold, short_side=short, long_side=long
    )
