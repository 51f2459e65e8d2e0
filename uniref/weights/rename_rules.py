"""Rename rules for the released UniRef++ layout, for SAM, and for ImageNet backbones."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from uniref.ops.images import MEAN, STD
from uniref.recipe.model import BackboneConfig
from uniref.weights.rename import Rule

# --- the released model ------------------------------------------------------------------------------------------

_DETR = r"detr\.detr\."
_TRANSFORMER = _DETR + r"transformer\."

TRANSFORMER = [
    # the decoder refers to the detector's heads; the file stores them a second time
    Rule(_TRANSFORMER + r"decoder\.(?:bbox_embed|class_embed)\..+", None),
    Rule(_TRANSFORMER + r"level_embed", "transformer.level_embed"),
    Rule(_TRANSFORMER + r"encoder\.layers\.(\d+)\.self_attn\.(.+)", r"transformer.encoder.\1.self_attn.\2"),
    Rule(_TRANSFORMER + r"encoder\.layers\.(\d+)\.norm1\.(.+)", r"transformer.encoder.\1.norm.\2"),
    Rule(_TRANSFORMER + r"encoder\.layers\.(\d+)\.norm2\.(.+)", r"transformer.encoder.\1.ffn.norm.\2"),
    Rule(_TRANSFORMER + r"decoder\.layers\.(\d+)\.(self_attn|cross_attn)\.(.+)", r"transformer.decoder.\1.\2.\3"),
    Rule(_TRANSFORMER + r"decoder\.layers\.(\d+)\.norm1\.(.+)", r"transformer.decoder.\1.cross_norm.\2"),
    Rule(_TRANSFORMER + r"decoder\.layers\.(\d+)\.norm2\.(.+)", r"transformer.decoder.\1.self_norm.\2"),
    Rule(_TRANSFORMER + r"decoder\.layers\.(\d+)\.norm3\.(.+)", r"transformer.decoder.\1.ffn.norm.\2"),
    Rule(_TRANSFORMER + r"(encoder|decoder)\.layers\.(\d+)\.(linear[12])\.(.+)", r"transformer.\1.\2.ffn.\3.\4"),
    Rule(_TRANSFORMER + r"enc_output\.(.+)", r"transformer.proposal.\1"),
    Rule(_TRANSFORMER + r"enc_output_norm\.(.+)", r"transformer.proposal_norm.\1"),
    Rule(_TRANSFORMER + r"pos_trans\.(.+)", r"transformer.query_position.\1"),
    Rule(_TRANSFORMER + r"pos_trans_norm\.(.+)", r"transformer.query_position_norm.\1"),
    Rule(_DETR + r"query_embed\.weight", "transformer.query_embed.weight"),
    Rule(_DETR + r"class_embed\.(\d+)\.(.+)", r"transformer.class_heads.\1.\2"),
    Rule(_DETR + r"bbox_embed\.(\d+)\.(.+)", r"transformer.box_heads.\1.\2"),
]

MASK_HEAD = [
    Rule(r"detr\.lateral_conv\.(.+)", r"mask_head.lateral.\1"),
    Rule(r"detr\.output_conv\.(.+)", r"mask_head.smooth.\1"),
    Rule(r"detr\.mask_conv\.(.+)", r"mask_head.output.\1"),
    Rule(r"detr\.controller\.(.+)", r"mask_head.controller.\1"),
    Rule(r"detr\.mask_head\.lay3\.(.+)", r"mask_head.top_down.0.\1"),
    Rule(r"detr\.mask_head\.lay4\.(.+)", r"mask_head.top_down.1.\1"),
    Rule(r"detr\.mask_head\.jia_dcn\.(.+)", r"mask_head.top_down.2.\1"),
    Rule(r"detr\.mask_head\.lay1\.(.+)", r"mask_head.reduce1.\1"),
    Rule(r"detr\.mask_head\.lay2\.(.+)", r"mask_head.reduce2.\1"),
]

_FUSION = r"(?:detr\.)?fusion_module"

FUSION = [
    Rule(_FUSION + r"\.norm_v\.(.+)", r"fusion.query_norm.\1"),
    Rule(_FUSION + r"\.norm_l\.(.+)", r"fusion.key_norm.\1"),
    Rule(_FUSION + r"\.attn\.q_proj\.(.+)", r"fusion.query.\1"),
    Rule(_FUSION + r"\.attn\.k_proj\.(.+)", r"fusion.key.\1"),
    Rule(_FUSION + r"\.attn\.v_proj\.(.+)", r"fusion.value.\1"),
    Rule(_FUSION + r"\.attn\.out_proj\.(.+)", r"fusion.out.\1"),
    Rule(_FUSION + r"\.adaLN_modulation\.1\.(.+)", r"fusion.modulation.\1"),
]

TEXT = [
    # the sentence feature is a mean of word features: BERT's pooler is never used
    Rule(r"text_encoder\.(?:pooler\..+|embeddings\.position_ids)", None),
    Rule(r"text_encoder\.(.+)", r"text_encoder.body.\1"),
    Rule(r"resizer\.fc\.(.+)", r"text_encoder.projection.\1"),
    Rule(r"resizer\.layer_norm\.(.+)", r"text_encoder.norm.\1"),
]

_FUSER = r"value_encoder\.fuser([2-9]?)\."  # numbered from 2, or in SAM a single one


def _fuser(match: re.Match[str]) -> str:
    return f"mask_encoder.fusers.{int(match[1] or 2) - 2}"


MASK_ENCODER = [
    Rule(r"value_encoder\.(conv1|bn1)\.(.+)", r"mask_encoder.\1.\2"),
    Rule(r"value_encoder\.layer(\d)\.(.+)", lambda m: f"mask_encoder.stages.{int(m[1]) - 1}.{m[2]}"),
    Rule(r"value_encoder\.final_layer\.(.+)", r"mask_encoder.extra.0.\1"),
    Rule(_FUSER + r"block1\.downsample\.(.+)", lambda m: f"{_fuser(m)}.block1.skip.{m[2]}"),
    Rule(
        _FUSER + r"attention\.ChannelGate\.mlp\.([13])\.(.+)",
        lambda m: f"{_fuser(m)}.attention.channel.{int(m[2]) - 1}.{m[3]}",
    ),
    Rule(_FUSER + r"attention\.SpatialGate\.spatial\.conv\.(.+)", lambda m: f"{_fuser(m)}.attention.spatial.{m[2]}"),
    Rule(_FUSER + r"(block[12])\.(.+)", lambda m: f"{_fuser(m)}.{m[2]}.{m[3]}"),
]

OTHER = [
    Rule(_DETR + r"input_proj\.(\d+)\.(.+)", r"projection.levels.\1.\2"),
    Rule(r"criterion\._iter", None),  # counts BoxInst's iterations; meaningless outside that training run
]

# --- backbones, all to the names of timm's feature extractors ----------------------------------------------------


def _detectron_resnet(prefix: str) -> list[Rule]:
    """detectron2's ResNet: `stem.conv1`, `resN.i.{shortcut,conv1,conv2,conv3}`, each with `.norm`."""

    def stage(match: re.Match[str]) -> str:
        number, rest = int(match[1]) - 1, match[2]
        rest = rest.replace("shortcut.norm.", "downsample.1.").replace("shortcut.", "downsample.0.")
        rest = re.sub(r"conv(\d)\.norm\.", r"bn\1.", rest)
        return f"backbone.body.layer{number}.{rest}"

    return [
        # detectron2 freezes batch norm, so some writers keep the counter and some do not
        Rule(prefix + r".*\.num_batches_tracked", None),
        Rule(prefix + r"stem\.conv1\.norm\.(.+)", r"backbone.body.bn1.\1"),
        Rule(prefix + r"stem\.conv1\.(.+)", r"backbone.body.conv1.\1"),
        Rule(prefix + r"res([2-5])\.(\d+\..+)", stage),
    ]


