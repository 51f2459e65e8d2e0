"""SAM's weights as Meta and the released UniRef-SAM name them, made by spelling our names the other way round."""

from __future__ import annotations

import re

from torch import Tensor

from tests.weights.official import spell
from uniref.model.sam import UniRefSam

_POSITION = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_RULES = [
    (r"sam\.shared_image_embedding\.positional_embedding", _POSITION),
    (r"sam\.vision_encoder\.patch_embed\.projection", "image_encoder.patch_embed.proj"),
    (r"sam\.vision_encoder\.layers\.(\d+)\.layer_norm", r"image_encoder.blocks.\1.norm"),
    (r"sam\.vision_encoder\.layers\.", "image_encoder.blocks."),
    (r"sam\.vision_encoder\.neck\.conv1", "image_encoder.neck.0"),
    (r"sam\.vision_encoder\.neck\.layer_norm1", "image_encoder.neck.1"),
    (r"sam\.vision_encoder\.neck\.conv2", "image_encoder.neck.2"),
    (r"sam\.vision_encoder\.neck\.layer_norm2", "image_encoder.neck.3"),
    (r"sam\.vision_encoder", "image_encoder"),
    (r"sam\.prompt_encoder\.point_embed", "prompt_encoder.point_embeddings"),
    (r"sam\.prompt_encoder\.mask_embed\.conv1", "prompt_encoder.mask_downscaling.0"),
    (r"sam\.prompt_encoder\.mask_embed\.layer_norm1", "prompt_encoder.mask_downscaling.1"),
    (r"sam\.prompt_encoder\.mask_embed\.conv2", "prompt_encoder.mask_downscaling.3"),
    (r"sam\.prompt_encoder\.mask_embed\.layer_norm2", "prompt_encoder.mask_downscaling.4"),
    (r"sam\.prompt_encoder\.mask_embed\.conv3", "prompt_encoder.mask_downscaling.6"),
    (r"sam\.prompt_encoder", "prompt_encoder"),
    (r"sam\.mask_decoder\.upscale_conv1", "mask_decoder.output_upscaling.0"),
    (r"sam\.mask_decoder\.upscale_layer_norm", "mask_decoder.output_upscaling.1"),
    (r"sam\.mask_decoder\.upscale_conv2", "mask_decoder.output_upscaling.3"),
    (r"sam\.mask_decoder\.transformer\.layers\.(\d+)\.layer_norm", r"mask_decoder.transformer.layers.\1.norm"),
    (r"sam\.mask_decoder\.transformer\.layer_norm_final_attn", "mask_decoder.transformer.norm_final_attn"),
    (r"sam\.mask_decoder", "mask_decoder"),
]
_HEAD = {"proj_in": "layers.0", "layers.0": "layers.1", "proj_out": "layers.2"}


def original_sam(model: UniRefSam) -> dict[str, Tensor]:
    """The tensors of `sam_vit_*.pth`."""
    return {
        _original_name(name): tensor.clone()
        for name, tensor in model.state_dict().items()
        if name.startswith("sam.") and "prompt_encoder.shared_embedding" not in name
    }


def released_sam(model: UniRefSam) -> dict[str, Tensor]:
    """The tensors of a released UniRef-SAM."""
    others = {name: t.clone() for name, t in model.state_dict().items() if not name.startswith("sam.")}
    ours = {_without_levels(spell(name)): tensor for name, tensor in others.items()}
    return {f"model.sam.{n}": t for n, t in original_sam(model).items()} | {f"model.{n}": t for n, t in ours.items()}


def _original_name(name: str) -> str:
    for pattern, new in _RULES:
        spelled, count = re.subn(rf"^{pattern}", new, name)
        if count:
            break
    else:
        raise AssertionError(name)
    head = r"(output_hypernetworks_mlps\.\d+|iou_prediction_head)\.(proj_in|layers\.0|proj_out)"
    return re.sub(head, lambda m: f"{m[1]}.{_HEAD[m[2]]}", spelled)


def _without_levels(name: str) -> str:
    return name.replace("detr.fusion_module", "fusion_module").replace("value_encoder.fuser2", "value_encoder.fuser")
