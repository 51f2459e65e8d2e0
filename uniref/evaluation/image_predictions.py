"""Where predictions for images come from: blocks that a model wrote, or files that any tool wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from uniref.core.errors import UniRefError
from uniref.core.json_files import read_json, read_json_lines
from uniref.core.tasks import Task
from uniref.evaluation.benchmark import Benchmark

_LARGEST = 1 << 33  # bytes of a COCO results file
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
    records = [record for _, record in _lines(path)]
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

    def add(key: str, prediction: dict[str, Any] | Path, where: str) -> None:
        if key in found:
            raise UniRefError(f"{where}: is a second prediction for {key}")
        found[key] = prediction

    for path in sorted(place.rglob("*.jsonl")):
        for number, record in _lines(path):
            where = f"{path}: line {number}"
            if not {"key", "size", "counts"} <= record.keys():
                raise UniRefError(f"{where}: needs key, size and counts")
            if not _is_size(record["size"]) or not isinstance(record["counts"], str):
                raise UniRefError(f"{where}: size is [height, width], counts compressed COCO run lengths (text)")
            add(str(record["key"]), record, where)
    for path in sorted(place.rglob("*.png")):
        add(path.relative_to(place).with_suffix("").as_posix(), path, str(path))
    if not found:
        raise UniRefError(f"{place}: holds no predictions (<name>.png or .jsonl) for {benchmark.data}")
    return found


def _is_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(number) is int and number > 0 for number in value)


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records of a file with the numbers of their lines. Raises UniRefError."""
    for number, record in read_json_lines(path):
        if not isinstance(record, dict):
            raise UniRefError(f"{path}: line {number}: must be a JSON object")
        yield number, record


def _coco_results(benchmark: Benchmark, place: Path) -> dict[str, dict[str, Any] | Path]:
    """Boxes by the case of their image; those of unknown images under the image's number."""
    path = place / "detections.json" if place.is_dir() else place
    categories = {number: position for position, number in enumerate(sorted(benchmark.index.manifest.categories))}
    cases = [case for unit in range(len(benchmark.units)) for case in benchmark.cases(unit)]
    names = {benchmark.index.media(case.sample.media).source_id: case.name for case in cases}
    found: dict[str, dict[str, Any] | Path] = {}
    results = read_json(path, largest=_LARGEST)
    if not isinstance(results, list):
        raise UniRefError(f"{path}: is no COCO results file, which is a list of boxes")
    for place_in_list, result in enumerate(results):
        try:
            image, category = int(result["image_id"]), int(result["category_id"])
            x, y, width, height = (float(value) for value in result["bbox"])
            score = float(result["score"])
        except (ValueError, TypeError, KeyError):
            needs = "image_id, category_id, bbox of four numbers, and score"
            raise UniRefError(f"{path}: result {place_in_list}: needs {needs}") from None
        if category not in categories:
            raise UniRefError(f"{path}: result {place_in_list}: {benchmark.data} has no category {category}")
        record = found.setdefault(names.get(image, str(image)), {"boxes": [], "scores": [], "classes": []})
        assert isinstance(record, dict)
        record["boxes"].append([x, y, x + width, y + height])
        record["scores"].append(score)
        record["classes"].append(categories[category])
    return found
