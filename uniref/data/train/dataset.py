"""From planned micro batches to training samples: drawing, decoding and augmenting; neither normalised nor padded.

Everything random is a function of the seed and the micro batch's number: the same sample in any process.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from uniref.core.boxes import mask_box
from uniref.core.errors import MediaError, UniRefError
from uniref.core.tasks import Task
from uniref.core.text import clean_text
from uniref.core.types import BoolMask, UInt8Image
from uniref.data.frames import read_frame, read_frames, union_mask
from uniref.data.index import Annotations, Media, Sample
from uniref.data.train.augment import (
    Boxes,
    Transform,
    draw_clip_transforms,
    draw_image_transform,
    has_ordinal,
    swap_sides,
)
from uniref.data.train.sampler import MicroBatch
from uniref.data.train.sources import TrainSource

_TEXT_ONLY, _SAMPLE = range(2)  # purposes of random generators


@dataclass
class DrawnSamples:
    """The training samples of a micro batch, and what happened while they were drawn."""

    source: TrainSource
    samples: list[TrainSample] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """One line for each sample that could not be read and was replaced."""
    redrawn: int = 0
    """Samples with nothing to learn from that were replaced."""
    reason: str = ""
    """Why the last unusable sample could not be used."""
    error: str = ""
    """Why the samples are incomplete; empty otherwise."""


class MicroBatchDataset:
    """A map-style dataset for PyTorch's loader, whose keys are the planned micro batches.

    Args:
        sources: As numbered by the sampler.
        seed: Of everything random within a micro batch.
    """

    def __init__(self, sources: Sequence[TrainSource], seed: int) -> None:
        self.sources = sources
        self.seed = seed

    def __getitem__(self, micro_batch: MicroBatch) -> DrawnSamples:
        """Its samples; unusable ones are replaced by the micro batch's spares in their order.

        Errors meant for users (no spares left, a damaged index) come back as text: PyTorch would wrap them in a
        traceback.
        """
        source = self.sources[micro_batch.source]
        drawn = DrawnSamples(source)
        try:
            self._draw(micro_batch, source, drawn)
        except UniRefError as error:
            drawn.error = str(error)
        return drawn

    def _draw(self, micro_batch: MicroBatch, source: TrainSource, drawn: DrawnSamples) -> None:
        """Add the samples to `drawn`. Raises UniRefError."""
        # RVOS: whether this batch refers by text alone
        text_only = False
        if source.task is Task.RVOS:
            text_only = bool(self._generator(_TEXT_ONLY, micro_batch.number).random() < source.text_only)
        spares = iter(micro_batch.spares)
        for position, row in enumerate(micro_batch.rows):
            # the row itself, then spares until one can be used
            for attempt, candidate in enumerate(itertools.chain([row], spares)):
                rng = self._generator(_SAMPLE, micro_batch.number, position, attempt)
                try:
                    drawn.samples.append(draw_sample(source, candidate, rng, text_only))
                    break
                except RejectedSample as error:
                    drawn.reason = f"{source.name}:{candidate}: {error}"
                    drawn.redrawn += 1
                except MediaError as error:
                    drawn.reason = f"{source.name}:{candidate}: {error}"
                    drawn.skipped.append(drawn.reason)
            else:
                raise UniRefError(f"{source.name}: none of the last samples drawn can be used: {drawn.reason}")

    def _generator(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, *purpose))


class RejectedSample(Exception):
    """This draw gives nothing to learn from (the crop lost the object, no two frames share one): draw another."""


@dataclass(frozen=True)
class AugmentedImage:
    """An augmented image and N objects in it."""

    image: UInt8Image
    """[h, w, 3]."""
    boxes: Boxes
    """(x0, y0, x1, y1) in pixels, [N, 4]; the masks' tight boxes where there are masks."""
    masks: npt.NDArray[np.bool_] | None
    """[N, h, w]; None where only boxes are known."""

    def without_objects(self) -> AugmentedImage:
        """The same image, N = 0."""
        return AugmentedImage(self.image, self.boxes[:0], None if self.masks is None else self.masks[:0])


@dataclass(frozen=True)
class TrainSample:
    """One sample of a batch: drawn, decoded and augmented, but neither normalised nor padded."""

    id: str
    target: AugmentedImage
    """The image to segment; N >= 1, or 0 where the text refers to nothing."""
    classes: npt.NDArray[np.int64]
    """[N]."""
    references: tuple[AugmentedImage, ...] = ()
    """Support images, or the clip's earlier frame; one object each."""
    text: str | None = None
    """Cleaned expression; left and right already fit the image."""
    extra: Any = None
    """What an extension adds (`SourceHooks.draw_extra`)."""


