"""Reporting a training: lines and a progress bar for people, metrics.jsonl, TensorBoard and Weights & Biases."""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from uniref.core.atomic import write_text_atomic
from uniref.core.batch import Batch
from uniref.core.errors import UniRefError
from uniref.core.json_files import parse_json
from uniref.engine.distributed import World
from uniref.engine.loggers import MetricSink, open_loggers
from uniref.engine.optim import StepResult, schedule_factor
from uniref.recipe.recipe import RunConfig, StageConfig

METRICS = "metrics.jsonl"


class ProgressMeter(Protocol):
    """A bar, or lines, that show how far a stage is."""

    def show(self, done: int, fields: Mapping[str, str], line: str, /) -> None:
        """Update it after some steps: how many are done, what a bar shows beside itself, and the same as a line."""

    def close(self) -> None:
        """The stage is over."""


class Reporter(Protocol):
    """Where training messages are sent: the command line, a test, or nowhere."""

    def say(self, line: str) -> None:
        """A line for people."""

    def warn(self, line: str) -> None:
        """A line for people that is never suppressed."""

    def result(self, record: dict[str, Any]) -> None:
        """A record for programs."""

    def meter(self, description: str, total: int, done: int, /) -> ProgressMeter:
        """Begin to show a stage's progress."""


class SilentReporter:
    """A reporter that discards everything: of the processes that are not the main one."""

    def say(self, line: str) -> None:
        """Discard it."""

    def warn(self, line: str) -> None:
        """Discard it."""

    def result(self, record: dict[str, Any]) -> None:
        """Discard it."""

    def meter(self, description: str, total: int, done: int, /) -> ProgressMeter:
        """One that shows nothing."""
        return _NoMeter()


class _NoMeter:
    def show(self, done: int, fields: Mapping[str, str], line: str, /) -> None:
        """Discard it."""

    def close(self) -> None:
        """Nothing to close."""


class MetricLogger:
    """Collects the results of steps, and logs their means every `log_every` steps.

    Args:
        folder: Of the stage.
        name: Of the stage.
        stage, run: Configuration.
        world: All processes call `log_step` and `flush`; the main one writes.
        reporter: Of the main process.
        start: Steps done before; records of later ones are dropped from the files.
    """

    def __init__(
        self, folder: Path, name: str, stage: StageConfig, run: RunConfig, world: World, reporter: Reporter, start: int
    ) -> None:
        self._name, self._stage, self._run, self._world, self._reporter = name, stage, run, world, reporter
        self._path = folder / METRICS
        self._pending: list[tuple[StepResult, float]] = []
        self._began, self._start = time.monotonic(), start
        self._sinks: list[MetricSink] = []
        if world.main:
            _forget_after(self._path, start)
            self._sinks = open_loggers(run, name, folder, stage, start)
        self._meter = reporter.meter(name, stage.steps, start)

    def log_step(self, result: StepResult, data_seconds: float) -> None:
        """Collect a step's result, and how long it had to wait for its data."""
        self._pending.append((result, data_seconds))

    def flush(self, done: int, counters: Mapping[str, int]) -> None:
        """Log the steps since the last time; every process has to call it.

        Args:
            done: Steps done.
            counters: Of this process: samples skipped, steps not applied, ...
        """
        if not self._pending:
            return
        # sums of every process
        steps = len(self._pending)
        sums = self._world.gather((_sums(self._pending), dict(counters)))
        if not self._world.main:
            self._pending = []
            return
        # means over processes and steps
        terms: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        totals: dict[str, int] = defaultdict(int)
        for values, counts in sums:
            for key, (total, count) in values.items():
                terms[key][0] += total
                terms[key][1] += count
            for key, number in counts.items():
                totals[key] += number
        finite = [(r.loss, r.norm) for r, _ in self._pending if math.isfinite(r.loss) and math.isfinite(r.norm)]
        seconds = sum(result.seconds for result, _ in self._pending) / steps
        waiting = sum(data for _, data in self._pending) / steps
        record: dict[str, Any] = {
            "kind": "train",
            "stage": self._name,
            "step": done,
            "loss": sum(loss for loss, _ in finite) / len(finite) if finite else None,
            "terms": {key: total / count for key, (total, count) in sorted(terms.items())},
            "gradient_norm": sum(norm for _, norm in finite) / len(finite) if finite else None,
            "learning_rate": self._stage.optim.lr * schedule_factor(self._stage.optim.schedule, done - 1),
            "seconds_per_step": seconds + waiting,
            "data_seconds": waiting,
            "samples_per_second": self._stage.global_batch / (seconds + waiting),
            "memory_gb": memory_gb(self._world.device),
            **totals,
        }
        self._pending = []
        self._write(record)
        self._show(record)

    def log_evaluation(self, done: int, results: Mapping[str, Mapping[str, float]]) -> None:
        """Log the results of an evaluation, `dataset/split` -> metric -> value (main process)."""
        self._write({"kind": "evaluation", "stage": self._name, "step": done, "results": results})
        for data, values in results.items():
            shown = ", ".join(f"{key} {value:.4f}" for key, value in list(values.items())[:6])
            self._reporter.say(f"{self._name} step {done}: {data}: {shown}")

    def log_image(self, done: int, name: str, image: npt.NDArray[np.uint8]) -> None:
        """Add an image, uint8 [H, W, 3], to the loggers (main process)."""
        for sink in self._sinks:
            sink.image(name, image, done)

    def log_event(self, done: int, **fields: Any) -> None:
        """Log something besides numbers (main process)."""
        if self._world.main:
            self._write({"kind": "event", "stage": self._name, "step": done, **fields})

    def close(self) -> None:
        """Finish all files."""
        self._meter.close()
        for sink in self._sinks:
            sink.close()

    def _write(self, record: dict[str, Any]) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise UniRefError(f"{self._path}: cannot be written ({error.strerror})") from None
        self._reporter.result(record)
        flat = dict(_flat(record))
        for sink in self._sinks:
            sink.log(flat, record["step"])

    def _show(self, record: dict[str, Any]) -> None:
        done, total = record["step"], self._stage.steps
        spent = time.monotonic() - self._began
        left = spent / max(1, done - self._start) * (total - done)
        main = sorted(
            ((key, value) for key, value in record["terms"].items() if "/" not in key), key=lambda kv: -kv[1]
        )[:3]
        fields = {
            "loss": "-" if record["loss"] is None else f"{record['loss']:.3f}",
            **{key.removeprefix("loss_"): f"{value:.3f}" for key, value in main},
            "data": f"{record['data_seconds']:.2f}s",
            "mem": f"{record['memory_gb']:.1f}G",
        }
        values = " ".join(f"{key} {value}" for key, value in fields.items())
        speed = f"{record['seconds_per_step']:.2f} s/step"
        line = f"{self._name} {done}/{total}: {values}, lr {record['learning_rate']:.2g}, {speed}, {_clock(left)} left"
        self._meter.show(done, fields, line)


