"""The training loader: optimiser steps as lists of batches, drawn, augmented and collated in worker processes."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import multiprocessing.util  # with its own function for the end of the process
import os
import queue
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, get_worker_info

from uniref.core.batch import Batch
from uniref.core.errors import UniRefError, UsageError
from uniref.core.parallel import usable_cores
from uniref.data.train.collate import LoadedBatch, collate_drawn
from uniref.data.train.dataset import DrawnSamples, MicroBatchDataset
from uniref.data.train.sampler import MicroBatch
from uniref.data.train.sources import OpenHooks, Tokenise, TrainSource, make_sampler, no_hooks, open_sources
from uniref.recipe.data import DataConfig

try:
    import resource
except ImportError:  # Windows, which has no such limit
    resource = None  # type: ignore[assignment]

_FILES_TO_SHARE = 512
_GRACE = 1.0  # seconds that a worker has to end by itself
_LEFT_BEHIND = 5.0  # seconds after which nobody waits for the thread of a worker that was killed
_POLL = 1  # seconds between two looks at a stop request and at the workers
_workers: weakref.WeakSet[BaseProcess] = weakref.WeakSet()
"""Processes of this module's loaders, for the end of the program."""


class TrainLoader:
    """Iterates over the optimiser steps of one process: `for batches in loader` gives a list[Batch] a step.

    The content of a step is a function of (seed, step) alone. Its `micro_batches_per_step` micro batches
    (`micro_batch_size` samples of one source and one orientation each) are dealt to processes: the m-th of process r is
    the step's micro batch m * world_size + r. So 8 micro batches give the same step on 8 processes, or on 1 that
    accumulates 8.

    Args:
        config: Sources, ratios, augmentation, workers.
        root: Data root; indexes lie at `<root>/index/<dataset>/<split>`.
        seed: Of everything random here; at least 0.
        micro_batches_per_step: Batches in the global batch, all processes together; a multiple of world_size.
        micro_batch_size: Samples in a batch.
        start_step: First step to give (resuming is nothing else).
        end_step: Step to stop before; None = never.
        rank, world_size: Which process this is, of how many.
        tokenizer: Needed by sources with expressions.
        pin_memory: Put batches into page-locked memory (for CUDA).
        on_skip: Called with one line for each sample that could not be read.
        open_hooks: Of an extension.
        stop_requested: Checked every second while a batch is waited for.
        patience: Seconds after which a worker that delivers nothing counts as stuck.

    Raises:
        UniRefError: An index is missing, damaged or empty, or lacks what its task needs. While iterating: many draws in
            a row were unusable, or a worker died or is stuck.
        LoadingStoppedError: While iterating: a stop was requested while a batch was waited for.
        UsageError: An index does not serve the task it is used for; micro_batches_per_step is not a multiple
            of world_size.
    """

    def __init__(
        self,
        config: DataConfig,
        root: Path,
        *,
        seed: int,
        micro_batches_per_step: int,
        micro_batch_size: int,
        start_step: int = 0,
        end_step: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        tokenizer: Tokenise | None = None,
        pin_memory: bool = False,
        on_skip: Callable[[str], None] | None = None,
        open_hooks: OpenHooks = no_hooks,
        stop_requested: Callable[[], bool] = lambda: False,
        patience: float = 900.0,
    ) -> None:
        # sources and sampler
        self.sources: tuple[TrainSource, ...] = open_sources(config, root, open_hooks)
        """The recipe's sources, opened, in its order."""
        _check_tokenizer(self.sources, tokenizer)
        self.sampler = make_sampler(config, self.sources, seed, micro_batches_per_step, micro_batch_size)
        """Which samples any step consists of."""
        # position, and counts of unusable samples
        self.step = start_step
        """The step that comes next."""
        self.skipped = 0
        """Samples of this process that could not be read and were replaced."""
        self.redrawn = 0
        """Samples of this process that showed nothing of their object (a crop lost it) and were replaced."""
        self._end = end_step
        self._rank, self._world_size = rank, world_size
        self._on_skip = on_skip
        self._stop_requested, self._patience = stop_requested, patience
        self._per_step = len(self.sampler.step(start_step, rank, world_size))
        self._running: Iterator[LoadedBatch] | None = None
        self._receiver: _Receiver | None = None
        # PyTorch's loader: sampler -> dataset -> collate, in workers
        workers = min(config.workers, usable_cores())
        _share_in_few_files()
        options: dict[str, Any] = {"prefetch_factor": config.prefetch, "timeout": _POLL} if workers else {}
        self._loader: DataLoader[LoadedBatch] = DataLoader(
            MicroBatchDataset(self.sources, seed),  # type: ignore[arg-type]  # its keys are micro batches
            batch_size=None,
            sampler=_LoaderSampler(self),
            num_workers=workers,
            collate_fn=partial(_collate_and_share, tokenizer=tokenizer),
            pin_memory=pin_memory,
            worker_init_fn=_begin_worker,
            generator=torch.Generator(),  # the global one belongs to the model
            **options,
        )

    def __iter__(self) -> Iterator[list[Batch]]:
        """From `step` on; iterating again continues there."""
        self.close()
        with _signal_kept("SIGCHLD"):
            self._running = iter(self._loader)
        if workers := getattr(self._running, "_workers", ()):
            _workers.update(workers)
            self._receiver = _Receiver(self._running)
        try:
            while self._end is None or self.step < self._end:
                batches = [self._next() for _ in range(self._per_step)]
                self.step += 1
                yield batches
        except BaseException as error:
            if not isinstance(error, GeneratorExit):  # not at the end of the program, which has its own way
                self.close()
            raise
        self.close()

    def close(self) -> None:
        """Stop the workers; those that do not end by themselves (after an error, say) are killed after a moment."""
        (running, self._running), (receiver, self._receiver) = (self._running, None), (self._receiver, None)
        if receiver is None:
            return
        # PyTorch asks each worker to end, waits 5 seconds, sends SIGTERM, which they ignore, and waits 5 more; and the
        # thread that receives may wait for a stopped worker for ever
        killer = threading.Timer(_GRACE, _kill, (running._workers,))  # type: ignore[union-attr]
        killer.daemon = True
        killer.start()
        receiver.end()
        running._shutdown_workers()  # type: ignore[union-attr]
        killer.cancel()

    def micro_batches(self) -> Iterator[MicroBatch]:
        """The micro batches of this process from `step` on, in order."""
        for step in itertools.count(self.step) if self._end is None else range(self.step, self._end):
            yield from self.sampler.step(step, self._rank, self._world_size)

    def _next(self) -> Batch:
        loaded = self._wait()
        for line in loaded.skipped:
            if self._on_skip:
                self._on_skip(line)
        self.skipped += len(loaded.skipped)
        self.redrawn += loaded.redrawn
        if loaded.batch is None:
            raise UniRefError(loaded.error)
        return loaded.batch

    def _wait(self) -> LoadedBatch:
        """The next batch of the workers; no wait is without an end."""
        assert self._running is not None
        if self._receiver is None:
            return next(self._running)
        deadline = time.monotonic() + self._patience
        while (received := self._receiver.get(_POLL)) is None:
            if self._stop_requested():
                raise LoadingStoppedError
            if time.monotonic() >= deadline:
                raise UniRefError(
                    f"no data loader worker delivered a batch for {self._patience:.0f} seconds (a disk that hangs, "
                    "or no room in /dev/shm?); look at the disk of the data, or set fewer `data.workers`"
                )
        if isinstance(received, LoadedBatch):
            return received
        # a worker that dies while it hands over a batch breaks the connection
        error = received
        broken = isinstance(error, ConnectionError | FileNotFoundError | EOFError)
        if not broken and not (isinstance(error, RuntimeError) and "DataLoader worker" in str(error)):
            raise error
        raise UniRefError(
            "a data loader worker died (out of memory, or of shared memory in /dev/shm?); "
            "set fewer `data.workers` or a smaller `data.prefetch`"
        ) from error


