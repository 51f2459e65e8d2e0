"""Samples a second of the training loader, by task, and how many loading processes keep ahead of a training step.

    python -m benchmarks.loader [--root DATA]

Without a data root, drawn scenes are prepared in a temporary folder first.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from uniref.data.loader import TrainLoader
from uniref.data.prepare import run
from uniref.model.tokenizer import TextTokenizer
from uniref.recipe.data import AugmentConfig, DataConfig, SourceConfig

_BATCHES, _SIZE = 40, 2
_TASKS = ("detection", "ris", "fss", "vos", "rvos")


def main() -> None:
    """Print a line a task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, help="data root with synthetic/train-*")
    root = parser.parse_args().root
    with tempfile.TemporaryDirectory() as temporary:
        if root is None:
            root = Path(temporary)
            options = {"images": 200, "clips": 40, "size": 512}
            splits = tuple(f"train-{task}" for task in _TASKS)
            run.prepare(run.Request("synthetic", root, splits=splits, workers=2, options=options))
        print(f"{'task':10} {'in the process':>16} {'one worker':>12}   samples/s, short side 480")
        for task in _TASKS:
            rates = [_rate(root, task, workers) for workers in (0, 1)]
            print(f"{task:10} {rates[0]:16.1f} {rates[1]:12.1f}")


def _rate(root: Path, task: str, workers: int) -> float:
    augment = AugmentConfig(short_sides=(480,), max_long_side=854)
    config = DataConfig(sources=(SourceConfig(index=f"synthetic/train-{task}"),), augment=augment, workers=workers)
    tokenizer = TextTokenizer.bert_base_uncased()
    loader = TrainLoader(
        config, root, seed=0, units_per_step=1, unit_size=_SIZE, end_step=_BATCHES + 4, tokenizer=tokenizer
    )
    steps = iter(loader)
    for _ in range(4):  # the first ones wait for the process to start
        next(steps)
    began = time.perf_counter()
    for _ in range(_BATCHES):
        next(steps)
    spent = time.perf_counter() - began
    loader.close()
    return _BATCHES * _SIZE / spent


if __name__ == "__main__":
    main()
