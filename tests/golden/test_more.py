"""Agreement with the released system on its further cases, `more/*.npz`: whatever files are there are compared.

A file says in its `settings` what it is; see the README beside them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.golden.compare import SCORE
from uniref import Predictor
from uniref.inference.results import FrameResult
from uniref.kernels.matmul import cpu_has_bfloat16
from uniref.weights.checkpoint import load_checkpoint

pytestmark = [pytest.mark.golden, pytest.mark.slow]

Arrays = Mapping[str, Any]
TIES = 0.001  # of the pixels, which the released system itself moves with another number of threads
THRESHOLDS = {"davis17": 0.3, "ytbvos18": 0.4, None: 0.3}


def _cases() -> list[str]:
    folder = Path(os.environ.get("UNIREF_GOLDEN", "none")) / "more"
    names = sorted(path.stem for path in folder.glob("*.npz") if not path.stem.startswith("loss_"))
    return names or [""]


@pytest.fixture(scope="module", params=["float32", "auto"])
def make_predictor(request: pytest.FixtureRequest, converted: Callable[[str], Path]) -> Callable[..., Predictor]:
    """A predictor for a case's settings, as Python's default computes and as `uniref predict` does."""
    if request.param == "auto" and not cpu_has_bfloat16():
        pytest.skip("this CPU has no bfloat16 products: 'auto' computes in float32")

    made: dict[tuple[str, float], Predictor] = {}

    def make(settings: Mapping[str, Any]) -> Predictor:
        key = settings["variant"], settings.get("class_bias_shift") or 0.0
        if key not in made:
            checkpoint = load_checkpoint(converted(key[0]))
            with torch.no_grad():
                last = len(checkpoint.model.transformer.decoder) - 1  # the head after it is that of the proposals
                checkpoint.model.transformer.class_heads[last].bias += key[1]
            made[key] = Predictor(checkpoint, "cpu", request.param, own=True)
        return made[key]

    return make


@pytest.mark.parametrize("name", _cases())
def test_case(name: str, golden_folder: Path, make_predictor: Callable[..., Predictor]) -> None:
    if not name:
        pytest.skip(f"{golden_folder / 'more'}: holds no cases")
    with np.load(golden_folder / "more" / f"{name}.npz") as archive:
        arrays = {key: archive[key] for key in archive.files}
    settings = json.loads(str(arrays["settings"]))
    predictor = make_predictor(settings)
    scores = np.atleast_2d(arrays["best"])[:, 0]
    if settings["kind"] in ("ris", "fss"):
        _check_image(predictor, arrays, settings, scores)
        return
    results, found = _video(predictor, arrays, settings)
    labels = np.stack([result.labels for result in results])
    differing = (labels != arrays["labels"]).mean((1, 2))
    assert differing.max() <= TIES, differing
    assert np.abs(np.array(found) - scores).max() < SCORE


def _check_image(predictor: Predictor, arrays: Arrays, settings: Mapping[str, Any], scores: np.ndarray) -> None:
    sides = {"short_side": settings["short_side"], "long_side": settings["long_side"]}
    if settings["kind"] == "ris":
        found = predictor.segment_image(arrays["image"], str(arrays["text"]), **sides)
    else:
        shots = sum(key.startswith("support_mask") for key in arrays)
        support = [(arrays[f"support{i}"], arrays[f"support_mask{i}"]) for i in range(shots)]
        found = predictor.segment_image(arrays["image"], support=support, **sides)
    assert (found.mask != arrays["mask"]).mean() <= TIES
    assert np.abs(found.box - arrays["box"]).max() < 0.1
    assert abs(found.score - float(arrays["score"])) < SCORE
    assert abs(found.score - scores[0]) < SCORE


def _video(
    predictor: Predictor, arrays: Arrays, settings: Mapping[str, Any]
) -> tuple[list[FrameResult], Iterator[float]]:
    """Results, and scores in the order in which the released system lists them."""
    frames, kind = arrays["frames"], settings["kind"]
    sides = {"short_side": settings["short_side"], "long_side": settings["long_side"]}
    if kind == "vos":
        masks: dict[int, dict[int, np.ndarray]] = {}
        for key in arrays:
            if key.startswith("given_f"):
                frame, number = key.removeprefix("given_f").split("_id")
                masks.setdefault(int(frame), {})[int(number)] = arrays[key]
        threshold = THRESHOLDS[settings["data"]]
        tracker = predictor.segment_video(frames, masks=masks, score_threshold=threshold, exact_masks=False, **sides)
        results = list(tracker)
        appeared = {n: (f, n) for f, objects in sorted(masks.items(), reverse=True) for n in objects}
        return results, [r.scores[n] for r in results for n in sorted(r.scores, key=lambda n: appeared[n])]
    texts = [str(arrays["text"])] if kind == "rvos" else [str(text) for text in arrays["texts"]]
    results = list(predictor.segment_video(frames, texts, propagate=kind == "rvos", **sides))
    return results, [r.scores[n] for n in range(1, len(texts) + 1) for r in results]
