"""The synthetic data sets: made scenes, written as pictures and label maps once and indexed for every task.

A split is called `<set>-<task>`: `train-ris`, `val-vos`, ... Sets are those of the bank that scenes are made from.
Pictures of a set are shared by its tasks and lie in `<root>/media/<data set>/<options>/<set>`; a scene whose
description exists is not made again.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from uniref.core.json_files import read_json
from uniref.core.tasks import Task
from uniref.data.index import GIVEN, TRUTH, IndexWriter
from uniref.data.prepare.job import ConversionJob
from uniref.data.prepare.regions import Region, read_label_map, regions
from uniref.media.mask import write_labels
from uniref_scenes import SceneOptions, make_scene
from uniref_scenes.bank import DRAWN, Bank
from uniref_scenes.named.files import read_bank

DEFAULTS: Mapping[str, int] = {"images": 2000, "clips": 300, "frames": 8, "size": 256, "seed": 0}
"""What is made where an option says nothing else; sets other than `train` have a tenth as many scenes."""

_SMALLEST = 16
"""Pixels below which an object of a frame is no target."""
_SUPPORTS = 2
"""Pictures that a noun needs before it is asked for by another picture of it."""


@dataclass(frozen=True)
class _Item:
    folder: Path
    set_name: str
    number: int
    options: SceneOptions
    bank: Path | None
    """File of the bank it is made from; None: drawn."""

    @property
    def name(self) -> str:
        return f"{self.number:06d}"


@dataclass(frozen=True)
class _Scene:
    """A scene as read back from its files."""

    name: str
    height: int
    width: int
    nouns: tuple[str, ...]
    expressions: tuple[tuple[str, str, int], ...]
    """(text, kind, position of the object it means)."""
    tracks: Mapping[int, Mapping[int, Region]]
    """Regions by object position, then frame."""
    length: int

    @property
    def askable(self) -> list[str]:
        """Nouns of exactly one object, which is seen: of several, a support would mean all."""
        return [noun for thing, noun in enumerate(self.nouns) if thing in self.tracks and self.nouns.count(noun) == 1]


def prepare(job: ConversionJob) -> None:
    """One split: draw what is missing, then index it."""
    write_split(job, job.root / "media" / "synthetic")


def write_split(job: ConversionJob, media: Path, bank: Path | None = None) -> None:
    """Make a split's missing scenes from a bank, in a folder of `media`, then index it."""
    set_name, _, task_name = job.split.partition("-")
    task = Task(task_name)
    wanted = {name: int(job.options.get(name) or value) for name, value in DEFAULTS.items()}
    clip = task.is_video
    count = wanted["clips" if clip else "images"]
    if set_name != "train":
        count = max(1, count // 10)
    options = SceneOptions(size=wanted["size"], frames=wanted["frames"] if clip else 1, seed=wanted["seed"])
    tag = f"seed{options.seed}-{options.size}px" + (f"-{options.frames}frames" if clip else "")
    folder = media / tag / set_name
    items = [_Item(folder, set_name, number, options, bank) for number in job.first(range(count))]
    numbers = {name: number for number, name in enumerate(sorted(_bank(bank).nouns), start=1)}
    categories = {number: name for name, number in numbers.items()}
    with job.writer({job.dataset.name: folder}, task, categories) as writer:
        scenes: Iterable[_Scene] = job.map(_scene, items, "scene")
        askable = None
        if task is Task.FSS and bank is not None:  # of hundreds of nouns, some are shown only once
            scenes = list(scenes)
            shown = Counter(noun for scene in scenes for noun in scene.askable)
            askable = frozenset(noun for noun, times in shown.items() if times >= _SUPPORTS) or None
        for scene in scenes:
            _Split(writer, task, numbers, askable).add(scene, train=set_name == "train")


@lru_cache(maxsize=2)
def _bank(path: Path | None) -> Bank:
    return DRAWN if path is None else read_bank(path)


def _scene(item: _Item) -> _Scene:
    """Draw a scene unless it is there, and read it back."""
    description = item.folder / "scenes" / f"{item.name}.json"
    if not description.exists():
        _draw(item, description)
    return _read(item, read_json(description))


def _draw(item: _Item, description: Path) -> None:
    scene = make_scene(item.set_name, item.number, item.options, _bank(item.bank))
    for frame, (picture, labels) in enumerate(zip(scene.frames, scene.labels, strict=True)):
        for kind, suffix in (("images", ".jpg"), ("masks", ".png")):
            path = _file(item, kind, frame, suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "masks":
                write_labels(path, labels)
            else:
                Image.fromarray(picture).save(path, quality=92)
    height, width = scene.labels[0].shape
    facts: dict[str, Any] = {
        "height": height,
        "width": width,
        "objects": [thing.noun.name for thing in scene.things],
        "expressions": [[e.text, e.kind, e.target] for e in scene.expressions if e.target is not None],
    }
    description.parent.mkdir(parents=True, exist_ok=True)
    temporary = description.with_name(f".{description.name}.{os.getpid()}")
    temporary.write_text(json.dumps(facts), encoding="utf-8")
    os.replace(temporary, description)  # last: a scene with a description is complete


def _file(item: _Item, kind: str, frame: int, suffix: str) -> Path:
    name = f"{item.name}{suffix}" if item.options.frames == 1 else f"{item.name}/{frame:05d}{suffix}"
    return item.folder / kind / name


def _read(item: _Item, facts: Mapping[str, Any]) -> _Scene:
    tracks: dict[int, dict[int, Region]] = {}
    for frame in range(item.options.frames):
        for value, region in regions(read_label_map(_file(item, "masks", frame, ".png"))).items():
            if region.area >= _SMALLEST:
                tracks.setdefault(value - 1, {})[frame] = region
    expressions = tuple((text, kind, target) for text, kind, target in facts["expressions"] if target in tracks)
    nouns = tuple(facts["objects"])
    return _Scene(item.name, facts["height"], facts["width"], nouns, expressions, tracks, item.options.frames)


@dataclass(frozen=True)
class _Split:
    """An index that scenes are added to."""

    writer: IndexWriter
    task: Task
    numbers: Mapping[str, int]
    """Category of each noun."""
    askable: frozenset[str] | None
    """Nouns that few-shot samples ask for; None: all."""

    def add(self, scene: _Scene, train: bool) -> None:
        """A scene with its samples."""
        clip = scene.length > 1
        self.writer.add_media(
            name=scene.name,
            kind="frames" if clip else "image",
            root=self.writer.dataset,
            path=f"images/{scene.name}" if clip else f"images/{scene.name}.jpg",
            frames=[f"{frame:05d}.jpg" for frame in range(scene.length)] if clip else (),
            width=scene.width,
            height=scene.height,
            source_id=int(scene.name),
        )
        rows = {thing: self._add_object(scene, thing) for thing in sorted(scene.tracks)}
        if self.task.needs_text:
            self._add_referring(scene, rows, train)
        elif self.task is Task.FSS:
            for thing, row in rows.items():
                noun = scene.nouns[thing]
                if noun in scene.askable and (self.askable is None or noun in self.askable):
                    self.writer.add_sample(objects=[row], category=self.numbers[noun])
        elif rows:
            self.writer.add_sample(objects=list(rows.values()))

    def _add_object(self, scene: _Scene, thing: int) -> int:
        track = scene.tracks[thing]
        given = min(track) if self.task is Task.VOS else -1
        category = self.numbers[scene.nouns[thing]]
        row = self.writer.add_object(source_id=thing + 1, category=category, given_frame=given)
        for frame, region in sorted(track.items()):
            role = TRUTH | (GIVEN if frame == given else 0)
            self.writer.add_annotation(frame, region.box, region.counts, region.area, role)
        return row

    def _add_referring(self, scene: _Scene, rows: Mapping[int, int], train: bool) -> None:
        """Training: an object with all its expressions. Evaluation: one expression; its kind stands in its id."""
        for target, texts in _by_target(scene.expressions):
            added = [self.writer.add_expression(text, source_id=f"{scene.name}:{kind}") for text, kind in texts]
            groups = [added] if train else [[row] for row in added]
            for group in groups:
                self.writer.add_sample(objects=[rows[target]], expressions=group)


def _by_target(expressions: Sequence[tuple[str, str, int]]) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    for target in sorted({target for _, _, target in expressions}):
        yield target, [(text, kind) for text, kind, other in expressions if other == target]
