"""The tutorial, from its first line to its last: the same commands on fewer samples and with fewer steps."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.docs.commands import ROOT, shown_in_blocks
from uniref_cli.app import run
from uniref_scenes import SceneOptions, write_scenes

PAGE = ROOT / "docs" / "tutorial.md"
FEWER = {
    "eval": ["--limit", "2", "--device", "cpu"],
    "train": ["--set", "stages.finetune.steps=2", "--set", "stages.finetune.checkpoint.every=2", "--device", "cpu"],
}
"""What is added to a command of the page, so that it ends soon."""


def programs() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def test_clips_become_images_with_the_phrases_of_what_is_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for split, seed in (("train", 7), ("val", 8)):
        write_scenes(Path("clips") / split, "novel", 3, SceneOptions(size=96, frames=16, seed=seed))
    _, of_clips = programs()
    exec(of_clips, {})  # noqa: S102 - our own page
    assert len(list(Path("own/train/images").iterdir())) == 6  # two of 16 frames of each clip
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
