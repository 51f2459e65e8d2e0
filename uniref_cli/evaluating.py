"""The work of one `uniref eval`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from uniref.core.atomic import write_text_atomic
from uniref.core.errors import UsageError
from uniref.core.files import sha256
from uniref.core.parallel import usable_cores
from uniref.core.tasks import Task
from uniref.core.text import printable
from uniref.evaluation.dataset import EvalDataset, open_dataset
from uniref.evaluation.evaluator import PredictShards, run_shards
from uniref.evaluation.prediction_files import check_video_root, foreign_predictions
from uniref.evaluation.result_writer import (
    BAD,
    REPORT,
    RESULTS,
    SEQUENCES,
    EvalJob,
    IncompletePredictionsError,
    ResultWriter,
    check_output_folder,
    request_of,
    table,
)
from uniref.evaluation.shard_store import REQUEST, SUBMISSION, ShardStore
from uniref.evaluation.submission import check_submission
from uniref.weights.checkpoint import read_config
from uniref.weights.published import released_name
from uniref_cli.console import Console
from uniref_cli.shards import Shard, local_device

_TOLD = 50  # names of bad files on the terminal


@dataclass(frozen=True)
class Settings:
    """What the command line asks for."""

    root: Path
    data: Sequence[str]
    shots: Sequence[int]
    limit: int | None
    sides: tuple[int | None, int | None]
    checkpoint: Path | None
    predictions: Path | None
    truth: Path | None
    allow_missing: bool
    submission: bool
    out: Path
    save_predictions: bool
    overwrite: bool
    device: str
    gpus: int | None
    precision: str
    workers: int | None


class Evaluation:
    """Predicts, scores, merges and tells."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self.settings, self.console = settings, console
        self._sides = _made_for(settings.checkpoint) if settings.checkpoint is not None else None
        self._datasets = [dataset for name in settings.data for dataset in self._open(name)]

    def check(self, path: Path) -> int:
        """`--check-submission`: the exit code is 1 where something is wrong."""
        if len(self._datasets) != 1:
            raise UsageError("--check-submission: name the one split that it is for with --data")
        dataset = self._datasets[0]
        lines = check_submission(dataset, path, self._workers(False), self.console.progress)
        self._tell_bad(lines)
        state = f"not what the server wants: {len(lines)} wrong" if lines else "is what the server wants"
        self.console.say(f"{path}: {state} ({dataset.data})")
        self.console.result({"submission": str(path), "data": dataset.data, "good": not lines, "problems": lines})
        return 1 if lines else 0

    def run(self, part: Shard) -> int:
        """Do this process's part, and the end if everything is done by then.

        Raises:
            UniRefError: As the steps say.
        """
        settings = self.settings
        self._check_options(part)
        begun = any((settings.out / each.folder / REQUEST).is_file() for each in self._datasets)
        check_output_folder(settings.out, begun)
        if settings.overwrite:
            (settings.out / RESULTS).unlink(missing_ok=True)  # or the end would take it for the end of this run
        works = [self._begin(dataset) for dataset in self._datasets]
        with self._predicting() as predict:
            for each in works:
                shards = [shard for shard in range(len(each.store.dataset.shards)) if part.owns(shard)]
                run_shards(each.store, shards, predict, self._workers(True), self.console.progress, each.foreign)
        if not all(each.store.complete for each in works):
            self.console.say(
                f"part {part.index + 1} of {part.count} is done; the last part to end writes the results. If the parts "
                "do not share a disk, copy their folders together and run this without --shard"
            )
            return 0
        writer = ResultWriter(
            settings.out,
            self._about,
            self._released,
            settings.allow_missing,
            settings.submission,
            self._workers(False),
            self.console.warn,
        )
        try:
            records = writer.write(works, self.console.progress)
        except IncompletePredictionsError as error:
            self._tell_bad(error.lines, settings.out / BAD)
            raise
        self._tell(works, records)
        return 0

    def _open(self, name: str) -> list[EvalDataset]:
        settings = self.settings
        first = open_dataset(settings.root, name, settings.shots[0], settings.limit)
        if settings.truth is not None:
            if len(settings.data) != 1 or not first.protocol.is_video:
                raise UsageError("--truth: belongs to one split of videos; name only that one with --data")
            check_video_root(first, settings.truth)
        usual = self._sides or first.protocol.sides
        short, long = (given or own for given, own in zip(settings.sides, usual, strict=True))
        first = replace(
            first, protocol=replace(first.protocol, sides=(short, max(short, long))), ground_truth=settings.truth
        )
        more = settings.shots[1:] if first.protocol.task == Task.FSS else ()
        return [first, *(replace(first, shots=shots) for shots in more)]

    def _check_options(self, part: Shard) -> None:
        settings = self.settings
        if (settings.checkpoint is None) == (settings.predictions is None):
            raise UsageError("give either --checkpoint DIR, or --predictions DIR for masks of another tool")
        if settings.predictions is not None and len(self._datasets) != 1:
            raise UsageError("--predictions: are of one split; name only that one with --data (and one of --shots)")
        for dataset in self._datasets:
            if settings.checkpoint is not None and (lack := self._lack(dataset.protocol.task)):
                raise UsageError(f"{settings.checkpoint}: {lack}, so it cannot do {dataset.data}")
            if settings.predictions is not None and not dataset.has_ground_truth:
                raise UsageError(
                    f"{dataset.data}: only a server has its truth; give yours with --truth, or see --check-submission"
                )
            if settings.submission and not dataset.protocol.server:
                raise UsageError(f"--submission: no server accepts masks for {dataset.data}; it is scored here")
        if settings.overwrite and part.count > 1:
            raise UsageError("--overwrite: would remove the work of other parts; delete the folder and run them again")
        if settings.gpus is not None:
            self._devices()

    def _lack(self, task: Task) -> str | None:
        """What the checkpoint lacks for a task; told before anything is predicted."""
        assert self.settings.checkpoint is not None
        model = read_config(self.settings.checkpoint).model
        if model is None:
            return None  # loading tells
        if task == Task.DETECTION:
            return "a SAM model finds objects by a reference only" if model.family == "sam" else None
        if task in (Task.RIS, Task.RVOS):
            return "has no text encoder" if model.text is None else None
        return "has no mask encoder" if model.mask_encoder is None else None

    def _begin(self, dataset: EvalDataset) -> EvalJob:
        settings = self.settings
        keep = settings.save_predictions or settings.submission
        store = ShardStore(dataset, settings.out / dataset.folder, settings.predictions, keep)
        given = None
        if settings.predictions is not None:
            if dataset.protocol.is_video:
                check_video_root(dataset, settings.predictions)
            else:
                given = foreign_predictions(dataset, settings.predictions)
        model = {} if settings.predictions is not None else self._model_request
        request = request_of(store, **model)
        for name in store.claim(request, settings.overwrite):
            self.console.warn(f"{store.folder / name}: is kept; it is not a file of an evaluation")
        return EvalJob(store, request, given)

    @cached_property
    def _model_request(self) -> dict[str, Any]:
        """What of the model and the machine decides the masks."""
        from uniref.core.device import best_precision, resolve_device
        from uniref.weights.checkpoint import read_config, weights_of

        assert self.settings.checkpoint is not None
        # a wrong folder is told before anything else happens
        weights = weights_of(self.settings.checkpoint, read_config(self.settings.checkpoint))
        device = resolve_device("cuda" if self.settings.gpus else self.settings.device)
        precision = self.settings.precision
        return {
            "checkpoint": sha256(weights),
            "device": device.type,
            "precision": best_precision(device) if precision == "auto" else precision,
        }

    @cached_property
    def _released(self) -> str | None:
        """Which released checkpoint it is."""
        from uniref.weights.checkpoint import read_config

        if self.settings.checkpoint is None:
            return None
        config = read_config(self.settings.checkpoint)
        return released_name(str(config.source.get("file", "")), config.model)

    @cached_property
    def _about(self) -> dict[str, str]:
        settings = self.settings
        if settings.predictions is not None:
            return {"predictions": str(settings.predictions)}
        about = {name: str(value) for name, value in self._model_request.items()}
        about = {"checkpoint": str(settings.checkpoint), "sha256": about["checkpoint"]} | {
            name: about[name] for name in ("device", "precision")
        }
        return about | ({"released as": self._released} if self._released else {})

    @contextlib.contextmanager
    def _predicting(self) -> Iterator[PredictShards]:
        """What makes predictions: nothing, this process (the model is loaded when it is needed), or several."""
        settings = self.settings
        if settings.checkpoint is None:
            yield lambda store, shards: iter(shards)
        elif settings.gpus is not None:
            from uniref.evaluation.predict import DevicePool

            with DevicePool(settings.checkpoint, self._devices(), settings.precision) as pool:
                yield pool
        else:
            yield self._predict

    def _predict(self, store: ShardStore, shards: Sequence[int]) -> Iterator[int]:
        from uniref.evaluation.predict import predict_shards

        return predict_shards(self._predictor, store, shards) if shards else iter(())

    @cached_property
    def _predictor(self) -> Any:
        from uniref.inference.predictor import Predictor

        assert self.settings.checkpoint is not None
        device = local_device(self.settings.device, os.environ)
        return Predictor.from_pretrained(self.settings.checkpoint, device, self._model_request["precision"])

    def _devices(self) -> list[str]:
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if self.settings.gpus is None or self.settings.gpus > count:
            raise UsageError(f"--gpus {self.settings.gpus}: this machine has {count} usable CUDA devices")
        return [f"cuda:{number}" for number in range(self.settings.gpus)]

    def _workers(self, beside_model: bool) -> int:
        if self.settings.workers is not None:
            return self.settings.workers
        if beside_model and self.settings.checkpoint is not None and self._model_request["device"] == "cpu":
            return 1
        return usable_cores()

    def _tell_bad(self, lines: Sequence[str], whole: Path | None = None) -> None:
        """Warn of every line; of many, the first ones, and all go to the file `whole` or to --json."""
        for line in lines[:_TOLD]:
            self.console.warn(line)
        if len(lines) <= _TOLD:
            return
        if whole is not None:
            write_text_atomic(whole, "".join(f"{printable(line)}\n" for line in lines))
        self.console.warn(f"and {len(lines) - _TOLD} more; {whole or '--json'} has all of them")

    def _tell(self, works: Sequence[EvalJob], records: Sequence[dict[str, Any]]) -> None:
        out = self.settings.out
        for line in table(records):
            self.console.say(line)
        for record in records:
            self.console.result(record)
            if not record["complete"]:
                self.console.warn(f"{record['name']}: incomplete, {record['missing']['count']} predictions are missing")
        for each in works if self.settings.submission else ():
            self.console.say(f"{each.store.dataset.data}: {each.store.folder / SUBMISSION}")
        self.console.say(f"-> {out / REPORT}, {out / RESULTS}, {out / SEQUENCES}")


def _made_for(checkpoint: Path) -> tuple[int, int] | None:
    """Sides of the inputs that a checkpoint is made for, where they are not the protocol's: a SAM's fill its square."""
    config = read_config(checkpoint)
    if config.sides is None and config.model is not None and config.model.family == "sam":
        side = config.model.image_encoder.image_size
        return side, side
    return config.sides
