"""ReVOS, Long-RVOS and MeViS v2: numbers against the published definitions, written out plainly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare
from tests.evaluation.conftest import Score
from tests.evaluation.masks import Masks, write_masks
from tests.evaluation.oracle import contour, region
from uniref.evaluation import evaluate
from uniref.evaluation.dataset import EvalDataset, EvalItem, open_dataset
from uniref.evaluation.metrics.videos import pixel_accuracy, temporal_overlap
from uniref.model.text import TextTokenizer
from uniref.model.uniref import UniRef


def truth_of(dataset: EvalDataset, item: EvalItem) -> np.ndarray:
    """Bool [T, H, W]."""
    media = dataset.index.media(item.sample.media)
    masks = np.zeros((media.length, media.height, media.width), bool)
    for row in item.sample.objects:
        track = dataset.index.annotations(row)
        for place, frame in enumerate(track.frames.tolist()):
            masks[frame] |= track.mask(place)
    return masks


def noisy(item: EvalItem, frame: int, masks: Masks) -> Masks:
    """Other wrong pixels in every expression and frame; expression 1 is empty in frame 0."""
    number = int(item.name.rpartition("/")[2])
    rng = np.random.default_rng(10 * number + frame)
    wrong = rng.random(masks[1].shape) < 0.002 * (number + frame)
    return {1: masks[1] ^ wrong if (number, frame) != (1, 0) else np.zeros_like(masks[1])}


def predictions(dataset: EvalDataset, change: Callable[..., Masks]) -> list[tuple[EvalItem, np.ndarray, np.ndarray]]:
    """Item, truth and prediction, bool [T, H, W]."""
    out = []
    for item in dataset.all_items():
        truth = truth_of(dataset, item)
        shown = np.stack([change(item, frame, {1: mask})[1] for frame, mask in enumerate(truth)])
        out.append((item, truth, shown))
    return out


def means(truth: np.ndarray, shown: np.ndarray) -> tuple[list[float], list[float]]:
    """J and F per frame."""
    pairs = list(zip(shown, truth, strict=True))
    return [region(*pair) for pair in pairs], [contour(*pair) for pair in pairs]


def test_revos(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    build.revos(tmp_path / "r")
    prepare("revos", tmp_path / "r", "val")
    dataset = open_dataset(tmp_path / "data", "revos/val")
    found = score("revos/val", write_masks(dataset, tmp_path / "p", noisy))["numbers"]
    first, second = build.box_mask(1, 1, 9, 9), build.box_mask(5, 20, 9, 30)
    foreground = np.stack([first | second, second, first | second]).astype(np.uint8)
    # as the published evaluator: true masks of 0 and 1, predicted ones of 0 and `white`
    values: dict[int, list[dict[str, float]]] = {0: [], 1: [], 2: []}
    for item, truth, shown in predictions(dataset, noisy):
        regions, contours = means(truth, shown)
        each = {"J": np.mean(regions), "F": np.mean(contours)}
        for name, white in (("", 1), (" as published", 255)):
            gt, pred = truth.astype(np.uint8), shown.astype(np.uint8) * np.uint8(white)
            each[f"A{name}"] = np.mean([np.mean(g == p) for g, p in zip(gt, pred, strict=True)])
            neg = [((1 - g) * p).sum() for g, p in zip(gt, pred, strict=True)]
            each[f"R{name}"] = np.mean(
                [max(1 - n / (f.sum() + 1e-6), 0.0) for n, f in zip(neg, foreground, strict=True)]
            )
        values[item.sample.group].append({k: round(100 * np.float64(v), 2) for k, v in each.items()})
    kinds = {"referring": values[0], "reasoning": values[1]}
    table = {k: {m: np.mean([v[m] for v in part]) / 100 for m in part[0]} for k, part in kinds.items()}
    for metric in ("J", "F", "A", "R", "A as published", "R as published"):
        assert found[f"{metric} referring"] == pytest.approx(table["referring"][metric], abs=1e-9)
        assert found[f"{metric} reasoning"] == pytest.approx(table["reasoning"][metric], abs=1e-9)
        overall = (table["referring"][metric] + table["reasoning"][metric]) / 2
        assert found[metric] == pytest.approx(overall, abs=1e-9)
    assert next(iter(found)) == "J&F"
    assert found["J&F"] == pytest.approx((found["J"] + found["F"]) / 2, abs=1e-12)
    assert (found["N-acc"], found["T-acc"]) == (0, 1)
    assert 0 < found["R as published"] < found["R"] < 1


def test_revos_with_one_kind_of_expression(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    build.revos(tmp_path / "r")
    path = tmp_path / "r/ReVOS/meta_expressions_valid_.json"
    path.write_text(path.read_text().replace('"type_id": 1', '"type_id": 0'))
    prepare("revos", tmp_path / "r", "val")
    dataset = open_dataset(tmp_path / "data", "revos/val")
    found = score("revos/val", write_masks(dataset, tmp_path / "p"))
    assert found["numbers"]["J&F"] == 1
    assert any("only referring expressions are here" in note for note in found["notes"])


def test_long_rvos(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    build.long_rvos(tmp_path / "l")
    prepare("long-rvos", tmp_path / "l", "val")
    dataset = open_dataset(tmp_path / "data", "long-rvos/val")
    found = score("long-rvos/val", write_masks(dataset, tmp_path / "p", noisy))["numbers"]
    rows = []
    for _, truth, shown in predictions(dataset, noisy):
        regions, contours = means(truth, shown)
        there, predicted = truth.any((1, 2)), shown.any((1, 2))
        both, either = there & predicted, (there | predicted).sum()
        rows.append([np.mean(regions), np.mean(contours), both.sum() / either, np.array(regions)[both].sum() / either])
    metrics = ("J", "F", "tIoU", "vIoU")
    assert [found[name] for name in metrics] == pytest.approx(np.mean(rows, axis=0).tolist(), abs=1e-12)
    for kind, row in zip(("static", "dynamic", "hybrid"), rows, strict=True):
        assert [found[f"{name} {kind}"] for name in metrics] == pytest.approx(row, abs=1e-12)
    assert found["J&F"] == pytest.approx((found["J"] + found["F"]) / 2)
    assert found["tIoU"] < 1


def test_mevis_v2(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    """An expression for nothing is right where no frame shows a pixel."""
    build.mevis_v2(tmp_path / "m")
    prepare("mevis-v2", tmp_path / "m", "valid_u")
    dataset = open_dataset(tmp_path / "data", "mevis-v2/valid_u")
    right = score("mevis-v2/valid_u", write_masks(dataset, tmp_path / "p"))["numbers"]
    assert (right["J&F"], right["N-acc"], right["T-acc"]) == (1, 1, 1)

    def swapped(item: EvalItem, frame: int, masks: Masks) -> Masks:
        number = item.name.rpartition("/")[2]
        shown = build.box_mask(0, 0, 4, 4) if number == "2" and frame == 1 else masks[1]
        return {1: np.zeros_like(masks[1]) if number == "0" else shown}

    wrong = score("mevis-v2/valid_u", write_masks(dataset, tmp_path / "q", swapped))["numbers"]
    assert (wrong["N-acc"], wrong["T-acc"]) == (0, 0.5)
    assert wrong["J"] == pytest.approx((0 + 1 + 0.5) / 3)


def test_a_model_is_evaluated_on_all_three(
    tmp_path: Path, prepare: Prepare, model: UniRef, tokenizer: TextTokenizer
) -> None:
    builders = {"mevis-v2": build.mevis_v2, "revos": build.revos, "long-rvos": build.long_rvos}
    names = {"mevis-v2": "valid_u", "revos": "val", "long-rvos": "val"}
    for name, split in names.items():
        builders[name](tmp_path / name)
        prepare(name, tmp_path / name, split)
    data = [f"{name}/{split}" for name, split in names.items()]
    found = evaluate(model, tokenizer, tmp_path / "data", data, sides=(48, 96))
    assert all(next(iter(found[name])) == "J&F" for name in data)


def test_missing_masks(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    """ReVOS: an expression with a missing mask counts 0. Long-RVOS: a missing mask is empty, a missing video 0."""
    build.revos(tmp_path / "r")
    prepare("revos", tmp_path / "r", "val")
    path = write_masks(open_dataset(tmp_path / "data", "revos/val"), tmp_path / "p")
    (path / "UVO/all/2E4T5NCywcE/2/00001.png").unlink()
    (path / "UVO/all/2E4T5NCywcE/3/00001.png").unlink()
    numbers = score("revos/val", path, "--allow-missing")["numbers"]
    assert (numbers["J reasoning"], numbers["R reasoning"], numbers["J referring"], numbers["N-acc"]) == (0, 0, 1, 0)
    build.long_rvos(tmp_path / "l")
    prepare("long-rvos", tmp_path / "l", "val")
    path = write_masks(open_dataset(tmp_path / "data", "long-rvos/val"), tmp_path / "q")
    (path / "v1/0/00001.png").unlink()  # nothing is there in this frame
    (path / "v1/2/00001.png").unlink()
    numbers = score("long-rvos/val", path, "--allow-missing")["numbers"]
    assert (numbers["J static"], numbers["tIoU static"]) == (1, 1)
    assert (numbers["J hybrid"], numbers["tIoU hybrid"], numbers["vIoU hybrid"]) == (0.75, 0.75, 0.75)


def test_nothing_is_ever_visible() -> None:
    assert temporal_overlap([0, 0], [0, 0], [1, 1]) == (1, 1)
    assert temporal_overlap([0, 0.5], [0.1, 0.5], [0, 0.5]) == (0.5, 0.25)


def test_frames_without_foreground() -> None:
    found = pixel_accuracy([0, 0], [0, 0.25], [1, 0], [0, 0], pixels=100)
    assert (found.accuracy, found.robustness) == (pytest.approx((1 + 0.75) / 2), 0.5)
