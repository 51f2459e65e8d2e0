"""Checkpoints of a training: what is wrong with a folder is told before anything is believed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from uniref.core.errors import CheckpointError
from uniref.engine import checkpointer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    facts = {"stage": "one", "processes": 1, "counters": [{"bad_steps": 0, "best": None}], "evaluated": 3}
    for step in (3, 5):
        checkpointer.write_checkpoint(tmp_path, step, {"x": torch.ones(2)}, facts, lambda work: None)
    return tmp_path


@pytest.mark.parametrize(
    "change",
    [
        {"step": 10**30},
        {"step": 3},
        {"step": -5},
        {"step": float("inf")},
        {"step": "5"},
        {"files": [1]},
        {"processes": float("inf")},
        {"processes": -1},
        {"evaluated": 1e308},
        {"counters": [{"bad_steps": "x"}]},
        {"counters": [{"best": float("nan")}]},
        {"counters": 7},
    ],
)
def test_a_manifest_with_wrong_values_is_damaged(change: dict[str, Any], folder: Path) -> None:
    path = folder / "step-00000005" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=r"step-00000005/manifest\.json: damaged"):
        checkpointer.verify_checkpoint(path.parent)
    told: list[str] = []
    found = checkpointer.latest_checkpoint(folder, told.append)
    assert found is not None
    assert found.step == 3
    assert len(told) == 1


def test_a_manifest_that_is_none(folder: Path) -> None:
    for content in ("[]", "", "[" * 100_000, "{}"):
        path = folder / "step-00000005" / "manifest.json"
        path.write_text(content)
        with pytest.raises(CheckpointError, match="manifest"):
            checkpointer.verify_checkpoint(path.parent)


def test_files_of_others_survive_pruning(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder / "step-00000003" / "note.txt").write_text("precious")
    (folder / "step-00000005").rename(elsewhere / "kept")
    (folder / "step-00000005").symlink_to(elsewhere / "kept")
    assert checkpointer.keep_last(folder, 1, 9) == [str(folder / "step-00000003" / "note.txt")]
    assert [path.name for path in (folder / "step-00000003").iterdir()] == ["note.txt"]
    assert checkpointer.keep_last(folder, 1, 1) == [str(folder / "step-00000003" / "note.txt")]
    assert not (folder / "step-00000005").is_symlink()
    assert (elsewhere / "kept" / "training.pt").is_file()


def test_a_crafted_state_is_refused(folder: Path) -> None:
    saved = checkpointer.verify_checkpoint(folder / "step-00000005")
    (saved.folder / "training.pt").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(CheckpointError, match=r"training\.pt: refused: it asks to run os\.system"):
        checkpointer.read_training_state(saved)
    (saved.folder / "training.pt").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(CheckpointError, match="delete its folder to resume from the checkpoint before it"):
        checkpointer.read_training_state(saved)


def test_damaged_checkpoints_alone_are_an_error(folder: Path) -> None:
    """A run whose checkpoints are all damaged does not begin again at step 1, which would prune them."""
    for saved in checkpointer.checkpoint_folders(folder):
        (saved / "training.pt").write_bytes(b"")
    warned: list[str] = []
    with pytest.raises(CheckpointError, match=r"step-00000003: damaged: .* no other checkpoint in .* is intact"):
        checkpointer.latest_checkpoint(folder, warned.append)
    assert len(warned) == 1
    assert len(checkpointer.checkpoint_folders(folder)) == 2
