"""Processes and devices of a training: process group, stop signals, DDP and FSDP, activation checkpointing."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from uniref.core.device import resolve_device
from uniref.core.errors import UniRefError, UsageError
from uniref.core.files import first_line
from uniref.core.signals import StopRequest, stop_on_signals
from uniref.core.slurm import torch_variables
from uniref.model.uniref import UniRef
from uniref.recipe.recipe import StageConfig

T = TypeVar("T")
_LINGER = 30.0  # seconds; ending takes a moment on a busy machine
_REPEAT = 1.0  # seconds; a launcher passes on what its processes received anyway, so that one Ctrl-C arrives twice
_POLL = 0.2  # seconds
_FOREVER = datetime.timedelta(days=1000)
_LAYERS = {
    "transformer.encoder",
    "transformer.decoder",
    "text_encoder.body.encoder.layer",
    "sam.vision_encoder.layers",
    "sam.mask_decoder.transformer.layers",
}

# --- process group ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """This process among those that train together; a single process is a world of one."""

    device: torch.device
    rank: int = 0
    size: int = 1
    timeout: datetime.timedelta = datetime.timedelta(minutes=30)
    """How long an operation waits for the other processes."""
    group: dist.ProcessGroup | None = None
    """The processes of a stage that does not use all; None: all of them."""
    patient: dist.ProcessGroup | None = None
    """The same processes, in a group whose operations do not time out."""

    @property
    def main(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Sum over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(values, group=self.group)
        return values

    def sum_numbers(self, *values: float) -> list[float]:
        """Sums over all processes; one alone does not wait for its device."""
        if self.size == 1:
            return [float(value) for value in values]
        on_device = torch.tensor(values, dtype=torch.float64, device=self.device)
        return [float(value) for value in self.sum(on_device).tolist()]

    def gather(self, value: T) -> list[T]:
        """The value of every process, on every process."""
        if self.size == 1:
            return [value]
        values: list[T | None] = [None] * self.size
        dist.all_gather_object(values, value, group=self.group)
        return values  # type: ignore[return-value]  # all are filled

    def broadcast(self, values: Tensor) -> None:
        """Replace a tensor by that of the main process, in place."""
        if self.size > 1:
            dist.broadcast(values, 0, group=self.group)

    def wait(self) -> None:
        """Wait until all processes are here, however long that takes; signals are handled meanwhile.

        Raises:
            RuntimeError: A process has died.
        """
        if self.size == 1:
            return
        barrier = dist.barrier(group=self.patient, async_op=True)
        while not barrier.is_completed():
            time.sleep(_POLL)
        barrier.wait()

    def first(self, count: int) -> World | None:
        """The first `count` processes as a world of their own; None on the others. Every process has to call it."""
        if count >= self.size:
            return self
        group = _new_group(self.timeout, count)
        patient = _new_group(_FOREVER, count, "gloo")
        if self.rank >= count:
            return None
        return World(self.device, self.rank, count, self.timeout, group, patient)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """A block in which all processes work, and at whose end they wait for each other, however long.

        Raises:
            UniRefError: On every process, where one of them failed, with its message.
        """
        problem: BaseException | None = None
        try:
            yield
        except BaseException as error:
            problem = error
            raise
        finally:
            self.wait()
            messages = self.gather(None if problem is None else str(problem))
            if problem is None and any(message is not None for message in messages):
                raise UniRefError(next(message for message in messages if message is not None))

    @contextlib.contextmanager
    def on_main_process(self) -> Iterator[None]:
        """A block in which the main process alone has work to do; the others wait, and fail where it fails.

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
    """Join the processes that torchrun or srun started, or be alone.

    Args:
        device: As for `resolve_device`; "cuda" becomes the process's own GPU.
        timeout_minutes: How long to wait for the others before giving up.

    Raises:
        UsageError: The device does not exist, or the launcher's variables are incomplete.
        UniRefError: Another process has died.
    """
    os.environ.update(torch_variables(os.environ))
    if "RANK" not in os.environ:
        yield World(resolve_device(device))
        return
    # this process's rank and device
    try:
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    except (KeyError, ValueError):
        raise UsageError(
            "RANK is set, but WORLD_SIZE or LOCAL_RANK is not a number; start with torchrun, or unset RANK"
        ) from None
    own_device = resolve_device(device)
    if own_device.type == "cuda" and own_device.index is None:
        # srun may show each task its own GPU alone
        own_device = resolve_device(f"cuda:{0 if torch.cuda.device_count() == 1 else local_rank}")
        torch.cuda.set_device(own_device)
    # the process group
    backend = "nccl" if own_device.type == "cuda" else "gloo"
    timeout = datetime.timedelta(minutes=timeout_minutes)
    try:
        dist.init_process_group(backend, timeout=timeout)
    except (RuntimeError, ValueError) as error:
        raise UniRefError(
            f"the {size} processes of the training did not find each other at {os.environ.get('MASTER_ADDR')}:"
            f"{os.environ.get('MASTER_PORT')} ({first_line(error)})"
        ) from None
    try:
        patient = _new_group(_FOREVER, size, "gloo") if size > 1 else None
        yield World(own_device, rank, size, timeout, None, patient)
    except UniRefError:
        if rank:
            _let_the_main_process_report()
        raise
    except RuntimeError as error:
        if not _is_lost_contact(error):
            raise
        raise UniRefError(
            f"process {rank} lost contact with another process of the training, which died or hangs "
            f"({first_line(error)}); resume with --resume auto"
        ) from None
    finally:
        dist.destroy_process_group()


