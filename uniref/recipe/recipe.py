"""A recipe: the stages of a training, one after the other, and how the training is run.

A stage is a model trained on a data mix for a number of steps, starting from given weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from uniref.core.errors import UsageError
from uniref.core.tasks import Task, missing_part
from uniref.recipe.base import Pattern, Strict
from uniref.recipe.data import DataConfig
from uniref.recipe.language import LanguageConfig
from uniref.recipe.loss import LossConfig
from uniref.recipe.model import AnyModelConfig, ModelConfig, SamModelConfig


class GroupConfig(Strict):
    """Parameters that learn at another rate than the rest."""

    match: Pattern = Field(min_length=1)
    """Regular expression, searched for in parameter names from their start. It has to match at least one."""
    lr: float | None = Field(None, ge=0)
    """Learning rate; either this or `scale`."""
    scale: float | None = Field(None, ge=0)
    """Multiple of the base learning rate."""
    weight_decay: float | None = Field(None, ge=0)
    """Null: as the others."""

    @model_validator(mode="after")
    def _check(self) -> GroupConfig:
        if self.lr is not None and self.scale is not None:
            raise ValueError("give either lr or scale, not both")
        return self


class ScheduleConfig(Strict):
    """The learning rate over the steps: linear warm-up, then a drop at each milestone."""

    warmup_steps: int = Field(0, ge=0)
    """Steps of the linear warm-up; 0 = none."""
    warmup_factor: float = Field(0.001, ge=0, le=1)
    """Multiple of the learning rate at step 0 of the warm-up."""
    milestones: tuple[int, ...] = ()
    """Steps from which on the learning rate is multiplied by `gamma` once more."""
    gamma: float = Field(0.1, gt=0, le=1)
    """Factor of the learning rate at each milestone."""


class OptimConfig(Strict):
    """Settings of AdamW."""

    lr: float = Field(gt=0)
    """Base learning rate, of every parameter in no group."""
    weight_decay: float = Field(0.05, ge=0)
    """Decoupled weight decay of AdamW, of every parameter whose group does not say otherwise."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of AdamW's averages of the gradient and of its square, each in 0..1."""
    eps: float = Field(1e-8, gt=0)
    """Added to the root of AdamW's second moment."""
    clip_norm: float | None = Field(0.1, gt=0)
    """Largest norm of the gradient of the whole model; null = not clipped."""
    groups: dict[str, GroupConfig | None] = Field(default_factory=dict)
    """By name; null takes out a group that a shared file defines. A parameter may match one group only."""
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    """Learning rate over the steps."""


class InitConfig(Strict):
    """Where a stage's weights come from; null everywhere: random ones. Paths are relative to the current directory."""

    stage: str | None = None
    """An earlier stage of this recipe; its final weights, nothing else of its state."""
    model: Path | None = None
    """A checkpoint instead of a stage: a folder (of a run, or made by `uniref convert`), `small`, or a name of the
    model zoo."""
    backbone: Path | None = None
    """An ImageNet backbone, made by `uniref convert`."""
    text: Path | None = None
    """A folder of a BERT-like encoder: `model.safetensors` or `pytorch_model.bin`, and `tokenizer.json`."""
    mask_encoder: Path | None = None
    """Torchvision's ResNet-18 file, for the mask encoder's residual network."""

    @model_validator(mode="after")
    def _check(self) -> InitConfig:
        if self.stage is not None and self.model is not None:
            raise ValueError("give either stage or model, not both (set the other to null)")
        return self


class CheckpointConfig(Strict):
    """When the training state is saved, and how many states are kept."""

    every: int = Field(2000, ge=1)
    """Steps between two saved states; the last step is always saved."""
    keep: int = Field(2, ge=1)
    """Number of latest states that are kept, besides the best one where the recipe evaluates."""
    adapter_of: Path | None = None
    """SAM: write adapters (the trained tensors alone) over this checkpoint folder, which has the same frozen weights,
    instead of whole models."""


class EvaluationConfig(Strict):
    """Evaluation during the training."""

    every: int = Field(5000, ge=1)
    """Steps between two evaluations; the end of the stage is always evaluated."""
    data: tuple[str, ...] = ()
    """`dataset/split` of prepared indexes."""
    limit: int | None = Field(None, ge=1)
    """Only the first samples of each; null = all. All processes share the work, in blocks of 64 images or by video."""
    best: str | None = None
    """The metric by which the best checkpoint is chosen, as the evaluation names it; larger is better. Null: the first
    one."""
    pictures: int = Field(4, ge=0)
    """Samples of each whose prediction is drawn for TensorBoard and the report."""


