"""Two processes on a CPU (gloo) do what one does that accumulates."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.engine.conftest import MakeRecipe
from tests.engine.test_run import go, weights
from uniref.engine.checkpointer import checkpoint_folders, read_training_state, verify_checkpoint


def together(recipe: Path, root: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "uniref_cli.app", "train", str(recipe), "--root", str(root), "--out", str(out)]
    return subprocess.run(
        [*command, "--device", "cpu", "--gpus", "2", *options], capture_output=True, text=True, check=False, timeout=300
    )


def assert_close(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        # what batch norms remember depends on which batches a process saw; training does not read it
        if "running_" not in name and "num_batches" not in name:
            torch.testing.assert_close(tensor, second[name], rtol=1e-3, atol=2e-5, msg=name)


@pytest.mark.slow
def test_two_processes_equal_accumulation(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    """With dropout, whose random numbers belong to the micro batch, not to the process."""
    path = make_recipe(steps=2, global_batch=8, optim={"lr": 1e-4, "eps": 1e-3})
    go(path, root, tmp_path / "one")
    done = together(path, root, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert_close(weights(tmp_path / "one"), weights(tmp_path / "two"))
    first, second = (
        json.loads((tmp_path / name / "only/metrics.jsonl").read_text().splitlines()[-1]) for name in ("one", "two")
    )
    assert first["loss"] == pytest.approx(second["loss"], rel=1e-4)
    assert first["terms"] == pytest.approx(second["terms"], rel=1e-3)
    assert verify_checkpoint(tmp_path / "two/only/checkpoints/step-00000002").metadata["processes"] == 2
    # one process resumes where two stopped
    outcome, heard = go(path, root, tmp_path / "two", "stages.only.steps=3", resume="auto")
    assert outcome.signal == 0
    assert any(
        "1 processes instead of 2: each now does 4 micro batches per step instead of 2" in line for line in heard.lines
    )


@pytest.mark.slow
def test_sharded_training_equals_copies(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    """FSDP2, with the state saved and taken up again."""
    data = {
        "workers": 0,
        "same_source_on_all_ranks": True,
        "augment": {"short_sides": [64], "max_long_side": 128, "crop": 0},
        "sources": [{"index": "ris/train"}, {"index": "vos/train"}],
    }
    path = make_recipe(steps=4, data=data, optim={"lr": 1e-4, "eps": 1e-3}, ema=0.9)
    for name, kind in (("copies", "ddp"), ("shards", "fsdp")):
        options = ("--set", f"stages.only.parallel={kind}")
        begun = together(path, root, tmp_path / name, *options, "--set", "stages.only.steps=2")
        assert begun.returncode == 0, begun.stderr
        ended = together(path, root, tmp_path / name, *options, "--resume", "auto")
        assert ended.returncode == 0, ended.stderr
        assert "resuming at step 2" in ended.stdout
    assert_close(weights(tmp_path / "copies"), weights(tmp_path / "shards"))
    moments = [
        read_training_state(verify_checkpoint(tmp_path / name / "only/checkpoints/step-00000004"))["optimizer"]
        for name in ("copies", "shards")
    ]
    assert moments[0].keys() == moments[1].keys()


@pytest.mark.slow
def test_a_request_to_stop_reaches_all_processes(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    """The launcher ends with the signal's code, the state is saved, and nothing looks like a failure."""
    path = make_recipe(steps=100_000, checkpoint={"every": 100_000, "keep": 1})
    command = [sys.executable, "-m", "uniref_cli.app", "train", str(path), "--root", str(root), "--device", "cpu"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "run"), "--gpus", "2", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["step"] == 2
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, told
    assert "Traceback" not in told
    (saved,) = checkpoint_folders(tmp_path / "run/only/checkpoints")
    assert verify_checkpoint(saved).metadata["processes"] == 2
    assert (tmp_path / "run/stopped").is_file()


@pytest.mark.slow
def test_one_line_says_what_is_wrong(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    done = together(make_recipe(), tmp_path / "nowhere", tmp_path / "two")
    assert done.returncode == 1
    (line,) = {line for line in done.stderr.splitlines() if "error" in line.lower()}  # twice on a very busy machine
    assert "nowhere/index/ris/train: is not an index" in line
    assert "Traceback" not in done.stderr
    done = together(make_recipe(global_batch=2, micro_batch=2), root, tmp_path / "two")
    assert done.returncode == 2
    assert "use a number of processes that divides it" in done.stderr
    assert done.stderr.count("\n") == 1
