"""A model about 50 times smaller than the released one; only its configuration differs."""

from __future__ import annotations

from uniref.recipe.model import (
    BackboneConfig,
    FusionConfig,
    MaskEncoderConfig,
    MaskHeadConfig,
    ModelConfig,
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
