"""Configuration of UniFusion in SAM; the defaults are the released ViT-H (SPEC section 10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from uniref.recipe.limits import Heads, Hidden, Layers, Width
from uniref.recipe.model import FusionConfig, MaskEncoderConfig, ModelConfig, TextConfig
from uniref.recipe.strict import Strict


class SamImageConfig(Strict):
    """SAM's image encoder: a ViT with 16 x 16 patches over a square. `vit_h`, `vit_l` and `vit_b` stand for sizes."""

    width: Width = 1280
    depth: Layers = 32
    heads: Heads = 16
    global_layers: list[int] = Field(default_factory=lambda: [7, 15, 23, 31])  # a tuple is none to strict validators
    """Layers that attend to the whole image; the others attend inside windows."""
    window: int = Field(14, ge=1, le=256)
    """Side of a window in patches."""
    mlp_dim: Hidden = 5120
    image_size: int = Field(1024, ge=32, le=4096, multiple_of=16)
    """Side of the square input in pixels."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in SAM_SIZES:
            raise ValueError(f"{value!r}: no such SAM; choose from {', '.join(SAM_SIZES)}")
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
    heads: Heads = 8
    mlp_dim: Hidden = 2048
    iou_dim: Hidden = 256
    """Hidden width of the head that estimates a mask's IoU."""
    norm_eps: float = Field(1e-5, gt=0, lt=1)
    """Of the transformer's layer norms: 1e-5 in the released SAM, 1e-6 in transformers' conversions of it."""


def _three_stages() -> MaskEncoderConfig:
    return MaskEncoderConfig(widths=(64, 128, 256), depths=(2, 2, 2))


class SamModelConfig(Strict):
    """UniFusion in SAM (SPEC section 10)."""

    family: Literal["sam"] = "sam"
    hidden_dim: int = Field(256, ge=8, le=16_384)
    """Width of SAM's image embedding and prompts, and of references."""
    image_encoder: SamImageConfig = Field(default_factory=SamImageConfig)
    mask_decoder: SamDecoderConfig = Field(default_factory=SamDecoderConfig)
    text: TextConfig | None = Field(default_factory=TextConfig)
    mask_encoder: MaskEncoderConfig | None = Field(default_factory=_three_stages)
    fusion: FusionConfig = Field(default_factory=FusionConfig)

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
        custom_error_message="family: is unknown; use 'uniref' or 'sam'",
    ),
]
"""A model of either family; `family` says which, UniRef++ where it is left out."""

FAMILIES: dict[str, type[ModelConfig] | type[SamModelConfig]] = {"uniref": ModelConfig, "sam": SamModelConfig}


def written_path(location: Sequence[str | int]) -> tuple[str | int, ...]:
    """Where an error of pydantic is in what was written: its location without the family's name behind `model`."""
    parts = tuple(location)
    return tuple(
        part for before, part in zip(("", *parts), parts, strict=False) if not (before == "model" and part in FAMILIES)
    )
