"""Reads the configuration of UniFusion in SAM off its tensors' names and shapes (see `infer`)."""

from __future__ import annotations

from uniref.recipe.model import FusionConfig
from uniref.recipe.sam import SamDecoderConfig, SamImageConfig, SamModelConfig
from uniref.weights.infer import HEADS, Shapes, count, infer_mask_encoder, infer_text

_VISION, _DECODER = "sam.vision_encoder.", "sam.mask_decoder."
_PATCH = 16


def infer_sam(tensors: Shapes) -> SamModelConfig:
    """Configuration of a released UniRef-SAM.

    Args:
        tensors: Our names -> tensors of the whole model; text and mask encoder may be missing.

    Raises:
        KeyError: A tensor that every variant has is missing; the argument is its name.
    """
    dim, width = tensors[_DECODER + "iou_token.weight"].shape[1], tensors[_VISION + "pos_embed"].shape[3]
    depth = count(tensors, r"sam\.vision_encoder\.layers\.(\d+)\.")
    reach = [tensors[f"{_VISION}layers.{i}.attn.rel_pos_h"].shape for i in range(depth)]
    side = tensors[_VISION + "pos_embed"].shape[1]
    windows = {(length + 1) // 2 for length, _ in reach if length != 2 * side - 1}
    if len(windows) > 1:
        raise ValueError(f"windows of several sizes: {sorted(windows)}")
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
        text=infer_text(tensors) if any(name.startswith("text_encoder.") for name in tensors) else None,
        mask_encoder=infer_mask_encoder(tensors, stages=3)
        if any(name.startswith("mask_encoder.") for name in tensors)
        else None,
        fusion=FusionConfig(heads=HEADS, head_dim=tensors["fusion.query.weight"].shape[0] // HEADS)
        if "fusion.query.weight" in tensors
        else FusionConfig(),
    )
