"""What an evaluation leaves behind: table, results.json, per_sequence.csv, report.html; and how it names bad input."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare
from tests.evaluation.conftest import DATA
from tests.evaluation.masks import Masks, write_masks
from tests.tiny import tiny_config
from uniref.core.tasks import Task
from uniref.evaluation.dataset import EvalItem, open_dataset
from uniref.evaluation.shard_store import ShardStore
from uniref.model.text import TextTokenizer
from uniref.model.uniref import UniRef
from uniref.recipe.model import BackboneConfig
from uniref.weights.checkpoint import save_checkpoint
from uniref.weights.checkpoint_config import CheckpointMetadata
from uniref_cli import app

Eval = Callable[..., tuple[int, Path, str, str]]


@pytest.fixture
def evaluated(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> Eval:
    """`evaluated(data, predictions, *options)`: exit code, output folder, stdout and stderr."""

    def run(data: str, predictions: Path, *options: str, root: Path = root) -> tuple[int, Path, str, str]:
        capsys.readouterr()
        out = tmp_path / f"out-{len(list(tmp_path.glob('out-*')))}"
        command = ["eval", "--predictions", str(predictions), "--data", data, "--root", str(root), "--out", str(out)]
        code = app.run([*command, "--workers", "1", *options])
        told = capsys.readouterr()
        return code, out, told.out, told.err

    return run


def entry(out: Path) -> dict[str, Any]:
    (found,) = json.loads((out / "results.json").read_text())["benchmarks"]
    return dict(found)


def lines(out: Path) -> list[dict[str, str]]:
    with (out / "per_sequence.csv").open() as file:
        return list(csv.DictReader(file))


class Page(HTMLParser):
    """What a report refers to and shows."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_report_of_expressions(evaluated: Eval, root: Path, tmp_path: Path) -> None:
    def worse(item: EvalItem, frame: int, masks: Masks) -> Masks:
        return {1: np.roll(masks[1], item.sample.row, 1)}

    dataset = open_dataset(root, DATA[Task.RIS])
    code, out, told, _ = evaluated(DATA[Task.RIS], write_masks(dataset, tmp_path / "p", worse))
    assert code == 0
    assert "oIoU" in told
    page = Page(out / "report.html")
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)  # nothing from outside
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert (len(page.sources), page.tags.count("svg")) == (9, 1)
    best, median, worst = re.findall(r"(Best|Median|Worst)(.*?)(?=Median|Worst|$)", page.text, re.DOTALL)
    shown = [[float(x) for x in re.findall(r"IoU ([\d.]+) %", part[1])] for part in (best, median, worst)]
    scores = sorted((round(100 * float(row["IoU"]), 1) for row in lines(out)), reverse=True)
    assert shown == [scores[:3], scores[5:8], scores[:-4:-1]]
    assert "the left-most thing" in page.text  # the expression
    assert re.search(r"the line is their mean, [\d.]+ %", page.text)


def test_numbers_are_shown_in_percent_with_two_digits(evaluated: Eval, root: Path, tmp_path: Path) -> None:
    def worse(item: EvalItem, frame: int, masks: Masks) -> Masks:
        return {1: np.roll(masks[1], item.sample.row, 1)}

    _, out, told, _ = evaluated(DATA[Task.RIS], write_masks(open_dataset(root, DATA[Task.RIS]), tmp_path / "p", worse))
    numbers = {metric: f"{100 * value:.2f}" for metric, value in entry(out)["numbers"].items()}
    assert not numbers["oIoU"].endswith("0")  # or fewer digits would look the same
    # on the terminal: data, metric, number
    rows = [line.split() for line in told.splitlines()]
    assert ["data", "metric", "%", "published"] in rows
    assert [DATA[Task.RIS], "oIoU", numbers["oIoU"]] in rows
    assert ["mIoU", numbers["mIoU"]] in rows
    # in the report: the headline among all data sets, then every metric of this one
    page = (out / "report.html").read_text("utf-8")
    cells = re.findall(r'<tr><td>(?:[^<]*)</td>(?:<td>[^<]*</td>)?<td class="n">[^<]*</td>', page)
    shown = [re.findall(r">([^<>]+)<", cell) for cell in cells]
    assert shown[0] == [DATA[Task.RIS], "oIoU", numbers["oIoU"]]
    assert shown[1:] == [list(pair) for pair in numbers.items()]


