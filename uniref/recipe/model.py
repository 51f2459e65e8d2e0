"""Configuration of a model: every size that its modules need, and nothing else.

The defaults are the released UniRef++ with a ResNet-50, and for the other family of models, UniFusion in SAM, the
released ViT-H. A model fifty times smaller is another set of numbers. Unknown keys are errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from uniref.recipe.base import Heads, Hidden, Layers, Strict, Width, check_backbone, check_text_encoder


class BackboneConfig(Strict):
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


class TextConfig(Strict):
    """A BERT-like encoder from transformers and its projection to the model's width."""

    encoder: dict[str, Any] = Field(default_factory=lambda: {"model_type": "bert"})
    """A transformers configuration; `model_type` ("bert", "roberta", ...) selects the class."""
    max_tokens: int = Field(77, ge=3, le=4096)
    """Longer texts are truncated to this many tokens, special tokens included."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout after the projection, in training only."""

    @model_validator(mode="after")
    def _check(self) -> TextConfig:
        check_text_encoder(self.encoder)
        return self


class MaskEncoderConfig(Strict):
    """Residual network that encodes image and mask into reference features."""

    stem_width: Width = 64
    """Channels of the first convolution."""
    widths: tuple[Width, ...] = Field((64, 128, 256, 512), min_length=3, max_length=4)
    """Channels of the stages at strides 4, 8, 16 and (not in SAM) 32."""
    depths: tuple[Layers, ...] = Field((2, 2, 2, 2), min_length=3, max_length=4)
    """Basic blocks in each stage; the default is ResNet-18."""
    gate_reduction: Width = 16
    """Channel reduction in CBAM's channel gate."""

    @model_validator(mode="after")
    def _check(self) -> MaskEncoderConfig:
        if len(self.widths) != len(self.depths):
            raise ValueError(f"depths {self.depths}: one number per stage, as in widths {self.widths}")
        return self


class FusionConfig(Strict):
    """UniFusion: cross attention to the reference with a gated, modulated residual (UniRef++, Wu et al., 2023)."""

    heads: Heads = 8
    """Heads of the cross attention."""
    head_dim: Width = 256
    """Channels per head."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout of the attention weights, in training only."""


class TransformerConfig(Strict):
    """Two-stage Deformable DETR (Zhu et al., 2021), with look forward twice and mixed selection as in DINO (2023)."""

    heads: Heads = 8
    """Heads of every attention."""
    points: int = Field(4, ge=1, le=64)
    """Sampling points per head and level of the deformable attention."""
    encoder_layers: Layers = 6
    """Encoder layers."""
    decoder_layers: Layers = 6
    """Decoder layers; each refines the boxes of the one before it."""
    ffn_dim: Hidden = 2048
    """Hidden units of the feed-forward networks."""
    queries: int = Field(300, ge=1, le=100_000)
    """Object queries."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout of attentions and feed-forward networks, in training only."""


class MaskHeadConfig(Strict):
    """Mask features and per-query dynamic convolutions (CondInst, Tian et al., 2020)."""

    widths: tuple[Width, Width] = (64, 8)
    """Channels after the two last convolutions at stride 8; the second is the mask features' width."""
    dynamic_width: Width = 8
    """Channels between the dynamic convolutions."""
    dynamic_layers: int = Field(3, ge=2, le=16)
    """Dynamic convolutions per query (CondInst, Tian et al., 2020)."""


class ModelConfig(Strict):
    """A UniRef++ model. Null for a part means that the model does not have it."""

    family: Literal["uniref"] = "uniref"
    """Kind of model: `uniref` = UniRef++, `sam` = UniFusion in SAM."""
    hidden_dim: int = Field(256, ge=8, le=16_384)
    """Channels of feature levels, queries and references."""
    levels: int = Field(4, ge=3, le=6)
    """Feature levels: strides 8, 16, 32 from the backbone, then 64, ... by stride-2 convolutions."""
    groups: Width = 32
    """Groups of the projections' GroupNorm."""
    classes: int = Field(1, ge=1, le=100_000)
    """Classes that are predicted: 1 = "object", 365 in the released Objects365 pretraining."""
    backbone: BackboneConfig = Field(default_factory=BackboneConfig)
    """Image backbone."""
    text: TextConfig | None = Field(default_factory=TextConfig)
    """Text encoder; null = the model takes no text."""
    mask_encoder: MaskEncoderConfig | None = Field(default_factory=MaskEncoderConfig)
    """Mask encoder; null = the model takes no masks."""
    fusion: FusionConfig | None = Field(default_factory=FusionConfig)
    """UniFusion; null only in models that take neither text nor masks."""
    transformer: TransformerConfig = Field(default_factory=TransformerConfig)
    """Deformable transformer."""
    mask_head: MaskHeadConfig = Field(default_factory=MaskHeadConfig)
    """Mask head."""

    @property
    def resize(self) -> tuple[int, int] | None:
        """Short and longest long side of the network input, in pixels; None = any."""
        return None

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


