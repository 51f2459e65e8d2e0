"""Two processes on a CPU (gloo) do what one does that accumulates."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.engine.conftest import MakeRecipe
from tests.engine.test_run import go, weights
from uniref.engine.checkpointer import checkpoint_folders, read_training_state, verify_checkpoint
from uniref.recipe.load import load_recipe


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
def test_four_processes_equal_one(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    path = make_recipe(steps=2, global_batch=8, optim={"lr": 1e-4, "eps": 1e-3})
    go(path, root, tmp_path / "one")
    results = ended(under_slurm(path, root, tmp_path / "four", 4), timeout=600)
    assert [code for code, _, _ in results] == [0] * 4, results
    assert_close(weights(tmp_path / "one"), weights(tmp_path / "four"))
    assert verify_checkpoint(tmp_path / "four/only/checkpoints/step-00000002").metadata["processes"] == 4


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
    copies = together(path, root, tmp_path / "copies", "--set", "stages.only.parallel=ddp")
    assert copies.returncode == 0, copies.stderr
    options = ("--set", "stages.only.parallel=fsdp")
    begun = together(path, root, tmp_path / "shards", *options, "--set", "stages.only.steps=2")
    assert begun.returncode == 0, begun.stderr
    resumed = together(path, root, tmp_path / "shards", *options, "--resume", "auto")
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming at step 2" in resumed.stdout
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
    done = together(make_recipe(global_batch=6, micro_batch=2), root, tmp_path / "two")
    assert done.returncode == 2
    assert "use a number of processes that divides it" in done.stderr
    assert done.stderr.count("\n") == 1


def under_slurm(path: Path, root: Path, out: Path, tasks: int, *options: str) -> list[subprocess.Popen[str]]:
    """The command as srun starts it: one process per task, without a launcher."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    slurm = {"SLURM_NTASKS": str(tasks), "SLURM_STEP_ID": "0", "SLURM_JOB_NODELIST": "localhost"}
    command = [sys.executable, "-m", "uniref_cli.app", "train", str(path), "--root", str(root), "--out", str(out)]
    return [
        subprocess.Popen(
            [*command, "--device", "cpu", *options],
            env=os.environ | slurm | {"SLURM_PROCID": str(r), "SLURM_LOCALID": str(r), "MASTER_PORT": str(port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for r in range(tasks)
    ]


def ended(processes: list[subprocess.Popen[str]], timeout: float = 300) -> list[tuple[int, str, str]]:
    """Exit code and output of each process."""
    try:
        outputs = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]


@pytest.mark.slow
def test_slurm_tasks_share_stages_of_different_sizes_and_their_evaluation(
    make_recipe: MakeRecipe, root: Path, tmp_path: Path
) -> None:
    """Two of srun's tasks: one waits while the first stage trains, whose batch feeds one; both evaluate the second."""
    content = load_recipe(make_recipe(optim={"lr": 1e-4, "eps": 1e-3}, steps=1)).model_dump(mode="json")
    evaluation = {"every": 1, "data": ["ris/train", "vos/train"], "pictures": 1}
    first = content["stages"]["only"] | {"global_batch": 2, "sides": [64, 128], "evaluation": evaluation}
    second = first | {"global_batch": 4, "init": {"stage": "first"}}
    path = tmp_path / "two.yaml"
    path.write_text(json.dumps({"run": content["run"], "stages": {"first": first, "second": second}}))
    go(path, root, tmp_path / "one")
    results = ended(under_slurm(path, root, tmp_path / "two", 2))
    assert [code for code, _, _ in results] == [0, 0], results
    assert "first: uses 1 of 2 processes, one per micro batch of a step; the others wait" in results[0][1]
    assert results[1][1] == ""
    assert_close(weights(tmp_path / "one", "second"), weights(tmp_path / "two", "second"))
    assert verify_checkpoint(tmp_path / "two/second/checkpoints/step-00000001").metadata["processes"] == 2
    # the merged numbers do not depend on the number of processes
    for stage in ("first", "second"):
        numbers = []
        for name in ("one", "two"):
            lines = (tmp_path / name / stage / "metrics.jsonl").read_text().splitlines()
            numbers += [record["results"] for record in map(json.loads, lines) if record["kind"] == "evaluation"]
        assert len(numbers) == 2
        for data, values in numbers[0].items():
            assert values == pytest.approx(numbers[1][data], rel=1e-3), stage
        assert not (tmp_path / "two" / stage / ".evaluation").exists()


@pytest.mark.slow
def test_slurm_stops_and_requeues_and_a_lost_task_is_named(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    path = make_recipe(steps=100_000, checkpoint={"every": 100_000, "keep": 1})
    out = tmp_path / "run"
    # preempted: every task gets SIGTERM; the state is saved, and the file that a requeue is decided by is there
    tasks = under_slurm(path, root, out, 2, "--json", "--resume", "auto")
    assert tasks[0].stdout is not None
    assert json.loads(tasks[0].stdout.readline())["step"] == 2
    for task in tasks:
        task.send_signal(signal.SIGTERM)
    assert [code for code, _, _ in ended(tasks)] == [128 + signal.SIGTERM] * 2
    assert (out / "stopped").is_file()
    # requeued, it resumes; then a task dies without a word: the last one, and after another requeue the first one
    step = verify_checkpoint(checkpoint_folders(out / "only/checkpoints")[-1]).step
    for dying in (1, 0):
        tasks = under_slurm(path, root, out, 2, "--json", "--resume", "auto")
        assert tasks[0].stdout is not None
        assert json.loads(tasks[0].stdout.readline())["step"] > step
        tasks[dying].kill()
        results = ended(tasks)
        code, _, messages = results[1 - dying]
        assert code == 1, messages
        assert f"process {1 - dying} lost contact with another process of the training" in messages
        assert "Traceback" not in messages
