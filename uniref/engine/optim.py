"""AdamW with a learning rate per group of parameters, its schedule, the moving average, and the state of a training.

UniRef++, implementation details: AdamW, backbone and sampling offsets at a tenth of the base rate, step decay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from uniref.core.device import best_precision
from uniref.core.errors import UsageError
from uniref.engine.distributed import World, distribute, full_tensor, shard_like
from uniref.engine.stage_model import build_loss_module
from uniref.kernels.cuda import use_triton
from uniref.model.referring import ReferringModel
from uniref.recipe.recipe import OptimConfig, ScheduleConfig, StageConfig

REST = "other parameters"


@dataclass
class StepResult:
    """Outcome of one optimiser step."""

    applied: bool
    """False: the weights stayed as they were."""
    overflow: bool
    """The step was not applied because the scale of float16 gradients was too large; it has been halved."""
    loss: float
    """Mean over all micro batches and processes."""
    norm: float
    """Of the gradient, before clipping."""
    stop: bool
    """Whether any process was asked to stop."""
    terms: list[tuple[str, dict[str, Tensor]]] = field(default_factory=list)
    """Of this process: task and weighted loss terms of each micro batch."""
    seconds: float = 0.0


class TrainState:
    """Model, optimiser and everything else that a step changes.

    Args:
        stage: Configuration.
        model: Weights at the start, on the CPU.
        world: The processes that share a step.
        seed: Of dropout and stochastic depth.
    """

    def __init__(self, stage: StageConfig, model: ReferringModel, world: World, seed: int) -> None:
        self.stage, self.world, self.seed = stage, world, seed
        self.model = model.to(world.device)
        if stage.channels_last:
            self.model.to(memory_format=torch.channels_last)
        if world.device.type == "cuda":
            use_triton(self.model)
        self.precision = best_precision(world.device) if stage.precision == "auto" else stage.precision
        self.network: nn.Module = distribute(build_loss_module(self.model, stage, self.precision), stage, world)
        """Model and losses, as a step calls them: perhaps compiled, and shared between processes."""
        self.optimizer = make_optimizer(self.model, stage.optim)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.ema = Ema(self.model, stage.ema) if stage.ema is not None else None
        scaled = self.precision == "float16" and world.device.type in ("cuda", "cpu")
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=scaled)

    def trained_share(self) -> str:
        """`trains 13 of 100 parameters (13.0%)`."""
        total = sum(p.numel() for p in self.model.parameters())
        trained = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        return f"trains {trained:,} of {total:,} parameters ({trained / total:.1%})"

    def weights(self) -> dict[str, Tensor]:
        """The model's tensors as they are trained, complete, on the CPU; every process has to call it."""
        return {name: _stored(tensor) for name, tensor in self.model.state_dict().items()}

    def averaged(self) -> dict[str, Tensor]:
        """The tensors that are evaluated and exported: the moving average where the recipe asks for one."""
        tensors = self.weights()
        if self.ema is not None:
            tensors |= {name: _stored(tensor) for name, tensor in self.ema.average.items()}
        return tensors

    def state_dict(self) -> dict[str, object]:
        """Everything besides the exported weights that the next step depends on; every process has to call it."""
        names = {id(p): name for name, p in self.model.named_parameters()}
        moments = {
            names[id(parameter)]: {key: _stored(value) for key, value in values.items()}
            for parameter, values in self.optimizer.state.items()
        }
        state: dict[str, object] = {"optimizer": moments, "scaler": self.scaler.state_dict()}
        if self.ema is not None:
            state["weights"] = self.weights()
        return state

    def _step_count(self, count: Tensor, parameter: Tensor) -> Tensor:
        """AdamW's step count of a parameter (a scalar): the fused kernel reads it on the device."""
        return count.to(parameter.device) if self.optimizer.defaults["fused"] else count.clone()

    @torch.no_grad()
    def load_state_dict(self, exported: dict[str, Tensor], state: dict[str, object]) -> None:
        """Resume from what `averaged` and `state_dict` returned.

        Raises:
            KeyError: A parameter that is trained now was not then.
        """
        # weights, and their average
        weights = state.get("weights", exported)
        assert isinstance(weights, dict)
        for name, tensor in self.model.state_dict().items():
            tensor.copy_(shard_like(tensor, weights[name]))
        if self.ema is not None:
            for name, average in self.ema.average.items():
                average.copy_(shard_like(average, exported[name]))
        # AdamW's moments and step counts
        moments = state["optimizer"]
        assert isinstance(moments, dict)
        self.optimizer.state.clear()
        for name, parameter in self.model.named_parameters():
            if name in moments and parameter.requires_grad:
                self.optimizer.state[parameter] = {
                    key: _laid_out_like(parameter, value) if value.dim() else self._step_count(value, parameter)
                    for key, value in moments[name].items()
                }
        # the scale of float16 gradients
        scaler = state["scaler"]
        assert isinstance(scaler, dict)
        self.scaler.load_state_dict(scaler)


