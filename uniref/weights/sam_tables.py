"""Rename rules for SAM: the released UniRef-SAM layout, Meta's `sam_vit_*.pth`, and transformers' SamModel."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from uniref.weights.rename import Rule
from uniref.weights.tables import FUSION, MASK_ENCODER, TEXT

PREFIX = "model."
"""Of all names in the released UniRef-SAM."""
_MLP_PARTS = ("proj_in", "layers.0", "proj_out")  # transformers' names of a head's three layers
_DOWNSCALING = {"0": "conv1", "1": "layer_norm1", "3": "conv2", "4": "layer_norm2", "6": "conv3"}
_UPSCALING = {"0": "upscale_conv1", "1": "upscale_layer_norm", "3": "upscale_conv2"}
_NECK = {"0": "conv1", "1": "layer_norm1", "2": "conv2", "3": "layer_norm2"}


def _original_sam(prefix: str) -> list[Rule]:
    """Meta's names after `prefix` to those of transformers' SamModel under `sam.`."""

    def mlp(match: re.Match[str]) -> str:
        return f"sam.mask_decoder.{match[1]}.{_MLP_PARTS[int(match[2])]}.{match[3]}"

    vision, prompt, decoder = (prefix + part for part in (r"image_encoder\.", r"prompt_encoder\.", r"mask_decoder\."))
    heads = r"(output_hypernetworks_mlps\.\d+|iou_prediction_head)\.layers\.([012])\.(.+)"
    return [
        Rule(prefix + r"pixel_(?:mean|std)", None),  # the input's normalisation, the same for every SAM
        Rule(vision + "pos_embed", "sam.vision_encoder.pos_embed"),
        Rule(vision + r"patch_embed\.proj\.(.+)", r"sam.vision_encoder.patch_embed.projection.\1"),
        Rule(vision + r"blocks\.(\d+)\.norm([12])\.(.+)", r"sam.vision_encoder.layers.\1.layer_norm\2.\3"),
        Rule(vision + r"blocks\.(\d+)\.(.+)", r"sam.vision_encoder.layers.\1.\2"),
        Rule(vision + r"neck\.([0-3])\.(.+)", lambda m: f"sam.vision_encoder.neck.{_NECK[m[1]]}.{m[2]}"),
        Rule(
            prompt + r"pe_layer\.positional_encoding_gaussian_matrix",
            "sam.shared_image_embedding.positional_embedding",
        ),
        Rule(prompt + r"point_embeddings\.(.+)", r"sam.prompt_encoder.point_embed.\1"),
        Rule(
            prompt + r"mask_downscaling\.([01346])\.(.+)",
            lambda m: f"sam.prompt_encoder.mask_embed.{_DOWNSCALING[m[1]]}.{m[2]}",
        ),
        Rule(prompt + r"((?:no_mask_embed|not_a_point_embed)\..+)", r"sam.prompt_encoder.\1"),
        Rule(
            decoder + r"transformer\.layers\.(\d+)\.norm([1-4])\.(.+)",
            r"sam.mask_decoder.transformer.layers.\1.layer_norm\2.\3",
        ),
        Rule(decoder + r"transformer\.norm_final_attn\.(.+)", r"sam.mask_decoder.transformer.layer_norm_final_attn.\1"),
        Rule(
            decoder + r"output_upscaling\.([013])\.(.+)",
            lambda m: f"sam.mask_decoder.{_UPSCALING[m[1]]}.{m[2]}",
        ),
        Rule(decoder + heads, mlp),
        Rule(decoder + r"((?:transformer|iou_token|mask_tokens)\..+)", r"sam.mask_decoder.\1"),
    ]


RELEASED_SAM = [*_original_sam(r"sam\."), *FUSION, *TEXT, *MASK_ENCODER]
"""The released UniRef-SAM, without its leading `model.`."""

ORIGINAL_SAM = _original_sam("")

TRANSFORMERS_SAM = [
    # the same tensor as the image's; some writers store it twice
    Rule(r"prompt_encoder\.shared_embedding\.positional_embedding", None),
    Rule(r"((?:shared_image_embedding|vision_encoder|prompt_encoder|mask_decoder)\..+)", r"sam.\1"),
]


def is_sam(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are tensors of SAM, with or without UniFusion."""
    return is_released(tensors) or is_transformers(tensors) or "image_encoder.patch_embed.proj.weight" in tensors


def is_released(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are tensors of the released UniRef-SAM."""
    return any(name.startswith(PREFIX + "sam.") for name in tensors)


def is_transformers(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are tensors of transformers' SamModel."""
    return "vision_encoder.patch_embed.projection.weight" in tensors