class _Receiver:
    """Takes batches from workers in a thread: receiving one waits without a time limit for a worker that is stopped, or
    whose disk hangs, while it hands the batch over.

    Args:
        batches: PyTorch's iterator, which raises RuntimeError ("DataLoader timed out") after a while without a batch.
    """

    def __init__(self, batches: Iterator[LoadedBatch]) -> None:
        self._batches = batches
        self._received: queue.Queue[LoadedBatch | BaseException] = queue.Queue(1)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uniref-batches", daemon=True)
        self._thread.start()

    def get(self, seconds: float) -> LoadedBatch | BaseException | None:
        """The next batch, or what went wrong; None where there is neither yet."""
        try:
            return self._received.get(timeout=seconds)
        except queue.Empty:
            return None

    def end(self) -> None:
        """Stop the thread. One that waits for a worker ends when that is killed; where that cannot be killed (its disk
        hangs inside the kernel), the thread is left behind."""
        self._ended.set()
        deadline = time.monotonic() + _GRACE + _LEFT_BEHIND
        while self._thread.is_alive() and time.monotonic() < deadline:
            self.get(0)  # makes room for the last one
            self._thread.join(_POLL / 10)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                received: LoadedBatch | BaseException = next(self._batches)
            except RuntimeError as error:
                if "DataLoader timed out" in str(error):
                    continue
                received = error
            except BaseException as error:  # noqa: BLE001 - handed to the thread that asks
                received = error
            self._received.put(received)
            if isinstance(received, BaseException):
                return