def _stored(tensor: Tensor) -> Tensor:
    """As it is written: complete, on the CPU, contiguous."""
    return full_tensor(tensor).cpu().contiguous()


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    """A moment of AdamW with the parameter's layout in memory, which the fused kernel needs."""
    moment = shard_like(parameter, value)
    return (
        moment
        if moment.stride() == parameter.stride()
        else torch.empty_like(parameter, dtype=moment.dtype).copy_(moment)
    )


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate."""

    name: str
    lr: float
    """Before the schedule."""
    weight_decay: float
    parameters: dict[str, Parameter]
    """By name; trainable ones only."""


def parameter_groups(model: nn.Module, config: OptimConfig) -> list[Group]:
    """Trainable parameters by the recipe's groups, those in none last; empty groups are left out.

    Raises:
        UsageError: A pattern matches no parameter of the model (frozen ones count), or two match the same one.
    """
    # which group each parameter belongs to
    names = [name for name, _ in model.named_parameters()]
    owner: dict[str, str] = {}
    for group, settings in config.groups.items():
        if settings is None:
            continue
        matched = [name for name in names if re.match(settings.match, name)]
        if not matched:
            raise UsageError(f"optim.groups.{group}.match: {settings.match!r} matches no parameter of the model")
        for name in matched:
            if name in owner:
                raise UsageError(f"optim.groups: {name} is matched by both {owner[name]!r} and {group!r}; narrow one")
            owner[name] = group
    # the trainable ones of each group, then the rest
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    groups = []
    for group, settings in config.groups.items():
        if settings is None:
            continue
        scaled = config.lr * (1.0 if settings.scale is None else settings.scale)
        rate = scaled if settings.lr is None else settings.lr
        decay = config.weight_decay if settings.weight_decay is None else settings.weight_decay
        chosen = {name: p for name, p in trainable.items() if owner.get(name) == group}
        groups.append(Group(group, rate, decay, chosen))
    groups.append(Group(REST, config.lr, config.weight_decay, {n: p for n, p in trainable.items() if n not in owner}))
    return [group for group in groups if group.parameters]


def make_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW over the model's trainable parameters, on CUDA as one fused kernel; `initial_lr` of each group is the rate
    before the schedule."""
    options = [
        {
            "params": list(group.parameters.values()),
            "lr": group.lr,
            "initial_lr": group.lr,
            "weight_decay": group.weight_decay,
            "name": group.name,
        }
        for group in parameter_groups(model, config)
    ]
    if not options:
        raise UsageError("frozen: leaves nothing to train")
    fused = all(parameter.is_cuda for parameter in model.parameters())
    return torch.optim.AdamW(options, lr=config.lr, betas=config.betas, eps=config.eps, fused=fused)


def schedule_factor(config: ScheduleConfig, step: int) -> float:
    """Factor of all learning rates at a step (from 0): linear warm-up, then `gamma` at each milestone."""
    value = config.gamma ** sum(step >= milestone for milestone in config.milestones)
    if step < config.warmup_steps:
        value *= config.warmup_factor + (1 - config.warmup_factor) * step / config.warmup_steps
    return value


def set_rates(optimizer: torch.optim.Optimizer, config: ScheduleConfig, step: int) -> None:
    """Set the learning rates of a step."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * schedule_factor(config, step)


class Ema:
    """Exponential moving average of a model's parameters; buffers are those of the model.

    Args:
        model: The model that is averaged; the average starts at its present weights.
        decay: Weight of the past per step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.average = {name: p.detach().clone() for name, p in _trained(model)}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Add the weights after a step to the average."""
        for name, parameter in _trained(model):
            self.average[name].lerp_(parameter, 1 - self.decay)


def _trained(model: nn.Module) -> Iterator[tuple[str, Parameter]]:
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def global_norm(parameters: list[Parameter]) -> Tensor:
    """Euclidean norm of all gradients together; a scalar, the same on every process."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    return torch.nn.utils.get_total_norm(gradients) if gradients else torch.zeros(())