def decoded(source: str) -> np.ndarray:
    import base64
    import io

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


def test_report_of_clips_shows_filmstrips(evaluated: Eval, root: Path, tmp_path: Path) -> None:
    dataset = open_dataset(root, DATA[Task.VOS])

    def swapped(item: EvalItem, frame: int, masks: Masks) -> Masks:
        return masks if item.sample.row else {n: np.zeros_like(mask) for n, mask in masks.items()}

    _, out, _, _ = evaluated(DATA[Task.VOS], write_masks(dataset, tmp_path / "p", swapped))
    page = Page(out / "report.html")
    height, width = decoded(page.sources[0]).shape[:2]
    assert width > 2 * height  # four counted frames beside each other, two rows
    numbers = entry(out)["numbers"]
    # the blue object is not in frames 2 and 3: an empty mask is right there, in whatever clip
    assert (numbers["no-object accuracy"], numbers["presence accuracy"]) == (1, 1 - (4 + 2) / 32)
    rows = lines(out)
    assert [row["frames"] for row in rows] == ["4"] * 8
    assert {"J recall", "J decay", "F recall", "F decay", "V", "jitter", "size"} <= rows[0].keys()


def test_report_of_boxes(evaluated: Eval, root: Path, tmp_path: Path) -> None:
    index = open_dataset(root, DATA[Task.DETECTION]).index
    found = [
        {"image_id": -1, "category_id": index.object(row).category, "bbox": [0, 0, 9, 9], "score": 0.5}
        for row in index.media(0).objects
    ]
    code, out, _, err = evaluated(DATA[Task.DETECTION], build.write_json(tmp_path / "boxes.json", found))
    assert code == 0, err
    page = Page(out / "report.html")
    assert len(page.sources) == 6
    assert "IoU of the best box for every object" in page.text
    assert [row["target"] for row in lines(out)] == ["2 boxes"] * 6
    assert entry(out)["scored"] == 6


@pytest.mark.parametrize("task", [Task.VOS, Task.RIS])
def test_missing_masks(task: Task, evaluated: Eval, root: Path, tmp_path: Path) -> None:
    """They are named and nothing is scored; with --allow-missing every output says it."""
    dataset = open_dataset(root, DATA[task])
    masks = write_masks(dataset, tmp_path / "p")
    gone = masks / ("1/00010.png" if task is Task.VOS else f"{dataset.items(0)[2].name}.png")
    gone.unlink()
    name = gone.relative_to(masks).as_posix().removesuffix("" if task is Task.VOS else ".png")
    code, out, _, err = evaluated(DATA[task], masks)
    assert code == 1
    assert f"{DATA[task]}: {name}: is missing" in err
    assert "--allow-missing" in err
    assert not (out / "results.json").exists()

    code, out, told, err = evaluated(DATA[task], masks, "--allow-missing")
    assert code == 0
    assert "incomplete: 1 missing" in told
    assert "incomplete" in err
    record = entry(out)
    assert (record["complete"], record["missing"]["names"]) == (False, [name])
    assert "incomplete: 1 missing" in Page(out / "report.html").text
    assert sum(int(row["missing"]) for row in lines(out)) == (2 if task is Task.VOS else 1)  # both objects of the frame
    _, _, told, _ = evaluated(DATA[task], masks, "--allow-missing", "--json")
    assert json.loads(told)["complete"] is False


