"""The command with checkpoints of both families, on several devices, and what a checkpoint cannot do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.counting import encoder_calls
from tests.evaluation.conftest import DATA
from tests.tiny import tiny_config, tiny_sam_config
from uniref.core.tasks import Task
from uniref.evaluation import evaluate
from uniref.evaluation.dataset import open_dataset
from uniref.evaluation.evaluator import run_shards
from uniref.evaluation.predict import DevicePool
from uniref.evaluation.shard_store import ShardStore
from uniref.model.sam import UniRefSam
from uniref.model.text import TextTokenizer
from uniref.model.uniref import UniRef
from uniref.weights.checkpoint import save_checkpoint
from uniref.weights.checkpoint_config import CheckpointMetadata
from uniref_cli import app


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = UniRefSam(tiny_sam_config())
    folder = tmp_path_factory.mktemp("sam")
    save_checkpoint(
        folder, model.state_dict(), CheckpointMetadata(model=model.config), TextTokenizer.bert_base_uncased()
    )
    return folder


def test_a_sam_is_evaluated_as_any_model(sam: Path, root: Path, tmp_path: Path) -> None:
    names = [DATA[task] for task in (Task.RIS, Task.FSS, Task.VOS, Task.RVOS)]
    line = ["eval", "--checkpoint", str(sam), "--data", ",".join(names), "--root", str(root), "--device", "cpu"]
    assert app.run([*line, "--limit", "1", "--out", str(tmp_path), "--save-predictions", "--quiet"]) == 0
    datasets = json.loads((tmp_path / "results.json").read_text())["benchmarks"]
    assert [next(iter(each["numbers"])) for each in datasets] == ["oIoU", "mIoU", "J&F", "J&F"]
    assert {tuple(each["protocol"]["sides"]) for each in datasets} == {(128, 128)}  # what fills its square
    assert len(list((tmp_path / DATA[Task.VOS] / "predictions/0").glob("*.png"))) == 5


def test_a_sam_encodes_every_frame_once_in_an_evaluation(root: Path) -> None:
    torch.manual_seed(0)
    model = UniRefSam(tiny_sam_config())
    calls = encoder_calls(model)
    evaluate(model, TextTokenizer.bert_base_uncased(), root, [DATA[Task.VOS], DATA[Task.RVOS]], limit=1)
    assert calls == [1] * 10  # two videos of five frames: two objects, two texts


def test_what_a_checkpoint_cannot_do_is_told_first(
    sam: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(text=None)
    (tmp_path / "mute").mkdir()
    save_checkpoint(tmp_path / "mute", UniRef(config).state_dict(), CheckpointMetadata(model=config), None)
    common = ["eval", "--root", str(root), "--out", str(tmp_path / "out"), "--device", "cpu"]
    for folder, task, message in (
        (
            sam,
            Task.DETECTION,
            "has no detection head (SAM segments what a reference names), so it cannot be evaluated on",
        ),
        (tmp_path / "mute", Task.RVOS, "has no text encoder, so it cannot be evaluated on toy-rvos/train"),
    ):
        data = f"{DATA[Task.VOS]},{DATA[task]}"
        assert app.run([*common, "--checkpoint", str(folder), "--data", data]) == 2
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_predictions_are_kept_only_where_they_are_wanted(checkpoint: Path, root: Path, tmp_path: Path) -> None:
    line = ["eval", "--checkpoint", str(checkpoint), "--data", DATA[Task.VOS], "--root", str(root), "--device", "cpu"]
    line += ["--short-side", "32", "--long-side", "64", "--limit", "1", "--quiet", "--out", str(tmp_path)]
    assert app.run(line) == 0
    first = (tmp_path / "results.json").read_text()
    assert not (tmp_path / DATA[Task.VOS] / "predictions").exists()
    assert app.run([*line, "--save-predictions"]) == 0  # they are made again
    assert len(list((tmp_path / DATA[Task.VOS] / "predictions/0").glob("*.png"))) == 5
    assert (tmp_path / "results.json").read_text() == first


@pytest.mark.slow
def test_several_devices_give_what_one_gives(checkpoint: Path, root: Path, tmp_path: Path) -> None:
    """`--gpus` with processors in the place of GPUs."""
    dataset = open_dataset(root, DATA[Task.VOS])
    stores = [ShardStore(dataset, tmp_path / name) for name in ("two", "one")]
    for store, count in zip(stores, (2, 1), strict=True):
        with DevicePool(checkpoint, ["cpu"] * count, "float32") as pool:
            run_shards(store, range(len(dataset.shards)), pool, 1, lambda items, *about: items)
    two, one = ([store.read_scores(shard) for shard in range(4)] for store in stores)
    assert two == one
    masks = [sorted(store.predictions.rglob("*.png")) for store in stores]
    assert [path.read_bytes() for path in masks[0]] == [path.read_bytes() for path in masks[1]]
    assert len(masks[0]) == 20
