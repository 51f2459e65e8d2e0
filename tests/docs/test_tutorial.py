"""The tutorial, from its first line to its last: the same commands on fewer samples and with fewer steps."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.docs.commands import ROOT, shown_in_blocks
from tests.labeling.clips import runs
from tests.labeling.conftest import settle
from uniref import Predictor
from uniref.labeling.session import LabelSession
from uniref_cli.app import run

PAGE = ROOT / "docs" / "tutorial.md"
FEWER = {
    "eval": ["--limit", "2", "--device", "cpu"],
    "train": ["--set", "stages.finetune.steps=2", "--set", "stages.finetune.checkpoint.every=2", "--device", "cpu"],
}
"""What is added to a command of the page, so that it ends soon."""


def programs() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def export_labels(clip: str, seed: int) -> None:
    """Label a clip of 16 frames and export it, as on the page."""
    frames = Path("clips") / clip
    frames.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for index in range(16):
        Image.fromarray(random.integers(0, 256, (48, 64, 3), np.uint8)).save(frames / f"{index:05d}.png")
    session = LabelSession(frames, Path("labels") / clip, lambda: Predictor.from_pretrained("small", device="cpu"))
    mask = np.zeros((48, 64), np.bool_)
    mask[10:30, 20:40] = True
    for number, name in ((1, f"the first thing of {clip}"), (2, "another one")):
        assert session.add_object(name) == number
        for index in range(16):
            session.set_mask(number, index, runs(np.roll(mask, 20 * (number - 1), 1)))
    session.export(["custom"])
    settle(session).close()


def test_exports_become_a_folder_for_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, clip in enumerate(("clip", "other", "third")):
        export_labels(clip, seed)
    _, of_exports = programs()
    exec(of_exports, {})  # noqa: S102 - our own page
    names = {f"{clip}-{frame:05d}" for clip in ("clip", "other") for frame in (0, 8)}
    assert {path.stem for path in Path("own/train/images").iterdir()} == names
    phrases = Path("own/train/phrases.csv").read_text("utf-8").splitlines()
    assert len(phrases) == 1 + 2 * len(names)
    assert "other-00008,1,the first thing of other" in phrases
    assert run(["prepare-data", "custom", "--source", "own", "--quiet"]) == 0
    manifest = json.loads(Path("data/index/custom/train/manifest.json").read_text("utf-8"))
    assert manifest["task"] == "ris"


@pytest.mark.slow
def test_every_command_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "recipes", "recipes")
    drawn, _ = programs()
    exec(drawn.replace("200", "8").replace("60", "4"), {})  # noqa: S102 - our own page
    commands = [shown for shown in shown_in_blocks(PAGE) if shown.needs is None]
    names = [shown.words[1] for shown in commands]
    assert names == ["prepare-data", "eval", "train", "train", "eval", "eval", "predict"]
    for shown in commands:
        arguments = list(shown.arguments or ())
        fewer = [] if "--table" in arguments or "runs/trial" in arguments else FEWER.get(arguments[0], [])
        assert run([*arguments, *fewer]) == 0, shown.place
    assert (tmp_path / "after" / "report.html").exists()
    assert (tmp_path / "out" / "000000" / "overlay.png").exists()
