"""How often a training step reads a tensor's values: on a GPU, each time the host waits for all work before it."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from tests.engine.batches import make_batch
from tests.engine.conftest import MakeRecipe
from tests.tiny import tiny_config
from uniref.core.tasks import Task
from uniref.engine.distributed import World
from uniref.engine.trainer import TrainState, train_step
from uniref.model.build import build_model
from uniref.recipe.load import load_recipe

READS = {"item", "tolist", "cpu", "nonzero", "__bool__", "__int__", "__float__", "__index__", "masked_select", "unique"}
ON_THE_HOST = ("optimizer.py", "adamw.py")
"""Step counters of an AdamW for CPUs; the fused one has them on the device."""


class HostReads(TorchFunctionMode):
    """Counts reads by file and line."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: Counter[str] = Counter()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        indices = args[1] if name == "__getitem__" and isinstance(args[1], tuple) else args[1:2]
        by_mask = name == "__getitem__" and any(isinstance(i, Tensor) and i.dtype == torch.bool for i in indices)
        if name in READS or by_mask:
            caller = next(f for f in reversed(traceback.extract_stack()[:-1]) if "_tensor" not in Path(f.filename).stem)
            if Path(caller.filename).name not in ON_THE_HOST:
                self.lines[f"{Path(caller.filename).name}:{caller.lineno} {name}"] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("task", [Task.RIS, Task.VOS, Task.DETECTION])
def test_a_step_reads_few_values(task: Task, make_recipe: MakeRecipe) -> None:
    """Four reads per micro batch (SimOTA: whether an object lost its queries; pairs of queries and of proposals; costs
    of the Hungarian matching), one of the text encoder's library, and one per step: loss, norm and stop requests."""
    stage = load_recipe(make_recipe(global_batch=4, micro_batch=2)).stages["only"]
    torch.manual_seed(0)
    state = TrainState(stage, build_model(tiny_config()), World(torch.device("cpu")), seed=0)
    batches = [make_batch(task), make_batch(task)]
    train_step(state, batches, 0)  # makes the constants
    with HostReads() as reads:
        train_step(state, batches, 1)
    assert 5 <= reads.lines.total() <= 2 * (4 + (task is Task.RIS)) + 1, dict(reads.lines)
