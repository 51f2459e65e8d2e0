"""Samples per second of the training loader by task, in the training process and in a worker.

    python -m benchmarks.loader [--root DATA] [--cpu-time]

Without a data root, synthetic scenes are prepared in a temporary folder first. With --cpu-time, CPU seconds are counted
(for a busy machine), which measures loading in the training process only.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from uniref.core.progress import silent
from uniref.data.prepare import run
from uniref.data.train.loader import TrainLoader
from uniref.model.text import TextTokenizer
from uniref.recipe.data import AugmentConfig, DataConfig, SourceConfig

_BATCHES, _SIZE = 40, 2
_TASKS = ("detection", "ris", "fss", "vos", "rvos")


def main() -> None:
    """Print a line per task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="data root with synthetic/train-*")
    parser.add_argument("--cpu-time", action="store_true")
    options = parser.parse_args()
    root, clock = options.root, time.process_time if options.cpu_time else time.perf_counter
    with tempfile.TemporaryDirectory() as temporary:
        if root is None:
            root = Path(temporary)
            drawn = {"images": 200, "clips": 40, "size": 512}
            splits = tuple(f"train-{task}" for task in _TASKS)
            run.prepare(run.Request("synthetic", root, splits=splits, workers=2, options=drawn), silent)
        print(f"{'task':10} {'in the process':>16} {'one worker':>12}   samples/s, short side 480")
        for task in _TASKS:
            worker = "" if options.cpu_time else f"{_rate(root, task, 1, clock):12.1f}"
            print(f"{task:10} {_rate(root, task, 0, clock):16.1f} {worker:>12}", flush=True)


def _rate(root: Path, task: str, workers: int, clock: Callable[[], float]) -> float:
    augment = AugmentConfig(short_sides=(480,), max_long_side=854)
    config = DataConfig(sources=(SourceConfig(index=f"synthetic/train-{task}"),), augment=augment, workers=workers)
    # a loader of one source
    tokenizer = TextTokenizer.bert_base_uncased()
    loader = TrainLoader(
        config,
        root,
        seed=0,
        micro_batches_per_step=1,
        micro_batch_size=_SIZE,
        end_step=_BATCHES + 4,
        tokenizer=tokenizer,
    )
    # the rate once its process has started
    steps = iter(loader)
    for _ in range(4):
        next(steps)
    began = clock()
    for _ in range(_BATCHES):
        next(steps)
    spent = clock() - began
    loader.close()
    return _BATCHES * _SIZE / spent


if __name__ == "__main__":
    main()
