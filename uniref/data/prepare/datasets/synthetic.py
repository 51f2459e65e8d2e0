"""The synthetic data sets: scenes of `uniref_scenes`, written once as images and label maps and indexed for every task.

A split is called `<set>-<task>`: `train-ris`, `val-vos`, ... Sets are those of the bank that scenes are made from.
Images of a set are shared by its tasks and lie in `<root>/media/<data set>/<options>/<set>`; a scene whose record
exists is not made again.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from uniref.core.errors import UniRefError
from uniref.core.tasks import Task
from uniref.data.index import GIVEN, TRUTH, IndexWriter
from uniref.data.prepare.dataset import DataSet, Option, no_counts
from uniref.data.prepare.job import ConversionJob
from uniref.data.prepare.regions import Region, read_label_map, regions
from uniref_scenes import DRAWN_BANK, ObjectBank, SceneError, SceneOptions, make_scene
from uniref_scenes.named.bank import read_bank
from uniref_scenes.write import (
    SceneRecord,
    frame_path,
    read_record,
    record_path,
    scene_name,
    write_media,
    write_record,
)

DEFAULTS: Mapping[str, int] = {"images": 2000, "clips": 300, "frames": 8, "size": 256, "seed": 0}
"""What is made without options; sets other than `train` have a tenth as many scenes."""

_MIN_AREA = 16
"""Pixels below which an object of a frame is not annotated."""
_ABSENT = 4
"""Expressions per training image that refer to nothing, at most."""
_MIN_IMAGES = 2
"""Images that a noun needs to be the class of few-shot samples."""


@dataclass(frozen=True)
class _SceneJob:
    """A scene to be made on any process."""

    folder: Path
    set_name: str
    number: int
    options: SceneOptions
    bank: Path | None
    """File of the bank it is made from; None: drawn."""


@dataclass(frozen=True)
class _AnnotatedScene:
    """A scene as read back from its files."""

    record: SceneRecord
    num_frames: int
    tracks: Mapping[int, Mapping[int, Region]]
    """Regions by object position, then frame."""

    @property
    def few_shot_nouns(self) -> list[str]:
        """Nouns of exactly one visible object: a support of several would mean all of them."""
        nouns = self.record.objects
        return [noun for position, noun in enumerate(nouns) if position in self.tracks and nouns.count(noun) == 1]


def convert(job: ConversionJob) -> None:
    """One split: draw the scenes that are missing, then index them."""
    with scene_errors():
        write_split(job, job.root / "media" / "synthetic")


@contextlib.contextmanager
def scene_errors() -> Iterator[None]:
    """Errors of the scenes' package as UniRefError."""
    try:
        yield
    except SceneError as error:
        raise UniRefError(str(error)) from None


def option(job: ConversionJob, name: str) -> int:
    """The value of one of the options in `DEFAULTS`."""
    return int(job.options.get(name) or DEFAULTS[name])


