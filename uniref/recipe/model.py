"""Configuration of a model: every size that its modules need, and nothing else.

The defaults are the released UniRef++ with a ResNet-50. A model fifty times smaller is another set of numbers. Unknown
keys are errors. `uniref.recipe.sam` configures the other family of models, UniFusion in SAM.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from uniref.recipe.limits import Heads, Hidden, Layers, Width, check_backbone, check_text_encoder


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BackboneConfig(_Strict):
    """A timm backbone with feature maps at strides 4, 8, 16 and 32."""

    name: str = "resnet50"
    """Name of a timm model."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of the timm constructor (`embed_dim`, `window_size`, ...)."""
    level_norm: bool = False
    """LayerNorm on every output level (Swin)."""
    frozen_batch_norm: bool = True
    """Batch norms become fixed affine maps; without effect on models that have none."""
    frozen_stages: int = Field(2, ge=0, le=5)
    """How many parts stay fixed in training: 1 = stem, 2 = stem and stride-4 stage, ..., 5 = all."""
    drop_path: float = Field(0.0, ge=0, lt=1)
    """Stochastic depth rate of the last block (linear from 0), training only."""

    @model_validator(mode="after")
    def _check(self) -> BackboneConfig:
        check_backbone(self.name, self.options)
        return self


class TextConfig(_Strict):
    """A BERT-like encoder from transformers and its projection to the model's width."""

    encoder: dict[str, Any] = Field(default_factory=lambda: {"model_type": "bert"})
    """A transformers configuration; `model_type` ("bert", "roberta", ...) chooses the class."""
    max_tokens: int = Field(77, ge=3, le=4096)
    """Longer texts are truncated to this many tokens, special tokens included."""
    dropout: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _check(self) -> TextConfig:
        check_text_encoder(self.encoder)
        return self


class MaskEncoderConfig(_Strict):
    """The residual network that turns image + mask into reference values."""

    stem_width: Width = 64
    widths: tuple[Width, ...] = Field((64, 128, 256, 512), min_length=3, max_length=4)
    """Channels of the stages at strides 4, 8, 16 and (not in SAM) 32."""
    depths: tuple[Layers, ...] = Field((2, 2, 2, 2), min_length=3, max_length=4)
    """Basic blocks in each stage; the default is ResNet-18."""
    gate_reduction: Width = 16
    """Channel reduction in CBAM's channel gate."""

    @model_validator(mode="after")
    def _check(self) -> MaskEncoderConfig:
        if len(self.widths) != len(self.depths):
            raise ValueError(f"depths {self.depths}: one number a stage, as in widths {self.widths}")
        return self


class FusionConfig(_Strict):
    """UniFusion: cross attention to the reference with a gated, modulated residual."""

    heads: Heads = 8
    head_dim: Width = 256
    dropout: float = Field(0.1, ge=0, lt=1)
    gate: float = Field(0.0, ge=-10, le=10)
    """How far the gate is open before training; 0 = closed, as released: the fusion starts as the identity."""
    same_projections: bool = False
    """Queries and keys start with one projection: features attend to what they are like before anything is learnt, as
    short trainings need. False: as released."""


class TransformerConfig(_Strict):
    """Deformable DETR: two-stage, box refinement, look forward twice, mixed selection."""

    heads: Heads = 8
    points: int = Field(4, ge=1, le=64)
    encoder_layers: Layers = 6
    decoder_layers: Layers = 6
    ffn_dim: Hidden = 2048
    queries: int = Field(300, ge=1, le=100_000)
    dropout: float = Field(0.0, ge=0, lt=1)


class MaskHeadConfig(_Strict):
    """Mask features and the per-query dynamic convolutions that read them."""

    widths: tuple[Width, Width] = (64, 8)
    """Channels after the two last convolutions at stride 8; the second is the mask features' width."""
    dynamic_width: Width = 8
    """Channels between the dynamic convolutions."""
    dynamic_layers: int = Field(3, ge=2, le=16)


class ModelConfig(_Strict):
    """A UniRef++ model. `None` for a part means that the model does not have it."""

    family: Literal["uniref"] = "uniref"
    hidden_dim: int = Field(256, ge=8, le=16_384)
    levels: int = Field(4, ge=3, le=6)
    """Feature levels: strides 8, 16, 32 from the backbone, then 64, ... by stride-2 convolutions."""
    groups: Width = 32
    """Groups of the projections' GroupNorm."""
    classes: int = Field(1, ge=1, le=100_000)
    backbone: BackboneConfig = Field(default_factory=BackboneConfig)
    text: TextConfig | None = Field(default_factory=TextConfig)
    mask_encoder: MaskEncoderConfig | None = Field(default_factory=MaskEncoderConfig)
    fusion: FusionConfig | None = Field(default_factory=FusionConfig)
    transformer: TransformerConfig = Field(default_factory=TransformerConfig)
    mask_head: MaskHeadConfig = Field(default_factory=MaskHeadConfig)

    @model_validator(mode="after")
    def _check(self) -> ModelConfig:
        if self.hidden_dim % 4:
            raise ValueError(f"hidden_dim {self.hidden_dim}: must be a multiple of 4 (sine positions)")
        if self.hidden_dim % self.transformer.heads:
            raise ValueError(
                f"hidden_dim {self.hidden_dim}: must be a multiple of transformer.heads ({self.transformer.heads})"
            )
        if self.hidden_dim % self.groups:
            raise ValueError(f"hidden_dim {self.hidden_dim}: must be a multiple of groups ({self.groups})")
        if self.fusion is None and (self.text or self.mask_encoder):
            raise ValueError("fusion: needed by a model with a text or mask encoder")
        if self.mask_encoder and len(self.mask_encoder.widths) != 4:
            raise ValueError("mask_encoder: needs four stages (strides 4, 8, 16, 32)")
        return self