def _official_swin(prefix: str) -> list[Rule]:
    """Microsoft's Swin, which merges patches at the end of a stage; timm does it at the start of the next."""

    def merging(match: re.Match[str]) -> str:
        return f"backbone.body.layers_{int(match[1]) + 1}.downsample.{match[2]}"

    return [
        Rule(prefix + r"layers\.\d+\.blocks\.\d+\.(?:attn\.relative_position_index|attn_mask)", None),  # computed
        Rule(prefix + r"layers\.(\d+)\.downsample\.(.+)", merging),
        Rule(prefix + r"layers\.(\d+)\.(.+)", r"backbone.body.layers_\1.\2"),
        Rule(prefix + r"patch_embed\.(.+)", r"backbone.body.patch_embed.\1"),
        Rule(prefix + r"norm(\d)\.(.+)", r"backbone.norms.\1.\2"),
    ]


_BACKBONE = _DETR + r"backbone\.0\.backbone\."

RELEASED = [
    *TRANSFORMER,
    *MASK_HEAD,
    *FUSION,
    *TEXT,
    *MASK_ENCODER,
    *OTHER,
    *_detectron_resnet(_BACKBONE),
    *_official_swin(_BACKBONE),
]

IMAGENET_DETECTRON = [Rule(r"stem\.fc\..+|linear\..+|fc\..+", None), *_detectron_resnet("")]

