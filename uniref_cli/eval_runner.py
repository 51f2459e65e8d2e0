"""Running `uniref eval`: opening the data, checking the request, predicting, scoring and writing the results.

Nothing here loads torch, unless a model runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniref.core.atomic import write_text_atomic
from uniref.core.errors import UsageError
from uniref.core.files import sha256
from uniref.core.parallel import usable_cores
from uniref.core.tasks import Task, missing_part
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
from uniref.evaluation.submission import check_submission, server_notes
from uniref.evaluation.truth_files import check_truth_root
from uniref_cli.console import Console
from uniref_cli.eval import EvalArguments
from uniref_cli.process_rank import ProcessRank, gpu_names, local_device

if TYPE_CHECKING:
    from uniref.weights.checkpoint_config import CheckpointMetadata

_LISTED = 50  # names of bad files on the terminal


class EvalRunner:
    """One run of `uniref eval`.

    Args:
        arguments: Of the command line.
        data: Names of splits, `dataset/split`.
        checkpoint: Folder of the checkpoint; None where predictions of another tool are scored.
        console: Where results are printed.

    Raises:
        UniRefError: An option has an invalid value, or a split is not prepared.
    """

    def __init__(
        self, arguments: EvalArguments, data: Sequence[str], checkpoint: Path | None, console: Console
    ) -> None:
        self.arguments, self.checkpoint, self.console = arguments, checkpoint, console
        self._metadata = None if checkpoint is None else _read_metadata(checkpoint)
        shots = _numbers(arguments.shots)
        self.datasets = [dataset for name in data for dataset in self._open(name, shots, len(data) == 1)]

    def _open(self, name: str, shots: Sequence[int], single: bool) -> list[EvalDataset]:
        """A split as it is evaluated; few-shot data once per number of support images."""
        arguments = self.arguments
        dataset = open_dataset(arguments.root, name, shots[0], arguments.limit)
        if arguments.truth is not None:
            if not single or not dataset.protocol.is_video:
                raise UsageError("--truth: belongs to one split of videos; name only that one with --data")
            check_truth_root(dataset, arguments.truth)
        # input size: the command line's, else the checkpoint's, else the protocol's
        default = (self._metadata.resize if self._metadata else None) or dataset.protocol.sides
        short, long = arguments.short_side or default[0], arguments.long_side or default[1]
        protocol = replace(dataset.protocol, sides=(short, max(short, long)), two_pass=arguments.two_pass)
        if arguments.two_pass and protocol.task != Task.RVOS:
            raise UsageError(f"--two-pass: is for texts in videos; {name} holds none")
        if (threshold := self._threshold(dataset)) is not None:
            protocol = replace(protocol, threshold=threshold)
        dataset = replace(dataset, protocol=protocol, ground_truth=arguments.truth)
        return [replace(dataset, shots=number) for number in shots] if protocol.task == Task.FSS else [dataset]

    def _threshold(self, dataset: EvalDataset) -> float | None:
        """The threshold instead of the protocol's: the command line's, else a calibrated one. Raises UsageError."""
        given, protocol = self.arguments.score_threshold, dataset.protocol
        used = protocol.instances or (protocol.is_video and (protocol.propagate or protocol.task == Task.VOS))
        if given is not None and not used:
            raise UsageError(f"--score-threshold: is not used for {dataset.data}, whose protocol always answers")
        if given is not None and self.checkpoint is None:
            raise UsageError("--score-threshold: is for a model; masks of another tool are scored as they are")
        presence = self._metadata.presence if self._metadata else None
        return presence.threshold if given is None and presence is not None and protocol.instances else given

    def check_submission(self, path: Path) -> int:
        """Check a submission, print what is wrong, and return the exit code: 1 where something is."""
        if len(self.datasets) != 1:
            raise UsageError("--check-submission: name the one split of the submission with --data")
        dataset = self.datasets[0]
        lines = check_submission(dataset, path, self.arguments.workers or usable_cores(), self.console.progress)
        self._warn_of_bad(lines)
        state = f"not a valid submission, {len(lines)} problems" if lines else "is a valid submission"
        self.console.say(f"{path}: {state} ({dataset.data})")
        notes = server_notes(dataset)
        for note in notes:
            self.console.say(note)
        record = {"submission": str(path), "data": dataset.data, "good": not lines, "problems": lines, "server": notes}
        self.console.result(record)
        return 1 if lines else 0

    def run(self, rank: ProcessRank) -> int:
        """Evaluate this process's part, write the results if everything is done by then, and return the exit code.

        Raises:
            UniRefError: The request is contradictory, data or predictions cannot be used, or a file cannot be written.
        """
        arguments, out = self.arguments, self.arguments.out
        # check the request, and claim the folder of each data set
        self._check_request(rank)
        started = any((out / each.folder / REQUEST).is_file() for each in self.datasets)
        check_output_folder(out, started)
        if arguments.overwrite:
            (out / RESULTS).unlink(missing_ok=True)  # or it would be taken for the results of this run
        jobs = [self._start_job(dataset) for dataset in self.datasets]
        # predict and score
        with self._predicting() as predict:
            for job in jobs:
                shards = [shard for shard in range(len(job.store.dataset.shards)) if rank.owns(shard)]
                run_shards(job.store, shards, predict, self._scoring_workers, self.console.progress, job.foreign)
        if not all(job.store.complete for job in jobs):
            self.console.say(
                f"part {rank.rank + 1} of {rank.world_size} is done; the last part to finish writes the results. If "
                "the parts do not share a disk, copy their folders together and run this without --shard"
            )
            return 0
        # merge and write
        writer = ResultWriter(
            out,
            self._about,
            self._released,
            arguments.allow_missing,
            arguments.submission,
            arguments.workers or usable_cores(),
            self.console.warn,
        )
        try:
            records = writer.write(jobs, self.console.progress)
        except IncompletePredictionsError as error:
            self._warn_of_bad(error.lines, out / BAD)
            raise
        self._report(jobs, records)
        return 0

    def _check_request(self, rank: ProcessRank) -> None:
        """Raise UsageError for options that contradict each other or the data."""
        arguments = self.arguments
        # what is evaluated
        if (self.checkpoint is None) == (arguments.predictions is None):
            raise UsageError("give either --checkpoint DIR, or --predictions DIR for masks of another tool")
        if arguments.predictions is not None and len(self.datasets) != 1:
            raise UsageError("--predictions: are of one split; name only that one with --data (and one of --shots)")
        # what each data set needs
        for dataset in self.datasets:
            if lack := self._missing_part(dataset.protocol.task):
                raise UsageError(f"{self.checkpoint}: has no {lack}, so it cannot be evaluated on {dataset.data}")
            if arguments.predictions is not None and not dataset.has_ground_truth:
                see = ", or see --check-submission" if dataset.protocol.server else ""
                raise UsageError(f"{dataset.data}: its ground truth is not public; give yours with --truth{see}")
            if arguments.submission and not dataset.protocol.server:
                raise UsageError(f"--submission: no server accepts masks for {dataset.data}; it is scored here")
        # processes
        if arguments.overwrite and rank.world_size > 1:
            raise UsageError("--overwrite: would remove the work of other parts; delete the folder and run them again")
        if arguments.gpus is not None:
            gpu_names(arguments.gpus)

    def _missing_part(self, task: Task) -> str | None:
        """The part that a task needs and the checkpoint lacks, in words."""
        model = self._metadata.model if self._metadata else None
        if model is None:  # predictions of another tool; a backbone alone, which is reported at loading
            return None
        if task == Task.DETECTION:
            return "detection head (SAM segments what a reference names)" if model.family == "sam" else None
        # an expression can be segmented in every frame by itself, without a mask encoder
        part = missing_part(task, model, text_only=True)
        return {"text": "text encoder", "mask_encoder": "mask encoder", None: None}[part]

    def _start_job(self, dataset: EvalDataset) -> EvalJob:
        """Claim the folder of a data set, and read the predictions of another tool for images."""
        arguments = self.arguments
        keep = arguments.save_predictions or arguments.submission
        store = ShardStore(dataset, arguments.out / dataset.folder, arguments.predictions, keep)
        foreign = None
        if arguments.predictions is not None:
            if dataset.protocol.is_video:
                check_video_root(dataset, arguments.predictions)
            else:
                foreign = foreign_predictions(dataset, arguments.predictions)
        request = request_of(store, **({} if self.checkpoint is None else self._model_request))
        for name in store.claim(request, arguments.overwrite):
            self.console.warn(f"{store.folder / name}: is kept; it is not a file of an evaluation")
        return EvalJob(store, request, foreign)

    # The model

    @cached_property
    def _model_request(self) -> dict[str, Any]:
        """Everything about model and device that can change the predicted masks."""
        from uniref.core.device import best_precision, resolve_device
        from uniref.weights.checkpoint_config import weights_of

        assert self.checkpoint is not None
        assert self._metadata is not None
        weights = weights_of(self.checkpoint, self._metadata)
        device = resolve_device("cuda" if self.arguments.gpus else self.arguments.device)
        precision = self.arguments.precision
        return {
            "checkpoint": sha256(weights),
            "device": device.type,
            "precision": best_precision(device) if precision == "auto" else precision,
        }

    @contextmanager
    def _predicting(self) -> Iterator[PredictShards]:
        """Makes predictions: nothing, this process (which loads the model when it is needed), or one per GPU."""
        if self.checkpoint is None:
            yield lambda store, shards: iter(shards)
            return
        from uniref.evaluation.predict import DevicePool, predict_shards

        if self.arguments.gpus is not None:
            with DevicePool(self.checkpoint, gpu_names(self.arguments.gpus), self.arguments.precision) as pool:
                yield pool
        else:
            yield lambda store, shards: predict_shards(self._predictor, store, shards) if shards else iter(())

    @cached_property
    def _predictor(self) -> Any:
        from uniref.inference.predictor import Predictor

        assert self.checkpoint is not None
        device = local_device(self.arguments.device, os.environ)
        return Predictor.from_pretrained(self.checkpoint, device, self._model_request["precision"])

    @property
    def _scoring_workers(self) -> int:
        """Processes that score; a model on a CPU needs the cores itself."""
        beside_model = self.checkpoint is not None and self._model_request["device"] == "cpu"
        return self.arguments.workers or (1 if beside_model else usable_cores())

    # Output

    @cached_property
    def _released(self) -> str | None:
        """Name of the released checkpoint, where it is one."""
        if self._metadata is None:
            return None
        from uniref.weights.published import released_name

        return released_name(str(self._metadata.source.get("file", "")), self._metadata.model)

    @property
    def _about(self) -> dict[str, str]:
        """What was evaluated, for people."""
        if self.checkpoint is None:
            return {"predictions": str(self.arguments.predictions)}
        request = self._model_request
        about = {"checkpoint": str(self.checkpoint), "sha256": request["checkpoint"]}
        about |= {name: request[name] for name in ("device", "precision")}
        return about | ({"released as": self._released} if self._released else {})

    def _warn_of_bad(self, lines: Sequence[str], file: Path | None = None) -> None:
        """Warn of every line; of many, the first ones, and all go to `file` or to --json."""
        for line in lines[:_LISTED]:
            self.console.warn(line)
        if len(lines) <= _LISTED:
            return
        if file is not None:
            write_text_atomic(file, "".join(f"{printable(line)}\n" for line in lines))
        self.console.warn(f"and {len(lines) - _LISTED} more; {file or '--json'} has all of them")

    def _report(self, jobs: Sequence[EvalJob], records: Sequence[dict[str, Any]]) -> None:
        """Print the results, and where their files are."""
        out = self.arguments.out
        for line in table(records):
            self.console.say(line)
        for record in records:
            self.console.result(record)
            if not record["complete"]:
                self.console.warn(f"{record['name']}: incomplete, {record['missing']['count']} predictions are missing")
        for job in jobs if self.arguments.submission else ():
            self.console.say(f"{job.store.dataset.data}: {job.store.folder / SUBMISSION}")
            for note in server_notes(job.store.dataset):
                self.console.say(note)
        self.console.say(f"-> {out / REPORT}, {out / RESULTS}, {out / SEQUENCES}")


def _read_metadata(checkpoint: Path) -> CheckpointMetadata:
    from uniref.weights.checkpoint_config import read_config

    return read_config(checkpoint)


def _numbers(text: str) -> tuple[int, ...]:
    """Numbers of `--shots`. Raises UsageError."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and int(part) >= 1 for part in parts):
        raise UsageError(f"--shots {text!r}: use whole numbers from 1, for example 1,5")
    return tuple(dict.fromkeys(int(part) for part in parts))
