"""Training runs: they end, resume bit for bit, notice damage, and keep quiet files."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.data import toy
from tests.engine.conftest import MakeRecipe
from tests.marks import slow_except
from tests.tiny import tiny_config
from uniref.core.errors import CheckpointError, UniRefError, UsageError
from uniref.core.tasks import Task
from uniref.engine import checkpointer, trainer
from uniref.engine.reporter import SilentReporter
from uniref.engine.request import TrainRequest
from uniref.engine.trainer import RunResult, train
from uniref.recipe.load import load_recipe
from uniref.weights.checkpoint import load_checkpoint


class Heard(SilentReporter):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.records: list[dict[str, object]] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def warn(self, line: str) -> None:
        self.lines.append(f"warning: {line}")

    def result(self, record: dict[str, object]) -> None:
        self.records.append(record)


def go(recipe: Path, root: Path, out: Path, *overrides: str, resume: str | None = None) -> tuple[RunResult, Heard]:
    heard = Heard()
    loaded = load_recipe(recipe, overrides)
    return train(TrainRequest(loaded, root, out, resume=resume, device="cpu"), heard), heard


def weights(out: Path, stage: str = "only") -> dict[str, torch.Tensor]:
    return load_file(out / stage / "final" / "model.safetensors")


def assert_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    differing = [name for name in first if not torch.equal(first[name], second[name])]
    assert not differing


def test_a_run_ends_with_a_model_logs_and_a_report(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    outcome, heard = go(make_recipe(), root, tmp_path / "run")
    assert outcome.signal == 0
    checkpoint = load_checkpoint(tmp_path / "run/only/final")
    assert checkpoint.config.source["step"] == 6
    names = [path.name for path in checkpointer.checkpoint_folders(tmp_path / "run/only/checkpoints")]
    assert names == ["step-00000002", "step-00000004", "step-00000006"]
    lines = [json.loads(line) for line in (tmp_path / "run/only/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert lines == heard.records
    assert all(line["loss"] > 0 and line["samples_per_second"] > 0 for line in lines)
    tasks = {key.split("/")[0] for line in lines for key in line["terms"] if "/" in key}
    assert tasks
    assert tasks <= {"ris", "fss", "vos", "rvos"}
    page = (tmp_path / "run/report.html").read_text()
    assert "<svg" in page
    assert "six steps" in page


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_others(
    make_recipe: MakeRecipe, root: Path, tmp_path: Path
) -> None:
    path = make_recipe(steps=2)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        go(path, root, tmp_path / name, f"seed={seed}")
    assert_equal(weights(tmp_path / "a"), weights(tmp_path / "b"))
    with pytest.raises(AssertionError):
        assert_equal(weights(tmp_path / "a"), weights(tmp_path / "c"))


@pytest.mark.parametrize("ema", slow_except([0.5], [None, 0.5]))
def test_resuming_is_bit_exact(make_recipe: MakeRecipe, root: Path, tmp_path: Path, ema: float | None) -> None:
    path = make_recipe(ema=ema)
    go(path, root, tmp_path / "whole")
    go(path, root, tmp_path / "parts", "stages.only.steps=4")
    shutil.rmtree(tmp_path / "parts/only/final")
    outcome, heard = go(path, root, tmp_path / "parts", resume="auto")
    assert outcome.signal == 0
    assert any("resuming at step 4" in line for line in heard.lines)
    assert_equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


@pytest.mark.slow
def test_a_damaged_checkpoint_is_passed_over(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    path = make_recipe()
    go(path, root, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut/only/final")
    newest = tmp_path / "cut/only/checkpoints/step-00000006/training.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    _, heard = go(path, root, tmp_path / "cut", resume="auto")
    assert any("warning" in line and "step-00000006" in line and "one before" in line for line in heard.lines)
    assert any("resuming at step 4" in line for line in heard.lines)
    assert_equal(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    steps = [json.loads(line)["step"] for line in (tmp_path / "cut/only/metrics.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 6]


@pytest.mark.slow
def test_a_finished_run_is_left_alone(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    path = make_recipe(steps=2)
    go(path, root, tmp_path / "run")
    with pytest.raises(UsageError, match="holds a training; resume it with --resume auto"):
        go(path, root, tmp_path / "run")
    _, heard = go(path, root, tmp_path / "run", resume="auto")
    assert any("is done" in line for line in heard.lines)


@pytest.mark.slow
def test_resuming_from_a_named_checkpoint(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    path = make_recipe()
    go(path, root, tmp_path / "run")
    before = weights(tmp_path / "run")
    _, heard = go(path, root, tmp_path / "run", resume=str(tmp_path / "run/only/checkpoints/step-00000002"))
    assert any("resuming at step 2" in line for line in heard.lines)
    assert_equal(before, weights(tmp_path / "run"))
    with pytest.raises(UsageError, match="is not a checkpoint of a training; name a folder step-"):
        go(path, root, tmp_path / "run", resume=str(tmp_path / "run/only/final"))


@pytest.mark.slow
def test_a_changed_recipe_is_told(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    path = make_recipe()
    go(path, root, tmp_path / "run", "stages.only.steps=2")
    _, heard = go(path, root, tmp_path / "run", "stages.only.optim.lr=5e-4", resume="auto")
    told = [line for line in heard.lines if "the recipe has changed" in line]
    assert any("optim.lr: 0.001, now 0.0005" in line for line in told)
    assert any("steps: 2, now 6" in line for line in told)


@pytest.mark.slow
def test_another_model_does_not_fit(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    path = make_recipe()
    go(path, root, tmp_path / "run", "stages.only.steps=2")
    with pytest.raises(CheckpointError, match="does not fit the recipe"):
        go(path, root, tmp_path / "run", "stages.only.model.transformer.queries=30", resume="auto")


def test_a_model_without_what_the_data_need(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"fss/train: is trained as fss, but model\.mask_encoder is null"):
        go(make_recipe(), root, tmp_path / "run", "stages.only.model.mask_encoder=null")
    model = tiny_config(classes=2).model_dump(mode="json")
    toy.images(root, Task.DETECTION, toy.scenes(4), "three", more_categories={1: "neither"})
    data = {"workers": 0, "sources": [{"index": "three/train", "categories": True}]}
    with pytest.raises(
        UsageError, match=r"three/train: has 3 categories, but model\.classes is 2; set model\.classes=3"
    ):
        go(make_recipe(data=data, model=model), root, tmp_path / "run")


@pytest.mark.slow
def test_stages_start_from_one_another(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    path = make_recipe(steps=2)
    one = load_recipe(path).model_dump(mode="json")
    first = one["stages"]["only"]
    first["model"] |= {"mask_encoder": None}
    first["data"]["sources"] = [{"index": "ris/train"}]
    second = load_recipe(path).model_dump(mode="json")["stages"]["only"] | {"init": {"stage": "first"}}
    two = tmp_path / "two.yaml"
    two.write_text(json.dumps({"run": one["run"], "stages": {"first": first, "second": second}}))
    with pytest.raises(UniRefError, match="starts from stage first, which is not done"):
        heard = Heard()
        train(TrainRequest(load_recipe(two), root, tmp_path / "run", ("second",), device="cpu"), heard)
    _, heard = go(two, root, tmp_path / "run")
    assert any("second: weights from" in line and "new: mask_encoder" in line for line in heard.lines)
    checkpoint = load_checkpoint(tmp_path / "run/second/final")
    assert checkpoint.model.mask_encoder is not None


@pytest.mark.slow
def test_a_step_that_is_not_finite_is_left_out(
    make_recipe: MakeRecipe, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from uniref.engine import loss_module

    original, calls = loss_module.LossModule.forward, []

    def sometimes_nan(self: loss_module.LossModule, *arguments: object) -> dict[str, torch.Tensor]:
        calls.append(arguments)
        terms = original(self, *arguments)
        return {name: term * float("nan") for name, term in terms.items()} if len(calls) == 3 else terms

    monkeypatch.setattr(loss_module.LossModule, "forward", sometimes_nan)
    _, heard = go(make_recipe(), root, tmp_path / "run")
    (told,) = [line for line in heard.lines if "not applied" in line]
    assert "step 2" in told
    guilty = calls[2][0].ids  # of two batches in the step, the first alone was bad
    assert f"(samples {', '.join(guilty)})" in told
    assert all(math.isfinite(record["gradient_norm"]) for record in heard.records if record["kind"] == "train")
    assert heard.records[-1]["bad_steps"] == 1
    assert all(torch.isfinite(tensor).all() for tensor in weights(tmp_path / "run").values())


def test_too_many_bad_steps_stop_with_the_state_saved(
    make_recipe: MakeRecipe, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from uniref.engine import loss_module

    original = loss_module.LossModule.forward

    def nan(self: loss_module.LossModule, *arguments: object) -> dict[str, torch.Tensor]:
        return {name: term * float("nan") for name, term in original(self, *arguments).items()}

    monkeypatch.setattr(loss_module.LossModule, "forward", nan)
    with pytest.raises(UniRefError, match="3 steps in a row without a finite loss"):
        go(make_recipe(), root, tmp_path / "run", "run.max_bad_steps=3")
    assert checkpointer.verify_checkpoint(tmp_path / "run/only/checkpoints/step-00000003").step == 3


@pytest.mark.parametrize("out", ["file", "file/run"])
def test_a_file_in_place_of_the_folder_is_named(make_recipe: MakeRecipe, root: Path, tmp_path: Path, out: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match=r"--out .*: .*file is a file; name a folder"):
        go(make_recipe(), root, tmp_path / out)
    assert (tmp_path / "file").read_text() == "mine"


def test_channels_last_trains_and_resumes_alike(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    """Weights differ by rounding alone, and checkpoints hold them as any other run's."""
    plain = make_recipe(steps=4)
    last = make_recipe("last", steps=4, channels_last=True)
    go(plain, root, tmp_path / "plain")
    go(last, root, tmp_path / "whole")
    for name, tensor in weights(tmp_path / "plain").items():
        torch.testing.assert_close(weights(tmp_path / "whole")[name], tensor, rtol=1e-2, atol=2e-3)
    go(last, root, tmp_path / "run", "stages.only.steps=2")
    shutil.rmtree(tmp_path / "run/only/final")
    go(last, root, tmp_path / "run", resume="auto")
    assert_equal(weights(tmp_path / "whole"), weights(tmp_path / "run"))
    with pytest.raises(UniRefError, match="cannot shard channels_last weights"):
        make_recipe(
            "sharded",
            channels_last=True,
            parallel="fsdp",
            data={"same_source_on_all_ranks": True, "sources": [{"index": "ris/train"}]},
        )
        load_recipe(tmp_path / "sharded.yaml")