def test_bad_masks_are_named(evaluated: Eval, root: Path, tmp_path: Path) -> None:
    masks = write_masks(open_dataset(root, DATA[Task.VOS]), tmp_path / "p")
    Image.new("P", (9, 9)).save(masks / "0/00005.png")
    build.label_map(masks / "1/00005.png", {200: (0, 0, 5, 5)}, 48, 64)
    (masks / "2/00005.png").write_bytes(b"no")
    (masks / "3/notes.txt").write_text("")
    (masks / "more").mkdir()
    code, _, _, err = evaluated(DATA[Task.VOS], masks, "--allow-missing")
    assert code == 1
    for line in (
        "more: unexpected file, not used",
        "3/notes.txt: unexpected file, not used",
        "0/00005.png: is 9 x 9, the frame 64 x 48",
        "1/00005.png: shows object 200; the objects here are",
        "2/00005.png: is not an image",
    ):
        assert f"uniref: warning: {DATA[Task.VOS]}: {line}" in err
    assert err.splitlines()[-1].startswith("uniref: error: 3 predictions are missing or cannot be used")


def test_many_bad_masks_go_to_a_file(evaluated: Eval, root: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("uniref_cli.eval_runner._LISTED", 2)
    masks = write_masks(open_dataset(root, DATA[Task.VOS]), tmp_path / "p")
    for path in masks.rglob("00005.png"):
        path.unlink()
    code, out, _, err = evaluated(DATA[Task.VOS], masks)
    assert code == 1
    assert f"and 2 more; {out}/bad-files.txt has all of them" in err
    assert len((out / "bad-files.txt").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"key": "a"}', "line 1: needs key, size and counts"),
        ('\n{"key"', "line 2: is not valid JSON"),
        ("[]", "line 1: must be a JSON object"),
        ('{"key": "a", "size": 3, "counts": "0"}', "line 1: size is"),
        ('{"key": "a", "size": [3, 3], "counts": [9]}', "line 1: size is"),
        ('{"key": "a", "size": [3, 3], "counts": "9"}\n' * 2, "line 2: is a second prediction for a"),
    ],
)
def test_bad_run_lengths_are_named(text: str, message: str, evaluated: Eval, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p/all.jsonl").write_text(text)
    code, _, _, err = evaluated(DATA[Task.RIS], tmp_path / "p")
    assert code == 1
    assert err.startswith(f"uniref: error: {tmp_path}/p/all.jsonl: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({}, "is not a valid COCO results file, which is a list of boxes"),
        ([{"image_id": 1}], "result 0: needs image_id, category_id, bbox of four numbers, and score"),
        ([{"image_id": 1, "category_id": 7, "bbox": [1, 2, 3], "score": 1}], "result 0: needs image_id"),
        ([{"image_id": 1, "category_id": 8, "bbox": [1, 2, 3, 4], "score": 1}], "has no category 8"),
    ],
)
def test_bad_boxes_are_named(results: Any, message: str, evaluated: Eval, tmp_path: Path) -> None:
    path = build.write_json(tmp_path / "boxes.json", results)
    code, _, _, err = evaluated(DATA[Task.DETECTION], path)
    assert code == 1
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_published_numbers_stand_beside_a_released_checkpoint(
    tmp_path: Path, prepare: Prepare, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(backbone=BackboneConfig(name="resnet50"))
    (tmp_path / "r50").mkdir()
    source = CheckpointMetadata(model=config, source={"file": "video-joint_r50.pth"})
    save_checkpoint(tmp_path / "r50", UniRef(config).state_dict(), source, TextTokenizer.bert_base_uncased())
    build.refcoco(tmp_path / "r", splits=("train", "val"))
    prepare("refcoco", tmp_path / "r", "val")
    build.davis(tmp_path / "d")
    prepare("davis17", tmp_path / "d", "val")
    capsys.readouterr()
    out = tmp_path / "out"
    command = ["eval", "--checkpoint", str(tmp_path / "r50"), "--data", "refcoco/val,davis17/val", "--device", "cpu"]
    sizes = ["--short-side", "32", "--long-side", "64"]
    assert app.run([*command, *sizes, "--root", str(tmp_path / "data"), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert re.search(r"refcoco/val +oIoU +[\d.]+ +75\.6\n", told)
    assert re.search(r"davis17/val +J&F +[\d.]+ +81\.5\n", told)
    assert "published: video-joint R50, model zoo of the official repository" in told
    refcoco, davis = json.loads((out / "results.json").read_text())["benchmarks"]
    assert (refcoco["published"]["percent"], davis["published"]["measure"]) == (75.6, "J&F")
    assert "81.5 (video-joint R50, model zoo of the official repository)" in Page(out / "report.html").text


def test_names_and_texts_of_strangers_run_nowhere(tmp_path: Path, evaluated: Eval) -> None:
    own, name = tmp_path / "own", "=1+1<script>alert(1)<"
    texts = ["=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(1)", "\t=1", "<img src=x onerror=alert(2)>", 'a "quoted" dog']
    build.picture(own / f"images/{name}.jpg")
    build.label_map(own / f"masks/{name}.png", {1: (2, 3, 8, 9)})
    with (own / "phrases.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "object", "phrase"])
        writer.writerows([name, 1, text] for text in texts)
    request = ["prepare-data", "custom", "--root", str(tmp_path / "data"), "--source", str(own), "--quiet"]
    assert app.run([*request, "--split", "train"]) == 0
    root = tmp_path / "data"
    (data,) = [path.parent.relative_to(root / "index").as_posix() for path in root.rglob("manifest.json")]
    dataset = open_dataset(root, data)
    code, out, _, err = evaluated(data, write_masks(dataset, tmp_path / "p"), root=root)
    assert code == 0, err
    html = (out / "report.html").read_text("utf-8")
    page = Page(out / "report.html")
    assert "script" not in page.tags
    assert all(source.startswith("data:image/") for source in page.sources)
    assert "<script" not in html
    assert "onerror=alert" not in html.replace("&lt;img src=x onerror=alert(2)&gt;", "")
    for row in lines(out):
        for cell in row.values():
            assert not cell.lstrip().startswith(("=", "+", "@")), row
        assert not row["text"].startswith("-")


def test_files_of_others_stay(evaluated: Eval, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = open_dataset(root, DATA[Task.VOS])
    predictions = write_masks(dataset, tmp_path / "p")
    out = tmp_path / "mine"
    out.mkdir()
    request = ["eval", "--predictions", str(predictions), "--data", DATA[Task.VOS], "--root", str(root), "--out"]
    # names of ours that others wrote
    for name in ("results.json", "report.html", "per_sequence.csv", "bad-files.txt"):
        (out / name).write_text("precious")
        assert app.run([*request, str(out), "--workers", "1"]) == 2
        assert f"{name}: was not written by uniref" in capsys.readouterr().err
        assert (out / name).read_text() == "precious"
        (out / name).unlink()
    assert app.run([*request, str(out), "--workers", "1"]) == 0
    # files beside ours, and a link to a folder
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "file").write_text("precious")
    below = out / dataset.folder
    names = [".git/HEAD", ".env", "note.txt", "scores/1.json", "predictions/mine/painting.png", "predictions/note.png"]
    for name in names:
        (below / name).parent.mkdir(parents=True, exist_ok=True)
        (below / name).write_text("precious")
    (below / ".link").symlink_to(tmp_path / "linked")
    capsys.readouterr()
    assert app.run([*request, str(out), "--workers", "1", "--overwrite"]) == 0
    told = capsys.readouterr().err
    assert all(f"{name}: is kept" in told for name in (*names, ".link"))
    assert all((below / name).read_text() == "precious" for name in names)
    assert (below / ".link" / "file").read_text() == "precious"


def test_a_note_in_a_folder_of_masks_is_no_prediction(root: Path, tmp_path: Path) -> None:
    dataset = open_dataset(root, DATA[Task.VOS])
    store = ShardStore(dataset, tmp_path)
    write_masks(dataset, store.predictions)
    assert store.is_predicted(0)
    notes = [build.write_text(store.predictions / item.name / "note.txt", "precious") for item in dataset.items(0)]
    assert store.remove_predictions() == [note.relative_to(store.predictions).as_posix() for note in notes]
    assert not store.is_predicted(0)
