"""One training sample: drawn, decoded and augmented, but neither normalised nor padded.

Everything random comes from the generator that is passed in: the same seed gives the same example in any process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uniref.core.boxes import mask_box
from uniref.core.tasks import Task
from uniref.core.text import clean_text
from uniref.core.types import BoolMask, UInt8Image
from uniref.data.augment import Boxes, Transform, draw_clip_transforms, draw_image_transform
from uniref.data.clips import draw_pair, presence
from uniref.data.frames import read_frame, read_frames
from uniref.data.index import Media, Sample
from uniref.data.masks import union_mask
from uniref.data.sources import TrainSource
from uniref.data.words import has_ordinal, swap_sides


class Rejected(Exception):
    """This draw gives nothing to learn from (the crop lost the object, no two frames share one): draw another."""


@dataclass(frozen=True)
class View:
    """An augmented picture and N objects in it."""

    image: UInt8Image
    """[h, w, 3]."""
    boxes: Boxes
    """(x0, y0, x1, y1) in pixels, [N, 4]; the masks' tight boxes where there are masks."""
    masks: npt.NDArray[np.bool_] | None
    """[N, h, w]; None where only boxes are known."""


@dataclass(frozen=True)
class Example:
    """One sample of a batch."""

    id: str
    target: View
    """The picture to segment; N >= 1."""
    classes: npt.NDArray[np.int64]
    """[N]."""
    references: tuple[View, ...] = ()
    """Supports, or the clip's earlier frame; one object each."""
    text: str | None = None
    """Cleaned expression; left and right already fit the picture."""
    phrases: tuple[tuple[str, BoolMask], ...] = ()
    """Further such expressions of the picture, each with what it means, [h, w]."""


def draw_example(source: TrainSource, row: int, rng: np.random.Generator, text_only: bool = False) -> Example:
    """A training example of one sample.

    Args:
        source: Where it comes from.
        row: Sample row of its index.
        rng: Decides everything random.
        text_only: RVOS: leave out the earlier frame and its mask.

    Raises:
        Rejected: Draw another one.
        MediaError: A picture or video cannot be read.
    """
    sample = source.index.sample(row)
    if source.task is Task.DETECTION:
        return _detection(source, sample, rng)
    if source.task is Task.RIS:
        return _ris(source, sample, rng)
    if source.task is Task.FSS:
        return _fss(source, sample, rng)
    return _clip(source, sample, rng, text_only)


def _detection(source: TrainSource, sample: Sample, rng: np.random.Generator) -> Example:
    index, media = source.index, source.index.media(sample.media)
    transform = draw_image_transform(rng, (media.height, media.width), source.augment, may_crop=True)
    objects = [each for each in map(index.object, sample.objects) if not each.crowd]
    annotations = [index.annotations(each.row) for each in objects]
    classes = np.array([source.classes.get(each.category, 0) for each in objects], np.int64)
    masks, boxes = None, np.zeros((0, 4), np.float32)
    if source.has_masks:
        drawn = [_moved(transform, union_mask([each], 0)) for each in annotations]
        kept = [place for place, mask in enumerate(drawn) if mask is not None]
        masks = [mask for mask in drawn if mask is not None]
    else:
        boxes = transform.boxes(np.concatenate([boxes, *(each.boxes[:1] for each in annotations)]))
        kept = np.flatnonzero(((boxes[:, 2:] - boxes[:, :2]) > 0).all(1)).tolist()
    if not kept:
        raise Rejected("no object is left in the picture")
    image = transform.image(read_frame(media, 0))
    target = _view(image, masks) if masks is not None else View(image, boxes[kept], None)
    return Example(sample.id, target, classes[kept])


def _ris(source: TrainSource, sample: Sample, rng: np.random.Generator) -> Example:
    released = source.augment.released_words
    text, may_crop = _draw_text(source, sample, rng)
    view, transform = _image_view(source, sample, rng, may_crop)
    if transform.flipped:
        text = swap_sides(text, released)
    phrases = _draw_phrases(source, sample, transform, rng) if source.config.phrases else ()
    return Example(sample.id, view, np.zeros(1, np.int64), text=text, phrases=phrases)


