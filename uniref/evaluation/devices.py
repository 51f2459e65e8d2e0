"""One process a device, each with the model: videos and blocks go to whichever is free."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from uniref.core.parallel import begin_worker, pool_map
from uniref.evaluation.run import predict_units
from uniref.evaluation.store import Store
from uniref.inference.predictor import Predictor


class DevicePool:
    """A `Predict` on several devices; a context that ends its processes.

    Args:
        checkpoint: Folder that every process loads when it gets its first unit.
        devices: A process each.
        precision: As for `Predictor`.
    """

    def __init__(self, checkpoint: Path, devices: Sequence[str], precision: str) -> None:
        context = multiprocessing.get_context("spawn")
        names: Any = context.Queue()
        for name in devices:
            names.put(name)
        self._workers = len(devices)
        self._pool = ProcessPoolExecutor(
            self._workers, mp_context=context, initializer=_begin, initargs=(names, checkpoint, precision)
        )

    def __enter__(self) -> DevicePool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __call__(self, store: Store, units: Sequence[int]) -> Iterator[int]:
        """Predict units; yields each when it is done, in order."""
        yield from pool_map(self._pool, self._workers, _predict, ((store, unit) for unit in units), ahead=2)


_settings: tuple[str, Path, str] | None = None
_predictor: Predictor | None = None


def _begin(names: Any, checkpoint: Path, precision: str) -> None:
    global _settings  # noqa: PLW0603 - what a worker process is for
    begin_worker()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _settings = (names.get(), checkpoint, precision)


def _predict(item: tuple[Store, int]) -> int:
    global _predictor  # noqa: PLW0603
    if _predictor is None:
        assert _settings is not None
        device, checkpoint, precision = _settings
        _predictor = Predictor.from_pretrained(checkpoint, device, precision)
    store, unit = item
    return next(predict_units(_predictor, store, [unit]))
