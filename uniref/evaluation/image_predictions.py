"""Where predictions for images come from: blocks that a model wrote, or files that any tool wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uniref.core.errors import UniRefError
from uniref.core.tasks import Task
from uniref.evaluation.benchmark import Benchmark

Prediction = dict[str, Any] | Path | None
"""A record (see predict_images.py), a PNG mask, or nothing."""


def block_path(folder: Path, unit: int) -> Path:
    """The file of a unit's records."""
    return folder / f"{unit:05d}.jsonl"


def read_block(benchmark: Benchmark, folder: Path, unit: int) -> list[Prediction]:
    """What a model predicted for the cases of a unit, in their order.

    Raises:
        UniRefError: Damaged, or of other cases.
    """
    path = block_path(folder, unit)
    records = _lines(path)
    if [record.get("key") for record in records] != [case.name for case in benchmark.cases(unit)]:
        raise UniRefError(f"{path}: does not hold the predictions that it should; run again with --overwrite")
    return list(records)


def foreign_predictions(benchmark: Benchmark, place: Path) -> Mapping[str, dict[str, Any] | Path]:
    """Predictions of another tool by the names of their cases.

    Detection: a COCO results file (`.json`). Otherwise a folder with `<name>.png` masks, or `.jsonl` files of records
    with `key` and COCO run lengths (`size`, `counts`).

    Raises:
        UniRefError: None of these.
    """
    if benchmark.protocol.task == Task.DETECTION:
        return _coco_results(benchmark, place)
    if not place.is_dir():
        raise UniRefError(f"{place}: no such folder of predictions")
    found: dict[str, dict[str, Any] | Path] = {}
    for path in sorted(place.rglob("*.jsonl")):
        for number, record in enumerate(_lines(path), start=1):
            if not {"key", "size", "counts"} <= record.keys():
                raise UniRefError(f"{path}: line {number}: needs key, size and counts")
            found[str(record["key"])] = record
    for path in sorted(place.rglob("*.png")):
        found[path.relative_to(place).with_suffix("").as_posix()] = path
    if not found:
        raise UniRefError(f"{place}: holds no predictions (<name>.png or .jsonl) for {benchmark.data}")
    return found


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        records = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise UniRefError(f"{path}: cannot be read ({error})") from None
    if not all(isinstance(record, dict) for record in records):
        raise UniRefError(f"{path}: every line must be a JSON object")
    return records


def _coco_results(benchmark: Benchmark, place: Path) -> dict[str, dict[str, Any] | Path]:
    """Boxes by the case of their image; those of unknown images under the image's number."""
    path = place / "detections.json" if place.is_dir() else place
    categories = {number: position for position, number in enumerate(sorted(benchmark.index.manifest.categories))}
    cases = [case for unit in range(len(benchmark.units)) for case in benchmark.cases(unit)]
    names = {benchmark.index.media(case.sample.media).source_id: case.name for case in cases}
    found: dict[str, dict[str, Any] | Path] = {}
    try:
        for result in json.loads(path.read_text("utf-8")):
            image = int(result["image_id"])
            record = found.setdefault(names.get(image, str(image)), {"boxes": [], "scores": [], "classes": []})
            assert isinstance(record, dict)
            x, y, width, height = (float(value) for value in result["bbox"])
            record["boxes"].append([x, y, x + width, y + height])
            record["scores"].append(float(result["score"]))
            record["classes"].append(categories[int(result["category_id"])])
    except OSError as error:
        raise UniRefError(f"{path}: cannot be read ({error.strerror}); it is a COCO results file") from None
    except (ValueError, TypeError, KeyError) as error:
        raise UniRefError(f"{path}: is no COCO results file for {benchmark.data} ({error})") from None
    return found