def _draw_phrases(
    source: TrainSource, sample: Sample, transform: Transform, rng: np.random.Generator
) -> tuple[tuple[str, BoolMask], ...]:
    """Some expressions of a sample's picture, its own among them, that are true after `transform`."""
    index, released = source.index, source.augment.released_words
    samples = [index.sample(int(row)) for row in source.rows_of_media[sample.media]]
    masks: dict[int, BoolMask | None] = {}
    phrases: list[tuple[str, BoolMask]] = []
    known = [(each, row) for each in samples for row in each.expressions]
    for place in rng.permutation(len(known)):
        each, row = known[place]
        expression = index.expression(row)
        text = clean_text(expression.text)
        if not text.strip() or not source.config.wants(expression.source_id):
            continue
        if transform.cropped and has_ordinal(text, released):
            continue
        if each.row not in masks:
            masks[each.row] = _moved(transform, union_mask([index.annotations(one) for one in each.objects], 0))
        mask = masks[each.row]
        if mask is not None:
            phrases.append((swap_sides(text, released) if transform.flipped else text, mask))
        if len(phrases) == source.config.phrases:
            break
    return tuple(phrases)


def _fss(source: TrainSource, sample: Sample, rng: np.random.Generator) -> Example:
    others = source.rows_of_category[sample.category]
    others = others[others != sample.row]
    shots = source.config.shots
    if len(others) < shots:
        raise Rejected(f"category {sample.category} has too few images for {shots} supports")
    rows = rng.choice(others, shots, replace=False)
    target, _ = _image_view(source, sample, rng, may_crop=True)
    supports = tuple(_image_view(source, source.index.sample(int(row)), rng, may_crop=True)[0] for row in rows)
    return Example(sample.id, target, np.zeros(1, np.int64), supports)


def _clip(source: TrainSource, sample: Sample, rng: np.random.Generator, text_only: bool) -> Example:
    index, media = source.index, source.index.media(sample.media)
    tracks = [index.annotations(row) for row in sample.objects if not index.object(row).crowd]
    annotations = [tracks] if source.task is Task.RVOS else [[track] for track in tracks]
    present = np.array([presence(each, media.length) for each in annotations], np.bool_).reshape(-1, media.length)
    pair = draw_pair(rng, present, source.clip_range)
    if pair is None:
        raise Rejected("no two near frames share an object")
    text, may_crop = _draw_text(source, sample, rng) if source.task is Task.RVOS else (None, True)
    transforms = draw_clip_transforms(rng, (media.height, media.width), source.augment, len(pair), may_crop)
    if text is not None and transforms[0].flipped:
        text = swap_sides(text, source.augment.released_words)
    shown = list(zip(pair, transforms, strict=True))[1 if text_only else 0 :]
    for group in rng.permutation(np.flatnonzero(present[:, list(pair)].all(1))):
        masks = [_moved(transform, union_mask(annotations[group], frame)) for frame, transform in shown]
        found = [mask for mask in masks if mask is not None]
        if len(found) == len(shown):
            break
    else:
        raise Rejected("no object is left in both frames")
    images = read_frames(media, [frame for frame, _ in shown])
    views = [
        _view(transform.image(image), [mask]) for image, mask, (_, transform) in zip(images, found, shown, strict=True)
    ]
    return Example(sample.id, views[-1], np.zeros(1, np.int64), tuple(views[:-1]), text)


def _image_view(
    source: TrainSource, sample: Sample, rng: np.random.Generator, may_crop: bool
) -> tuple[View, Transform]:
    """An image with the union of its sample's objects."""
    media: Media = source.index.media(sample.media)
    transform = draw_image_transform(rng, (media.height, media.width), source.augment, may_crop)
    mask = _moved(transform, union_mask([source.index.annotations(row) for row in sample.objects], 0))
    if mask is None:
        raise Rejected("the object is not in the picture")
    return _view(transform.image(read_frame(media, 0)), [mask]), transform


def _moved(transform: Transform, mask: BoolMask | None) -> BoolMask | None:
    """The mask in the augmented picture; None where nothing is left of it."""
    if mask is None:
        return None
    moved = transform.mask(mask)
    return moved if moved.any() else None


def _view(image: UInt8Image, masks: Sequence[BoolMask]) -> View:
    boxes = np.array([mask_box(mask) for mask in masks], np.float32)
    return View(image, boxes, np.stack(masks))


def _draw_text(source: TrainSource, sample: Sample, rng: np.random.Generator) -> tuple[str, bool]:
    """One of a sample's expressions, cleaned, and whether it stays true of a cropped picture."""
    expressions = [source.index.expression(row) for row in sample.expressions]
    cleaned = [clean_text(each.text) for each in expressions if source.config.wants(each.source_id)]
    texts = [text for text in cleaned if text.strip()]
    if not texts:
        raise Rejected("no expression with a word in it")
    text = texts[int(rng.integers(len(texts)))]
    released = source.augment.released_words
    return text, not any(has_ordinal(each, released) for each in (cleaned if released else [text]))