def draw_sample(source: TrainSource, row: int, rng: np.random.Generator, text_only: bool = False) -> TrainSample:
    """A training sample of one row of an index.

    Args:
        source: The index, and how it is used.
        row: Sample row of the index.
        rng: Source of everything random.
        text_only: RVOS: leave out the earlier frame and its mask.

    Raises:
        RejectedSample: Draw another one.
        MediaError: An image or video cannot be read.
    """
    sample = source.index.sample(row)
    if source.task is Task.DETECTION:
        return _detection(source, sample, rng)
    if source.task is Task.RIS:
        return _ris(source, sample, rng)
    if source.task is Task.FSS:
        return _fss(source, sample, rng)
    return _clip(source, sample, rng, text_only)


def _detection(source: TrainSource, sample: Sample, rng: np.random.Generator) -> TrainSample:
    """All objects of an image that are still in the crop."""
    index, media = source.index, source.index.media(sample.media)
    transform = draw_image_transform(rng, (media.height, media.width), source.augment, may_crop=True)
    # objects that are not crowds, and their classes
    objects = [each for each in map(index.object, sample.objects) if not each.crowd]
    annotations = [index.annotations(each.row) for each in objects]
    classes = np.array([source.classes.get(each.category, 0) for each in objects], np.int64)
    # those that the crop has left, with masks, or with boxes where only these are known
    masks, boxes = None, np.zeros((0, 4), np.float32)
    if source.has_masks:
        moved = [_moved(transform, union_mask([each], 0)) for each in annotations]
        kept = [number for number, mask in enumerate(moved) if mask is not None]
        masks = [mask for mask in moved if mask is not None]
    else:
        boxes = transform.boxes(np.concatenate([boxes, *(each.boxes[:1] for each in annotations)]))
        kept = np.flatnonzero(((boxes[:, 2:] - boxes[:, :2]) > 0).all(1)).tolist()
    if not kept:
        raise RejectedSample("no object is left in the image")
    image = transform.image(read_frame(media, 0))
    target = _view(image, masks) if masks is not None else AugmentedImage(image, boxes[kept], None)
    return TrainSample(sample.id, target, classes[kept])


def _ris(source: TrainSource, sample: Sample, rng: np.random.Generator) -> TrainSample:
    """An image, an expression, and the object that it refers to, or none."""
    released = source.augment.released_words
    absent = source.hooks.draw_absent(sample, rng)
    text, may_crop = _draw_text(source, sample, rng) if absent is None else (absent, True)
    view, transform = _image_view(source, sample, rng, may_crop)
    if absent is not None:
        view = view.without_objects()
    if transform.flipped:
        text = swap_sides(text, released)
    extra = source.hooks.draw_extra(source, sample, transform, rng)
    return TrainSample(sample.id, view, np.zeros(len(view.boxes), np.int64), text=text, extra=extra)


def _fss(source: TrainSource, sample: Sample, rng: np.random.Generator) -> TrainSample:
    """An image, and other images of the same category as supports."""
    others = source.rows_of_category[sample.category]
    others = others[others != sample.row]
    shots = source.config.shots
    if len(others) < shots:
        raise RejectedSample(f"category {sample.category} has too few images for {shots} supports")
    rows = rng.choice(others, shots, replace=False)
    target, _ = _image_view(source, sample, rng, may_crop=True)
    supports = tuple(_image_view(source, source.index.sample(int(row)), rng, may_crop=True)[0] for row in rows)
    return TrainSample(sample.id, target, np.zeros(1, np.int64), supports)


