"""Which part of a list this process does, when several share it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from uniref.core.errors import UsageError


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count` (index from 0)."""

    index: int
    count: int

    def owns(self, position: int) -> bool:
        """Whether the item at `position` of the list belongs to this part."""
        return position % self.count == self.index


def parse_shard(text: str) -> Shard:
    """`i/n` with i from 1 to n. Raises UsageError."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard {text!r}: use i/n with i from 1 to n, for example 1/4")
    return Shard(int(match[1]) - 1, int(match[2]))


def shard_of_environment(environment: Mapping[str, str], inputs: int) -> Shard:
    """The part that torchrun, or a SLURM array or step, gives this process; everything where there is none.

    Args:
        environment: Variables of the process.
        inputs: How many there are. A SLURM task that was given a single one has been dealt its part already.

    Raises:
        UsageError: The variables contradict each other or are no numbers.
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        rank, size = _number(environment, "RANK", 0), _number(environment, "WORLD_SIZE", 1)
        return _checked(environment, "RANK", rank, size)
    if inputs == 1:
        return Shard(0, 1)
    index, count = 0, 1
    if "SLURM_ARRAY_TASK_ID" in environment:
        first = _number(environment, "SLURM_ARRAY_TASK_MIN", 0)
        step = _number(environment, "SLURM_ARRAY_TASK_STEP", 1) or 1
        index = (_number(environment, "SLURM_ARRAY_TASK_ID", 0) - first) // step
        count = _number(environment, "SLURM_ARRAY_TASK_COUNT", 1)
    if "SLURM_STEP_ID" in environment and "SLURM_PROCID" in environment:
        tasks = _number(environment, "SLURM_NTASKS", 1)
        index, count = index * tasks + _number(environment, "SLURM_PROCID", 0), count * tasks
    return _checked(environment, "SLURM_ARRAY_TASK_ID", index, count)


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name, str(default))
    if not value.isdecimal():
        raise UsageError(f"{name}={value}: is not a number; pass --shard i/n")
    return int(value)


def _checked(environment: Mapping[str, str], name: str, index: int, count: int) -> Shard:
    if not 0 <= index < count:
        raise UsageError(f"{name}={environment.get(name)}: does not fit {count} processes; pass --shard i/n")
    return Shard(index, count)


def local_device(asked: str, environment: Mapping[str, str]) -> str:
    """The device of this process: torchrun's take a GPU each."""
    if asked not in ("auto", "cuda") or not environment.get("LOCAL_RANK", "").isdecimal():
        return asked
    import torch

    return f"cuda:{int(environment['LOCAL_RANK']) % torch.cuda.device_count()}" if torch.cuda.is_available() else asked
