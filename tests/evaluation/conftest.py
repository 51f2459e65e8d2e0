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
from uniref.evaluation import predict
from uniref.evaluation.dataset import EvalDataset, frame_name
from uniref.evaluation.predict import given_masks
from uniref.evaluation.prediction_files import block_path, write_png
from uniref.evaluation.score_images import ground_truth_mask
from uniref.evaluation.shard_store import ShardStore
from uniref.evaluation.track_scores import VideoGroundTruth
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


def predict_truth(predictor: Predictor | None, store: ShardStore, shard: int) -> None:
    """In the place of `predict.predict_shard`: what a perfect model predicts."""
    dataset = store.dataset
    if dataset.protocol.is_video:
        _true_video(dataset, shard, store.predictions)
        return
    lines = [_true_record(dataset, shard, place) for place in range(len(dataset.items(shard)))]
    write_text_atomic(block_path(store.predictions, shard), "".join(f"{line}\n" for line in lines))


def _true_record(dataset: EvalDataset, shard: int, place: int) -> str:
    item = dataset.items(shard)[place]
    boxes = [dataset.index.annotations(row).boxes[0].tolist() for row in item.sample.objects]
    if dataset.protocol.task == Task.DETECTION:
        return json.dumps({"key": item.name, "boxes": boxes, "scores": [0.9] * len(boxes), "classes": None})
    mask = ground_truth_mask(dataset, item.sample)
    counts = rle.encode(mask).decode()
    return json.dumps({"key": item.name, "size": mask.shape, "counts": counts, "box": boxes[0], "score": 0.9})


def _true_video(dataset: EvalDataset, shard: int, root: Path) -> None:
    for item in dataset.items(shard):
        media = dataset.index.media(item.sample.media)
        folder = root / item.name
        folder.mkdir(parents=True)
        rows = dataset.objects_of(media) if dataset.protocol.summary == "assigned" else item.sample.objects
        truth = VideoGroundTruth(dataset, item, [list(rows)] if dataset.one_mask else [[row] for row in rows])
        ids = [dataset.index.object(row).source_id for row in rows]
        for t in range(dataset.first_frame(item.sample), media.length):
            masks = truth.masks(t)
            if dataset.protocol.task == Task.VOS:  # a given mask is what the model shows there
                given = given_masks(dataset, item).get(t, {})
                masks = [given.get(number, mask) for number, mask in zip(ids, masks, strict=True)]
            labels = sum(mask.astype("uint8") * number for mask, number in zip(masks, ids, strict=True))
            write_png(folder / f"{frame_name(media, t)}.png", masks[0] if dataset.one_mask else labels)


@pytest.fixture
def perfect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models predict the truth."""
    monkeypatch.setattr(predict, "predict_shard", predict_truth)


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
