"""A model about 50 times smaller than the released one; only its configuration differs."""

from __future__ import annotations

from uniref.recipe.model import (
    BackboneConfig,
    FusionConfig,
    MaskEncoderConfig,
    MaskHeadConfig,
    ModelConfig,
    SamDecoderConfig,
    SamImageConfig,
    SamModelConfig,
    TextConfig,
    TransformerConfig,
)

TINY_BERT = {
    "model_type": "bert",
    "vocab_size": 30522,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


def tiny_config(**changes: object) -> ModelConfig:
    """The tiny configuration, with some fields replaced."""
    sizes: dict[str, object] = {
        "hidden_dim": 32,
        "groups": 8,
        "backbone": BackboneConfig(name="test_resnet"),
        "text": TextConfig(encoder=TINY_BERT),
        "mask_encoder": MaskEncoderConfig(stem_width=8, widths=(8, 16, 16, 32), depths=(1, 1, 1, 1)),
        "fusion": FusionConfig(heads=2, head_dim=16),
        "transformer": TransformerConfig(heads=4, encoder_layers=2, decoder_layers=2, ffn_dim=64, queries=20),
        "mask_head": MaskHeadConfig(widths=(16, 8)),
    }
    return ModelConfig(**(sizes | changes))


def tiny_sam_config(**changes: object) -> SamModelConfig:
    """A SAM for inputs of 128 x 128 pixels with two layers, one of them windowed."""
    sizes: dict[str, object] = {
        "hidden_dim": 32,
        "image_encoder": SamImageConfig(
            width=24, depth=2, heads=2, global_layers=[1], window=3, mlp_dim=32, image_size=128
        ),
        "mask_decoder": SamDecoderConfig(mlp_dim=32, iou_dim=16),
        "text": TextConfig(encoder=TINY_BERT),
        "mask_encoder": MaskEncoderConfig(stem_width=8, widths=(8, 8, 16), depths=(1, 1, 1)),
        "fusion": FusionConfig(heads=8, head_dim=16),
    }
    return SamModelConfig(**(sizes | changes))
