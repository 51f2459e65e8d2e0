"""One stage of a recipe: a model trained on a data mix for a number of steps, starting from given weights."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from uniref.core.tasks import Task
from uniref.recipe.base import Strict
from uniref.recipe.data import DataConfig
from uniref.recipe.loss import LossConfig
from uniref.recipe.model import AnyModelConfig, ModelConfig, SamModelConfig
from uniref.recipe.optim import OptimConfig


class InitConfig(Strict):
    """Where a stage's weights come from; null everywhere: random ones. Paths are relative to the current directory."""

    stage: str | None = None
    """An earlier stage of this recipe; its final weights, nothing else of its state."""
    model: Path | None = None
    """A checkpoint folder (of a run, or made by `uniref convert`) instead of a stage."""
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
    """When the state is saved, and how many of the saved ones are kept."""

    every: int = Field(2000, ge=1)
    """Steps between two; the last step is saved always."""
    keep: int = Field(2, ge=1)
    """The latest that are kept. The best one is kept besides where the recipe evaluates."""
    adapter_of: Path | None = None
    """SAM: write adapters (the trained tensors alone) over this checkpoint folder, which has the same frozen weights,
    instead of whole models."""


class EvaluationConfig(Strict):
    """Evaluation in the course of the training."""

    every: int = Field(5000, ge=1)
    """Steps between two; the end of the stage is evaluated always."""
    data: tuple[str, ...] = ()
    """`dataset/split` of prepared indexes."""
    limit: int | None = Field(None, ge=1)
    """Only the first samples of each; null = all. One process evaluates while the others wait, at most
    `run.timeout_minutes`."""
    best: str | None = None
    """The metric by which the best checkpoint is chosen, as the evaluation names it; larger is better. Null: the first
    one."""
    pictures: int = Field(4, ge=0)
    """Samples of each whose prediction is drawn for TensorBoard and the report."""


class StageConfig(Strict):
    """One stage."""

    model: AnyModelConfig = Field(default_factory=ModelConfig)
    init: InitConfig = Field(default_factory=InitConfig)
    data: DataConfig
    loss: LossConfig = Field(default_factory=LossConfig)
    optim: OptimConfig
    steps: int = Field(ge=1, le=10**9)
    """Optimiser steps."""
    global_batch: int = Field(ge=1)
    """Samples in an optimiser step, over all devices and accumulation."""
    micro_batch: int = Field(2, ge=1)
    """Samples that one device processes at once. Losses are normalised in it and batch norms see it, so the result
    depends on it, but not on how many devices share the global batch."""
    frozen: tuple[str, ...] = ()
    """Regular expressions of parameters that are not trained, searched for from the start of their names. A part that
    is frozen as a whole runs as in inference (no dropout). `model.backbone.frozen_stages` adds to them."""
    sides: tuple[int, int] | None = None
    """Short side and largest long side, in pixels, at which the model is evaluated here and predicts by default; null:
    what the published protocols use (480 to 800 pixels), which suits the released training."""
    embedding_cache: Path | None = None
    """SAM: folder that keeps the frozen encoder's embedding of every image that was seen, so that it is encoded once
    (if it comes uncropped: `augment.crop: 0`). 2 MB for each, rounded to float16."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the network's products; auto = bfloat16 (else float16) on CUDA, float32 on CPUs."""
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of an exponential moving average of the weights, which is then what is evaluated and exported."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """How several processes share the work: copies of the model, or (fsdp) each a part of weights and optimiser."""
    activation_checkpointing: bool = False
    """Recompute layers in the backward pass instead of keeping their activations: less memory, more time."""
    compile: bool = False
    """torch.compile of backbone and transformer layers."""
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
    evaluation: EvaluationConfig | None = None

    @property
    def micro_batches_per_step(self) -> int:
        """Micro batches in the global batch."""
        return self.global_batch // self.micro_batch

    @model_validator(mode="after")
    def _check(self) -> StageConfig:
        if self.global_batch % self.micro_batch:
            raise ValueError(
                f"global_batch {self.global_batch}: is no multiple of micro_batch {self.micro_batch}; change one"
            )
        if self.parallel == "fsdp" and not self.data.same_source_on_all_ranks:
            raise ValueError(
                "parallel fsdp: all processes have to use the same parts of the model at once; "
                "set data.same_source_on_all_ranks: true, or parallel: ddp"
            )
        if isinstance(self.model, SamModelConfig):
            self._check_sam()
        elif self.embedding_cache is not None or self.checkpoint.adapter_of is not None:
            raise ValueError("embedding_cache and checkpoint.adapter_of are for SAM models (model.family: sam)")
        needs = {Task.RIS: "text", Task.RVOS: "text", Task.VOS: "mask_encoder", Task.FSS: "mask_encoder"}
        for place, source in enumerate(self.data.sources):
            part = needs.get(source.task) if source.task else None
            if part is not None and getattr(self.model, part) is None:
                raise ValueError(
                    f"data.sources.{place} ({source.index}) is trained as {source.task.value if source.task else ''}, "
                    f"but model.{part} is null; give the model that part or leave the source out"
                )
            if isinstance(self.model, ModelConfig) and source.categories and self.model.classes == 1:
                raise ValueError(
                    f"data.sources.{place} ({source.index}) has categories, but model.classes is 1; "
                    "set model.classes to their number or categories to false"
                )
        return self

    def _check_sam(self) -> None:
        for place, source in enumerate(self.data.sources):
            if source.task is Task.DETECTION or source.categories:
                raise ValueError(
                    f"data.sources.{place} ({source.index}) has no reference to follow, which a SAM model needs; "
                    "leave the source out"
                )
        if self.init.backbone is not None:
            raise ValueError("init.backbone: a SAM model has none; init.model names a SAM made by 'uniref convert'")
        if self.embedding_cache is not None and self.parallel == "fsdp":
            raise ValueError("embedding_cache: needs the whole encoder on every device; set parallel: ddp")
        if self.activation_checkpointing:
            raise ValueError(
                "activation_checkpointing: a SAM model's encoder is frozen and keeps no activations; leave it out"
            )
