"""Values of the official evaluation functions, beside the folder that UNIREF_GOLDEN names."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from uniref.evaluation.metrics.images import overlap, referring
from uniref.evaluation.metrics.masks import score_labels, score_masks
from uniref.evaluation.metrics.videos import statistics

pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def folder() -> Path:
    value = os.environ.get("UNIREF_GOLDEN")
    found = Path(value).resolve().parent / "golden_metrics" if value else None
    if found is None or not (found / "expected.json").is_file():
        pytest.skip("no golden_metrics beside the folder that UNIREF_GOLDEN names")
    return found


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "expected.json").read_text()))


@pytest.fixture(scope="module")
def inputs(folder: Path) -> Mapping[str, Any]:
    with np.load(folder / "inputs.npz") as archive:
        return {key: archive[key] for key in archive.files}


def near(values: Any) -> Any:
    return pytest.approx(values, abs=1e-9, rel=0)


def test_sequences(expected: dict[str, Any], inputs: Mapping[str, Any]) -> None:
    means = []
    for sequence in "abc":
        truth, prediction = inputs[f"{sequence}_gt"], inputs[f"{sequence}_pred"]
        ids = [int(number) for number in expected[sequence]]
        frames = [score_labels(p, t, ids) for p, t in zip(prediction, truth, strict=True)]
        for place, number in enumerate(ids):
            want = expected[sequence][str(number)]
            both = {"J": [f[place].region for f in frames], "F": [f[place].boundary for f in frames]}
            for name, values in both.items():
                assert values == near(want[f"{name}_per_frame"])
                found = statistics(values[1:-1])
                whole = want[f"{name}_mean_recall_decay_without_first_and_last"]
                assert [found.mean, found.recall, found.decay] == near(whole)
            means.append([statistics(values[1:-1]).mean for values in both.values()])
    j, f = np.mean(means, axis=0)
    assert {"J": j, "F": f, "J&F": (j + f) / 2} == near(expected["global_over_all_objects"])


def test_edge_cases(expected: dict[str, Any], inputs: Mapping[str, Any]) -> None:
    for name, want in expected["edge_cases"].items():
        found = score_masks(inputs[f"edge_{name}_pred"], inputs[f"edge_{name}_gt"])
        assert {"J": found.region, "F": found.boundary} == near(want), name


def test_void(expected: dict[str, Any], inputs: Mapping[str, Any]) -> None:
    found = score_masks(inputs["void_pred"], inputs["void_gt"], inputs["void_void"])
    assert {"J": found.region, "F": found.boundary} == near(expected["void"])


def test_referring(expected: dict[str, Any], inputs: Mapping[str, Any]) -> None:
    overlaps = [overlap(p, t) for p, t in zip(inputs["ris_pred"], inputs["ris_gt"], strict=True)]
    want = dict(expected["ris"])
    assert [o.iou for o in overlaps] == near(want.pop("iou"))
    found = referring(overlaps)
    assert {name: found[name] for name in want} == near(want)
