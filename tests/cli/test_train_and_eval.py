"""`uniref train` and `uniref eval` as a user runs them, one after the other."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.engine.conftest import make_recipe, root  # noqa: F401 - fixtures
from uniref.data.index import Index
from uniref.media.mask import write_labels
from uniref_cli.app import run

Make = Callable[..., Path]


def test_train_then_eval(
    make_recipe: Make,  # noqa: F811
    root: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe, out = make_recipe(steps=2, sides=[64, 128]), tmp_path / "run"
    common = ["--root", str(root), "--device", "cpu"]
    assert run(["train", str(recipe), "--out", str(out), *common, "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["step"] for record in records] == [2]
    assert run(["train", str(recipe), "--out", str(out), *common]) == 2
    assert "--resume auto" in capsys.readouterr().err

    found = tmp_path / "results"
    data = ["--data", "ris/train,vos/train", "--data", "fss/train"]
    command = ["eval", "--checkpoint", str(out / "only/final"), *data, *common, "--subset", "2", "--out", str(found)]
    assert run(command) == 0
    told = capsys.readouterr().out
    assert "oIoU" in told
    assert "J&F" in told
    results = json.loads((found / "results.json").read_text())
    assert "report.html" in {path.name for path in found.iterdir()}
    with (found / "per_sequence.csv").open() as file:
        assert len(list(csv.DictReader(file))) > 0
    # what is done is not done again, and gives the same numbers
    assert run(command) == 0
    again = json.loads((found / "results.json").read_text())
    assert {k: v for k, v in again.items() if k != "date"} == {k: v for k, v in results.items() if k != "date"}


@pytest.mark.slow
def test_preview_and_dry_run(
    make_recipe: Make,  # noqa: F811
    root: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe, out = make_recipe(), tmp_path / "run"
    assert run(["train", str(recipe), "--root", str(root), "--out", str(out), "--preview", "4"]) == 0
    assert (out / "preview-only.png").stat().st_size > 1000
    assert run(["train", str(recipe), "--root", str(root), "--device", "cpu", "--dry-run"]) == 0
    assert "global batch 4 = 2 per device x 1 process (cpu) x 2 accumulated" in capsys.readouterr().out
    assert not (out / "only").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "nowhere.yaml"], "nowhere.yaml"),
        (["eval", "--checkpoint", "c"], "--data"),
        (["eval", "--checkpoint", "nowhere", "--data", "davis17/val"], "nowhere: no such checkpoint"),
    ],
)
def test_bad_requests_get_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) in (1, 2)
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_masks_of_another_tool(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """The truth itself scores 1; a missing frame is named."""
    index = Index.open(root / "index/vos/train")
    for row in range(len(index)):
        sample = index.sample(row)
        media = index.media(sample.media)
        tracks = {index.object(each).source_id: index.annotations(each) for each in sample.objects}
        for frame in range(media.length):
            labels = np.zeros((media.height, media.width), np.uint8)
            for number, track in tracks.items():
                place = track.at(frame)
                mask = None if place is None else track.mask(place)
                if mask is not None:
                    labels[mask] = number
            path = tmp_path / "masks" / media.name / Path(media.frames[frame]).with_suffix(".png").name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_labels(path, labels)
    command = ["eval", "--predictions", str(tmp_path / "masks"), "--data", "vos/train", "--root", str(root)]
    assert run([*command, "--out", str(tmp_path / "one"), "--json"]) == 0
    assert '"J&F": 1.0' in capsys.readouterr().out
    path.unlink()
    assert run([*command, "--out", str(tmp_path / "two")]) == 1
    assert path.name in capsys.readouterr().err
    assert run([*command, "--out", str(tmp_path / "three"), "--allow-missing"]) == 0
    assert "incomplete" in capsys.readouterr().out
