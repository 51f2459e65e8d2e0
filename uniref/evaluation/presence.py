"""From which score on an object counts as present, measured on phrases whose object is in the image, and absent ones.

Absent phrases are those of the data set without an object, where it has such (no-target expressions). Otherwise each
image gets as many phrases of other images as it has itself, drawn with a fixed seed, whose nouns its own phrases do not
use and whose objects are of other categories than its own. Such a phrase may still fit something that nobody described.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from uniref.core.errors import UsageError
from uniref.core.parallel import prefetch
from uniref.core.progress import Progress
from uniref.core.tasks import Task
from uniref.core.text import clean_text
from uniref.core.types import UInt8Image
from uniref.data.frames import read_frame
from uniref.data.index import Index
from uniref.evaluation.dataset import EvalDataset
from uniref.weights.checkpoint_config import Presence, PresencePoint

if TYPE_CHECKING:
    from uniref.inference.predictor import Predictor

_SEED, _TRIES = 0, 200
_STEPS = 100  # thresholds that are tried between 0 and 1
_CURVE = 5  # every n-th of them is stored
_OTHER_WORDS = """
a an the this that of in on at to by with from and or is are its it his her their one ones thing object
color colour left right leftmost rightmost top bottom upper lower middle center centre front back behind
next near beside between above below under over side corner far first second third fourth last leftest
rightest closest nearest farthest big bigger biggest large larger largest small smaller smallest tiny
tiniest huge tall taller tallest short shorter shortest long wide red orange yellow green blue purple
violet pink brown black white grey gray gold golden silver beige cyan turquoise dark light bright striped
dotted spotted plain who which wearing holding standing sitting looking facing please segment find show
mark select only not most all other
"""
_NOT_NOUNS = frozenset(_OTHER_WORDS.split())


@dataclass(frozen=True)
class _Picture:
    """An image with its phrases."""

    media: int
    present: tuple[str, ...]
    meant: tuple[frozenset[int], ...]
    """Categories of the objects of each present phrase."""
    absent: tuple[str, ...]
    nouns: frozenset[str]
    """Of the present phrases."""
    categories: frozenset[int]
    """Of all objects that are known."""


@dataclass(frozen=True)
class PresenceScores:
    """Scores of the best answers, 0..1."""

    present: list[float]
    """Of phrases whose object is in the image."""
    absent: list[float]
    """Of phrases whose object is not."""

    def point(self, threshold: float) -> PresencePoint:
        """What a threshold does."""
        right = sum(score > threshold for score in self.present)
        wrong = sum(score > threshold for score in self.absent)
        return PresencePoint(
            threshold=threshold,
            precision=round(right / (right + wrong), 4) if right + wrong else None,
            recall=round(right / len(self.present), 4),
            false_alarms=round(wrong / len(self.absent), 4),
        )


def measure_presence(predictor: Predictor, dataset: EvalDataset, progress: Progress) -> PresenceScores:
    """Ask for every phrase of a split, and for as many absent ones.

    Args:
        predictor: The model.
        dataset: Images with referring expressions.
        progress: Shows progress over images.

    Raises:
        UsageError: The split has no images with expressions, or no absent phrase can be found.
        UniRefError: An image is missing.
    """
    pictures = _with_absent(_pictures(dataset))
    short, long = dataset.protocol.sides
    scores = PresenceScores([], [])

    def images() -> Iterator[tuple[_Picture, UInt8Image]]:
        for picture in pictures:
            yield picture, read_frame(dataset.index.media(picture.media), 0)

    for picture, image in progress(prefetch(images()), f"{dataset.data}, calibrating", len(pictures), "image"):
        texts = [*picture.present, *picture.absent]
        results = predictor.segment_image(image, texts, short_side=short, long_side=long)
        found = [result.score for result in results]
        scores.present.extend(found[: len(picture.present)])
        scores.absent.extend(found[len(picture.present) :])
    return scores


def choose_threshold(scores: PresenceScores, data: str, false_alarms: float | None) -> Presence:
    """The threshold of a model.

    Args:
        scores: At least one of each kind.
        data: Name of the split.
        false_alarms: The lowest threshold at which at most this share of the absent phrases is answered; None: the one
            with the best balanced accuracy, the mean of the shares of present phrases answered and absent ones not.
    """
    points = [scores.point(step / _STEPS) for step in range(_STEPS + 1)]
    if false_alarms is not None:
        chosen = next(point for point in points if point.false_alarms <= false_alarms)
        rule = f"the lowest threshold at which at most {false_alarms:.0%} of absent phrases are answered"
    else:
        best = max(point.recall - point.false_alarms for point in points)
        ties = [point for point in points if point.recall - point.false_alarms >= best - 1e-9]
        chosen = ties[len(ties) // 2]  # the middle of a plateau
        rule = "best balanced accuracy"
    curve = sorted({point.threshold: point for point in (*points[::_CURVE], chosen)}.items())
    return Presence(
        threshold=chosen.threshold,
        rule=rule,
        data=data,
        present=len(scores.present),
        absent=len(scores.absent),
        curve=tuple(point for _, point in curve),
    )


def _pictures(dataset: EvalDataset) -> list[_Picture]:
    """The images of a split with their phrases. Raises UsageError."""
    if dataset.protocol.task != Task.RIS:
        raise UsageError(
            f"--calibrate: {dataset.data} has no images with referring expressions; use a split such as refcoco/val"
        )
    index = dataset.index
    pictures = []
    for media, group in groupby(dataset.all_items(), key=lambda item: item.sample.media):
        present, meant, absent = [], [], []
        for item in group:
            text = dataset.text(item)
            if not clean_text(text).strip():
                continue
            if item.sample.objects:
                present.append(text)
                meant.append(_categories(index, item.sample.objects))
            else:
                absent.append(text)
        nouns = frozenset().union(*map(_nouns, present)) if present else frozenset()
        categories = _categories(index, index.media(media).objects)
        pictures.append(_Picture(media, tuple(present), tuple(meant), tuple(absent), nouns, categories.union(*meant)))
    return pictures


def _categories(index: Index, objects: Iterable[int]) -> frozenset[int]:
    """Known categories of objects."""
    return frozenset(category for row in objects if (category := index.object(row).category) >= 0)


def _with_absent(pictures: Sequence[_Picture]) -> list[_Picture]:
    """Pictures with absent phrases: the data set's own, or drawn ones. Raises UsageError where there are none."""
    if not any(picture.absent for picture in pictures):
        pictures = list(_drawn(pictures))
    if not any(picture.absent for picture in pictures) or not any(picture.present for picture in pictures):
        raise UsageError("--calibrate: no phrase whose object is absent can be drawn; the split has too few images")
    return list(pictures)


def _drawn(pictures: Sequence[_Picture]) -> Iterator[_Picture]:
    """Each picture with as many absent phrases as it has present ones, as far as they can be found."""
    generator = random.Random(_SEED)  # noqa: S311 - a sample, not a secret
    phrases = [
        (number, text, meant)
        for number, picture in enumerate(pictures)
        for text, meant in zip(picture.present, picture.meant, strict=True)
    ]
    for number, picture in enumerate(pictures):
        absent: list[str] = []
        for _ in range(_TRIES):
            if len(absent) == len(picture.present):
                break
            other, text, meant = generator.choice(phrases)
            nouns = _nouns(text)
            foreign = other != number and not picture.categories & meant
            if foreign and nouns and not nouns & picture.nouns and text not in absent:
                absent.append(text)
        yield replace(picture, absent=tuple(absent))


def _nouns(text: str) -> frozenset[str]:
    """Words of a phrase that are not known to be something else, without a plural s."""
    words = re.findall(r"[a-z]+", clean_text(text).lower())
    return frozenset(word.removesuffix("s") for word in words if word not in _NOT_NOUNS and len(word) > 1)
