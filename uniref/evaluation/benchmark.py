"""One split under one protocol: its samples, the units of work they form, and which frames count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from uniref.core.errors import UniRefError, UsageError
from uniref.core.tasks import Task
from uniref.data.index import Annotations, Index, Media, Object, Sample
from uniref.data.index.manifest import read_manifest
from uniref.evaluation.protocols import Protocol, protocol_of

BLOCK = 64
"""Samples of images in one unit; a video is a unit of its own."""


@dataclass(frozen=True)
class Benchmark:
    """What is evaluated. It pickles as a few paths, so that other processes can open it."""

    index: Index
    protocol: Protocol
    shots: int = 0
    """Support images of a few-shot sample."""
    limit: int | None = None
    """Only the first samples (images) or videos."""
    truth: Path | None = None
    """Folder of label maps (in the protocol's layout) that replaces the index's masks as the truth."""

    @property
    def data(self) -> str:
        """`davis17/val`."""
        return self.index.manifest.name

    @property
    def name(self) -> str:
        """`fss-1000/val 5-shot`."""
        return f"{self.data} {self.shots}-shot" if self.shots else self.data

    @property
    def folder(self) -> Path:
        """Where its results go, relative to the output folder."""
        return Path(self.data, f"{self.shots}-shot") if self.shots else Path(self.data)

    @cached_property
    def units(self) -> list[tuple[int, ...]]:
        """Rows of the samples of each unit: blocks of images, or all samples of a video."""
        media = self.index.sample_column("media")
        if not self.protocol.is_video:
            rows = range(len(media))[: self.limit]
            return [tuple(rows[start : start + BLOCK]) for start in range(0, len(rows), BLOCK)]
        order = list(dict.fromkeys(media.tolist()))[: self.limit]
        members: dict[int, list[int]] = {number: [] for number in order}
        for row, number in enumerate(media.tolist()):
            if number in members:
                members[number].append(row)
        return [tuple(members[number]) for number in order]

    def samples(self, unit: int) -> list[Sample]:
        """Samples of one unit."""
        return [self.index.sample(row) for row in self.units[unit]]

    @cached_property
    def supports(self) -> dict[int, list[int]]:
        """Rows of the samples of each class, in the index's order (that of the files)."""
        classes: dict[int, list[int]] = {}
        for row, category in enumerate(self.index.sample_column("category").tolist()):
            classes.setdefault(category, []).append(row)
        return classes

    def supports_of(self, sample: Sample) -> list[Sample]:
        """The first k other images of the sample's class.

        Raises:
            UniRefError: The class has too few images.
        """
        others = [row for row in self.supports[sample.category] if row != sample.row][: self.shots]
        if len(others) < self.shots:
            raise UniRefError(f"{sample.id}: its class has {len(others)} other images, {self.shots}-shot needs more")
        return [self.index.sample(row) for row in others]

    def key(self, sample: Sample) -> str:
        """Name of an image sample's prediction: the expression's own id, or `<class>/<image>`."""
        media = self.index.media(sample.media)
        if sample.expressions:
            return self.index.expression(sample.expressions[0]).source_id
        category = self.index.manifest.categories.get(sample.category)
        return f"{category}/{media.path.stem}" if category else media.path.stem

    def text(self, sample: Sample) -> str:
        """What the sample asks for, in words."""
        if sample.expressions:
            return "; ".join(self.index.expression(row).text for row in sample.expressions)
        return self.index.manifest.categories.get(sample.category, "")

    def sample_folder(self, sample: Sample) -> str:
        """Folder of a clip sample's masks in the published layout."""
        media = self.index.media(sample.media)
        expression = self.index.expression(sample.expressions[0]).source_id if sample.expressions else ""
        return self.protocol.layout.format(video=media.name, expression=expression, group=sample.group)

    @property
    def one_mask(self) -> bool:
        """Whether a clip sample's prediction is a black and white mask of one target."""
        return self.protocol.mode == "L"

    def first_frame(self, sample: Sample) -> int:
        """First frame that a clip sample's prediction holds: where the first object is given, 0 for texts."""
        if self.protocol.task != Task.VOS:
            return 0
        return min((self.given_frame(row) for row in sample.objects), default=0)

    def given_frame(self, row: int) -> int:
        """The frame in which an object is given: as the index says, else its first mask's."""
        given = self.index.object(row).given_frame
        if given >= 0:
            return given
        frames = self.index.annotations(row).frames
        return int(frames[0]) if len(frames) else 0

    def counted_frames(self, media: Media, row: int) -> list[int]:
        """Frames of one object that count, ascending."""
        thing = self.index.object(row)
        frames = _FRAMES[self.protocol.frames](media, thing, self.given_frame(row))
        if media.complete or self.truth is not None:
            return frames
        labelled = set(self.index.annotations(row).frames.tolist())
        return [t for t in frames if t in labelled]

    def seen(self, row: int) -> bool | None:
        """Whether an object counts as seen in training: as the index says, else by its category's name."""
        if row < 0:
            return None
        thing = self.index.object(row)
        if thing.seen is not None or self.trained_categories is None:
            return thing.seen
        name = self.index.manifest.categories.get(thing.category)
        return None if name is None else name in self.trained_categories

    @cached_property
    def trained_categories(self) -> frozenset[str] | None:
        """Names of the training split's categories, where that is prepared too."""
        folder = self.index.folder.parent / "train"
        if self.protocol.summary != "categories" or not (folder / "manifest.json").exists():
            return None
        return frozenset(read_manifest(folder).categories.values()) or None

    @cached_property
    def has_truth(self) -> bool:
        """Whether there is something to score against."""
        if self.truth is not None:
            return True
        if not self.protocol.is_video:
            return any(self.index.sample(row).objects for unit in self.units[:1] for row in unit)
        given = self.index.object_column("given_frame")
        counts = self.index.object_column("annotation_count")
        return bool(np.any(counts > (given >= 0)))


def _all(media: Media, thing: Object, given: int) -> list[int]:
    return list(range(media.length))


def _inner(media: Media, thing: Object, given: int) -> list[int]:
    return list(range(1, media.length - 1))


def _after_first(media: Media, thing: Object, given: int) -> list[int]:
    last = media.length - 1 if thing.score_range is None else thing.score_range[1]
    return list(range(given + 1, last + 1))


def _range(media: Media, thing: Object, given: int) -> list[int]:
    first, last = thing.score_range or (given, media.length - 1)
    return list(range(first, last + 1))


_FRAMES = {"all": _all, "inner": _inner, "after first": _after_first, "range": _range}


def open_benchmarks(
    root: Path, data: Sequence[str], shots: Sequence[int], limit: int | None = None, truth: Path | None = None
) -> list[Benchmark]:
    """The benchmarks of `--data`: one a split, or one a split and number of supports.

    Args:
        root: Folder of all indices.
        data: `dataset/split` each.
        shots: For few-shot data.
        limit: Only the first samples or videos.
        truth: See `Benchmark`.

    Raises:
        UsageError: No data, or a name without a split.
        UniRefError: Not prepared.
    """
    if not data:
        raise UsageError("nothing to evaluate; name it as --data dataset/split")
    if truth is not None and len(data) != 1:
        raise UsageError("--truth: belongs to one data set; name only that one with --data")
    out = []
    for name in dict.fromkeys(data):
        dataset, _, split = name.partition("/")
        if not dataset or not split or "/" in split:
            raise UsageError(f"--data {name!r}: write it as dataset/split, for example davis17/val")
        folder = root / "index" / dataset / split
        if not folder.is_dir():
            raise UniRefError(f"{name}: is not prepared in {root}; run: uniref prepare-data {dataset} --split {split}")
        index = Index.open(folder)
        protocol = protocol_of(index.manifest.dataset, index.manifest.task)
        if truth is not None and not protocol.is_video:
            raise UsageError(f"--truth: {name} has its truth in its index; only videos take another one")
        ways = list(dict.fromkeys(shots)) if protocol.task == Task.FSS else [0]
        out += [Benchmark(index, protocol, way, limit, truth) for way in ways]
    return out


def void_of(index: Index, media: Media) -> list[Annotations]:
    """Regions of a clip that do not count: objects that the index marks as crowds."""
    return [index.annotations(row) for row in media.objects if index.object(row).crowd]
