"""The training of the bundled model by the clock: its parts, and all of it with tiny numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.small_gpu import CODE, LIMIT, pack, plan_steps, reduce_sources, seconds_per_step, unpacked
from tests.data.prepare.test_synthetic_named import sources  # noqa: F401 - a fixture
from uniref.recipe.load import load_recipe
from uniref_scenes.files import SceneError
from uniref_scenes.named.packages import find_objects, search_folders


def test_steps_fill_the_time_and_the_learning_rate_falls_before_the_end() -> None:
    assert plan_steps(480, 0.25) == (1920, (1248, 1690))
    steps, milestones = plan_steps(0, 5)
    assert steps == 10
    assert 0 < milestones[0] < milestones[1] < steps


def test_the_last_logged_time_of_a_step_counts(tmp_path: Path) -> None:
    lines = [{"kind": "train", "seconds_per_step": 9.0}, {"kind": "train", "seconds_per_step": 0.5}, {"kind": "event"}]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert seconds_per_step(tmp_path / "metrics.jsonl") == 0.5


def test_the_recipe_starts_from_the_bundled_weights_and_trains_on_absent_phrases() -> None:
    stage = load_recipe(CODE / "recipes" / "small-gpu.yaml").stages["further"]
    assert str(stage.init.model) == "small"
    assert "model" not in stage.model_fields_set  # the checkpoint's
    assert any(source.language is not None and source.language.absent for source in stage.data.sources)


def test_everything_needed_is_in_one_small_file(tmp_path: Path) -> None:
    pack(tmp_path / "all.tar", [], None)
    assert (tmp_path / "all.tar").stat().st_size < LIMIT
    with tarfile.open(tmp_path / "all.tar") as tar:
        names = set(tar.getnames())
    expected = ("uniref/assets/small/model.safetensors", "recipes/small-gpu.sh", "uniref_scenes/scene.py", "LICENSE")
    assert names.issuperset(expected)
    assert not any("__pycache__" in name for name in names)


def test_sources_are_reduced_to_what_scenes_are_made_of(tmp_path: Path, sources: Path) -> None:  # noqa: F811
    with tempfile.TemporaryDirectory(dir=tmp_path) as temporary:
        bases = list(unpacked(sorted(sources.iterdir()), Path(temporary)))
        reduce_sources(bases, tmp_path / "reduced")
        whole = find_objects(search_folders(bases), "emoji", tmp_path / "media")
    reduced = find_objects(search_folders([tmp_path / "reduced"]), "emoji", tmp_path / "media")
    assert reduced.nouns == whole.nouns
    assert [image.path.name for image in reduced.images] == [image.path.name for image in whole.images]
    for path in (tmp_path / "reduced" / "usr/share/backgrounds").glob("*"):
        assert max(Image.open(path).size) <= 1280
    (tmp_path / "media").mkdir(exist_ok=True)
    with pytest.raises(SceneError, match="found no objects"):
        reduce_sources([tmp_path / "media"], tmp_path / "none")


@pytest.mark.slow
def test_all_of_it_runs_with_tiny_numbers(tmp_path: Path) -> None:
    command = ["/bin/bash", str(CODE / "recipes" / "small-gpu.sh"), "1", "out", "--tiny", "--device", "cpu"]
    environment = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=900, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    plan = json.loads((tmp_path / "out" / "plan.json").read_text("utf-8"))
    assert plan["steps"] == 3
    assert plan["scenes"] == {"synthetic": 24}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "small",
        "metrics.jsonl",
        "plan.json",
        "report.html",
    }
    assert (tmp_path / "out" / "small" / "model.safetensors").stat().st_size < 40e6
