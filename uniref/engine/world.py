"""The processes that train together; alone is a world of one."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from uniref.core.device import resolve_device
from uniref.core.errors import UniRefError, UsageError

T = TypeVar("T")
_COURTESY = 30.0  # seconds; ending takes a moment on a busy machine


@dataclass(frozen=True)
class World:
    """This process among its peers."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def main(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Sum over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def gather(self, value: T) -> list[T]:
        """The value of every process, on every process."""
        if self.size == 1:
            return [value]
        values: list[T | None] = [None] * self.size
        dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]  # all are filled

    def barrier(self) -> None:
        """Wait for all."""
        if self.size > 1:
            dist.barrier()

    @contextlib.contextmanager
    def main_first(self) -> Iterator[None]:
        """A block that the main process alone has work in; a failure there fails all processes.

        Raises:
            UniRefError: On the others, where the main process failed.
        """
        problem: BaseException | None = None
        try:
            yield
        except BaseException as error:
            problem = error
            raise
        finally:
            failed = self.gather(problem is not None)
            if problem is None and any(failed):
                raise UniRefError("another process failed; its message says why")


@contextlib.contextmanager
def join(device: str, timeout_minutes: int) -> Iterator[World]:
    """Join the processes that torchrun started, or be alone.

    Args:
        device: As for `resolve_device`; "cuda" becomes the process's own GPU.
        timeout_minutes: How long to wait for the others before giving up.

    Raises:
        UsageError: The device is not there, or torchrun's variables are incomplete.
    """
    if "RANK" not in os.environ:
        yield World(resolve_device(device))
        return
    try:
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        local = int(os.environ.get("LOCAL_RANK", "0"))
    except (KeyError, ValueError):
        raise UsageError(
            "RANK is set, but WORLD_SIZE or LOCAL_RANK is not a number; start with torchrun, or unset RANK"
        ) from None
    place = resolve_device(device)
    if place.type == "cuda" and place.index is None:
        place = resolve_device(f"cuda:{local}")
        torch.cuda.set_device(place)
    dist.init_process_group(
        "nccl" if place.type == "cuda" else "gloo", timeout=datetime.timedelta(minutes=timeout_minutes)
    )
    try:
        yield World(place, rank, size)
    except UniRefError:
        if rank:
            _let_the_main_process_speak()
        raise
    finally:
        dist.destroy_process_group()


def _let_the_main_process_speak() -> None:
    """What stops one process mostly stops all, and one line about it is enough: the main one's comes first, whereupon
    torchrun ends the others with SIGTERM, silently here."""
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(_COURTESY)