def memory_gb(device: torch.device) -> float:
    """Highest memory used so far: of the GPU, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9


def _sums(pending: list[tuple[StepResult, float]]) -> dict[str, tuple[float, int]]:
    """Sum and number of each loss term, over all batches and by task (`ris/loss_mask`); non-finite ones left out.

    Terms of all decoder layers go into the name without a layer.
    """
    sums: dict[str, tuple[float, int]] = {}
    for result, _ in pending:
        for task, terms in result.terms:
            merged: dict[str, float] = defaultdict(float)
            for name, value in terms.items():
                merged[_without_layer(name)] += float(value)
            for name, number in merged.items():
                if math.isfinite(number):
                    for key in (name, f"{task}/{name}"):
                        total, count = sums.get(key, (0.0, 0))
                        sums[key] = (total + number, count + 1)
    return sums


def _without_layer(name: str) -> str:
    head, _, tail = name.rpartition("_")
    return head if head and (tail.isdecimal() or tail == "enc") else name


def _flat(record: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    flat = []
    for key, value in record.items():
        if isinstance(value, Mapping):
            flat += _flat(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and not isinstance(value, bool) and key != "step":
            flat.append((prefix + key, float(value)))
    return flat


def _forget_after(path: Path, step: int) -> None:
    """Drop the records of later steps: those are about to be done again."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text("utf-8", "replace").splitlines():
        try:
            if parse_json(line, str(path))["step"] <= step:
                kept.append(line)
        except (UniRefError, KeyError, TypeError):  # cut off by a kill
            continue
    write_text_atomic(path, "".join(f"{line}\n" for line in kept))


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def non_finite_samples(world: World, batches: Sequence[Batch], result: StepResult) -> list[str]:
    """Ids of the samples of a step that was not applied, from all processes: those of micro batches without a finite
    loss; where every loss is finite, the gradient is not, and any micro batch may have made it so: all of them."""

    def is_finite(terms: Mapping[str, Tensor]) -> bool:
        return all(math.isfinite(float(term)) for term in terms.values())

    guilty = [
        name
        for batch, (_, terms) in zip(batches, result.terms, strict=True)
        if not is_finite(terms)
        for name in batch.ids
    ]
    everyone = [name for batch in batches for name in batch.ids]
    parts = world.gather((guilty, everyone))
    return [name for part, _ in parts for name in part] or [name for _, part in parts for name in part]
