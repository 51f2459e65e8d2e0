"""Evaluation data: one split under one protocol, its items, their prediction names, and the frames that count."""

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
from uniref.data.prepare.catalog import data_sets
from uniref.data.protocol import FOREGROUND, OF_TASK, Protocol

BLOCK = 64
"""Least number of image samples per shard; a video is a shard of its own."""

_UNSAFE = re.compile(r'[<>:"\\|?*]')  # not allowed in file names on every system


@dataclass(frozen=True)
class EvalItem:
    """One prediction to make: a sample, or one of the alternative expressions of a sample."""

    sample: Sample
    expressions: tuple[int, ...]
    """Expression rows: none, one, or (Ref-DAVIS17) one per object."""
    name: str
    """Name of its prediction: an image's key, or a video's folder."""


@dataclass(frozen=True)
class EvalDataset:
    """One split of a data set, as it is evaluated.

    It pickles as its arguments, and a process that receives the same data set several times opens the index once.
    """

    index: Index
    protocol: Protocol
    shots: int = 0
    """Support images per few-shot sample."""
    limit: int | None = None
    """Only the first samples (images) or videos."""
    ground_truth: Path | None = None
    """Folder of label maps (named as predictions are) that replaces the masks of the index as the ground truth."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopen, (self.index.folder, self.protocol, self.shots, self.limit, self.ground_truth))

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
        """Folder of its results, relative to the output folder."""
        return Path(self.data, f"{self.shots}-shot") if self.shots else Path(self.data)

    @cached_property
    def shards(self) -> list[tuple[int, ...]]:
        """Sample rows of each shard: `BLOCK` or more images, or all samples of one video.

        Samples of one image are never in different shards. See `sample` for what a row is.
        """
        media = self._media.tolist()
        # videos: a shard each
        if self.protocol.is_video:
            members: dict[int, list[int]] = {number: [] for number in list(dict.fromkeys(media))[: self.limit]}
            for row, number in enumerate(media):
                if number in members:
                    members[number].append(row)
            return [tuple(rows) for rows in members.values()]
        # images: blocks of consecutive samples
        blocks: list[list[int]] = []
        for row in self._usable[: self.limit].tolist():
            if not blocks or (len(blocks[-1]) >= BLOCK and media[row] != media[blocks[-1][-1]]):
                blocks.append([])
            blocks[-1].append(row)
        return [tuple(block) for block in blocks]

    @cached_property
    def _usable(self) -> npt.NDArray[np.int64]:
        """Rows of the samples that can be evaluated: few-shot ones need enough other images of their class."""
        if not self.shots:
            return np.arange(len(self._media))
        pairs = list(zip(self.index.sample_column("category").tolist(), self._media.tolist(), strict=True))
        per_class, per_image = Counter(category for category, _ in pairs), Counter(pairs)
        return np.flatnonzero([per_class[pair[0]] - per_image[pair] >= self.shots for pair in pairs])

    @cached_property
    def _media(self) -> npt.NDArray[Any]:
        """Media row of every sample row."""
        if self.protocol.task == Task.DETECTION:  # images without objects are evaluated too
            return np.arange(len(self.index.media_column("width")))
        return self.index.sample_column("media")

    def sample(self, row: int) -> Sample:
        """The sample of a row: that of the index; of detection data, an image with all its objects."""
        if self.protocol.task != Task.DETECTION:
            return self.index.sample(row)
        objects = tuple(self.objects_of(self.index.media(row)))
        return Sample(f"{self.data}:{row}", row, row, objects, expressions=(), category=-1, group=-1)

    @property
    def notes(self) -> list[str]:
        """What is left out of the split, one line each."""
        out = []
        if left := 0 if self.protocol.is_video else len(self._media) - len(self._usable):
            out.append(f"{left} samples left out: their class has fewer than {self.shots} other images")
        if self.limit is not None:
            kind = "videos" if self.protocol.is_video else "samples"
            out.append(f"only the first {self.limit} {kind}: not comparable with published numbers")
        if self.protocol.two_pass:
            out.append("in two passes, both ways: not the published protocol")
        return out

    def items(self, shard: int) -> list[EvalItem]:
        """The items of a shard; several of one name are numbered (`name`, `name~2`, ...)."""
        out = []
        names: Counter[str] = Counter()
        for row in self.shards[shard]:
            sample = self.sample(row)
            together = self.protocol.summary == "assigned" or not sample.expressions
            for texts in [sample.expressions] if together else [(one,) for one in sample.expressions]:
                name = self._name(sample, texts)
                names[name] += 1
                out.append(EvalItem(sample, texts, f"{name}~{names[name]}" if names[name] > 1 else name))
        return out

    def all_items(self) -> list[EvalItem]:
        """The items of all shards, in order."""
        return [item for shard in range(len(self.shards)) for item in self.items(shard)]

    def _name(self, sample: Sample, expressions: Sequence[int]) -> str:
        media = self.index.media(sample.media)
        name = self.protocol.name.format(
            media=media.name,
            stem=media.path.stem,
            expression=self.index.expression(expressions[0]).source_id if expressions else "",
            category=self.index.manifest.categories.get(sample.category, sample.category),
            group=sample.group,
            object=f"{self.index.object(sample.objects[0]).source_id:03d}" if sample.objects else "",
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

    def text(self, item: EvalItem) -> str:
        """The expressions of an item, or the name of its category."""
        if item.expressions:
            return "; ".join(self.index.expression(row).text for row in item.expressions)
        return self.index.manifest.categories.get(item.sample.category, "")

    @property
    def one_mask(self) -> bool:
        """Whether a video's prediction is a black-and-white mask of one target."""
        return self.protocol.mode == "L"

    def first_frame(self, sample: Sample) -> int:
        """First frame of a video's prediction: where the first object's mask is given; 0 for expressions and for
        objects that have files of their own."""
        if self.protocol.task != Task.VOS or self.one_mask:
            return 0
        return min((self.given_frame(row) for row in sample.objects), default=0)

    def given_frame(self, row: int) -> int:
        """The frame in which an object's mask is given: as the index says, else the frame of its first mask."""
        frame = self.index.object(row).given_frame
        if frame >= 0:
            return frame
        frames = self.index.annotations(row).frames
        return int(frames[0]) if len(frames) else 0

    def counted_frames(self, media: Media, row: int) -> list[int]:
        """Frames in which an object is scored, ascending."""
        if self.protocol.frames in ("annotated", "inner annotated") and self.ground_truth is None:
            frames = [int(frame) for frame in self.index.annotations(row).frames]
            return frames if self.protocol.frames == "annotated" else frames[1:-1]
        frames = _FRAMES[self.protocol.frames](media, self.index.object(row), self.given_frame(row))
        if media.complete or self.ground_truth is not None:
            return frames
        labelled = set(self.index.annotations(row).frames.tolist())
        return [t for t in frames if t in labelled]

    def seen(self, row: int) -> bool | None:
        """Whether an object counts as seen in training: as the index says, else by its category's name."""
        if row < 0:
            return None
        obj = self.index.object(row)
        if obj.seen is not None or self._trained_categories is None:
            return obj.seen
        name = self.index.manifest.categories.get(obj.category)
        return None if name is None else name in self._trained_categories

    @cached_property
    def _trained_categories(self) -> frozenset[str] | None:
        """Names of the training split's categories, where that is prepared too."""
        folder = self.index.folder.parent / "train"
        if self.protocol.summary != "categories" or not (folder / "manifest.json").exists():
            return None
        return frozenset(read_manifest(folder).categories.values()) or None

    @property
    def is_hidden(self) -> bool:
        """Whether only a server has the split's ground truth; masks in its index are those that a model is given."""
        manifest = self.index.manifest
        entry = data_sets().get(manifest.dataset)
        return entry is not None and manifest.split in entry.hidden

    @cached_property
    def has_ground_truth(self) -> bool:
        """Whether there are masks or boxes to score against; of some splits only a server has them."""
        if self.ground_truth is not None:
            return True
        if self.is_hidden:
            return False
        if not self.protocol.is_video:
            samples = (self.sample(row) for row in self.shards[0])
            return any(sample.objects or sample.no_target for sample in samples)
        given = self.index.object_column("given_frame")
        counts = self.index.object_column("annotation_count")
        return bool(np.any(counts > (given >= 0)))

    def void_of(self, media: Media) -> list[Annotations]:
        """Regions of a video that do not count: objects that the index marks as crowds."""
        return [self.index.annotations(row) for row in self.objects_of(media, crowd=True)]

    def foreground_of(self, media: Media) -> Annotations | None:
        """All foreground of a video, where the data set knows it (category `foreground`)."""
        if self._foreground is None:
            return None
        rows = [row for row in media.objects if self.index.object(row).category == self._foreground]
        return self.index.annotations(rows[0]) if rows else None

    @cached_property
    def _foreground(self) -> int | None:
        names = self.index.manifest.categories
        return next((number for number, name in names.items() if name == FOREGROUND), None)

    def objects_of(self, media: Media, crowd: bool = False) -> list[int]:
        """Rows of a media's objects, or of its crowds."""
        return [row for row in media.objects if self.index.object(row).crowd == crowd]