class StageConfig(Strict):
    """One stage of a training."""

    model: AnyModelConfig = Field(default_factory=ModelConfig)
    """Architecture. Left out, it is that of the checkpoint that `init.model` names; with no checkpoint, the released
    UniRef++ with a ResNet-50."""
    init: InitConfig = Field(default_factory=InitConfig)
    """Initial weights."""
    data: DataConfig
    """Data mix."""
    loss: LossConfig = Field(default_factory=LossConfig)
    """Target assignment and losses."""
    language: LanguageConfig | None = None
    """Language extension, for short trainings; null = off, as in UniRef++."""
    optim: OptimConfig
    """Optimiser and learning rate schedule."""
    steps: int = Field(ge=1, le=10**9)
    """Optimiser steps."""
    global_batch: int = Field(ge=1)
    """Samples in an optimiser step, over all devices and accumulation."""
    micro_batch: int = Field(2, ge=1)
    """Samples that one device processes at once. Losses are normalised in it and batch norms see it, so the result
    depends on it, but not on how many devices share the global batch."""
    frozen: tuple[Pattern, ...] = ()
    """Regular expressions of parameters that are not trained, searched for from the start of their names. A part that
    is frozen as a whole runs as in inference (no dropout). `model.backbone.frozen_stages` adds to them."""
    sides: tuple[int, int] | None = None
    """Short side and largest long side, in pixels, at which the model is evaluated here and predicts by default; null:
    what the published protocols use (480 to 800 pixels), which suits the released training."""
    embedding_cache: Path | None = None
    """SAM: folder that keeps the frozen encoder's embedding of every image that was seen, so that it is encoded once
    (if it comes uncropped: `augment.crop: 0`). 2 MB for each, rounded to float16."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of matrix products and convolutions; auto = bfloat16 (else float16) on CUDA, float32 on CPUs."""
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of an exponential moving average of the weights, which is then what is evaluated and exported."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """How several processes share the work: copies of the model, or (fsdp) each a part of weights and optimiser."""
    activation_checkpointing: bool = False
    """Recompute layers in the backward pass instead of keeping their activations: less memory, more time."""
    compile: bool = False
    """torch.compile of backbone and transformer layers."""
    channels_last: bool = False
    """Keep images and weights of convolutions with their channels last in memory, as tensor cores read them; not with
    fsdp. `benchmarks/gpu.sh` shows whether it pays on a card; on a CPU it gained up to a tenth."""
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
    """Saved training states."""
    evaluation: EvaluationConfig | None = None
    """Evaluation during the training; null = none."""

    @property
    def micro_batches_per_step(self) -> int:
        """Micro batches in the global batch."""
        return self.global_batch // self.micro_batch

    @model_validator(mode="after")
    def _check(self) -> StageConfig:
        self.check_parts()
        return self

    def check_parts(self) -> None:
        """Check what the parts of a stage need of each other. Raises ValueError."""
        # settings that contradict each other
        if self.global_batch % self.micro_batch:
            raise ValueError(
                f"global_batch {self.global_batch}: is not a multiple of micro_batch {self.micro_batch}; change one"
            )
        if self.parallel == "fsdp" and not self.data.same_source_on_all_ranks:
            raise ValueError(
                "parallel fsdp: all processes have to use the same parts of the model at once; "
                "set data.same_source_on_all_ranks: true, or parallel: ddp"
            )
        if self.parallel == "fsdp" and self.channels_last:
            raise ValueError("parallel fsdp: cannot shard channels_last weights; set channels_last: false")
        # settings of SAM models
        if isinstance(self.model, SamModelConfig):
            self._check_sam()
        elif self.embedding_cache is not None or self.checkpoint.adapter_of is not None:
            raise ValueError("embedding_cache and checkpoint.adapter_of are for SAM models (model.family: sam)")
        # every source needs the parts of the model that its task uses
        for index, source in enumerate(self.data.sources):
            # whether RVOS shows masks too is known once the data are opened
            part = None if source.task is None else missing_part(source.task, self.model, text_only=True)
            if part is not None and source.task is not None:
                raise ValueError(
                    f"data.sources.{index} ({source.index}) is trained as {source.task.value}, but model.{part} is "
                    "null; give the model that part or leave the source out"
                )
            if isinstance(self.model, ModelConfig) and source.categories and self.model.classes == 1:
                raise ValueError(
                    f"data.sources.{index} ({source.index}) has categories, but model.classes is 1; "
                    "set model.classes to their number or categories to false"
                )

    def _check_sam(self) -> None:
        for index, source in enumerate(self.data.sources):
            if source.task is Task.DETECTION or source.categories:
                raise ValueError(
                    f"data.sources.{index} ({source.index}) has no reference to follow, which a SAM model needs; "
                    "leave the source out"
                )
        if self.language is not None and (self.language.align or self.language.dense_proposals):
            raise ValueError(
                "language: align and dense_proposals need a detector, which a SAM model does not have; leave them out"
            )
        if self.init.backbone is not None:
            raise ValueError("init.backbone: a SAM model has none; init.model names a SAM made by 'uniref convert'")
        if self.embedding_cache is not None and self.parallel == "fsdp":
            raise ValueError("embedding_cache: needs the whole encoder on every device; set parallel: ddp")
        if self.activation_checkpointing:
            raise ValueError(
                "activation_checkpointing: a SAM model's encoder is frozen and keeps no activations; leave it out"
            )


class RunConfig(Strict):
    """Logging and processes of a training. Nothing here changes its result."""

    log_every: int = Field(20, ge=1)
    """Steps between two log lines; each reports the mean over its steps."""
    loggers: tuple[Literal["tensorboard", "wandb"], ...] = ("tensorboard",)
    """Where metrics go besides `metrics.jsonl`: TensorBoard event files in the run folder; Weights & Biases, which
    needs the package wandb and its account, or WANDB_MODE=offline. `[]` = nowhere."""
    wandb_project: str = "uniref"
    """Project of Weights & Biases."""
    max_bad_steps: int = Field(20, ge=1)
    """The training stops, with its state saved, after so many steps in a row without a finite loss and gradient."""
    threads: int | None = Field(None, ge=1)
    """Threads of a process on a CPU; null = PyTorch's choice."""
    timeout_minutes: int = Field(30, ge=1)
    """How long processes that share a step wait for each other before they give up, and twice as long as they wait for
    a worker that loads data. Processes that a stage does not use wait without a limit."""


