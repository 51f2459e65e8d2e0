"""SA-V and VOST, annotated in some of their frames: numbers against the published evaluators, written out plainly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare
from tests.evaluation import oracle
from tests.evaluation.conftest import Score
from tests.evaluation.masks import write_masks
from uniref.evaluation import evaluate
from uniref.evaluation.dataset import open_dataset
from uniref.model.text import TextTokenizer
from uniref.model.uniref import UniRef

VIDEO = "sav_000001"


def as_sav_benchmark(truth: Path, predictions: Path) -> tuple[float, float]:
    """J and F of an object: without the first and last annotated frame, from where it is in truth or prediction."""
    j, f, seen = [], [], False
    for path in sorted(truth.glob("*.png"))[1:-1]:
        wanted, drawn = (np.asarray(Image.open(each)) > 0 for each in (path, predictions / path.name))
        seen = seen or bool(wanted.any() or drawn.any())
        if seen:
            j.append(oracle.region(drawn, wanted))
            f.append(oracle.contour(drawn, wanted))
    return float(np.mean(j)), float(np.mean(f))


def predict_sav(root: Path, early: bool) -> Path:
    """Moved masks in all frames; object 1 only where it is, or also before."""
    for t in range(21):
        for number in (0, 1):
            mask = build.box_mask(2 + number, 3, 12 - t % 5, 14)
            there = number == 0 or t >= 8 or (early and t == 4)
            build.grey(root / f"{VIDEO}/{number:03d}/{t:05d}.png", (mask & there).astype(np.uint8) * 255)
    return root


@pytest.mark.parametrize("early", [False, True])
def test_sav(early: bool, tmp_path: Path, prepare: Prepare, score: Score) -> None:
    build.sav(tmp_path / "s")
    index = prepare("sav", tmp_path / "s", "val")
    found = score("sav/val", predict_sav(tmp_path / "p", early))
    truth = tmp_path / f"s/sav_val/Annotations_6fps/{VIDEO}"
    each = [as_sav_benchmark(truth / f"00{n}", tmp_path / f"p/{VIDEO}/00{n}") for n in (0, 1)]
    j, f = np.mean(each, 0)
    assert (found["numbers"]["J"], found["numbers"]["F"]) == pytest.approx((j, f), abs=1e-12)
    assert next(iter(found["numbers"])) == "J&F"
    # overlapping pixels belong to both
    masks = [index.annotations(index.object(row).row).mask(3) for row in index.media(0).objects]
    assert (masks[0] & masks[1]).any()


def test_sav_needs_only_annotated_frames(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    build.sav(tmp_path / "s")
    prepare("sav", tmp_path / "s", "val")
    truth = tmp_path / "s/sav_val/Annotations_6fps"
    assert score("sav/val", truth)["numbers"]["J&F"] == 1
    (truth / VIDEO / "001/00012.png").unlink()
    assert score("sav/val", truth, "--allow-missing")["complete"] is False


def test_sav_is_predicted(tmp_path: Path, prepare: Prepare, model: UniRef, tokenizer: TextTokenizer) -> None:
    """Each object has files of its own, for every frame."""
    build.sav(tmp_path / "s")
    prepare("sav", tmp_path / "s", "val")
    found = evaluate(model, tokenizer, tmp_path / "data", ["sav/val"], sides=(48, 96), out=tmp_path / "o")
    assert next(iter(found["sav/val"])) == "J&F"


def as_vost_evaluator(base: Path, predictions: Path) -> tuple[float, float]:
    """J and J_tr over objects, the ids up to the largest in the first label map, without the ends of the frames."""
    names = sorted(path.name for path in base.glob("*.png"))
    truth = {name: np.asarray(Image.open(base / name)) for name in names}
    truth = {name: np.where(labels == 255, 0, labels) for name, labels in truth.items()}
    all_j, late_j = [], []
    for number in range(1, int(truth[names[0]].max()) + 1):
        scores = []
        for name in names[1:-1]:
            drawn = np.asarray(Image.open(predictions / name)) == number
            scores.append(oracle.region(drawn, truth[name] == number))
        all_j.append(np.mean(scores))
        late_j.append(np.mean(scores[int(np.floor(len(scores) * 0.75)) :]))
    return float(np.mean(all_j)), float(np.mean(late_j))


def test_vost(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    """Other ids than the objects' are dropped; frames without a label map do not count."""
    base = build.vost(tmp_path / "v")
    prepare("vost", tmp_path / "v", "val")
    for t in range(10):
        boxes = {1: (2, 3, 8 + t // 2, 9), 2: (5, 12, 10, 18), 7: (14, 1, 20, 9)}
        build.label_map(tmp_path / f"p/1_cut_onion/frame{t:05d}.png", boxes if t != 3 else {})
    found = score("vost/val", tmp_path / "p")["numbers"]
    expected = as_vost_evaluator(base / "Annotations/1_cut_onion", tmp_path / "p/1_cut_onion")
    assert (found["J"], found["J_tr"]) == pytest.approx(expected, abs=1e-12)
    assert found["J_tr"] != found["J"]
    assert next(iter(found)) == "J_tr"
    dataset = open_dataset(tmp_path / "data", "vost/val")
    assert [dataset.index.object(row).source_id for row in dataset.items(0)[0].sample.objects] == [1, 2]
    assert score("vost/val", write_masks(dataset, tmp_path / "q"))["numbers"]["J_tr"] == 1


def test_vost_train_and_model(tmp_path: Path, prepare: Prepare, model: UniRef, tokenizer: TextTokenizer) -> None:
    build.vost(tmp_path / "v")
    train = prepare("vost", tmp_path / "v", "train")
    assert [train.object(row).source_id for row in train.media(0).objects] == [1, 2, 3]
    assert all((train.annotations(row).areas > 0).all() for row in train.media(0).objects)
    prepare("vost", tmp_path / "v", "val")
    found = evaluate(model, tokenizer, tmp_path / "data", ["vost/val"], sides=(48, 96))
    assert 0 <= found["vost/val"]["J_tr"] <= 1
