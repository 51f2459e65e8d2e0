"""Which part of a list, and which device, this process has when several share the work."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from uniref.core.errors import UsageError


@dataclass(frozen=True)
class ProcessRank:
    """Process `rank` (from 0) of `world_size`."""

    rank: int
    world_size: int

    def owns(self, position: int) -> bool:
        """Whether this process does the item at `position` of a list."""
        return position % self.world_size == self.rank


def parse_shard(text: str) -> ProcessRank:
    """`--shard i/n` with i from 1 to n. Raises UsageError."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard {text!r}: use i/n with i from 1 to n, for example 1/4")
    return ProcessRank(int(match[1]) - 1, int(match[2]))


def rank_of_environment(environment: Mapping[str, str], inputs: int) -> ProcessRank:
    """The rank that torchrun, or a SLURM array or step, gives this process; 0 of 1 without them.

    Args:
        environment: Variables of the process.
        inputs: How many there are. A SLURM task with a single one was given its part on the command line.

    Raises:
        UsageError: The variables contradict each other or are not numbers.
    """
    # torchrun
    if "RANK" in environment and "WORLD_SIZE" in environment:
        rank, size = _number(environment, "RANK", 0), _number(environment, "WORLD_SIZE", 1)
        return _checked(environment, "RANK", rank, size)
    if inputs == 1:
        return ProcessRank(0, 1)
    # SLURM: tasks of an array, and processes of each
    rank, size = 0, 1
    if "SLURM_ARRAY_TASK_ID" in environment:
        first = _number(environment, "SLURM_ARRAY_TASK_MIN", 0)
        step = _number(environment, "SLURM_ARRAY_TASK_STEP", 1) or 1
        rank = (_number(environment, "SLURM_ARRAY_TASK_ID", 0) - first) // step
        size = _number(environment, "SLURM_ARRAY_TASK_COUNT", 1)
    if "SLURM_STEP_ID" in environment and "SLURM_PROCID" in environment:
        tasks = _number(environment, "SLURM_NTASKS", 1)
        rank, size = rank * tasks + _number(environment, "SLURM_PROCID", 0), size * tasks
    return _checked(environment, "SLURM_ARRAY_TASK_ID", rank, size)


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name, str(default))
    if not value.isdecimal():
        raise UsageError(f"{name}={value}: is not a number; pass --shard i/n")
    return int(value)


def _checked(environment: Mapping[str, str], name: str, rank: int, size: int) -> ProcessRank:
    if not 0 <= rank < size:
        raise UsageError(f"{name}={environment.get(name)}: does not fit {size} processes; pass --shard i/n")
    return ProcessRank(rank, size)


def gpu_names(count: int) -> list[str]:
    """Names of the first GPUs, for `--gpus`. Raises UsageError where there are not so many."""
    import torch

    usable = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count > usable:
        raise UsageError(f"--gpus {count}: this machine has {usable} usable CUDA devices")
    return [f"cuda:{number}" for number in range(count)]


def local_device(device: str, environment: Mapping[str, str]) -> str:
    """The device of this process: with torchrun's `auto` or `cuda`, the GPU of its local rank."""
    if device not in ("auto", "cuda") or not environment.get("LOCAL_RANK", "").isdecimal():
        return device
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"cuda:{int(environment['LOCAL_RANK']) % count}" if count else device
