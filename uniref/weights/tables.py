"""Rename rules for the released UniRef++ layout (SPEC section 11) and for ImageNet backbones."""

from __future__ import annotations

import re

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
