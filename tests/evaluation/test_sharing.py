"""One evaluation by several processes, killed ones among them: the same bits in every file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.evaluation.conftest import DATA
from tests.evaluation.masks import write_masks
from uniref.core.tasks import Task
from uniref.evaluation.dataset import open_dataset
from uniref_cli import app

OUTPUTS = ("results.json", "per_sequence.csv", "report.html")
BOTH = f"{DATA[Task.VOS]},{DATA[Task.RIS]}"


def command(checkpoint: Path, root: Path, out: Path, *options: str, data: str = BOTH) -> list[str]:
    sizes = ["--short-side", "48", "--long-side", "64", "--device", "cpu", "--workers", "1", "--save-predictions"]
    return [
        "eval",
        "--checkpoint",
        str(checkpoint),
        "--data",
        data,
        "--root",
        str(root),
        "--out",
        str(out),
        *sizes,
        *options,
    ]


def files(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in OUTPUTS}


@pytest.fixture(scope="module")
def alone(checkpoint: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process writes."""
    out = tmp_path_factory.mktemp("alone")
    assert app.run(command(checkpoint, root, out)) == 0
    return files(out)


@pytest.mark.slow
def test_four_parts(checkpoint: Path, root: Path, tmp_path: Path, alone: dict[str, bytes]) -> None:
    for part in (3, 1, 4, 2):
        assert not (tmp_path / "results.json").exists()
        assert app.run(command(checkpoint, root, tmp_path, "--shard", f"{part}/4")) == 0
    assert files(tmp_path) == alone


@pytest.mark.parametrize(
    "environments",
    [
        [{"RANK": str(n), "WORLD_SIZE": "2", "LOCAL_RANK": str(n)} for n in (0, 1)],
        [
            {
                "SLURM_ARRAY_TASK_ID": str(n),
                "SLURM_ARRAY_TASK_MIN": "5",
                "SLURM_ARRAY_TASK_STEP": "5",
                "SLURM_ARRAY_TASK_COUNT": "2",
            }
            for n in (5, 10)
        ],
    ],
    ids=["torchrun", "slurm array"],
)
@pytest.mark.slow
def test_launchers(
    environments: list[dict[str, str]],
    checkpoint: Path,
    root: Path,
    tmp_path: Path,
    alone: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for environment in environments:
        assert not (tmp_path / "results.json").exists()
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert app.run(command(checkpoint, root, tmp_path)) == 0
    assert files(tmp_path) == alone


@pytest.mark.slow
def test_folders_of_machines_are_copied_together(
    checkpoint: Path, root: Path, tmp_path: Path, alone: dict[str, bytes]
) -> None:
    import shutil

    for part in (1, 2):
        assert app.run(command(checkpoint, root, tmp_path / str(part), "--shard", f"{part}/2")) == 0
        shutil.copytree(tmp_path / str(part), tmp_path / "both", dirs_exist_ok=True)
    assert app.run(command(checkpoint, root, tmp_path / "both")) == 0
    assert files(tmp_path / "both") == alone


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_a_killed_run_goes_on(checkpoint: Path, root: Path, tmp_path: Path, alone: dict[str, bytes]) -> None:
    """Killed in the middle, with processes that score beside it; those end too."""
    line = [sys.executable, "-m", "uniref_cli.app", *command(checkpoint, root, tmp_path, "--workers", "2")]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    scores = tmp_path / DATA[Task.VOS] / "scores"
    deadline = time.monotonic() + 120
    while not list(scores.glob("*.json")):
        assert process.poll() is None, "it was over before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    children = _children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "results.json").exists()
    while any(_alive(child) for child in children):
        assert time.monotonic() < deadline, "a worker outlived the process that it works for"
        time.sleep(0.05)
    done = {path: path.stat().st_mtime_ns for path in scores.glob("*.json")}
    assert app.run(command(checkpoint, root, tmp_path)) == 0
    assert files(tmp_path) == alone
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())  # none was scored again
    assert not list(tmp_path.rglob("*.partial*"))


