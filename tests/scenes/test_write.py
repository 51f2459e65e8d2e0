"""Scenes as a plain folder of own data: written with `write_scenes`, read by `uniref prepare-data custom`."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.scenes.test_scene import IMAGE, VIDEO
from uniref.core.tasks import Task
from uniref.data.index import Index
from uniref_cli import app
from uniref_scenes import SceneOptions, make_scene, write_scenes


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def prepare(folder: Path, root: Path, *more: str) -> Index:
    arguments = ["prepare-data", "custom", "--source", str(folder), "--name", "scenes", "--root", str(root), "--quiet"]
    assert app.run([*arguments, "--split", "train", *more]) == 0
    return Index.open(root / "index/scenes/train")


@pytest.mark.parametrize(("options", "task"), [(IMAGE, Task.RIS), (VIDEO, Task.RVOS)])
def test_own_data_are_read_back(tmp_path: Path, options: SceneOptions, task: Task) -> None:
    folder, count = tmp_path / "train", 4
    write_scenes(folder, "train", count, options)
    index = prepare(folder, tmp_path / "data")
    assert index.manifest.task is task
    assert index.manifest.counts["media"] == count
    scenes = {f"{number:06d}": make_scene("train", number, options) for number in range(count)}
    for sample in index:
        scene = scenes[index.media(sample.media).name]
        (row,) = sample.objects
        position = int(index.object(row).source_id) - 1
        # the expressions and masks are those of the scene
        texts = {index.expression(expression).text for expression in sample.expressions}
        assert texts <= {e.text for e in scene.expressions if e.target == position}
        annotations = index.annotations(row)
        for at, frame in enumerate(annotations.frames.tolist()):
            np.testing.assert_array_equal(annotations.mask(at), scene.labels[frame] == position + 1)


def test_tables_name_kinds_and_classes(tmp_path: Path) -> None:
    write_scenes(tmp_path, "train", 3, IMAGE)
    scenes = {f"{number:06d}": make_scene("train", number, IMAGE) for number in range(3)}
    phrases = [(r["file"], int(r["object"]) - 1, r["phrase"], r["kind"]) for r in rows(tmp_path / "phrases.csv")]
    assert phrases == [(name, e.target, e.text, e.kind) for name, s in scenes.items() for e in s.expressions]
    classes = [(r["file"], r["class"]) for r in rows(tmp_path / "classes.csv")]
    assert classes == [(name, obj.noun.name) for name, scene in scenes.items() for obj in scene.objects]


def test_classes_make_few_shot_samples(tmp_path: Path) -> None:
    folder = tmp_path / "train"
    write_scenes(folder, "train", 12, IMAGE)
    (folder / "phrases.csv").unlink()
    assert prepare(folder, tmp_path / "data", "--task", "fss").manifest.task is Task.FSS
