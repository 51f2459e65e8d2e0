"""AdamW with a learning rate for each group of parameters, and its schedule (SPEC section 9)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from uniref.core.errors import UsageError
from uniref.recipe.recipe import OptimConfig, ScheduleConfig

REST = "other parameters"


@dataclass(frozen=True)
class Group:
    """Parameters that learn at one rate."""

    name: str
    lr: float
    """Before the schedule."""
    weight_decay: float
    parameters: dict[str, Parameter]
    """By name; trainable ones only."""


def groups(model: nn.Module, config: OptimConfig) -> list[Group]:
    """Trainable parameters by the recipe's groups, what is in none last; empty groups are left out.

    Raises:
        UsageError: A pattern matches no parameter of the model (frozen ones count), or two match the same one.
    """
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
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    made = []
    for group, settings in config.groups.items():
        if settings is None:
            continue
        rate = (
            settings.lr if settings.lr is not None else config.lr * (1.0 if settings.scale is None else settings.scale)
        )
        decay = config.weight_decay if settings.weight_decay is None else settings.weight_decay
        chosen = {name: p for name, p in trainable.items() if owner.get(name) == group}
        made.append(Group(group, rate, decay, chosen))
    made.append(Group(REST, config.lr, config.weight_decay, {n: p for n, p in trainable.items() if n not in owner}))
    return [group for group in made if group.parameters]


def make_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW over the model's trainable parameters; `initial_lr` of each group is the rate before the schedule."""
    options = [
        {
            "params": list(group.parameters.values()),
            "lr": group.lr,
            "initial_lr": group.lr,
            "weight_decay": group.weight_decay,
            "name": group.name,
        }
        for group in groups(model, config)
    ]
    if not options:
        raise UsageError("frozen: leaves nothing to train")
    return torch.optim.AdamW(options, lr=config.lr, betas=config.betas, eps=config.eps)


def factor(config: ScheduleConfig, step: int) -> float:
    """What the learning rates are multiplied by at a step (from 0): a function of the step alone."""
    value = config.gamma ** sum(step >= milestone for milestone in config.milestones)
    if step < config.warmup_steps:
        value *= config.warmup_factor + (1 - config.warmup_factor) * step / config.warmup_steps
    return value


def set_rates(optimizer: torch.optim.Optimizer, config: ScheduleConfig, step: int) -> None:
    """Set the learning rates of a step."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor(config, step)


class Ema:
    """Exponential moving average of a model's parameters; buffers are those of the model.

    Args:
        model: The model that is averaged; the average starts at its present weights.
        decay: Weight of the past at a step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.average = {name: p.detach().clone() for name, p in _trained(model)}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step."""
        for name, parameter in _trained(model):
            self.average[name].lerp_(parameter, 1 - self.decay)


def _trained(model: nn.Module) -> Iterator[tuple[str, Parameter]]:
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def global_norm(parameters: list[Parameter]) -> Tensor:
    """Euclidean norm of all gradients together; a scalar, the same on every process."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    return torch.nn.utils.get_total_norm(gradients) if gradients else torch.zeros(())