def write_split(job: ConversionJob, media: Path, bank: Path | None = None) -> None:
    """Make the missing scenes of a split from a bank, in a folder of `media`, then index them."""
    set_name, _, task_name = job.split.partition("-")
    task, train = Task(task_name), set_name == "train"
    # which scenes
    count = option(job, "clips" if task.is_video else "images")
    count = count if train else max(1, count // 10)
    num_frames = option(job, "frames") if task.is_video else 1
    absent = 0 if task.is_video or not train else _ABSENT
    options = SceneOptions(size=option(job, "size"), frames=num_frames, seed=option(job, "seed"), nothing=absent)
    tag = f"seed{options.seed}-{options.size}px" + (f"-{num_frames}frames" if task.is_video else "")
    folder = media / tag / set_name
    jobs = [_SceneJob(folder, set_name, number, options, bank) for number in job.first(range(count))]
    # categories are the bank's nouns, shown or not: they are the same in every split
    numbers = {name: number for number, name in enumerate(sorted(_bank(bank).nouns), start=1)}
    categories = {number: name for name, number in numbers.items()}
    with job.writer({job.dataset.name: folder}, task, categories) as writer:
        scenes: Iterable[_AnnotatedScene] = job.map(_make_scene, jobs, "scene")
        # few-shot samples need a second image as support: of hundreds of nouns, some are shown only once
        classes = None
        if task is Task.FSS and bank is not None:
            scenes = list(scenes)
            times = Counter(noun for scene in scenes for noun in scene.few_shot_nouns)
            classes = frozenset(noun for noun, images in times.items() if images >= _MIN_IMAGES) or None
        for scene in scenes:
            _SceneIndexer(writer, task, numbers, classes).add(scene, train)


@lru_cache(maxsize=2)
def _bank(path: Path | None) -> ObjectBank:
    return DRAWN_BANK if path is None else read_bank(path)


def _make_scene(job: _SceneJob) -> _AnnotatedScene:
    """Make a scene unless its files are there, and read it back."""
    name, num_frames = scene_name(job.number), job.options.frames
    if not _is_made(job, name):
        scene = make_scene(job.set_name, job.number, job.options, _bank(job.bank))
        write_media(job.folder, name, scene)
        write_record(job.folder, SceneRecord.of(name, scene))  # last: a scene with a record is complete
    tracks: dict[int, dict[int, Region]] = {}
    for frame in range(num_frames):
        labels = read_label_map(frame_path(job.folder, "masks", name, frame, num_frames))
        for value, region in regions(labels).items():
            if region.area >= _MIN_AREA:
                tracks.setdefault(value - 1, {})[frame] = region
    return _AnnotatedScene(read_record(job.folder, name), num_frames, tracks)


def _is_made(job: _SceneJob, name: str) -> bool:
    """Whether a scene has its record, and expressions that refer to nothing if it is to have them."""
    if not record_path(job.folder, name).exists():
        return False
    return not job.options.nothing or read_record(job.folder, name).absent is not None


@dataclass(frozen=True)
class _SceneIndexer:
    """Adds scenes to an index."""

    writer: IndexWriter
    task: Task
    numbers: Mapping[str, int]
    """Category of each noun."""
    classes: frozenset[str] | None
    """Nouns of few-shot samples; None: all."""

    def add(self, scene: _AnnotatedScene, train: bool) -> None:
        """Add a scene with its objects and samples."""
        record, is_video = scene.record, scene.num_frames > 1
        self.writer.add_media(
            name=record.name,
            kind="frames" if is_video else "image",
            root=self.writer.dataset,
            path=f"images/{record.name}" if is_video else f"images/{record.name}.jpg",
            frames=[f"{frame:05d}.jpg" for frame in range(scene.num_frames)] if is_video else (),
            width=record.width,
            height=record.height,
            source_id=int(record.name),
        )
        rows = {position: self._add_object(scene, position) for position in sorted(scene.tracks)}
        if self.task.needs_text:
            self._add_referring_samples(record, rows, train)
        elif self.task is Task.FSS:
            self._add_few_shot_samples(scene, rows)
        elif rows:
            self.writer.add_sample(objects=list(rows.values()))

    def _add_object(self, scene: _AnnotatedScene, position: int) -> int:
        track = scene.tracks[position]
        given = min(track) if self.task is Task.VOS else -1
        category = self.numbers[scene.record.objects[position]]
        row = self.writer.add_object(source_id=position + 1, category=category, given_frame=given)
        for frame, region in sorted(track.items()):
            role = TRUTH | (GIVEN if frame == given else 0)
            self.writer.add_annotation(frame, region.box, region.counts, region.area, role)
        return row

    def _add_referring_samples(self, record: SceneRecord, rows: Mapping[int, int], train: bool) -> None:
        """Training: an object with all its expressions, and all those that refer to nothing. Evaluation: one
        expression per sample. The kind is part of an expression's id."""
        for target in sorted({target for _, _, target in record.expressions if target in rows}):
            texts = [(text, kind) for text, kind, other in record.expressions if other == target]
            added = [self.writer.add_expression(text, source_id=f"{record.name}:{kind}") for text, kind in texts]
            for expressions in [added] if train else [[row] for row in added]:
                self.writer.add_sample(objects=[rows[target]], expressions=expressions)
        if train and rows and record.absent:
            added = [self.writer.add_expression(text, source_id=f"{record.name}:nothing") for text in record.absent]
            self.writer.add_sample(objects=[], expressions=added, no_target=True)

    def _add_few_shot_samples(self, scene: _AnnotatedScene, rows: Mapping[int, int]) -> None:
        nouns = scene.few_shot_nouns
        for position, row in rows.items():
            noun = scene.record.objects[position]
            if noun in nouns and (self.classes is None or noun in self.classes):
                self.writer.add_sample(objects=[row], category=self.numbers[noun])


SCENE_OPTIONS = (
    Option("images", f"Training images ({DEFAULTS['images']}).", type=int, minimum=1),
    Option("clips", f"Training videos ({DEFAULTS['clips']}).", type=int, minimum=1),
    Option("frames", f"Frames per video ({DEFAULTS['frames']}).", type=int, minimum=2, maximum=500),
    Option("size", f"Longest side in pixels ({DEFAULTS['size']}).", type=int, minimum=64, maximum=2048),
    Option("seed", "Another seed gives other scenes.", type=int, minimum=0),
)
SCENE_SETS = ("train", "val", "test", "seen", "novel", "pairs", "wording")
"""Sets of scenes; the last four each ask one question (docs/synthetic-data.md)."""


def splits_of(*sets: str) -> tuple[str, ...]:
    """`<set>-<task>` for every task."""
    return tuple(f"{name}-{task.value}" for name in sets for task in Task)


DATASETS = (
    DataSet(
        name="synthetic",
        title="Drawn scenes with expressions, for every task",
        task=Task.RIS,
        splits=no_counts(*splits_of(*SCENE_SETS)),
        convert=convert,
        size="about 30 MB per thousand images",
        licence="made by this package: Apache-2.0",
        page="docs/synthetic-data.md",
        files="nothing",
        default_splits=splits_of("train", "val", "test"),
        options=SCENE_OPTIONS,
    ),
)