class SamImageConfig(Strict):
    """SAM's image encoder: a ViT with 16 x 16 patches over a square. `vit_h`, `vit_l` and `vit_b` stand for sizes."""

    width: Width = 1280
    """Channels of a patch token."""
    depth: Layers = 32
    """Transformer layers."""
    heads: Heads = 16
    """Heads of the self attention."""
    global_layers: list[int] = Field(default_factory=lambda: [7, 15, 23, 31])  # strict validation accepts no tuple
    """Layers that attend to the whole image; the others attend inside windows."""
    window: int = Field(14, ge=1, le=256)
    """Side of a window in patches."""
    mlp_dim: Hidden = 5120
    """Hidden units of the feed-forward networks."""
    image_size: int = Field(1024, ge=32, le=4096, multiple_of=16)
    """Side of the square input in pixels."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in SAM_SIZES:
            raise ValueError(f"{value!r}: not a released size; use one of {', '.join(SAM_SIZES)}")
        width, depth, heads = SAM_SIZES[value]
        quarter = depth // 4
        layers = list(range(quarter - 1, depth, quarter))
        return {"width": width, "depth": depth, "heads": heads, "global_layers": layers, "mlp_dim": 4 * width}

    @model_validator(mode="after")
    def _check(self) -> SamImageConfig:
        if self.width % self.heads:
            raise ValueError(f"width {self.width}: must be a multiple of heads ({self.heads})")
        if any(not 0 <= layer < self.depth for layer in self.global_layers):
            raise ValueError(f"global_layers {self.global_layers}: layers go from 0 to {self.depth - 1}")
        return self


SAM_SIZES = {"vit_b": (768, 12, 12), "vit_l": (1024, 24, 16), "vit_h": (1280, 32, 16)}
"""Name -> (width, depth, heads) of the released SAMs."""


class SamDecoderConfig(Strict):
    """SAM's mask decoder."""

    layers: Layers = 2
    """Two-way transformer layers."""
    heads: Heads = 8
    """Heads of their attentions."""
    mlp_dim: Hidden = 2048
    """Hidden units of their feed-forward networks."""
    iou_dim: Hidden = 256
    """Hidden width of the head that estimates a mask's IoU."""
    norm_eps: float = Field(1e-5, gt=0, lt=1)
    """Epsilon of the transformer's layer norms: 1e-5 in the released SAM, 1e-6 in transformers' conversions of it."""


def _three_stages() -> MaskEncoderConfig:
    return MaskEncoderConfig(widths=(64, 128, 256), depths=(2, 2, 2))


class SamModelConfig(Strict):
    """UniFusion in SAM (UniRef++, Wu et al., 2023)."""

    family: Literal["sam"] = "sam"
    """Kind of model, as in the other family."""
    hidden_dim: int = Field(256, ge=8, le=16_384)
    """Width of SAM's image embedding and prompts, and of references."""
    image_encoder: SamImageConfig = Field(default_factory=SamImageConfig)
    """Image encoder; `vit_b`, `vit_l` or `vit_h` for the released sizes."""
    mask_decoder: SamDecoderConfig = Field(default_factory=SamDecoderConfig)
    """Mask decoder."""
    text: TextConfig | None = Field(default_factory=TextConfig)
    """Text encoder; null = the model takes no text."""
    mask_encoder: MaskEncoderConfig | None = Field(default_factory=_three_stages)
    """Mask encoder; null = the model takes no masks."""
    fusion: FusionConfig = Field(default_factory=FusionConfig)
    """UniFusion."""

    @property
    def resize(self) -> tuple[int, int]:
        """Short and longest long side of the network input, in pixels: what fills SAM's square."""
        return self.image_encoder.image_size, self.image_encoder.image_size

    @model_validator(mode="after")
    def _check(self) -> SamModelConfig:
        if self.hidden_dim % (2 * self.mask_decoder.heads) or self.hidden_dim % 8:
            raise ValueError(
                f"hidden_dim {self.hidden_dim}: must be a multiple of 8 and of twice mask_decoder.heads "
                f"({self.mask_decoder.heads})"
            )
        if self.mask_encoder and len(self.mask_encoder.widths) != 3:
            raise ValueError("mask_encoder: needs three stages (strides 4, 8, 16)")
        return self


def _family(value: Any) -> Any:
    return value.get("family", "uniref") if isinstance(value, dict) else getattr(value, "family", None)


AnyModelConfig = Annotated[
    Annotated[ModelConfig, Tag("uniref")] | Annotated[SamModelConfig, Tag("sam")],
    Discriminator(
        _family,
        custom_error_type="family",
        custom_error_message="family: is not a valid value; use 'uniref' or 'sam'",
    ),
]
"""A model of either family; `family` says which, UniRef++ if it is left out."""

FAMILIES: dict[str, type[ModelConfig] | type[SamModelConfig]] = {"uniref": ModelConfig, "sam": SamModelConfig}


def written_path(location: Sequence[str | int]) -> tuple[str | int, ...]:
    """Path of a pydantic error in the recipe as written: its location without the family's name behind `model`."""
    parts = tuple(location)
    return tuple(
        part for before, part in zip(("", *parts), parts, strict=False) if not (before == "model" and part in FAMILIES)
    )