@lru_cache(maxsize=16)
def _reopen(folder: Path, protocol: Protocol, shots: int, limit: int | None, ground_truth: Path | None) -> EvalDataset:
    return EvalDataset(Index.open(folder), protocol, shots, limit, ground_truth)


def frame_name(media: Media, frame: int) -> str:
    """Name of a frame's mask, without extension."""
    return Path(media.frames[frame]).stem if media.frames else f"{frame:05d}"


def _all(media: Media, obj: Object, given: int) -> list[int]:
    return list(range(media.length))


def _inner(media: Media, obj: Object, given: int) -> list[int]:
    return list(range(1, media.length - 1))


def _after_first(media: Media, obj: Object, given: int) -> list[int]:
    last = media.length - 1 if obj.score_range is None else obj.score_range[1]
    return list(range(given + 1, last + 1))


def _range(media: Media, obj: Object, given: int) -> list[int]:
    first, last = obj.score_range or (given, media.length - 1)
    return list(range(first, last + 1))


def _inner_range(media: Media, obj: Object, given: int) -> list[int]:
    return _range(media, obj, given)[1:-1]


_FRAMES = {
    "all": _all,
    "inner": _inner,
    "after first": _after_first,
    "range": _range,
    "inner range": _inner_range,
    "annotated": _all,
    "inner annotated": _inner,
}