def _new_group(timeout: datetime.timedelta, count: int, backend: str | None = None) -> Any:
    """A group of the first `count` processes; every process has to call it, and only members may use it."""
    return dist.new_group(range(count), timeout=timeout, backend=backend)


def _is_lost_contact(error: RuntimeError) -> bool:
    """Whether an error says that another process cannot be reached; gloo's are plain RuntimeErrors."""
    return isinstance(error, dist.DistError) or "gloo" in str(error) or "onnection closed by peer" in str(error)


def _let_the_main_process_report() -> None:
    """What stops one process usually stops all, and one line about it is enough: the main one's comes first, whereupon
    torchrun ends the others with SIGTERM, silently here."""
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(_LINGER)


def processes_of_stage(stage: StageConfig, available: int, name: str) -> int:
    """How many of the processes a stage uses: all, or one per micro batch of a step, whatever is less.

    Raises:
        UsageError: They cannot share the micro batches of a step equally.
    """
    used = min(available, stage.micro_batches_per_step)
    if stage.micro_batches_per_step % used:
        raise UsageError(
            f"stages.{name}: the {stage.micro_batches_per_step} batches in a step (global_batch {stage.global_batch} / "
            f"micro_batch {stage.micro_batch}) cannot be shared by {available} processes; use a number of processes "
            "that divides it"
        )
    return used


# --- stop signals ----------------------------------------------------------------------------------------------------


def stop_training_on_signals(say: Callable[[str], None]) -> contextlib.AbstractContextManager[StopRequest]:
    """A block in which SIGINT, SIGTERM and SIGUSR1 (a cluster's early warning) ask for a stop: the step is finished and
    the state saved. A second Ctrl-C stops at once.

    Args:
        say: Called once with what will happen.
    """
    return stop_on_signals(
        ("SIGINT", "SIGTERM", "SIGUSR1"),
        on_request=lambda: say("finishing the step, then saving the state (Ctrl-C: stop at once)"),
        acts_at_once=lambda request, number: number == signal.SIGINT and request.age > _REPEAT,
    )


# --- sharing the model -----------------------------------------------------------------------------------------------


