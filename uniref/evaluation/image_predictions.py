"""Where predictions for images come from: blocks that a model wrote, or files that any tool wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
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
    """What a model predicted for the samples of a unit, in their order.

    Raises:
        UniRefError: Damaged, or of other samples.
    """
    path = block_path(folder, unit)
    records = _lines(path)
    if [record.get("sample") for record in records] != list(benchmark.units[unit]):
        raise UniRefError(f"{path}: does not hold the samples that it should; run again with --overwrite")
    return list(records)


@dataclass(frozen=True)
class Given:
    """Predictions of another tool, by the samples' keys."""

    found: Mapping[str, dict[str, Any] | Path]

    def block(self, benchmark: Benchmark, unit: int) -> list[Prediction]:
        """Those of a unit's samples."""
        return [self.found.get(benchmark.key(sample)) for sample in benchmark.samples(unit)]

    def strangers(self, benchmark: Benchmark) -> list[str]:
        """Keys that belong to no sample."""
        known = {benchmark.key(benchmark.index.sample(row)) for row in range(len(benchmark.index))}
        return sorted(str(key) for key in self.found if key not in known)


def given(benchmark: Benchmark, place: Path) -> Given:
    """Predictions in a file or folder.

    Detection: a COCO results file (`.json`). Otherwise a folder with `<key>.png` masks, or `.jsonl` files of records
    with `key` and COCO run lengths (`size`, `counts`), where the key is the expression's id or `<class>/<image>`.

    Raises:
        UniRefError: None of these.
    """
    if benchmark.protocol.task == Task.DETECTION:
        return Given(_coco_results(benchmark, place))
    if not place.is_dir():
        raise UniRefError(f"{place}: no such folder of predictions")
    found: dict[str, dict[str, Any] | Path] = {}
    for path in sorted(place.rglob("*.jsonl")):
        for number, record in enumerate(_lines(path), start=1):
            if "key" not in record or "counts" not in record or "size" not in record:
                raise UniRefError(f"{path}: line {number}: needs key, size and counts")
            found[str(record["key"])] = record
    for path in sorted(place.rglob("*.png")):
        found[path.relative_to(place).with_suffix("").as_posix()] = path
    if not found:
        raise UniRefError(f"{place}: holds no predictions (<key>.png or .jsonl) for {benchmark.data}")
    return Given(found)


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        records = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise UniRefError(f"{path}: cannot be read ({error})") from None
    if not all(isinstance(record, dict) for record in records):
        raise UniRefError(f"{path}: every line must be a JSON object")
    return records


def _coco_results(benchmark: Benchmark, place: Path) -> dict[str, dict[str, Any] | Path]:
    path = place / "detections.json" if place.is_dir() else place
    try:
        results = json.loads(path.read_text("utf-8"))
        numbers = {number: place for place, number in enumerate(sorted(benchmark.index.manifest.categories))}
        found: dict[str, dict[str, Any]] = {}
        for result in results:
            image = found.setdefault(str(int(result["image_id"])), {"boxes": [], "scores": [], "classes": []})
            x, y, width, height = (float(value) for value in result["bbox"])
            image["boxes"].append([x, y, x + width, y + height])
            image["scores"].append(float(result["score"]))
            image["classes"].append(numbers[int(result["category_id"])])
    except OSError as error:
        raise UniRefError(f"{path}: cannot be read ({error.strerror}); it is a COCO results file") from None
    except (ValueError, TypeError, KeyError) as error:
        raise UniRefError(f"{path}: is no COCO results file for {benchmark.data} ({error})") from None
    rows = {
        str(benchmark.index.media(s.media).source_id): s
        for s in map(benchmark.index.sample, range(len(benchmark.index)))
    }
    return {benchmark.key(rows[image]) if image in rows else image: record for image, record in found.items()}