IMAGENET_TORCHVISION = [
    Rule(r"fc\..+|.*\.num_batches_tracked", None),
    Rule(r"((?:conv1|bn1|layer[1-4])\..+)", r"backbone.body.\1"),
]

IMAGENET_SWIN = [
    Rule(r"(?:norm|head)\..+", None),  # the classifier and the norm before it
    *_official_swin(""),
]


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

    # prefixes of the three parts
    vision, prompt, decoder = (prefix + part for part in (r"image_encoder\.", r"prompt_encoder\.", r"mask_decoder\."))
    heads = r"(output_hypernetworks_mlps\.\d+|iou_prediction_head)\.layers\.([012])\.(.+)"
    # image encoder, prompt encoder, mask decoder
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


LITE0 = BackboneConfig(name="tf_efficientnet_lite0")
_REPEATS = (1, 2, 2, 3, 3, 4, 1)  # blocks in each stage
_FIRST_NORM = "backbone.body.bn1."
_OFFSET, _SCALE = 127.0, 128.0  # the original network reads (x - 127) / 128, x in 0..255


def _block(match: re.Match[str]) -> str:
    number, layer, rest = int(match[1]), match[2], match[3]
    stage = 0
    while number >= _REPEATS[stage]:
        number -= _REPEATS[stage]
        stage += 1
    names = {"expand_conv": "conv_pw", "bn0": "bn1", "depthwise_conv": "conv_dw", "bn1": "bn2"}
    names |= {"project_conv": "conv_pwl", "bn2": "bn3"}
    if stage == 0:  # its only block does not expand
        names = {"depthwise_conv": "conv_dw", "bn1": "bn1", "project_conv": "conv_pw", "bn2": "bn2"}
    return f"backbone.body.blocks.{stage}.{number}.{names[layer]}.{rest}"


IMAGENET_LITE0 = [
    Rule(r".*\.num_batches_tracked|_conv_head\..+|_bn1\..+|_fc\..+", None),
    Rule(r"_conv_stem\.(.+)", r"backbone.body.conv_stem.\1"),
    Rule(r"_bn0\.(.+)", rf"{_FIRST_NORM}\1"),
    Rule(r"_blocks\.(\d+)\._(\w+?)\.(.+)", _block),
]


def adapt_input(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same network for images normalised by ImageNet's mean and deviation.

    Scale goes into the first convolution and offset into the mean of its norm. Results are equal except at the image's
    border, where the convolution pads with zeros, which are another colour now.

    Args:
        tensors: By our names.
    """
    weight = tensors["backbone.body.conv_stem.weight"]
    scale = (torch.tensor(STD) / _SCALE)[None, :, None, None]
    shift = ((torch.tensor(MEAN) - _OFFSET) / _SCALE)[None, :, None, None]
    return {
        **tensors,
        "backbone.body.conv_stem.weight": weight * scale,
        f"{_FIRST_NORM}running_mean": tensors[f"{_FIRST_NORM}running_mean"] - (weight * shift).sum((1, 2, 3)),
    }
