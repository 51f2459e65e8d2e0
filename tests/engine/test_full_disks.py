"""Training on full disks: `/dev/shm` too small for the workers' batches, and a run folder without room."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.conftest import MakeRecipe
from tests.engine.test_run import assert_equal, go, weights

MOUNTS = ["unshare", "--user", "--map-root-user", "--mount"]
"""Runs a command in a namespace where it may mount file systems; nobody else sees them."""


def can_mount() -> bool:
    """Whether this machine lets us mount a small file system of our own."""
    if shutil.which("unshare") is None:
        return False
    probe = [*MOUNTS, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/dev/shm"]  # noqa: S108 - it is what is tested
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


pytestmark = [pytest.mark.slow, pytest.mark.skipif(not can_mount(), reason="needs user namespaces, to mount a tmpfs")]


def in_namespace(script: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount; one that does not end in time fails the test."""
    return subprocess.run(
        [*MOUNTS, "sh", "-c", script], capture_output=True, text=True, check=False, timeout=timeout, env=os.environ
    )


def train_command(recipe: Path, root: Path, out: Path | str, *options: str) -> str:
    command = [sys.executable, "-m", "uniref_cli.app", "train", str(recipe), "--root", str(root), "--out", str(out)]
    return " ".join([*command, "--device", "cpu", "--quiet", *options])


def test_full_shared_memory_ends_with_advice(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    """Two workers whose batches (3.7 MB each) do not fit into 8 MB."""
    data = {
        "workers": 2,
        "prefetch": 4,
        "augment": {"short_sides": [640], "max_long_side": 640, "crop": 0},
        "sources": [{"index": "vos/train"}],
    }
    command = train_command(make_recipe(data=data, steps=2), root, tmp_path / "run")
    done = in_namespace(f"mount -t tmpfs -o size=8m tmpfs /dev/shm && exec {command}", timeout=240)
    assert done.returncode == 1, done.stderr
    assert "/dev/shm" in done.stderr  # noqa: S108 - a message
    assert "data.workers" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_disk_that_fills_up_is_named_and_the_run_resumes(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    """There is room for some checkpoints, but not for all; after room is made, the run ends as one that had it."""
    path = make_recipe(checkpoint={"every": 2, "keep": 3})
    go(path, root, tmp_path / "whole")
    each = sum(file.stat().st_size for file in (tmp_path / "whole/only/checkpoints/step-00000002").iterdir())
    disk = tmp_path / "disk"
    disk.mkdir()
    run = disk / "run"
    train = train_command(path, root, run, "--resume auto")
    script = f"""
        mount -t tmpfs -o size={int(each * 1.6) >> 10}k tmpfs {disk} || exit 90
        {train}; echo "first $?" >&2
        ls -A {run}/only/checkpoints >&2
        mount -o remount,size={each * 8 >> 10}k {disk} || exit 91
        {train}; echo "second $?" >&2
        cp -r {run} {tmp_path}/copy
    """
    done = in_namespace(script, timeout=240)
    lines = done.stderr.splitlines()
    assert done.returncode == 0, done.stderr
    # one line names the place; the checkpoint that was complete is there, and nothing half written beside it
    first = lines.index("first 1")
    assert any(str(run) in line and "no space left on device" in line for line in lines[:first]), lines
    assert "Traceback" not in done.stderr
    assert "step-00000002" in lines
    assert "step-00000004" not in lines
    # with room
    assert "second 0" in lines
    assert_equal(weights(tmp_path / "whole"), weights(tmp_path / "copy"))
