"""Toy data of every task under one root, a perfect model, and the command on miniatures of published data sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.prepare.conftest import prepare  # noqa: F401 - a fixture
from tests.data.prepare.test_images import few_classes  # noqa: F401 - a fixture
from tests.data.toy import clips, images, scenes
from uniref.core import rle
from uniref.core.atomic import write_text_atomic
from uniref.core.tasks import Task
from uniref.evaluation import run
from uniref.evaluation.benchmark import Benchmark, frame_name
from uniref.evaluation.image_predictions import block_path
from uniref.evaluation.masks_on_disk import write_png
from uniref.evaluation.predict_clips import given_masks
from uniref.evaluation.score_images import truth_mask
from uniref.evaluation.store import Store
from uniref.evaluation.truth import ClipTruth
from uniref.inference.predictor import Predictor
from uniref_cli import app

Score = Callable[..., dict[str, Any]]

DATA = {
    Task.RIS: "toy-ris/train",
    Task.FSS: "toy-fss/train",
    Task.VOS: "toy-vos/train",
    Task.RVOS: "toy-rvos/train",
    Task.DETECTION: "toy-detection/train",
}


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Indexes named by `DATA`: pictures of two objects, and clips whose second object is absent in some frames."""
    folder = tmp_path_factory.mktemp("toys")
    for task in (Task.RIS, Task.FSS, Task.DETECTION):
        images(folder, task, scenes(6), name=f"toy-{task.value}")
    for task in (Task.VOS, Task.RVOS):
        clips(folder, task, 4, name=f"toy-{task.value}", frames=5, blue_frames=(0, 1, 4))
    return folder


def predict_truth(predictor: Predictor | None, store: Store, unit: int) -> None:
    """In the place of `run.predict_unit`: what a perfect model predicts."""
    benchmark = store.benchmark
    if benchmark.protocol.is_video:
        _true_clip(benchmark, unit, store.predictions)
        return
    lines = [_true_record(benchmark, unit, place) for place in range(len(benchmark.cases(unit)))]
    write_text_atomic(block_path(store.predictions, unit), "".join(f"{line}\n" for line in lines))


def _true_record(benchmark: Benchmark, unit: int, place: int) -> str:
    case = benchmark.cases(unit)[place]
    boxes = [benchmark.index.annotations(row).boxes[0].tolist() for row in case.sample.objects]
    if benchmark.protocol.task == Task.DETECTION:
        return json.dumps({"key": case.name, "boxes": boxes, "scores": [0.9] * len(boxes), "classes": None})
    mask = truth_mask(benchmark, case.sample)
    counts = rle.encode(mask).decode()
    return json.dumps({"key": case.name, "size": mask.shape, "counts": counts, "box": boxes[0], "score": 0.9})


def _true_clip(benchmark: Benchmark, unit: int, root: Path) -> None:
    for case in benchmark.cases(unit):
        media = benchmark.index.media(case.sample.media)
        folder = root / case.name
        folder.mkdir(parents=True)
        rows = benchmark.things(media) if benchmark.protocol.summary == "assigned" else case.sample.objects
        truth = ClipTruth(benchmark, case, [list(rows)] if benchmark.one_mask else [[row] for row in rows])
        ids = [benchmark.index.object(row).source_id for row in rows]
        for t in range(benchmark.first_frame(case.sample), media.length):
            masks = truth.masks(t)
            if benchmark.protocol.task == Task.VOS:  # a given mask is what the model shows there
                given = given_masks(benchmark, case).get(t, {})
                masks = [given.get(number, mask) for number, mask in zip(ids, masks, strict=True)]
            labels = sum(mask.astype("uint8") * number for mask, number in zip(masks, ids, strict=True))
            write_png(folder / f"{frame_name(media, t)}.png", masks[0] if benchmark.one_mask else labels)


@pytest.fixture
def perfect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models predict the truth."""
    monkeypatch.setattr(run, "predict_unit", predict_truth)


@pytest.fixture
def score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Score:
    """`score("davis17/val", predictions, *options)` runs the command; returns the split's entry of results.json."""

    def run(data: str, predictions: Path, *options: str) -> dict[str, Any]:
        out = tmp_path / f"out-{len(list(tmp_path.glob('out-*')))}"
        command = ["eval", "--predictions", str(predictions), "--data", data, "--root", str(tmp_path / "data")]
        code = app.run([*command, "--out", str(out), "--workers", "1", *options])
        assert code == 0, capsys.readouterr().err
        (found,) = json.loads((out / "results.json").read_text())["benchmarks"]
        return dict(found)

    return run
