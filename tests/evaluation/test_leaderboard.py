"""Several evaluations side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare
from tests.evaluation.masks import write_masks
from tests.evaluation.test_outputs import Page
from uniref.evaluation.dataset import open_dataset
from uniref_cli import app


def results(folder: Path, numbers: dict[str, dict[str, float]], **about: str) -> Path:
    """What an evaluation leaves, with these numbers."""
    benchmarks = [
        {
            "name": name,
            "numbers": values,
            "published": None,
            "complete": name != "mose/val",
            "missing": {"count": 3, "names": []},
            "notes": ["in two passes, both ways: not the published protocol"] if name == "mevis/val" else ["a note"],
        }
        for name, values in numbers.items()
    ]
    return build.write_json(folder / "results.json", {"uniref": "1", "about": about, "benchmarks": benchmarks})


def table(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    code = app.run(["eval", "--table", *map(str, arguments)])
    told = capsys.readouterr()
    assert code == 0, told.err
    return told.out


def cells(markdown: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in markdown.splitlines() if line[:1] == "|"]


def test_rows_are_checkpoints_and_published_numbers_stand_beside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One checkpoint on several data sets is one row; the best comparable number of a column is bold."""
    first = results(tmp_path / "a", {"davis17/val": {"J&F": 0.8391, "J": 0.8}}, checkpoint="runs/x", sha256="1")
    second = results(tmp_path / "b", {"mose/val": {"J&F": 0.99}, "mevis/val": {"J&F": 0.98}}, sha256="1")
    third = results(tmp_path / "c", {"mose/val": {"J&F": 0.5}, "davis17/val": {"J&F": 0.7}}, predictions="their masks")
    told = table(capsys, first, second.parent, third)
    assert cells(told) == [
        ["checkpoint", "davis17/val J&F", "mose/val J&F", "mevis/val J&F"],
        ["---", "--:", "--:", "--:"],
        ["video-joint R50, published", "81.5", "", ""],
        ["video-joint Swin-L, published", "**83.9**", "", ""],
        ["runs/x", "**83.9**", "99.0†", "98.0‡"],
        ["their masks", "70.0", "50.0†", ""],
    ]
    assert "† incomplete: 3 predictions are missing" in told
    assert "‡ in two passes, both ways: not the published protocol" in told
    assert told.rstrip().endswith("published: model zoo of the official repository")
    assert "a note" not in told


def test_metrics_and_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, v in (("a", 0.1), ("b", 0.2)):
        results(tmp_path / name, {"lvos/val": {"J&F": 0.5, "V": v}})
    told = table(capsys, f"ours={tmp_path / 'a'}", f"x|y={tmp_path / 'b'}", "--metric", "V")
    assert cells(told)[2:] == [["ours", "**10.0**"], ["x\\|y", "20.0"]]  # less is better
    records = table(capsys, f"ours={tmp_path / 'a'}", "--json").splitlines()
    published, own = [json.loads(line) for line in records][-2:]
    assert (published["name"], published["source"]) == (
        "video-joint Swin-L, published",
        "model zoo of the official repository",
    )
    number = {"data": "lvos/val", "metric": "J&F", "percent": 50.0, "remarks": []}
    assert own == {"name": "ours", "source": "", "numbers": [number]}


def test_latex_and_html_escape_what_they_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = f"50% <b>_x_&co={results(tmp_path / 'a', {'mose/val': {'J&F': 0.5}})}"
    latex = table(capsys, source, "--format", "latex").splitlines()
    assert latex[1:4] == ["\\begin{tabular}{lr}", "\\toprule", " & mose/val \\\\"]
    assert "50\\% <b>\\_x\\_\\&co & 50.0$^\\dagger$ \\\\" in latex
    (tmp_path / "t.html").write_text(table(capsys, source, "--format", "html"), "utf-8")
    page = Page(tmp_path / "t.html")
    assert "50% <b>_x_&co" in page.text
    assert "script" not in page.tags


def test_a_real_evaluation(tmp_path: Path, prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    build.davis(tmp_path / "d")
    prepare("davis17", tmp_path / "d", "val")
    masks = write_masks(open_dataset(tmp_path / "data", "davis17/val"), tmp_path / "p")
    command = ["eval", "--predictions", str(masks), "--data", "davis17/val", "--root", str(tmp_path / "data")]
    assert app.run([*command, "--limit", "1", "--out", str(tmp_path / "out"), "--workers", "1"]) == 0
    told = table(capsys, f"perfect={tmp_path / 'out'}")
    assert cells(told)[-1] == ["perfect", "100.0†"]
    assert "† only the first 1 videos: not comparable with published numbers" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--table: name results.json files, or their folders"),
        (["missing"], "missing: no such file"),
        (["other.json"], "other.json: is not the results.json of an evaluation"),
        (["old.json"], "old.json: is damaged, or of another version of uniref"),
        (["percent"], "percent/results.json: is damaged, or of another version of uniref"),
        (["nan"], "nan/results.json: is damaged, or of another version of uniref"),
        (["truth"], "truth/results.json: is damaged, or of another version of uniref"),
        (["empty"], "empty: holds no numbers"),
        (["good", "--metric", "AP"], "--metric AP: none of these evaluations has it"),
        (["good", "--data", "davis17/val"], "--table: shows earlier results"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) and value else "",
)
def test_bad_input(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    results(tmp_path / "good", {"davis17/val": {"J&F": 0.5}})
    for name, value in {"percent": 55.0, "nan": float("nan"), "truth": True}.items():
        results(tmp_path / name, {"davis17/val": {"J&F": value}})
    results(tmp_path / "empty", {"davis17/val": {}})
    old: dict[str, Any] = {"uniref": "1", "about": {}, "benchmarks": [{"name": "davis17/val"}]}
    build.write_json(tmp_path / "old.json", old)
    build.write_json(tmp_path / "other.json", [1])
    assert app.run(["eval", "--table", *arguments]) in (1, 2)
    captured = capsys.readouterr()
    assert message in captured.err
    assert (captured.out, captured.err.count("\n")) == ("", 1)


def test_metrics_belong_to_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["eval", "--data", "davis17/val", "--metric", "J"]) == 2
    assert "--metric: belongs to --table" in capsys.readouterr().err
    assert app.run(["eval", "out", "--data", "davis17/val"]) == 2
    assert "out: belongs to --table" in capsys.readouterr().err
