"""What a command or an import loads: only what it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from uniref.version import __version__

HEAVY = {"torch", "torchvision", "timm", "transformers", "numpy", "scipy", "decord", "PIL", "yaml"}
DATA_ONLY = {"pyarrow", "ijson", "pycocotools", "tensorboard", "py7zr"}
TRAINING_OR_DATA = ("uniref.engine", "uniref.losses", "uniref.evaluation", "uniref.data.index", "uniref.data.prepare")


def modules_after(code: str, *arguments: object) -> set[str]:
    """The modules that a fresh process has loaded after running the code."""
    report = "import atexit, json, sys; atexit.register(lambda: print('\\n' + json.dumps(list(sys.modules))))\n"
    command = [sys.executable, "-c", report + code, *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "RANK"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def modules_after_command(*arguments: object) -> set[str]:
    return modules_after("from uniref_cli.app import run; sys.exit(run(sys.argv[1:]))", *arguments)


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("--version",), ("predict", "--help"), ("label", "--help"), ("train", "--help"), ("eval", "--help")],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    code = "from uniref_cli.app import run; run(sys.argv[1:])"
    assert modules_after(code, *arguments) & (HEAVY | DATA_ONLY) == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ("eval", "--checkpoint", "missing", "--data", "davis17/val"),
        ("eval", "--checkpoint", "small", "--data", "davis17/val", "--root", "missing"),
        ("train", "missing.yaml", "--dry-run"),
        ("prepare-data", "--list"),
        ("convert", "--list"),
        ("label", "missing.mp4"),
    ],
    ids=" ".join,
)
def test_without_a_model_no_command_loads_pytorch(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """It takes seconds; an error about a name is told before."""
    code = f"import os; os.chdir({str(tmp_path)!r}); from uniref_cli.app import run; run(sys.argv[1:])"
    heavy = {"torch", "torchvision", "timm", "transformers", "scipy", "decord", "tensorboard"}
    assert modules_after(code, *arguments) & heavy == set()


def test_the_label_page_is_there_before_pytorch() -> None:
    """The model is loaded in the background, while the page is shown."""
    loaded = modules_after("import uniref.labeling.session, uniref.labeling.server, uniref.inference.sinks")
    assert loaded & {"torch", "torchvision", "timm", "transformers", "decord"} == set()


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = modules_after(f"import uniref; assert uniref.__version__ == {__version__!r}")
    assert loaded & (HEAVY | DATA_ONLY | {"pydantic"}) == set()


@pytest.mark.slow
def test_the_predictor_loads_nothing_of_data_sets_and_training() -> None:
    loaded = modules_after("from uniref import Predictor")
    assert "torch" in loaded
    assert loaded & DATA_ONLY == set()
    assert [name for name in loaded if name.startswith(TRAINING_OR_DATA)] == []


@pytest.mark.slow
def test_predicting_loads_nothing_of_data_sets_and_training(
    checkpoint: Path, png: Path, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    inputs, out = (png, make_video(frames=2)), tmp_path / "out"
    loaded = modules_after_command("predict", *inputs, "--text", "dog", "--checkpoint", checkpoint, "--out", out)
    assert len(list(out.glob("*/masks/*.png"))) == 2
    assert loaded & DATA_ONLY == set()
    assert [name for name in loaded if name.startswith(TRAINING_OR_DATA)] == []