def _clip(source: TrainSource, sample: Sample, rng: np.random.Generator, text_only: bool) -> TrainSample:
    """Two frames of a video (or twice a still image) that show one object; the earlier one is the reference."""
    index, media = source.index, source.index.media(sample.media)
    # two frames that share an object: RVOS refers to all objects of the sample at once, VOS to one of them
    tracks = [index.annotations(row) for row in sample.objects if not index.object(row).crowd]
    annotations = [tracks] if source.task is Task.RVOS else [[track] for track in tracks]
    present = np.array([presence(each, media.length) for each in annotations], np.bool_).reshape(-1, media.length)
    pair = draw_pair(rng, present, source.clip_range)
    if pair is None:
        raise RejectedSample("no two near frames share an object")
    # text and augmentation
    text, may_crop = _draw_text(source, sample, rng) if source.task is Task.RVOS else (None, True)
    transforms = draw_clip_transforms(rng, (media.height, media.width), source.augment, len(pair), may_crop)
    if text is not None and transforms[0].flipped:
        text = swap_sides(text, source.augment.released_words)
    shown = list(zip(pair, transforms, strict=True))[1 if text_only else 0 :]
    # an object that is in both augmented frames
    for group in rng.permutation(np.flatnonzero(present[:, list(pair)].all(1))):
        masks = [_moved(transform, union_mask(annotations[group], frame)) for frame, transform in shown]
        visible = [mask for mask in masks if mask is not None]
        if len(visible) == len(shown):
            break
    else:
        raise RejectedSample("no object is left in both frames")
    # decode and augment
    images = read_frames(media, [frame for frame, _ in shown])
    views = [
        _view(transform.image(image), [mask])
        for image, mask, (_, transform) in zip(images, visible, shown, strict=True)
    ]
    return TrainSample(sample.id, views[-1], np.zeros(1, np.int64), tuple(views[:-1]), text)


def _image_view(
    source: TrainSource, sample: Sample, rng: np.random.Generator, may_crop: bool
) -> tuple[AugmentedImage, Transform]:
    """An image with the union of its sample's objects."""
    media: Media = source.index.media(sample.media)
    transform = draw_image_transform(rng, (media.height, media.width), source.augment, may_crop)
    mask = _moved(transform, union_mask([source.index.annotations(row) for row in sample.objects], 0))
    if mask is None:
        raise RejectedSample("the object is not in the image")
    return _view(transform.image(read_frame(media, 0)), [mask]), transform


def _moved(transform: Transform, mask: BoolMask | None) -> BoolMask | None:
    """The mask in the augmented image; None where nothing is left of it."""
    return None if mask is None else transform.visible_mask(mask)


def _view(image: UInt8Image, masks: Sequence[BoolMask]) -> AugmentedImage:
    boxes = np.array([mask_box(mask) for mask in masks], np.float32)
    return AugmentedImage(image, boxes, np.stack(masks))


def _draw_text(source: TrainSource, sample: Sample, rng: np.random.Generator) -> tuple[str, bool]:
    """One of a sample's expressions, cleaned, and whether it stays true of a cropped image."""
    expressions = [source.index.expression(row) for row in sample.expressions]
    cleaned = [clean_text(each.text) for each in expressions if source.hooks.accepts(each)]
    texts = [text for text in cleaned if text.strip()]
    if not texts:
        raise RejectedSample("no expression with a word in it")
    text = texts[int(rng.integers(len(texts)))]
    released = source.augment.released_words
    return text, not any(has_ordinal(each, released) for each in (cleaned if released else [text]))


def presence(annotations: list[Annotations], length: int) -> npt.NDArray[np.bool_]:
    """In which frames any of the objects has a mask that is not empty: bool [length]."""
    present = np.zeros(length, np.bool_)
    for each in annotations:
        masked = np.array([counts is not None for counts in each.counts], np.bool_)
        present[each.frames[masked & (each.areas > 0)]] = True
    return present


def draw_pair(rng: np.random.Generator, present: npt.NDArray[np.bool_], reach: int) -> tuple[int, int] | None:
    """Two frames in their order that show one object.

    The distribution of the released system: a frame uniformly, another one uniformly from those at most `reach` away,
    both redrawn until they have an object in common; sampled here in one draw.

    Args:
        rng: Advanced by one number.
        present: Whether an object is in a frame, bool [objects, frames].
        reach: Largest distance, at least 1.

    Returns:
        The earlier and the later frame; the same twice in a clip of one frame; None where no two frames share an
        object.
    """
    length = present.shape[1]
    if length == 1:
        return (0, 0) if present.any() else None
    # all pairs of frames that share an object
    frames = np.arange(length)
    neighbours = np.minimum(frames, reach) + np.minimum(length - 1 - frames, reach)
    first, second = np.concatenate(
        [
            np.stack([shared := np.flatnonzero((present[:, :-gap] & present[:, gap:]).any(0)), shared + gap])
            for gap in range(1, min(reach, length - 1) + 1)
        ],
        axis=1,
    )
    if not len(first):
        return None
    # one of them, as probable as the released draw makes it
    sums = np.cumsum(1 / neighbours[first] + 1 / neighbours[second])  # either may have been drawn first
    chosen = min(int(np.searchsorted(sums, rng.random() * sums[-1], side="right")), len(sums) - 1)
    return int(first[chosen]), int(second[chosen])