class Recipe(Strict):
    """A recipe after `extends`, `defaults` and `--set` are resolved."""

    description: str = ""
    """What the training is for; written into its report and its checkpoints."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of initial weights, data order and augmentation."""
    run: RunConfig = Field(default_factory=RunConfig)
    """Logging and processes; nothing here changes the result."""
    stages: dict[str, StageConfig] = Field(min_length=1)
    """Stages by name, in the order of training; at least one."""

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        earlier: list[str] = []
        for name, stage in self.stages.items():
            if not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"stages.{name}: use letters, digits, - and _ in the name of a stage")
            if stage.init.stage is not None and stage.init.stage not in earlier:
                available = ", ".join(earlier) or "none: it is the first"
                raise ValueError(
                    f"stages.{name}.init.stage: {stage.init.stage!r} is not an earlier stage ({available})"
                )
            earlier.append(name)
        return self

    def select(self, names: Sequence[str]) -> tuple[str, ...]:
        """The stages of these names in the order of training; all where none are named.

        Raises:
            UsageError: The recipe has no such stage.
        """
        for name in names:
            if name not in self.stages:
                raise UsageError(f"--stage {name}: the recipe has no such stage (it has {', '.join(self.stages)})")
        return tuple(name for name in self.stages if not names or name in names)

    def stage_seed(self, name: str) -> int:
        """Every stage draws its own random numbers: a function of the recipe's seed and the stage's index."""
        return (self.seed + 7_919 * list(self.stages).index(name)) % 2**31

    def stage_hash(self, name: str) -> str:
        """SHA-256 (hexadecimal) of all settings that influence a stage's result."""
        return hashlib.sha256(json.dumps(self.decisive(name), sort_keys=True).encode()).hexdigest()

    def decisive(self, name: str) -> dict[str, Any]:
        """The stage as plain values, without the settings that do not influence its result."""
        content = self.stages[name].model_dump(mode="json")
        for ignored in ("checkpoint", "evaluation", "sides"):
            content.pop(ignored)
        content["embedding_cache"] = content["embedding_cache"] is not None
        for ignored in ("workers", "prefetch"):
            content["data"].pop(ignored)
        return {"seed": self.seed, **content}
