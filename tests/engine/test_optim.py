"""Groups of learning rates, the schedule, the moving average."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from uniref.core.errors import UsageError
from uniref.engine.optim import REST, Ema, make_optimizer, parameter_groups, schedule_factor, set_rates
from uniref.recipe.recipe import GroupConfig, OptimConfig, ScheduleConfig


def model() -> nn.Module:
    net = nn.ModuleDict({"backbone": nn.Linear(2, 2), "head": nn.Linear(2, 1), "frozen": nn.Linear(1, 1)})
    net["frozen"].requires_grad_(False)
    return net


def test_every_trained_parameter_is_in_one_group() -> None:
    config = OptimConfig(
        lr=1e-2,
        groups={
            "slow": GroupConfig(match=r"backbone\.", scale=0.1),
            "still": GroupConfig(match="frozen", lr=1.0),
            "none": None,
        },
    )
    made = parameter_groups(model(), config)
    assert [(group.name, group.lr, list(group.parameters)) for group in made] == [
        ("slow", pytest.approx(1e-3), ["backbone.weight", "backbone.bias"]),
        (REST, 1e-2, ["head.weight", "head.bias"]),
    ]


def test_patterns_that_match_nothing_or_twice() -> None:
    with pytest.raises(UsageError, match=r"groups\.x\.match: 'head2' matches no parameter"):
        parameter_groups(model(), OptimConfig(lr=1, groups={"x": GroupConfig(match="head2")}))
    twice = {"x": GroupConfig(match="head"), "y": GroupConfig(match=".*weight")}
    with pytest.raises(UsageError, match=r"head\.weight is matched by both 'x' and 'y'"):
        parameter_groups(model(), OptimConfig(lr=1, groups=twice))
    with pytest.raises(UsageError, match="nothing to train"):
        make_optimizer(model().requires_grad_(False), OptimConfig(lr=1))


def test_schedule() -> None:
    config = ScheduleConfig(warmup_steps=10, warmup_factor=0.1, milestones=(20, 30), gamma=0.5)
    values = [schedule_factor(config, step) for step in (0, 5, 10, 19, 20, 30)]
    assert values == pytest.approx([0.1, 0.55, 1, 1, 0.5, 0.25])
    optimizer = make_optimizer(model(), OptimConfig(lr=2.0))
    set_rates(optimizer, config, 20)
    assert [group["lr"] for group in optimizer.param_groups] == [1.0]


def test_moving_average() -> None:
    net = model()
    before = net["head"].weight.detach().clone()
    ema = Ema(net, 0.75)
    with torch.no_grad():
        net["head"].weight += 4
    ema.update(net)
    torch.testing.assert_close(ema.average["head.weight"], before + 1)
    assert "frozen.weight" not in ema.average
