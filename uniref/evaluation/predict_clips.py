"""Running a model on videos; masks go to disk frame by frame."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from uniref.core.atomic import atomic_folder
from uniref.core.errors import UniRefError
from uniref.core.tasks import Task
from uniref.core.threads import prefetch
from uniref.data.frames import read_frame
from uniref.data.index import Media, Sample
from uniref.evaluation.benchmark import Benchmark
from uniref.evaluation.masks_on_disk import write_png
from uniref.evaluation.metrics.masks import LabelMap, Mask
from uniref.inference.predictor import Predictor
from uniref.inference.results import FrameResult
from uniref.inference.segmenter import Frame
from uniref.inference.video import VideoTracker

Image = npt.NDArray[np.uint8]


def predict_clip(predictor: Predictor, benchmark: Benchmark, unit: int, root: Path) -> None:
    """Predict every sample of a video into its folder below `root`, which appears when the video is complete.

    Raises:
        UniRefError: A frame is missing, or the checkpoint cannot do this task.
    """
    samples = benchmark.samples(unit)
    media = benchmark.index.media(samples[0].media)
    finals = [root / benchmark.sample_folder(sample) for sample in samples]
    if len(set(finals)) != len(finals):
        raise UniRefError(f"{benchmark.data}: {media.name}: two samples have the same expression id; prepare it again")
    first = min(benchmark.first_frame(sample) for sample in samples)
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(atomic_folder(final, overwrite=True)) for final in finals]
        frames = ((t, read_frame(media, t)) for t in range(first, media.length))
        for t, results in _results(predictor, benchmark, samples, prefetch(frames)):
            for folder, result in zip(folders, results, strict=True):
                write_png(folder / f"{frame_name(media, t)}.png", result)


def frame_name(media: Media, frame: int) -> str:
    """Name of a frame's mask, without extension."""
    return Path(media.frames[frame]).stem if media.frames else f"{frame:05d}"


def _results(
    predictor: Predictor, benchmark: Benchmark, samples: list[Sample], frames: Iterator[tuple[int, Image]]
) -> Iterator[tuple[int, list[Mask | LabelMap]]]:
    """For each frame, what each sample's folder gets: a mask or a label map."""
    if benchmark.protocol.task == Task.VOS:
        return _given(predictor, benchmark, samples, frames)
    if benchmark.one_mask:
        return _one_text_each(predictor, benchmark, samples, frames)
    return _texts_together(predictor, benchmark, samples, frames)


def _given(
    predictor: Predictor, benchmark: Benchmark, samples: list[Sample], frames: Iterator[tuple[int, Image]]
) -> Iterator[tuple[int, list[Mask | LabelMap]]]:
    """Objects given by masks: a label map of their ids."""
    short, long = benchmark.protocol.sides
    trackers = [
        predictor.track(score_threshold=benchmark.protocol.threshold, short_side=short, long_side=long) for _ in samples
    ]
    masks = [given_masks(benchmark, sample) for sample in samples]
    for t, image in frames:
        out: list[Mask | LabelMap] = []
        encoded: Frame | None = None
        for tracker, given in zip(trackers, masks, strict=True):
            encoded = encoded or tracker.encode(image)
            out.append(tracker.step(image, given.get(t), encoded).labels)
        yield t, out


def given_masks(benchmark: Benchmark, sample: Sample) -> dict[int, dict[int, Mask]]:
    """Frame -> object id -> the mask that is given there."""
    given: dict[int, dict[int, Mask]] = {}
    for row in sample.objects:
        thing, annotations = benchmark.index.object(row), benchmark.index.annotations(row)
        frame = benchmark.given_frame(row)
        place = annotations.at(frame)
        mask = None if place is None else annotations.mask(place)
        if mask is not None and mask.any():
            given.setdefault(frame, {})[thing.source_id] = mask
    return given


def _one_text_each(
    predictor: Predictor, benchmark: Benchmark, samples: list[Sample], frames: Iterator[tuple[int, Image]]
) -> Iterator[tuple[int, list[Mask | LabelMap]]]:
    """Texts that are followed by themselves: a mask each."""
    numbered = {number: benchmark.text(sample) for number, sample in enumerate(samples, start=1)}
    tracker = _text_tracker(predictor, benchmark, numbered)
    for t, image in frames:
        result = tracker.step(image)
        yield t, [result.masks[number] for number in numbered]


def _texts_together(
    predictor: Predictor, benchmark: Benchmark, samples: list[Sample], frames: Iterator[tuple[int, Image]]
) -> Iterator[tuple[int, list[Mask | LabelMap]]]:
    """Texts that share out the pixels: a label map of their places, 1, 2, ... (Ref-DAVIS17)."""
    texts = [[benchmark.index.expression(row).text for row in sample.expressions] for sample in samples]
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
