"""Evaluating a model: predict unit by unit, score beside it, merge."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from uniref.core.parallel import ordered_map
from uniref.core.progress import Progress, silent
from uniref.evaluation.benchmark import open_benchmark
from uniref.evaluation.image_predictions import block_path
from uniref.evaluation.outcome import check, gather
from uniref.evaluation.predict_clips import predict_clip
from uniref.evaluation.predict_images import predict_block
from uniref.evaluation.score import ScoreJob, score_unit
from uniref.evaluation.store import Store
from uniref.inference.predictor import Predictor
from uniref.model.referring import ReferringModel
from uniref.model.text import TextTokenizer
from uniref.weights.checkpoint import Checkpoint, CheckpointMetadata

Predict = Callable[[Store, Sequence[int]], Iterator[int]]
"""Makes the predictions of units and yields each when it is done, in order."""


def evaluate(
    model: ReferringModel,
    tokenizer: TextTokenizer | None,
    root: Path | str,
    data: Sequence[str],
    *,
    limit: int | None = None,
    shots: int = 1,
    sides: tuple[int, int] | None = None,
    device: str | None = None,
    precision: str = "float32",
    out: Path | None = None,
    part: tuple[int, int] = (0, 1),
    workers: int = 1,
    progress: Progress = silent,
) -> dict[str, dict[str, float]]:
    """Evaluate a model in memory by the protocol of each data set.

    The model is put into evaluation mode and left as it came, module by module; its weights do not change. Processes
    may share the work: each calls with its own `part` and the same `out`, and when all have returned, one calls again
    without `part`, which finds everything done and merges it, to the same bits as one process alone.

    Args:
        model: The network itself (not wrapped).
        tokenizer: Of the checkpoint; None where the model has no text encoder.
        root: Folder of all indices.
        data: `dataset/split` each, for example `synthetic/val-ris`.
        limit: Only the first samples (images) or videos of each.
        shots: Support images of few-shot data.
        sides: Short and longest long side of the network input in pixels; None = the protocol's, or what fills the
            square of a SAM model.
        device: Where to compute; None = where the model is.
        precision: "float32", "bfloat16", "float16" or "auto", see `Predictor`.
        out: Folder for predictions and scores, of this evaluation alone: finished units in it are not done again. None
            = a temporary one.
        part: (i, n) = do the i-th of n parts, i from 0. With n > 1 nothing is returned.
        workers: Processes that score videos beside the model; 1 = none but this one.
        progress: Shows how far it is, as `Console.progress`.

    Returns:
        For each name in `data` its numbers: fractions 0..1 by measure, the headline first (`oIoU`, `mIoU`, `J&F`,
        `G` or `AP`).

    Raises:
        UsageError: A name is not `dataset/split`, or the model cannot do the task.
        UniRefError: A split is not prepared, has no ground truth, or a picture cannot be read.
    """
    made_for = sides or model.resize
    place = device or str(next(model.parameters()).device)
    modes = {module: module.training for module in model.modules()}  # frozen parts may be in another than the rest
    model.eval()
    try:
        predictor = Predictor(Checkpoint(model, tokenizer, CheckpointMetadata(model=model.config)), place, precision)
        with tempfile.TemporaryDirectory(prefix="uniref-eval-") as temporary:
            base = Path(temporary) if out is None else Path(out)
            numbers = {}
            for name in data:
                benchmark = open_benchmark(Path(root), name, shots, limit)
                if made_for is not None:
                    benchmark = replace(benchmark, protocol=replace(benchmark.protocol, sides=made_for))
                store = Store(benchmark, base / benchmark.folder)
                mine = range(part[0], len(benchmark.units), part[1])
                work(store, mine, partial(predict_units, predictor), workers, progress)
                if part[1] == 1:
                    outcome = gather(store)
                    check(outcome)
                    numbers[name] = outcome.numbers
            return numbers
    finally:
        for module, training in modes.items():
            module.training = training


def predict_units(predictor: Predictor, store: Store, units: Sequence[int]) -> Iterator[int]:
    """Predict units that are not predicted yet: a `Predict` with its first argument."""
    for unit in units:
        if not store.is_predicted(unit):
            predict_unit(predictor, store, unit)
        yield unit


def predict_unit(predictor: Predictor, store: Store, unit: int) -> None:
    """Predict a unit into the store."""
    if store.benchmark.protocol.is_video:
        predict_clip(predictor, store.benchmark, unit, store.predictions)
    else:
        predict_block(predictor, store.benchmark, unit, block_path(store.predictions, unit))


def work(
    store: Store,
    units: Sequence[int],
    predict: Predict,
    workers: int,
    progress: Progress,
    given: Mapping[str, Any] | None = None,
) -> None:
    """Predict and score what is not done yet.

    Args:
        store: The benchmark and its folder.
        units: Which units.
        predict: Makes the predictions.
        workers: Processes that score.
        progress: Shows how far it is.
        given: Predictions of another tool for images, by name; they are scored anew, as they may have changed.
    """
    benchmark = store.benchmark
    kind = "video" if benchmark.protocol.is_video else "block"
    todo = [unit for unit in units if given is not None or not store.is_done(unit)]

    def ready() -> Iterator[ScoreJob]:
        for unit in progress(predict(store, todo), benchmark.name, len(todo), kind):
            if benchmark.has_truth:
                found = None if given is None else [given.get(case.name) for case in benchmark.cases(unit)]
                yield ScoreJob(store, unit, found)

    for _ in ordered_map(score_unit, ready(), workers):
        pass
