"""The published protocols for images, on miniatures that the real commands prepare and score, against numbers worked
out here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare
from tests.evaluation.conftest import Score
from tests.evaluation.masks import Masks, write_masks
from uniref.evaluation.dataset import EvalItem, open_dataset


def test_fss1000_supports_are_the_first_others_in_file_order(
    tmp_path: Path,
    prepare: Prepare,
    score: Score,
    few_classes: list[str],
) -> None:
    build.fss1000(tmp_path / "f", few_classes, shots=10)
    index = prepare("fss-1000", tmp_path / "f", "val", "--splits", str(tmp_path / "lists"))
    for shots, of_one, of_three in ((1, ["10"], ["1"]), (5, ["10", "2", "3", "4", "5"], ["1", "10", "2", "4", "5"])):
        dataset = open_dataset(tmp_path / "data", "fss-1000/val", shots)
        samples = {index.media(sample.media).name: sample for sample in index}
        for query, expected in (("1", of_one), ("3", of_three)):
            supports = dataset.supports_of(samples[f"band-aid/{query}"])
            assert [index.media(each.media).name for each in supports] == [f"band-aid/{n}" for n in expected]

    def halved(item: EvalItem, frame: int, masks: Masks) -> Masks:
        return {1: masks[1] & build.box_mask(0, 0, build.H, 9)} if "band-aid" in item.name else masks

    dataset = open_dataset(tmp_path / "data", "fss-1000/val")
    found = score("fss-1000/val", write_masks(dataset, tmp_path / "p", halved), "--shots", "5")
    assert found["name"] == "fss-1000/val 5-shot"
    numbers = found["numbers"]
    assert numbers["mIoU"] == pytest.approx((1 + 0.5) / 2)  # columns 3 to 9 of 3 to 15
    assert numbers["image mIoU"] == pytest.approx((10 + 10 * 0.5) / 20, abs=1e-6)
    truth = [index.annotations(sample.objects[0]).mask(0) for sample in index]
    shown = [halved(item, 0, {1: truth[item.sample.row]})[1] for item in dataset.items(0)]
    inner, outer = (
        np.sum([op(p, t).sum() for p, t in zip(shown, truth, strict=True)]) for op in (np.bitwise_and, np.bitwise_or)
    )
    total = build.H * build.W * 20
    assert numbers["FB-IoU"] == pytest.approx((inner / outer + (total - outer) / (total - inner)) / 2)


def test_boxes_are_scored_as_pycocotools_scores_the_published_file(
    tmp_path: Path,
    prepare: Prepare,
    score: Score,
) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    build.coco(tmp_path / "c")
    prepare("coco", tmp_path / "c", "val")
    boxes = [
        (9, 18, [3.5, 2.0, 9.0, 8.0], 0.6),
        (9, 18, [3.0, 2.0, 5.0, 8.0], 0.9),
        (9, 1, [3.0, 2.0, 9.0, 8.0], 0.8),  # over a crowd of its category
        (25, 18, [1.0, 1.0, 4.0, 4.0], 0.7),  # nothing is there
    ]
    results = [{"image_id": i, "category_id": c, "bbox": b, "score": s} for i, c, b, s in boxes]
    path = build.write_json(tmp_path / "results.json", results)
    found = score("coco/val", path)["numbers"]
    official = COCO(str(tmp_path / "c/annotations/instances_val2017.json"))
    # the converter leaves out what has no usable polygon
    official.dataset["annotations"] = [a for a in official.dataset["annotations"] if a["id"] != 3]
    official.createIndex()
    evaluation = COCOeval(official, official.loadRes(str(path)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    names = ["AP", "AP50", "AP75", "AP small"]
    assert [found[name] for name in names] == pytest.approx(evaluation.stats[:4].tolist(), abs=1e-12)
    assert 0 < found["AP"] < 1
    assert "AP large" not in found


def test_objects365_keeps_its_categories(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    build.objects365(tmp_path / "o")
    prepare("objects365", tmp_path / "o", "train")
    right = [
        {"image_id": 3, "category_id": 5, "bbox": [1.5, 2.0, 10.0, 8.0], "score": 0.9},
        {"image_id": 1, "category_id": 365, "bbox": [20.0, 10.0, 12.0, 8.0], "score": 0.8},
    ]
    path = build.write_json(tmp_path / "right.json", right)
    assert score("objects365/train", path)["numbers"]["AP"] == pytest.approx(1)
    path = build.write_json(tmp_path / "wrong.json", [right[0], right[1] | {"category_id": 7}])
    assert score("objects365/train", path)["numbers"]["AP"] == pytest.approx(0.5)


def test_refcoco(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    """One prediction an expression, as PNGs or as run lengths."""
    build.refcoco(tmp_path / "r", splits=("train", "val"))
    prepare("refcoco", tmp_path / "r", "val")
    dataset = open_dataset(tmp_path / "data", "refcoco/val")

    def half(item: EvalItem, frame: int, masks: Masks) -> Masks:
        return {1: masks[1] & build.box_mask(0, 0, 6, build.W)} if item.name == "81" else masks

    first = score("refcoco/val", write_masks(dataset, tmp_path / "p", half))["numbers"]
    truth = dataset.index.annotations(0).mask(0)
    iou = half(dataset.items(0)[1], 0, {1: truth})[1].sum() / truth.sum()
    assert [first["oIoU"], first["mIoU"]] == pytest.approx([(1 + iou) / 2] * 2, abs=1e-6)
    lines = [
        {"key": name, **build.run_lengths(mask), "box": [3, 2, 12, 10]}
        for name, mask in (("80", truth), ("81", half(dataset.items(0)[1], 0, {1: truth})[1]))
    ]
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines/all.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    second = score("refcoco/val", tmp_path / "lines")["numbers"]
    assert second["box accuracy"] == 1
    assert {name: second[name] for name in first} == first
