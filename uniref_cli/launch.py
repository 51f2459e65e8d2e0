"""`uniref train --gpus N`: torchrun's launcher, with the exit codes and messages of this command."""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid

from uniref.core.errors import UniRefError
from uniref.core.signals import convert_to_sigterm
from uniref.recipe.recipe import Recipe
from uniref_cli.process_rank import gpu_names

_PATIENCE = 600  # seconds in which processes that were asked to stop finish their step and save; torchrun's own are 30
_STOPPED = 128  # exit codes from here on: by a signal, with the state saved


def launch(processes: int, device: str, recipe: Recipe, stages: tuple[str, ...]) -> int:
    """Start this command once per process, wait, and return their common exit code.

    Args:
        processes: How many, one per GPU; on a CPU they share it.
        device: As for `resolve_device`.
        recipe: The recipe.
        stages: Stages to train; empty = all.

    Raises:
        UsageError: There are not so many devices, or they cannot share the recipe's batches.
        UniRefError: A process was killed.
    """
    _check(processes, device, recipe, stages)
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # settings that all processes inherit
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the processes report the same
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_PATIENCE))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    convert_to_sigterm(signal.SIGUSR1)  # an early warning of clusters
    # one node, a free port, no restarts
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-u", "-m", "uniref_cli.app", *sys.argv[1:])
    except ChildFailedError as failed:
        return _code(failed.get_first_failure()[1].exitcode, [each.exitcode for each in failed.failures.values()])
    except Exception as error:
        if (number := signal_behind(error)) is None:
            raise
        return _STOPPED + number
    return 0


def signal_behind(error: BaseException) -> int | None:
    """The signal that ended the launcher; None where something else did.

    PyTorch raises `SignalException` wherever it is. In the first line of its timed functions, their own clean-up then
    fails too (`UnboundLocalError`), and the signal is only the context of that.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException

    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, SignalException):
            return int(behind.sigval)
        behind = behind.__context__
    return None


def _code(first: int, all_codes: list[int]) -> int:
    """Of the processes that failed; the launcher ends the others, whose negative codes mean nothing."""
    if stopped := [code for code in all_codes if code >= _STOPPED]:
        return stopped[0]
    if first < 0:
        name = signal.Signals(-first).name
        raise UniRefError(f"a training process was killed by {name} (out of memory?); continue with --resume auto")
    return first


def _check(processes: int, device: str, recipe: Recipe, stages: tuple[str, ...]) -> None:
    if device != "cpu":
        from uniref.core.device import resolve_device

        resolve_device(device)
        gpu_names(processes)
    from uniref.engine.distributed import processes_of_stage

    for name in recipe.select(stages):
        processes_of_stage(recipe.stages[name], processes, name)