def _children(process: int) -> list[int]:
    path = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def test_changed_masks_of_others_are_scored_anew(root: Path, tmp_path: Path) -> None:
    masks = write_masks(open_dataset(root, DATA[Task.VOS]), tmp_path / "p")
    line = ["eval", "--predictions", str(masks), "--data", DATA[Task.VOS], "--root", str(root), "--workers", "1"]
    assert app.run([*line, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    (masks / "0/00010.png").write_bytes((masks / "0/00000.png").read_bytes())
    assert app.run([*line, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert json.loads((tmp_path / "out/results.json").read_text())["benchmarks"][0]["numbers"]["J&F"] < 1


def test_another_evaluation_is_not_mixed_in(
    checkpoint: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(command(checkpoint, root, tmp_path, data=DATA[Task.RIS])) == 0
    capsys.readouterr()
    assert app.run(command(checkpoint, root, tmp_path, "--limit", "1", data=DATA[Task.RIS])) == 2
    assert "holds another evaluation" in capsys.readouterr().err
    assert app.run(command(checkpoint, root, tmp_path, "--limit", "1", "--overwrite", data=DATA[Task.RIS])) == 0


def test_nothing_is_replaced_but_evaluations(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = open_dataset(root, DATA[Task.VOS])
    line = ["eval", "--data", DATA[Task.VOS], "--root", str(root), "--workers", "1", "--quiet", "--overwrite"]
    inside = write_masks(dataset, tmp_path / "a" / dataset.folder)
    assert app.run([*line, "--predictions", str(inside), "--out", str(tmp_path / "a")]) == 2
    assert "holds the predictions, so it is not replaced" in capsys.readouterr().err
    assert inside.is_dir()
    masks = write_masks(dataset, tmp_path / "p")
    mine = tmp_path / "b" / dataset.folder / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("precious")
    for asked in (line, line[:-1]):  # a first run must not make a folder of others its own either
        assert app.run([*asked, "--predictions", str(masks), "--out", str(tmp_path / "b")]) == 2
    assert "holds files that are not an evaluation of uniref" in capsys.readouterr().err
    mine.unlink()
    assert app.run([*line, "--predictions", str(masks), "--out", str(tmp_path / "b")]) == 0


def test_a_recipe_names_data_and_checkpoint(
    checkpoint: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    stages = {
        "first": {"evaluation": {"data": [DATA[Task.RIS]]}},
        "second": {"evaluation": {"data": [DATA[Task.RIS], DATA[Task.VOS]]}},
    }
    common = {"data": {"sources": [{"index": DATA[Task.RIS]}]}, "optim": {"lr": 1e-4}, "steps": 1, "global_batch": 2}
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(json.dumps({"stages": {name: common | stage for name, stage in stages.items()}}))
    line = ["eval", "--recipe", "mine.yaml", "--root", str(root), "--device", "cpu", "--out", "out", "--limit", "1"]
    line += ["--short-side", "48", "--long-side", "64"]
    assert app.run(line) == 2
    assert "runs/mine/second/final: the recipe's model is not there" in capsys.readouterr().err
    (tmp_path / "runs/mine/second").mkdir(parents=True)
    (tmp_path / "runs/mine/second/final").symlink_to(checkpoint)
    assert app.run(line) == 0
    names = [each["name"] for each in json.loads((tmp_path / "out/results.json").read_text())["benchmarks"]]
    assert names == [DATA[Task.RIS], DATA[Task.VOS]]
    assert app.run([*line, "--checkpoint", str(checkpoint)]) == 0
    assert app.run([*line, "--data", DATA[Task.RIS]]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--checkpoint", "c", "--predictions", "p"], "give either --checkpoint DIR, or --predictions DIR"),
        ([], "give either --checkpoint DIR, or --predictions DIR"),
        (["--checkpoint", "C", "--overwrite", "--shard", "1/2"], "--overwrite: would remove the work of other parts"),
        (["--checkpoint", "C", "--shard", "3/2"], "--shard '3/2': use i/n"),
        (["--checkpoint", "C", "--shots", "0"], "--shots '0': use whole numbers from 1"),
        (["--predictions", "nowhere"], "nowhere: no such folder"),
        (["--checkpoint", "C", "--gpus", "99"], "--gpus 99: this machine has"),
    ],
)
def test_contradictions_get_one_line(
    options: list[str],
    message: str,
    checkpoint: Path,
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = [str(checkpoint) if option in ("C", "c") else option for option in options]
    common = ["eval", "--data", DATA[Task.VOS], "--root", str(root), "--out", str(tmp_path / "out")]
    assert app.run([*common, *options]) in (1, 2)
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
