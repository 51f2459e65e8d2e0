"""The configuration of a model from the names and shapes of its tensors, after renaming.

Settings that shapes do not determine (heads of the deformable attention, GroupNorm groups) are those of the released
models.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

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

HEADS = 8  # of the released transformer, UniFusion and SAM's mask decoder
_TEXT_HEAD_DIM = 64  # of every BERT-like encoder
_RESNETS = {(3, 4, 6, 3): "resnet50", (3, 4, 23, 3): "resnet101", (3, 8, 36, 3): "resnet152"}
_SWINS = {
    (96, (2, 2, 6, 2), 7): "swin_tiny_patch4_window7_224",
    (96, (2, 2, 18, 2), 7): "swin_small_patch4_window7_224",
    (128, (2, 2, 18, 2), 7): "swin_base_patch4_window7_224",
    (128, (2, 2, 18, 2), 12): "swin_base_patch4_window12_384",
    (192, (2, 2, 18, 2), 7): "swin_large_patch4_window7_224",
    (192, (2, 2, 18, 2), 12): "swin_large_patch4_window12_384",
}
_SWIN_DROP_PATH = {96: 0.2, 128: 0.3, 192: 0.3}

Shapes = Mapping[str, Tensor]


def infer_model_config(tensors: Shapes) -> ModelConfig:
    """Configuration of a released UniRef++ model.

    Args:
        tensors: Our names -> tensors of the whole model.

    Raises:
        KeyError: A tensor that every variant has is missing; the argument is its name.
    """
    # parts that exist
    levels, dim = tensors["transformer.level_embed"].shape
    has_text = any(name.startswith("text_encoder.") for name in tensors)
    has_masks = any(name.startswith("mask_encoder.") for name in tensors)
    has_fusion = any(name.startswith("fusion.") for name in tensors)
    # sizes of each part
    return ModelConfig(
        hidden_dim=dim,
        levels=levels,
        classes=tensors["transformer.class_heads.0.weight"].shape[0],
        backbone=infer_backbone_config(tensors),
        text=infer_text_config(tensors) if has_text else None,
        mask_encoder=infer_mask_encoder_config(tensors, stages=4) if has_masks else None,
        fusion=FusionConfig(heads=HEADS, head_dim=tensors["fusion.query.weight"].shape[0] // HEADS)
        if has_fusion
        else None,
        transformer=TransformerConfig(
            heads=HEADS,
            points=tensors["transformer.encoder.0.self_attn.attention_weights.weight"].shape[0] // (HEADS * levels),
            encoder_layers=count(tensors, r"transformer\.encoder\.(\d+)\."),
            decoder_layers=count(tensors, r"transformer\.decoder\.(\d+)\."),
            ffn_dim=tensors["transformer.encoder.0.ffn.linear1.weight"].shape[0],
            queries=tensors["transformer.query_embed.weight"].shape[0],
        ),
        mask_head=MaskHeadConfig(
            widths=(tensors["mask_head.reduce1.weight"].shape[0], tensors["mask_head.reduce2.weight"].shape[0])
        ),
    )


def infer_backbone_config(tensors: Shapes) -> BackboneConfig:
    """Configuration of a ResNet or Swin backbone.

    Raises:
        KeyError: A tensor that every such backbone has is missing; the argument is its name.
    """
    if "backbone.body.patch_embed.proj.weight" in tensors:
        return _swin(tensors)
    depths = _four([count(tensors, rf"backbone\.body\.layer{stage}\.(\d+)\.") for stage in range(1, 5)])
    name = _RESNETS.get(depths)
    options: dict[str, Any] = {} if name else {"layers": list(depths)}
    return BackboneConfig(name=name or "resnet50", options=options)


def _swin(tensors: Shapes) -> BackboneConfig:
    width = tensors["backbone.body.patch_embed.proj.weight"].shape[0]
    depths = _four([count(tensors, rf"backbone\.body\.layers_{stage}\.blocks\.(\d+)\.") for stage in range(4)])
    tables = [tensors[f"backbone.body.layers_{stage}.blocks.0.attn.relative_position_bias_table"] for stage in range(4)]
    window = (math.isqrt(tables[0].shape[0]) + 1) // 2
    name = _SWINS.get((width, depths, window))
    options: dict[str, Any] = {}
    if name is None:
        name = "swin_tiny_patch4_window7_224"
        heads = [table.shape[1] for table in tables]
        options = {"embed_dim": width, "depths": list(depths), "num_heads": heads, "window_size": window}
    return BackboneConfig(
        name=name,
        options=options,
        level_norm=True,
        frozen_batch_norm=False,
        frozen_stages=0,
        drop_path=_SWIN_DROP_PATH.get(width, 0.2),
    )


def infer_text_config(tensors: Shapes) -> TextConfig:
    """Configuration of the text encoder. Raises KeyError like `infer_model_config`."""
    vocabulary, width = tensors["text_encoder.body.embeddings.word_embeddings.weight"].shape
    positions = tensors["text_encoder.body.embeddings.position_embeddings.weight"].shape[0]
    segments = tensors["text_encoder.body.embeddings.token_type_embeddings.weight"].shape[0]
    encoder: dict[str, Any] = {
        "model_type": "bert",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": count(tensors, r"text_encoder\.body\.encoder\.layer\.(\d+)\."),
        "num_attention_heads": max(1, width // _TEXT_HEAD_DIM),
        "intermediate_size": tensors["text_encoder.body.encoder.layer.0.intermediate.dense.weight"].shape[0],
        "max_position_embeddings": positions,
        "type_vocab_size": segments,
    }
    if segments == 1:  # RoBERTa has one segment, and counts positions from after its padding token
        encoder |= {"model_type": "roberta", "layer_norm_eps": 1e-5, "pad_token_id": 1}
    return TextConfig(encoder=encoder)


def infer_mask_encoder_config(tensors: Shapes, stages: int) -> MaskEncoderConfig:
    """Configuration of the mask encoder. Raises KeyError like `infer_model_config`."""
    widths = tuple(tensors[f"mask_encoder.stages.{i}.0.conv1.weight"].shape[0] for i in range(stages))
    depths = tuple(count(tensors, rf"mask_encoder\.stages\.{i}\.(\d+)\.") for i in range(stages))
    gate = tensors["mask_encoder.fusers.0.attention.channel.0.weight"].shape
    return MaskEncoderConfig(
        stem_width=tensors["mask_encoder.conv1.weight"].shape[0],
        widths=widths,
        depths=depths,
        gate_reduction=gate[1] // gate[0],
    )


def _four(numbers: Sequence[int]) -> tuple[int, int, int, int]:
    """One number per stage."""
    a, b, c, d = numbers
    return a, b, c, d


def count(tensors: Shapes, pattern: str) -> int:
    """One more than the largest index that `pattern` captures at the start of a name; 0 without any."""
    matches = (re.match(pattern, name) for name in tensors)
    return 1 + max((int(match[1]) for match in matches if match), default=-1)


_VISION, _DECODER = "sam.vision_encoder.", "sam.mask_decoder."
_PATCH = 16


def infer_sam_config(tensors: Shapes) -> SamModelConfig:
    """Configuration of a released UniRef-SAM.

    Args:
        tensors: Our names -> tensors of the whole model; text and mask encoder may be missing.

    Raises:
        KeyError: A tensor that every variant has is missing; the argument is its name.
    """
    # the image encoder: relative positions of windowed layers are shorter than those of global ones
    dim, width = tensors[_DECODER + "iou_token.weight"].shape[1], tensors[_VISION + "pos_embed"].shape[3]
    depth = count(tensors, r"sam\.vision_encoder\.layers\.(\d+)\.")
    reach = [tensors[f"{_VISION}layers.{i}.attn.rel_pos_h"].shape for i in range(depth)]
    side = tensors[_VISION + "pos_embed"].shape[1]
    windows = {(length + 1) // 2 for length, _ in reach if length != 2 * side - 1}
    if len(windows) > 1:
        raise ValueError(f"windows of several sizes: {sorted(windows)}")
    # sizes of each part
    return SamModelConfig(
        hidden_dim=dim,
        image_encoder=SamImageConfig(
            width=width,
            depth=depth,
            heads=width // reach[0][1],
            global_layers=[i for i, (length, _) in enumerate(reach) if length == 2 * side - 1],
            window=windows.pop() if windows else side,
            mlp_dim=tensors[_VISION + "layers.0.mlp.lin1.weight"].shape[0],
            image_size=side * _PATCH,
        ),
        mask_decoder=SamDecoderConfig(
            layers=count(tensors, r"sam\.mask_decoder\.transformer\.layers\.(\d+)\."),
            heads=HEADS,
            mlp_dim=tensors[_DECODER + "transformer.layers.0.mlp.lin1.weight"].shape[0],
            iou_dim=tensors[_DECODER + "iou_prediction_head.proj_in.weight"].shape[0],
        ),
        text=infer_text_config(tensors) if any(name.startswith("text_encoder.") for name in tensors) else None,
        mask_encoder=infer_mask_encoder_config(tensors, stages=3)
        if any(name.startswith("mask_encoder.") for name in tensors)
        else None,
        fusion=FusionConfig(heads=HEADS, head_dim=tensors["fusion.query.weight"].shape[0] // HEADS)
        if "fusion.query.weight" in tensors
        else FusionConfig(),
    )
