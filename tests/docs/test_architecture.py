"""ARCHITECTURE.md names what exists, and the ways that it describes are as short as it says."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from uniref.losses.terms import dice_loss
from uniref.model.deformable_transformer import DeformableTransformer
from uniref_cli.app import run

ROOT = Path(__file__).parents[2]
COMPREHENSIONS = ("<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>")  # no frames of their own from Python 3.12 on
PAGE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")


def rows() -> Iterator[tuple[str, str]]:
    """File and name of each row of the tables."""
    for line in PAGE.splitlines():
        if match := re.fullmatch(r"\| [^|]+ \| `([\w/.]+)` \| (.+) \|", line):
            for name in re.findall(r"`([\w.]+)`", match[2]):
                yield match[1], name


def test_every_path_exists() -> None:
    paths = set(re.findall(r"`((?:uniref|uniref_cli|uniref_scenes|recipes|benchmarks)/[\w/.]*)`", PAGE))
    assert len(paths) > 25
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_every_function_of_the_tables_stands_in_its_file() -> None:
    found = list(rows())
    assert len(found) > 25
    for path, name in found:
        files = [ROOT / path] if (ROOT / path).is_file() else list((ROOT / path).glob("*.py"))
        text = "\n".join(file.read_text("utf-8") for file in files)
        for part in name.split("."):
            assert re.search(rf"^\s*(def|class) {part}\b", text, re.MULTILINE), f"{path}: {name}"


def deepest(target: Callable[[FrameType], bool], command: list[str]) -> list[str]:
    """The longest chain of the package's functions from the command to a function, while the command runs."""
    best: list[str] = []

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or not target(frame):
            return
        chain: list[str] = []
        step: FrameType | None = frame
        while step is not None:
            module, name = step.f_globals.get("__name__", ""), step.f_code.co_name
            if module.startswith("uniref") and name not in COMPREHENSIONS:
                chain.append(f"{module}:{name}")
            step = step.f_back
        if len(chain) > len(best):
            best[:] = reversed(chain)

    sys.setprofile(watch)
    try:
        assert run(command) == 0
    finally:
        sys.setprofile(None)
    start = f"uniref_cli.{command[0]}:{command[0]}"
    assert start in best, best
    return best[best.index(start) :]


@pytest.mark.slow
def test_at_most_eight_calls_lead_from_predict_to_the_network(
    checkpoint: Path, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    def network(frame: FrameType) -> bool:
        return frame.f_code.co_name == "forward" and type(frame.f_locals.get("self")) is DeformableTransformer

    command = ["predict", str(make_video()), "--text", "a disk", "--checkpoint", str(checkpoint)]
    options = ["--save", "masks", "--out", str(tmp_path / "out"), "--quiet", "--device", "cpu"]
    chain = deepest(network, command + options)
    assert len(chain) - 1 <= 8, chain


@pytest.mark.slow
def test_at_most_eight_calls_lead_from_train_to_a_loss_term(tmp_path: Path) -> None:
    root = tmp_path / "data"
    small = ["--images", "12", "--clips", "4", "--size", "96"]
    assert run(["prepare-data", "synthetic", "--root", str(root), *small, "--quiet"]) == 0
    changes = [
        "stages.detect.steps=1",
        "stages.refer.steps=1",
        "stages.refer.evaluation=null",
        "defaults.data.workers=0",
    ]
    options = [word for change in changes for word in ("--set", change)]
    command = ["train", str(ROOT / "recipes" / "debug.yaml"), "--root", str(root), "--out", str(tmp_path / "run")]
    chain = deepest(lambda frame: frame.f_code is dice_loss.__code__, [*command, *options, "--device", "cpu"])
    assert len(chain) - 1 <= 8, chain
