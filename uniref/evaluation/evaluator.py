"""Evaluating a model: predict shard by shard, score beside it, merge.

Importing this module loads neither torch nor the network: masks of another tool are scored without them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniref.core.parallel import ordered_map
from uniref.core.progress import Progress, silent
from uniref.evaluation.dataset import open_dataset
from uniref.evaluation.prediction_files import ImagePrediction, read_block
from uniref.evaluation.results import check_complete, merge_scores
from uniref.evaluation.score_images import score_images
from uniref.evaluation.score_videos import score_video
from uniref.evaluation.shard_store import ShardStore

if TYPE_CHECKING:
    from uniref.model.referring import ReferringModel
    from uniref.model.text import TextTokenizer

PredictShards = Callable[[ShardStore, Sequence[int]], Iterator[int]]
"""Makes the predictions of shards and yields each when it is done, in order; see `predict.predict_shards`."""


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

    The model is put into evaluation mode and restored afterwards, module by module; its weights do not change.
    Processes may share the work: each calls with its own `part` and the same `out`, and when all have returned, one
    calls again without `part`, which finds everything done and merges it, to the same bits as one process alone.

    Args:
        model: The network itself (not wrapped).
        tokenizer: Of the checkpoint; None where the model has no text encoder.
        root: Folder of all indexes.
        data: `dataset/split` each, for example `synthetic/val-ris`.
        limit: Only the first samples (images) or videos of each.
        shots: Support images for few-shot data.
        sides: Short and longest long side of the network input in pixels; None = the protocol's, or those that fill the
            square of a SAM model.
        device: Device to compute on; None = the model's.
        precision: "float32", "bfloat16", "float16" or "auto", see `Predictor`.
        out: Folder for predictions and scores, of this evaluation alone: finished shards in it are not repeated. None =
            a temporary one.
        part: (i, n) = compute the i-th of n parts, i from 0. With n > 1 nothing is returned.
        workers: Processes that score videos beside the model; 1 = none but this one.
        progress: Shows progress, as `Console.progress`.

    Returns:
        For each name in `data` its numbers: fractions 0..1 by metric, the headline first (`oIoU`, `mIoU`, `J&F`,
        `G` or `AP`).

    Raises:
        UsageError: A name is not `dataset/split`, or the model does not support the task.
        UniRefError: A split is not prepared, has no ground truth, or an image cannot be read.
    """
    from uniref.evaluation import predict
    from uniref.inference.predictor import Predictor
    from uniref.weights.checkpoint import Checkpoint
    from uniref.weights.checkpoint_config import CheckpointMetadata

    sides = sides or model.resize
    device = device or str(next(model.parameters()).device)
    modes = {module: module.training for module in model.modules()}  # frozen parts may be in another than the rest
    model.eval()
    try:
        predictor = Predictor(Checkpoint(model, tokenizer, CheckpointMetadata(model=model.config)), device, precision)
        with tempfile.TemporaryDirectory(prefix="uniref-eval-") as temporary:
            base = Path(temporary) if out is None else Path(out)
            numbers = {}
            for name in data:
                # the data set, at the model's input size
                dataset = open_dataset(Path(root), name, shots, limit)
                if sides is not None:
                    dataset = replace(dataset, protocol=replace(dataset.protocol, sides=sides))
                # this part's shards
                store = ShardStore(dataset, base / dataset.folder)
                own = range(part[0], len(dataset.shards), part[1])
                run_shards(store, own, partial(predict.predict_shards, predictor), workers, progress)
                # merge
                if part[1] == 1:
                    result = merge_scores(store)
                    check_complete(result)
                    numbers[name] = result.numbers
            return numbers
    finally:
        for module, training in modes.items():
            module.training = training


def run_shards(
    store: ShardStore,
    shards: Sequence[int],
    predict: PredictShards,
    workers: int,
    progress: Progress,
    foreign: Mapping[str, Any] | None = None,
) -> None:
    """Predict and score the shards that are not done yet.

    Args:
        store: The data set and its folder.
        shards: Numbers of the shards.
        predict: Makes the predictions.
        workers: Processes that score.
        progress: Shows progress.
        foreign: Predictions of another tool for images, by name; they are scored again, as they may have changed.
    """
    dataset = store.dataset
    todo = [shard for shard in shards if foreign is not None or not store.is_done(shard)]

    def predicted() -> Iterator[_ScoreTask]:
        kind = "video" if dataset.protocol.is_video else "block"
        for shard in progress(predict(store, todo), dataset.name, len(todo), kind):
            if dataset.has_ground_truth:
                predictions = None if foreign is None else [foreign.get(item.name) for item in dataset.items(shard)]
                yield _ScoreTask(store, shard, predictions)

    # scoring processes work while the model predicts the next shards
    for _ in ordered_map(_score_shard, predicted(), workers):
        pass


@dataclass(frozen=True)
class _ScoreTask:
    """A shard whose predictions are there."""

    store: ShardStore
    shard: int
    foreign: Sequence[ImagePrediction] | None = None
    """Predictions of another tool for the shard's images."""


def _score_shard(task: _ScoreTask) -> None:
    """Score a shard and write the scores, in any process. Raises UniRefError."""
    store, shard, dataset = task.store, task.shard, task.store.dataset
    digest = store.input_digest(shard)
    if dataset.protocol.is_video:
        scores = score_video(dataset, shard, store.predictions)
    else:
        predictions = read_block(dataset, store.predictions, shard) if task.foreign is None else task.foreign
        scores = score_images(dataset, shard, predictions)
    store.write_scores(shard, scores, digest)
