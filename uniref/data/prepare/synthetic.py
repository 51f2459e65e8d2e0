"""The synthetic data set: drawn scenes, written as pictures and label maps once and indexed for every task.

A split is called `<set>-<task>`: `train-ris`, `val-vos`, ... Sets are those of `uniref.data.synthetic`. Pictures of a
set are shared by its tasks and lie in `<root>/media/synthetic/<options>/<set>`; a scene whose description exists is not
drawn again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from uniref.core.tasks import Task
from uniref.data.index import GIVEN, TRUTH, IndexWriter
from uniref.data.prepare.job import Job
from uniref.data.prepare.labels import Region, read_label_map, regions
from uniref.data.synthetic import SETS, SceneOptions, make_scene
from uniref.data.synthetic.nouns import NOUNS
from uniref.media.palette import write_labels

DEFAULTS: Mapping[str, int] = {"images": 2000, "clips": 300, "frames": 8, "size": 256, "seed": 0}
"""What is made where an option says nothing else; sets other than `train` have a tenth as many scenes."""

_SMALLEST = 16
"""Pixels below which an object of a frame is no target."""
_NUMBERS = {name: number for number, name in enumerate(sorted(NOUNS), start=1)}


@dataclass(frozen=True)
class _Item:
    folder: Path
    set_name: str
    number: int
    options: SceneOptions

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


def prepare(job: Job) -> None:
    """One split: draw what is missing, then index it."""
    set_name, _, task_name = job.split.partition("-")
    task = Task(task_name)
    wanted = {name: int(job.options.get(name) or value) for name, value in DEFAULTS.items()}
    clip = task.is_video
    count = wanted["clips" if clip else "images"]
    if set_name != "train":
        count = max(1, count // 10)
    options = SceneOptions(size=wanted["size"], frames=wanted["frames"] if clip else 1, seed=wanted["seed"])
    tag = f"seed{options.seed}-{options.size}px" + (f"-{options.frames}frames" if clip else "")
    folder = job.root / "media" / "synthetic" / tag / set_name
    items = [_Item(folder, set_name, number, options) for number in job.first(range(count))]
    with job.writer({"synthetic": folder}, task, {number: name for name, number in _NUMBERS.items()}) as writer:
        for scene in job.map(_scene, items, "scene"):
            _add(writer, task, scene, train=set_name == "train")


def _scene(item: _Item) -> _Scene:
    """Draw a scene unless it is there, and read it back."""
    description = item.folder / "scenes" / f"{item.name}.json"
    if not description.exists():
        _draw(item, description)
    return _read(item, json.loads(description.read_text(encoding="utf-8")))


def _draw(item: _Item, description: Path) -> None:
    scene = make_scene(item.set_name, item.number, item.options)
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


def _add(writer: IndexWriter, task: Task, scene: _Scene, train: bool) -> None:
    clip = scene.length > 1
    writer.add_media(
        name=scene.name,
        kind="frames" if clip else "image",
        root="synthetic",
        path=f"images/{scene.name}" if clip else f"images/{scene.name}.jpg",
        frames=[f"{frame:05d}.jpg" for frame in range(scene.length)] if clip else (),
        width=scene.width,
        height=scene.height,
        source_id=int(scene.name),
    )
    rows = {thing: _add_object(writer, task, scene, thing) for thing in sorted(scene.tracks)}
    if task.needs_text:
        _add_referring(writer, scene, rows, train)
    elif task is Task.FSS:
        for thing, row in rows.items():
            if scene.nouns.count(scene.nouns[thing]) == 1:  # else a support would mean several objects
                writer.add_sample(objects=[row], category=_NUMBERS[scene.nouns[thing]])
    elif rows:
        writer.add_sample(objects=list(rows.values()))


def _add_object(writer: IndexWriter, task: Task, scene: _Scene, thing: int) -> int:
    track = scene.tracks[thing]
    given = min(track) if task is Task.VOS else -1
    row = writer.add_object(source_id=thing + 1, category=_NUMBERS[scene.nouns[thing]], given_frame=given)
    for frame, region in sorted(track.items()):
        role = TRUTH | (GIVEN if frame == given else 0)
        writer.add_annotation(frame, region.box, region.counts, region.area, role)
    return row


def _add_referring(writer: IndexWriter, scene: _Scene, rows: Mapping[int, int], train: bool) -> None:
    """Training: an object with all its expressions. Evaluation: one expression; its kind stands in its id."""
    for target, texts in _by_target(scene.expressions):
        added = [writer.add_expression(text, source_id=f"{scene.name}:{kind}") for text, kind in texts]
        groups = [added] if train else [[row] for row in added]
        for group in groups:
            writer.add_sample(objects=[rows[target]], expressions=group)


def _by_target(expressions: Sequence[tuple[str, str, int]]) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    for target in sorted({target for _, _, target in expressions}):
        yield target, [(text, kind) for text, kind, other in expressions if other == target]


def splits() -> tuple[str, ...]:
    """Every split of the data set."""
    return tuple(f"{name}-{task.value}" for name in SETS for task in Task)
