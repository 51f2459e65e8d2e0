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
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard {text!r}: use i/n with i from 1 to n, for example 1/4")
    return Shard(int(match[1]) - 1, int(match[2]))


def shard_of_environment(environment: Mapping[str, str]) -> Shard:
    """The part that torchrun, or a SLURM array or step, gives this process; everything where there is none."""
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return _checked(environment, "RANK", int(environment["RANK"]), int(environment["WORLD_SIZE"]))
    index, count = 0, 1
    if "SLURM_ARRAY_TASK_ID" in environment:
        first = int(environment.get("SLURM_ARRAY_TASK_MIN", "0"))
        step = int(environment.get("SLURM_ARRAY_TASK_STEP", "1")) or 1
        index = (int(environment["SLURM_ARRAY_TASK_ID"]) - first) // step
        count = int(environment.get("SLURM_ARRAY_TASK_COUNT", "1"))
    if "SLURM_STEP_ID" in environment and environment.get("SLURM_PROCID", "").isdigit():
        tasks = int(environment.get("SLURM_NTASKS", "1"))
        index, count = index * tasks + int(environment["SLURM_PROCID"]), count * tasks
    return _checked(environment, "SLURM_ARRAY_TASK_ID", index, count)


def _checked(environment: Mapping[str, str], name: str, index: int, count: int) -> Shard:
    if not 0 <= index < count:
        raise UsageError(f"{name}={environment.get(name)}: does not fit {count} processes; pass --shard i/n")
    return Shard(index, count)
