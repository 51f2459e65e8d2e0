"""Configuration of the optimiser: AdamW, learning rates by group, the schedule (SPEC section 9)."""

from __future__ import annotations

from pydantic import Field, model_validator

from uniref.recipe.base import Strict


class GroupConfig(Strict):
    """Parameters that learn at another rate than the rest."""

    match: str = Field(min_length=1)
    """Regular expression, searched for in parameter names from their start. It has to match at least one."""
    lr: float | None = Field(None, ge=0)
    """Learning rate; either this or `scale`."""
    scale: float | None = Field(None, ge=0)
    """Multiple of the base learning rate."""
    weight_decay: float | None = Field(None, ge=0)
    """None: as the others."""

    @model_validator(mode="after")
    def _check(self) -> GroupConfig:
        if self.lr is not None and self.scale is not None:
            raise ValueError("give either lr or scale, not both")
        return self


class ScheduleConfig(Strict):
    """The learning rate over the steps: linear warm-up, then a drop at each milestone."""

    warmup_steps: int = Field(0, ge=0)
    warmup_factor: float = Field(0.001, ge=0, le=1)
    """Multiple of the learning rate at step 0 of the warm-up."""
    milestones: tuple[int, ...] = ()
    """Steps from which on the learning rate is multiplied by `gamma` once more."""
    gamma: float = Field(0.1, gt=0, le=1)


class OptimConfig(Strict):
    """AdamW and how it is steered."""

    lr: float = Field(gt=0)
    """Base learning rate, of every parameter in no group."""
    weight_decay: float = Field(0.05, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0)
    clip_norm: float | None = Field(0.1, gt=0)
    """Largest norm of the gradient of the whole model; null = not clipped."""
    groups: dict[str, GroupConfig | None] = Field(default_factory=dict)
    """By name; null takes out a group that a shared file defines. A parameter may match one group only."""
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
