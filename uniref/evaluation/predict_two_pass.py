"""Texts in videos in two passes instead of by the published protocols: found in the best frame, followed both ways."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from uniref.core.parallel import prefetch
from uniref.core.progress import silent
from uniref.core.text import has_words
from uniref.core.types import BoolMask, LabelMap
from uniref.data.frames import frames_in_order, read_frames
from uniref.data.index import Media
from uniref.evaluation.dataset import EvalDataset, EvalItem
from uniref.inference.predictor import Predictor
from uniref.inference.two_pass import BothWays
from uniref.media.frame import SourceFrame

_PIECE = 32  # frames that are read at once, backwards


@dataclass(frozen=True)
class MediaFrames:
    """A video of an index, as a `Clip`."""

    media: Media
    first: int
    """Index of the first frame that is read."""

    @property
    def name(self) -> str:
        """The video's."""
        return self.media.path.name

    def forwards(self) -> Iterator[SourceFrame]:
        """All frames, in order."""
        for index, image in frames_in_order(self.media, self.first):
            yield SourceFrame(index, str(index), image, float(index), 1.0)

    def backwards(self, last: int) -> Iterator[SourceFrame]:
        """Frames from the one of index `last` back to the first."""
        indices = range(self.first, last + 1)
        while indices:
            piece, indices = indices[-_PIECE:], indices[:-_PIECE]
            images = read_frames(self.media, piece)
            while images:
                index = piece[len(images) - 1]
                yield SourceFrame(index, str(index), images.pop(), float(index), 1.0)

    def count(self, last: int | None = None) -> int:
        """How many frames there are."""
        return (self.media.length if last is None else last + 1) - self.first

    def __contains__(self, index: int) -> bool:
        return self.first <= index < self.media.length


def track_in_two_passes(
    predictor: Predictor, dataset: EvalDataset, items: Sequence[EvalItem]
) -> Iterator[tuple[int, list[BoolMask | LabelMap]]]:
    """Expressions of one video: frame index, and a mask per item, or a label map of its expressions' numbers.

    An expression without words refers to nothing.
    """
    protocol = dataset.protocol
    first = min(dataset.first_frame(item.sample) for item in items)
    clip = MediaFrames(dataset.index.media(items[0].sample.media), first)
    new_tracker = partial(
        predictor.track,
        score_threshold=protocol.threshold,
        short_side=protocol.sides[0],
        long_side=protocol.sides[1],
    )
    # items that are scored by one mask are followed together, label maps by themselves
    if dataset.one_mask:
        groups = [[dataset.text(item) for item in items]]
    else:
        groups = [[dataset.index.expression(row).text for row in item.expressions] for item in items]
    with contextlib.ExitStack() as stack:
        ways = []
        for texts in groups:
            numbered = {number: text for number, text in enumerate(texts, start=1) if has_words(text)}
            both = BothWays(clip, new_tracker, numbered, {}, {}, lambda frame: {}, best=True)
            ways.append(stack.enter_context(contextlib.closing(both)))
            both.prepare(silent)
        for frame in prefetch(clip.forwards()):
            results = [both.step(frame) for both in ways]
            if dataset.one_mask:
                masks, nothing = results[0].masks, np.zeros(frame.image.shape[:2], np.bool_)
                yield frame.index, [masks.get(number, nothing) for number in range(1, len(items) + 1)]
            else:
                yield frame.index, [result.labels for result in results]