def distribute(loss_module: nn.Module, stage: StageConfig, world: World) -> nn.Module:
    """The network that a step calls: compiled, and copied to (DDP) or cut between (FSDP) the processes.

    Args:
        loss_module: Holds the model as `loss_module.model`; on its device.
        stage: Configuration.
        world: The processes.
    """
    if stage.compile:
        for module in _layers(loss_module):
            module.compile()
    if world.size == 1:
        return loss_module
    if stage.parallel == "fsdp":
        return _fully_sharded(loss_module, world)
    # a batch uses the parts that its task needs, so some parameters get no gradient
    devices = [world.device.index] if world.device.type == "cuda" else None
    return DistributedDataParallel(
        loss_module, device_ids=devices, process_group=world.group, find_unused_parameters=True
    )


@contextlib.contextmanager
def gradient_sync(network: nn.Module, now: bool) -> Iterator[None]:
    """A block whose backward pass exchanges gradients between the processes, or (not `now`) only accumulates them."""
    if isinstance(network, DistributedDataParallel):
        with contextlib.nullcontext() if now else network.no_sync():
            yield
        return
    if hasattr(network, "set_requires_gradient_sync"):
        network.set_requires_gradient_sync(now)  # type: ignore[operator]  # FSDP adds it to the class
    yield


def full_tensor(tensor: Tensor) -> Tensor:
    """The complete tensor of one that may be cut between processes; every process has to call it."""
    whole: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return whole.detach()


def shard_like(target: Tensor, source: Tensor) -> Tensor:
    """A copy of a complete tensor on the device of `target`, and cut between processes as it is."""
    moved = source.to(target.device)
    if isinstance(target, DTensor):
        return distribute_tensor(moved, target.device_mesh, target.placements)
    return moved.clone()


def _fully_sharded(loss_module: nn.Module, world: World) -> nn.Module:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import fully_shard

    mesh = None if world.group is None else DeviceMesh.from_group(world.group, world.device.type)

    for module in _layers(loss_module):
        if any(p.requires_grad for p in module.parameters()):
            fully_shard(module, mesh=mesh)
    fully_shard(loss_module, mesh=mesh)
    return loss_module


def _layers(loss_module: nn.Module) -> list[nn.Module]:
    """Backbone, and the layers of encoders and decoder: what is called as a whole."""
    model = loss_module.model
    assert isinstance(model, nn.Module)
    layers: list[nn.Module] = []
    for name, module in model.named_modules():
        if name == "backbone.body":
            layers.append(module)
        elif name in _LAYERS:
            layers += list(module.children())
    return layers


# --- activation checkpointing ----------------------------------------------------------------------------------------


def recompute_activations(model: UniRef) -> list[nn.Module]:
    """Checkpoint the backbone's blocks, the text encoder's and the transformer's layers, and the fusion, in place:
    only their inputs are kept, and the backward pass computes what is inside once more.

    Names of parameters stay as they are.

    Returns:
        The blocks and layers of whose calls only the arguments are kept.
    """
    layers = [*model.transformer.encoder, *model.transformer.decoder, *_blocks(model.backbone.body)]
    if model.text_encoder is not None:
        layers += _blocks(model.text_encoder.body)
    for layer in layers:
        layer.forward = _checkpointed(layer.forward)
    if model.fusion is not None:
        model.fusion.fuse = _checkpointed(model.fusion.fuse)  # type: ignore[method-assign]
    return layers


def _blocks(network: nn.Module) -> list[nn.Module]:
    """The blocks of a network: children, with children of their own, of its outermost sequences."""
    blocks: list[nn.Module] = []
    for child in network.children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            blocks += [block for block in child if any(block.children())]
        else:
            blocks += _blocks(child)
    return blocks


def _checkpointed(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose intermediate values are recomputed where gradients are needed."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return function(*args, **kwargs)
        return checkpoint(function, *args, use_reentrant=False, **kwargs)

    return call
