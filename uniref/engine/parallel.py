"""How a model is shared by processes: as copies (DDP), or each keeping a part (FSDP)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from uniref.engine.world import World
from uniref.recipe.stage import StageConfig


def distribute(learner: nn.Module, stage: StageConfig, world: World) -> nn.Module:
    """The network that a step calls: compiled and shared as the stage says.

    Args:
        learner: Holds the model as `learner.model`; on its device.
        stage: Configuration.
        world: The processes.
    """
    if stage.compile:
        for module in _blocks(learner):
            module.compile()
    if world.size == 1:
        return learner
    if stage.parallel == "fsdp":
        return _sharded(learner)
    # a batch uses the parts that its task needs, so some parameters get no gradient
    devices = [world.device.index] if world.device.type == "cuda" else None
    return DistributedDataParallel(learner, device_ids=devices, find_unused_parameters=True)


_LAYERS = {
    "transformer.encoder",
    "transformer.decoder",
    "text_encoder.body.encoder.layer",
    "sam.vision_encoder.layers",
    "sam.mask_decoder.transformer.layers",
}


@contextlib.contextmanager
def synchronised(network: nn.Module, now: bool) -> Iterator[None]:
    """A block whose backward pass exchanges gradients, or (not `now`) only adds them up here."""
    if isinstance(network, DistributedDataParallel):
        with contextlib.nullcontext() if now else network.no_sync():
            yield
        return
    if hasattr(network, "set_requires_gradient_sync"):
        network.set_requires_gradient_sync(now)  # type: ignore[operator]  # FSDP adds it to the class
    yield


def full(tensor: Tensor) -> Tensor:
    """The complete tensor of one that may be shared; every process has to ask."""
    whole: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return whole.detach()


def _sharded(learner: nn.Module) -> nn.Module:
    from torch.distributed.fsdp import fully_shard

    for module in _blocks(learner):
        if any(p.requires_grad for p in module.parameters()):
            fully_shard(module)
    fully_shard(learner)
    return learner


def _blocks(learner: nn.Module) -> list[nn.Module]:
    """Backbone, and the layers of encoders and decoder: what is called as a whole."""
    model = learner.model
    assert isinstance(model, nn.Module)
    blocks: list[nn.Module] = []
    for name, module in model.named_modules():
        if name == "backbone.body":
            blocks.append(module)
        elif name in _LAYERS:
            blocks += list(module.children())
    return blocks