def test_sigterm_saves_and_stops(
    make_recipe: MakeRecipe, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, steps = trainer.train_step, []

    def signalled(*arguments: object) -> object:
        steps.append(1)
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments)

    path = make_recipe(checkpoint={"every": 100, "keep": 1})
    go(path, root, tmp_path / "whole")
    monkeypatch.setattr(trainer, "train_step", signalled)
    outcome, heard = go(path, root, tmp_path / "run")
    assert outcome.signal == signal.SIGTERM
    assert any("finishing the step" in line for line in heard.lines)
    assert (tmp_path / "run/stopped").exists()
    monkeypatch.undo()
    go(path, root, tmp_path / "run", resume="auto")
    assert not (tmp_path / "run/stopped").exists()
    assert_equal(weights(tmp_path / "whole"), weights(tmp_path / "run"))


@pytest.mark.slow
def test_a_signal_to_the_whole_group_saves_too(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    """Clusters signal every process, also those that load data."""
    data = {"workers": 1, "augment": {"short_sides": [64], "max_long_side": 128}, "sources": [{"index": "ris/train"}]}
    path = make_recipe(steps=100_000, data=data, checkpoint={"every": 100_000, "keep": 1})
    command = [sys.executable, "-m", "uniref_cli.app", "train", str(path), "--root", str(root), "--device", "cpu"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "run"), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["step"] == 2
    os.killpg(process.pid, signal.SIGTERM)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, told
    (saved,) = checkpointer.checkpoint_folders(tmp_path / "run/only/checkpoints")
    assert checkpointer.verify_checkpoint(saved).step >= 2


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for the worker in /proc")
def test_a_killed_or_stuck_worker_ends_with_one_line_and_a_saved_state(
    make_recipe: MakeRecipe, root: Path, tmp_path: Path
) -> None:
    """The worker is killed outright; then, resumed, it waits for a file that nobody writes, and a stop is asked for."""
    shutil.copytree(root, tmp_path / "data")
    root = tmp_path / "data"
    data = {
        "workers": 1,
        "prefetch": 1,
        "augment": {"short_sides": [64], "max_long_side": 128},
        "sources": [{"index": "ris/train"}],
    }
    path = make_recipe(steps=100_000, data=data, checkpoint={"every": 100_000, "keep": 1})
    command = [sys.executable, "-m", "uniref_cli.app", "train", str(path), "--root", str(root), "--device", "cpu"]
    for how, code in (("killed", 1), ("stuck", 128 + signal.SIGTERM)):
        process = subprocess.Popen(
            [*command, "--out", str(tmp_path / "run"), "--json", "--resume", "auto"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["kind"] == "train"
        if how == "killed":
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            for worker in children.split():
                os.kill(int(worker), signal.SIGKILL)
        else:
            for image in [*root.rglob("*.jpg"), *root.rglob("*.png")]:
                image.unlink()
                os.mkfifo(image)
            time.sleep(3)
            process.send_signal(signal.SIGTERM)
        _, messages = process.communicate(timeout=120)
        assert process.returncode == code, messages
        assert "Traceback" not in messages
        if how == "killed":
            assert "a data loader worker died" in messages
            assert "the state is saved, resume with --resume auto" in messages
        (saved,) = checkpointer.checkpoint_folders(tmp_path / "run/only/checkpoints")
        assert checkpointer.verify_checkpoint(saved).step >= 2


KILLED = """
    import os, signal, sys
    from uniref.engine import checkpointer, trainer

    def now(*arguments):
        os.kill(os.getpid(), signal.SIGKILL)

    def half_written(content, path):
        save(content, path)
        os.truncate(path, path.stat().st_size // 2)
        now()

    def half_deleted(folder, *arguments):
        (checkpointer.checkpoint_folders(folder)[0] / checkpointer.TRAINING).unlink()
        now()

    save = checkpointer.torch.save
    owner, name, die = {
        "step": (trainer, "train_step", now),
        "writing": (checkpointer.torch, "save", half_written),
        "naming": (checkpointer, "sha256", now),
        "deleting": (checkpointer, "keep_last", half_deleted),
    }[sys.argv[1]]
    original, calls = getattr(owner, name), []

    def call(*arguments, **options):
        calls.append(1)
        return (die if len(calls) == int(sys.argv[2]) else original)(*arguments, **options)

    setattr(owner, name, call)
    from uniref_cli.app import run
    sys.exit(run(sys.argv[3:]))
"""
SEVERAL_WORKERS = {
    "workers": 2,
    "augment": {"short_sides": [64], "max_long_side": 128, "crop": 0},
    "sources": [{"index": f"{task}/train"} for task in ("ris", "fss", "vos", "rvos")],
}


@pytest.mark.slow
def test_killed_outright_and_resumed_gives_the_same_weights(
    make_recipe: MakeRecipe, root: Path, tmp_path: Path
) -> None:
    """A run is killed again and again: between steps, with half a state written, with all of it written but not named,
    and with an old checkpoint half deleted."""
    path = make_recipe(steps=10, data=SEVERAL_WORKERS, checkpoint={"every": 2, "keep": 2})
    go(path, root, tmp_path / "whole")
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(KILLED))
    arguments = ["train", str(path), "--root", str(root), "--out", str(tmp_path / "run"), "--device", "cpu", "-q"]
    folder = tmp_path / "run/only/checkpoints"
    for moment, count, left in (
        ("step", 4, [2]),
        ("writing", 1, [2]),
        ("naming", 10, [2, 4]),  # four files are checked when resuming, and four each time when saving
        ("deleting", 2, [4, 6, 8]),
    ):
        command = [sys.executable, str(script), moment, str(count), *arguments, "--resume", "auto"]
        dead = subprocess.run(command, capture_output=True, text=True, check=False)
        assert dead.returncode == -signal.SIGKILL, dead.stderr
        assert [int(each.name.removeprefix("step-")) for each in checkpointer.checkpoint_folders(folder)] == left, (
            moment
        )
    go(path, root, tmp_path / "run", resume="auto")
    assert_equal(weights(tmp_path / "whole"), weights(tmp_path / "run"))
    assert not list(folder.glob(".*"))
    assert [each.name for each in checkpointer.checkpoint_folders(folder)] == ["step-00000008", "step-00000010"]


@pytest.mark.slow
def test_killed_from_outside_at_any_moment(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    path = make_recipe(steps=24, data=SEVERAL_WORKERS, checkpoint={"every": 1, "keep": 2})
    go(path, root, tmp_path / "whole")
    command = [sys.executable, "-m", "uniref_cli.app", "train", str(path), "--root", str(root), "--device", "cpu"]
    moments = random.Random(5)  # noqa: S311 - no secret
    for _kill in range(2):
        process = subprocess.Popen(
            [*command, "--out", str(tmp_path / "run"), "--resume", "auto", "--json"],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout is not None
        for _ in range(moments.randint(1, 3)):
            assert process.stdout.readline()
        time.sleep(moments.uniform(0, 0.1))
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
    _, heard = go(path, root, tmp_path / "run", resume="auto")
    assert any("resuming at step" in line for line in heard.lines)
    assert_equal(weights(tmp_path / "whole"), weights(tmp_path / "run"))


@pytest.mark.slow
def test_going_back_leaves_the_later_checkpoints_until_there_is_a_new_one(
    make_recipe: MakeRecipe, root: Path, tmp_path: Path
) -> None:
    path = make_recipe()
    go(path, root, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/only/final")
    back = str(tmp_path / "run/only/checkpoints/step-00000002")
    go(path, root, tmp_path / "run", "stages.only.steps=3", resume=back)
    assert [each.name for each in checkpointer.checkpoint_folders(tmp_path / "run/only/checkpoints")] == [
        "step-00000002",
        "step-00000003",
    ]


@pytest.mark.slow
def test_half_precision_on_a_cpu_scales_its_gradients(make_recipe: MakeRecipe, root: Path, tmp_path: Path) -> None:
    path = make_recipe(precision="float16", steps=8)
    go(path, root, tmp_path / "whole")
    go(path, root, tmp_path / "parts", "stages.only.steps=4")
    shutil.rmtree(tmp_path / "parts/only/final")
    _, heard = go(path, root, tmp_path / "parts", resume="auto")
    assert_equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert heard.records[-1]["bad_steps"] == 0
    scale = checkpointer.read_training_state(
        checkpointer.verify_checkpoint(tmp_path / "parts/only/checkpoints/step-00000008")
    )["scaler"]["scale"]
    assert scale == 65536 / 2 ** heard.records[-1]["overflows"]
