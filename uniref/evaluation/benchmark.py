"""One split under one protocol: what is asked, the units of work that form it, and which frames count."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from uniref.core.errors import UniRefError, UsageError
from uniref.core.tasks import Task
from uniref.data.index import Annotations, Index, Media, Object, Sample
from uniref.data.index.manifest import read_manifest
from uniref.evaluation.protocols import Protocol, protocol_of

BLOCK = 64
"""Samples of images in one unit, at least; a video is a unit of its own."""

_UNSAFE = re.compile(r'[<>:"\\|?*]')  # not allowed in file names everywhere


@dataclass(frozen=True)
class Case:
    """One thing that is asked: a sample, or one of the texts that a sample lists as alternatives."""

    sample: Sample
    expressions: tuple[int, ...]
    """Expression rows: none, one, or (Ref-DAVIS17) one an object."""
    name: str
    """Of its prediction: an image's key, or a clip's folder."""


@dataclass(frozen=True)
class Benchmark:
    """What is evaluated. Pickles as its arguments; a process that gets several of the same opens the index once."""

    index: Index
    protocol: Protocol
    shots: int = 0
    """Support images of a few-shot sample."""
    limit: int | None = None
    """Only the first samples (images) or videos."""
    truth: Path | None = None
    """Folder of label maps (named as predictions are) that replaces the index's masks as the truth."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopened, (self.index.folder, self.protocol, self.shots, self.limit, self.truth))

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
        """Rows of each unit (see `sample`): blocks of images, never divided within one, or all samples of a video."""
        media = self._media.tolist()
        if self.protocol.is_video:
            members: dict[int, list[int]] = {number: [] for number in list(dict.fromkeys(media))[: self.limit]}
            for row, number in enumerate(media):
                if number in members:
                    members[number].append(row)
            return [tuple(rows) for rows in members.values()]
        blocks: list[list[int]] = []
        for row in self._usable[: self.limit].tolist():
            if not blocks or (len(blocks[-1]) >= BLOCK and media[row] != media[blocks[-1][-1]]):
                blocks.append([])
            blocks[-1].append(row)
        return [tuple(block) for block in blocks]

    @cached_property
    def _usable(self) -> npt.NDArray[np.int64]:
        """Rows of samples that can be asked: of few-shot ones, those whose class has enough other images."""
        if not self.shots:
            return np.arange(len(self._media))
        pairs = list(zip(self.index.sample_column("category").tolist(), self._media.tolist(), strict=True))
        everywhere, here = Counter(category for category, _ in pairs), Counter(pairs)
        return np.flatnonzero([everywhere[pair[0]] - here[pair] >= self.shots for pair in pairs])

    @cached_property
    def _media(self) -> npt.NDArray[Any]:
        """Media of every row."""
        if self.protocol.task == Task.DETECTION:  # images without objects are asked too
            return np.arange(len(self.index.media_column("width")))
        return self.index.sample_column("media")

    def sample(self, row: int) -> Sample:
        """What a row stands for: a sample of the index; of detection data, an image with all its objects."""
        if self.protocol.task != Task.DETECTION:
            return self.index.sample(row)
        objects = tuple(self.things(self.index.media(row)))
        return Sample(f"{self.data}:{row}", row, row, objects, expressions=(), category=-1, group=-1)

    @property
    def notes(self) -> list[str]:
        """What is left out of the split."""
        out = []
        if left := 0 if self.protocol.is_video else len(self._media) - len(self._usable):
            out.append(f"{left} samples left out: their class has fewer than {self.shots} other images")
        if self.limit is not None:
            kind = "videos" if self.protocol.is_video else "samples"
            out.append(f"only the first {self.limit} {kind}: not comparable with published numbers")
        return out

    def cases(self, unit: int) -> list[Case]:
        """What is asked in a unit."""
        found = []
        names: Counter[str] = Counter()
        for row in self.units[unit]:
            sample = self.sample(row)
            together = self.protocol.summary == "assigned" or not sample.expressions
            for texts in [sample.expressions] if together else [(one,) for one in sample.expressions]:
                name = self._name(sample, texts)
                names[name] += 1
                found.append(Case(sample, texts, f"{name}~{names[name]}" if names[name] > 1 else name))
        return found

    def _name(self, sample: Sample, expressions: Sequence[int]) -> str:
        media = self.index.media(sample.media)
        name = self.protocol.name.format(
            media=media.name,
            stem=media.path.stem,
            expression=self.index.expression(expressions[0]).source_id if expressions else "",
            category=self.index.manifest.categories.get(sample.category, sample.category),
            group=sample.group,
        )
        return _UNSAFE.sub("_", name)

    @cached_property
    def _classes(self) -> dict[int, list[int]]:
        """Rows of the samples of each class, in the index's order (that of the files)."""
        classes: dict[int, list[int]] = {}
        for row, category in enumerate(self.index.sample_column("category").tolist()):
            classes.setdefault(category, []).append(row)
        return classes

    def supports_of(self, sample: Sample) -> list[Sample]:
        """The first k samples of its class in other images, in file order: the published choice."""
        others = (row for row in self._classes[sample.category] if self._media[row] != sample.media)
        return [self.index.sample(row) for row, _ in zip(others, range(self.shots), strict=False)]

    def text(self, case: Case) -> str:
        """What is asked for, in words."""
        if case.expressions:
            return "; ".join(self.index.expression(row).text for row in case.expressions)
        return self.index.manifest.categories.get(case.sample.category, "")

    @property
    def one_mask(self) -> bool:
        """Whether a clip's prediction is a black and white mask of one target."""
        return self.protocol.mode == "L"

    def first_frame(self, sample: Sample) -> int:
        """First frame that a clip's prediction holds: where the first object is given, 0 for texts."""
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
        if thing.seen is not None or self._trained_categories is None:
            return thing.seen
        name = self.index.manifest.categories.get(thing.category)
        return None if name is None else name in self._trained_categories

    @cached_property
    def _trained_categories(self) -> frozenset[str] | None:
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
            return any(self.sample(row).objects for row in self.units[0])
        given = self.index.object_column("given_frame")
        counts = self.index.object_column("annotation_count")
        return bool(np.any(counts > (given >= 0)))

    def void_of(self, media: Media) -> list[Annotations]:
        """Regions of a clip that do not count: objects that the index marks as crowds."""
        return [self.index.annotations(row) for row in self.things(media, crowd=True)]

    def things(self, media: Media, crowd: bool = False) -> list[int]:
        """Rows of a media's objects, or of its crowds."""
        return [row for row in media.objects if self.index.object(row).crowd == crowd]


