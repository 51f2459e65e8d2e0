"""Optimiser steps as lists of batches: what the engine trains on."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import multiprocessing.util  # with its own function for the end of the process
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, get_worker_info

from uniref.core.batch import Batch
from uniref.core.errors import UniRefError, UsageError
from uniref.core.parallel import usable_cores
from uniref.data.collate import Tokenise
from uniref.data.plan import Unit
from uniref.data.sources import TrainSource, make_plan, open_sources
from uniref.data.units import Made, UnitMaker
from uniref.recipe.data import DataConfig

try:
    import resource
except ImportError:  # Windows, which has no such limit
    resource = None  # type: ignore[assignment]

_FILES_TO_SHARE = 512


class TrainLoader:
    """Iterates over the optimiser steps of one process: `for batches in loader` gives a list[Batch] a step.

    The content of a step is a function of (seed, step) alone. Its `units_per_step` units (batches of `unit_size`
    samples of one source and one orientation) are dealt to processes and micro batches: micro batch m of process r is
    unit m * world_size + r. So 8 units give the same step on 8 processes, or on 1 that accumulates 8 micro batches.

    Args:
        config: Sources, ratios, augmentation, workers.
        root: Data root; indexes lie at `<root>/index/<dataset>/<split>`.
        seed: Of everything random here; at least 0.
        units_per_step: Batches in the global batch, all processes together; a multiple of world_size.
        unit_size: Samples in a batch.
        start_step: First step to give (resuming is nothing else).
        end_step: Step to stop before; None = never.
        rank, world_size: Which process this is, of how many.
        tokenizer: Needed by sources with expressions.
        pin_memory: Put batches into page-locked memory (for CUDA).
        on_skip: Told one line for each sample that could not be read.

    Raises:
        UniRefError: An index is missing, damaged or empty, or lacks what its task needs. While iterating: many draws in
            a row were unusable, or a worker died.
        UsageError: An index does not serve the task it is used for; units_per_step is no multiple of world_size.
    """

    def __init__(
        self,
        config: DataConfig,
        root: Path,
        *,
        seed: int,
        units_per_step: int,
        unit_size: int,
        start_step: int = 0,
        end_step: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        tokenizer: Tokenise | None = None,
        pin_memory: bool = False,
        on_skip: Callable[[str], None] | None = None,
    ) -> None:
        self.sources: tuple[TrainSource, ...] = open_sources(config, root)
        """What the recipe names, opened, in its order."""
        _check_tokenizer(self.sources, tokenizer)
        self.plan = make_plan(config, self.sources, seed, units_per_step, unit_size)
        """Which samples any step consists of."""
        self.step = start_step
        """The step that comes next."""
        self.skipped = 0
        """Samples of this process that could not be read and were replaced."""
        self.redrawn = 0
        """Samples of this process that showed nothing of their object (a crop lost it) and were replaced."""
        self._end = end_step
        self._rank, self._world_size = rank, world_size
        self._on_skip = on_skip
        self._per_step = len(self.plan.step(start_step, rank, world_size))
        self._running: Iterator[Made] | None = None
        workers = min(config.workers, usable_cores())
        _share_in_few_files()
        options: dict[str, Any] = {"prefetch_factor": config.prefetch} if workers else {}
        self._loader: DataLoader[Made] = DataLoader(
            UnitMaker(self.sources, seed, tokenizer),  # type: ignore[arg-type]  # a data set whose keys are units
            batch_size=None,
            sampler=_Units(self),
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=pin_memory,
            worker_init_fn=_begin_worker,
            generator=torch.Generator(),  # the global one belongs to the model
            **options,
        )

    def __iter__(self) -> Iterator[list[Batch]]:
        """From `step` on; iterating again continues there."""
        self.close()
        self._running = iter(self._loader)
        while self._end is None or self.step < self._end:
            batches = [self._next() for _ in range(self._per_step)]
            self.step += 1
            yield batches
        self.close()

    def close(self) -> None:
        """Stop the workers."""
        self._running = None

    def units(self) -> Iterator[Unit]:
        """The units of this process from `step` on, in order."""
        for step in itertools.count(self.step) if self._end is None else range(self.step, self._end):
            yield from self.plan.step(step, self._rank, self._world_size)

    def _next(self) -> Batch:
        assert self._running is not None
        try:
            made = next(self._running)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise UniRefError(
                "a data loader worker died (out of memory, or of shared memory in /dev/shm?); "
                "set fewer `data.workers` or a smaller `data.prefetch`"
            ) from error
        for line in made.skipped:
            if self._on_skip:
                self._on_skip(line)
        self.skipped += len(made.skipped)
        self.redrawn += made.redrawn
        if made.batch is None:
            raise UniRefError(made.error)
        return made.batch


class _Units:
    """The keys that PyTorch's loader deals to its workers."""

    def __init__(self, loader: TrainLoader) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[Unit]:
        return self._loader.units()


def _check_tokenizer(sources: tuple[TrainSource, ...], tokenizer: Tokenise | None) -> None:
    for source in sources:
        if source.task.needs_text and tokenizer is None:
            raise UsageError(f"{source.name}: has expressions, but the model has no text encoder; leave the source out")


def _share_in_few_files() -> None:
    """Where few files may be open, let workers hand over tensors by name: by default each is an open file for a time,
    and a worker that cannot open one more would leave the training waiting."""
    if resource is not None and resource.getrlimit(resource.RLIMIT_NOFILE)[0] < _FILES_TO_SHARE:
        torch.multiprocessing.set_sharing_strategy("file_system")


def _begin_worker(worker: int) -> None:
    """A worker uses one core, and leaves signals to the process that trains: clusters and terminals send them to all.

    When that process ends, PyTorch tells its workers by other means, or `_end_workers` does.
    """
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    _share_in_few_files()
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


@atexit.register
def _end_workers() -> None:
    """Workers that are left at exit (an error's traceback kept their loader) end now.

    Python itself would send them SIGTERM, which they ignore, and then wait for them for ever. Registered after Python's
    own function, this one runs before it.
    """
    with contextlib.suppress(ValueError, AttributeError):  # not in the main thread; no such signal
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's handler takes a killed worker for a failure
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()


def _as_it_is(made: Any) -> Any:
    """What a worker made, in shared memory already: where that is full, the worker's own thread fails here and the
    training is told, while PyTorch's thread that hands things over would fail alone and leave it waiting."""
    if get_worker_info() is not None and made.batch is not None:
        made.batch.share_memory()
    return made