def protocol_of(dataset: str, task: Task) -> Protocol:
    """The protocol that a data set's file declares (`DataSet.protocol`), else the general one of the task.

    Args:
        dataset: Its name in the index.
        task: What the samples of the split are.
    """
    entry = data_sets().get(dataset)
    own = entry.protocol if entry is not None else None
    return own if own is not None and own.task == task else OF_TASK[task]


def _how_to_prepare(name: str, split: str) -> str:
    """What to do about a split that is not there."""
    entry = data_sets().get(name)
    if entry is None:
        return "name a data set of 'uniref prepare-data --list', or own data by the --name it was prepared with"
    if split not in entry.splits and name != "custom":
        return f"the splits of {name} are {', '.join(entry.splits)}"
    return f"run: uniref prepare-data {name} --split {split}"


def open_dataset(root: Path, data: str, shots: int = 1, limit: int | None = None) -> EvalDataset:
    """One split as it is evaluated.

    Args:
        root: Folder of all indexes.
        data: `dataset/split`.
        shots: Support images for few-shot data; ignored for other tasks.
        limit: Only the first samples (images) or videos.

    Raises:
        UsageError: `data` is not `dataset/split`.
        UniRefError: Not prepared, damaged, or without samples.
    """
    name, _, split = data.partition("/")
    if not name or not split or "/" in split:
        raise UsageError(f"{data!r}: write data as dataset/split, for example davis17/val")
    folder = Path(root) / "index" / name / split
    if not folder.is_dir():
        raise UniRefError(f"{data}: is not prepared in {root}; {_how_to_prepare(name, split)}")
    # few-shot data has its number of support images
    index = Index.open(folder)
    task = index.manifest.task
    dataset = EvalDataset(index, protocol_of(index.manifest.dataset, task), shots if task == Task.FSS else 0, limit)
    if not dataset.shards:
        reason = "; ".join(dataset.notes) or "its index has no samples"
        raise UniRefError(f"{dataset.name}: nothing to evaluate ({reason})")
    return dataset