@lru_cache(maxsize=16)
def _reopened(folder: Path, protocol: Protocol, shots: int, limit: int | None, truth: Path | None) -> Benchmark:
    return Benchmark(Index.open(folder), protocol, shots, limit, truth)


def frame_name(media: Media, frame: int) -> str:
    """Name of a frame's mask, without extension."""
    return Path(media.frames[frame]).stem if media.frames else f"{frame:05d}"


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


def open_benchmark(root: Path, data: str, shots: int = 1, limit: int | None = None) -> Benchmark:
    """One split as it is evaluated.

    Args:
        root: Folder of all indices.
        data: `dataset/split`.
        shots: Support images of few-shot data; without effect on other tasks.
        limit: Only the first samples (images) or videos.

    Raises:
        UsageError: `data` is not `dataset/split`.
        UniRefError: Not prepared, damaged, or it holds nothing to ask.
    """
    dataset, _, split = data.partition("/")
    if not dataset or not split or "/" in split:
        raise UsageError(f"{data!r}: write data as dataset/split, for example davis17/val")
    folder = Path(root) / "index" / dataset / split
    if not folder.is_dir():
        raise UniRefError(f"{data}: is not prepared in {root}; run: uniref prepare-data {dataset} --split {split}")
    index = Index.open(folder)
    task = index.manifest.task
    benchmark = Benchmark(index, protocol_of(index.manifest.dataset, task), shots if task == Task.FSS else 0, limit)
    if not benchmark.units:
        reason = "; ".join(benchmark.notes) or "its index has no samples"
        raise UniRefError(f"{benchmark.name}: nothing to evaluate ({reason})")
    return benchmark