def _kill(workers: Sequence[BaseProcess]) -> None:
    for worker in workers:
        worker.kill()


class LoadingStoppedError(Exception):
    """A stop was requested while a batch was waited for."""


@contextlib.contextmanager
def _signal_kept(name: str) -> Iterator[None]:
    """A block after which a signal is handled as before: PyTorch's handler of SIGCHLD raises wherever the program is
    when a worker dies, in the middle of an optimiser step too. Without it, the next wait for a batch notices."""
    before = signal.getsignal(getattr(signal, name)) if hasattr(signal, name) else None
    try:
        yield
    finally:
        if before is not None:
            with contextlib.suppress(ValueError):  # not in the main thread
                signal.signal(getattr(signal, name), before)


class _LoaderSampler:
    """The keys that PyTorch's loader deals to its workers."""

    def __init__(self, loader: TrainLoader) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[MicroBatch]:
        return self._loader.micro_batches()


def _check_tokenizer(sources: tuple[TrainSource, ...], tokenizer: Tokenise | None) -> None:
    for source in sources:
        if source.task.needs_text and tokenizer is None:
            raise UsageError(f"{source.name}: has expressions, but the model has no text encoder; leave the source out")


def _share_in_few_files() -> None:
    """Where few files may be open, let workers hand over tensors by name: by default each is an open file for a while,
    and a worker that cannot open one more would leave the training waiting."""
    if resource is not None and resource.getrlimit(resource.RLIMIT_NOFILE)[0] < _FILES_TO_SHARE:
        torch.multiprocessing.set_sharing_strategy("file_system")


def _begin_worker(worker: int) -> None:
    """A worker uses one core, and ignores signals, which clusters and terminals send to every process.

    When the training process ends, PyTorch stops its workers by other means, or `_end_workers` does.
    """
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    _share_in_few_files()
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


@atexit.register
def _end_workers() -> None:
    """The loader's workers that are left at exit (an error's traceback kept their loader) end now.

    Python itself would send them SIGTERM, which they ignore, and then wait for them for ever. Registered after Python's
    own function, this one runs before it. Other children of the program are left alone.
    """
    left = [process for process in multiprocessing.active_children() if process in _workers]
    if left:
        with contextlib.suppress(ValueError, AttributeError):  # not in the main thread; no such signal
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's handler takes a killed worker for a failure
    for process in left:
        process.kill()


def _collate_and_share(drawn: DrawnSamples, tokenizer: Tokenise | None) -> LoadedBatch:
    """The batch of drawn samples, in shared memory already: where that is full, the worker's own thread fails here and
    the failure is reported, while PyTorch's thread that hands batches over would fail alone and leave the training
    waiting."""
    loaded = collate_drawn(drawn, tokenizer)
    if get_worker_info() is not None and loaded.batch is not None:
        loaded.batch.share_memory()
    return loaded
