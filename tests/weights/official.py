"""A small checkpoint in the released layout, made by spelling our names the other way round."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from uniref.model.uniref import UniRef
from uniref.recipe.model import (
    BackboneConfig,
    FusionConfig,
    MaskEncoderConfig,
    MaskHeadConfig,
    ModelConfig,
    TextConfig,
    TransformerConfig,
)

RESNET = BackboneConfig(name="resnet50", options={"layers": [1, 1, 1, 1]})
SWIN = BackboneConfig(
    name="swin_tiny_patch4_window7_224",
    options={"embed_dim": 16, "depths": [2, 1, 2, 1], "num_heads": [1, 2, 2, 4], "window_size": 5},
    level_norm=True,
    frozen_batch_norm=False,
    frozen_stages=0,
    drop_path=0.2,
)


def small_config(**changes: object) -> ModelConfig:
    """The smallest model whose shapes obey what the released layout fixes (8 heads, 32 groups)."""
    sizes: dict[str, object] = {
        "hidden_dim": 64,
        "backbone": RESNET,
        "text": TextConfig(
            encoder={
                "model_type": "bert",
                "vocab_size": 30522,
                "hidden_size": 64,
                "num_hidden_layers": 1,
                "num_attention_heads": 1,
                "intermediate_size": 32,
                "max_position_embeddings": 80,
                "type_vocab_size": 2,
            }
        ),
        "mask_encoder": MaskEncoderConfig(stem_width=8, widths=(8, 8, 16, 16), depths=(1, 2, 1, 1)),
        "fusion": FusionConfig(heads=8, head_dim=4),
        "transformer": TransformerConfig(encoder_layers=1, decoder_layers=2, ffn_dim=32, queries=10),
        "mask_head": MaskHeadConfig(widths=(16, 8)),
    }
    return ModelConfig(**(sizes | changes))


_RULES = [
    (r"transformer\.encoder\.(\d+)\.norm\.", r"detr.detr.transformer.encoder.layers.\1.norm1."),
    (r"transformer\.encoder\.(\d+)\.ffn\.norm\.", r"detr.detr.transformer.encoder.layers.\1.norm2."),
    (r"transformer\.decoder\.(\d+)\.cross_norm\.", r"detr.detr.transformer.decoder.layers.\1.norm1."),
    (r"transformer\.decoder\.(\d+)\.self_norm\.", r"detr.detr.transformer.decoder.layers.\1.norm2."),
    (r"transformer\.decoder\.(\d+)\.ffn\.norm\.", r"detr.detr.transformer.decoder.layers.\1.norm3."),
    (r"transformer\.(encoder|decoder)\.(\d+)\.(?:ffn\.)?", r"detr.detr.transformer.\1.layers.\2."),
    (r"transformer\.level_embed", "detr.detr.transformer.level_embed"),
    (r"transformer\.proposal_norm", "detr.detr.transformer.enc_output_norm"),
    (r"transformer\.proposal", "detr.detr.transformer.enc_output"),
    (r"transformer\.query_position_norm", "detr.detr.transformer.pos_trans_norm"),
    (r"transformer\.query_position", "detr.detr.transformer.pos_trans"),
    (r"transformer\.query_embed", "detr.detr.query_embed"),
    (r"transformer\.class_heads", "detr.detr.class_embed"),
    (r"transformer\.box_heads", "detr.detr.bbox_embed"),
    (r"projection\.levels", "detr.detr.input_proj"),
    (r"mask_head\.lateral", "detr.lateral_conv"),
    (r"mask_head\.smooth", "detr.output_conv"),
    (r"mask_head\.output", "detr.mask_conv"),
    (r"mask_head\.controller", "detr.controller"),
    (r"mask_head\.top_down\.0", "detr.mask_head.lay3"),
    (r"mask_head\.top_down\.1", "detr.mask_head.lay4"),
    (r"mask_head\.top_down\.2", "detr.mask_head.jia_dcn"),
    (r"mask_head\.reduce(\d)", r"detr.mask_head.lay\1"),
    (r"fusion\.query_norm", "detr.fusion_module.norm_v"),
    (r"fusion\.key_norm", "detr.fusion_module.norm_l"),
    (r"fusion\.modulation", "detr.fusion_module.adaLN_modulation.1"),
    (r"fusion\.out\.", "detr.fusion_module.attn.out_proj."),
    (r"fusion\.(query|key|value)\.", lambda m: f"detr.fusion_module.attn.{m[1][0]}_proj."),
    (r"text_encoder\.body", "text_encoder"),
    (r"text_encoder\.projection", "resizer.fc"),
    (r"text_encoder\.norm", "resizer.layer_norm"),
    (r"mask_encoder\.stages\.(\d)", lambda m: f"value_encoder.layer{int(m[1]) + 1}"),
    (r"mask_encoder\.extra\.0", "value_encoder.final_layer"),
    (r"mask_encoder\.fusers\.(\d)", lambda m: f"value_encoder.fuser{int(m[1]) + 2}"),
    (r"mask_encoder", "value_encoder"),
    (r"backbone\.norms\.(\d)", r"detr.detr.backbone.0.backbone.norm\1"),
    (r"backbone\.body\.layers_(\d)\.downsample", lambda m: f"@layers.{int(m[1]) - 1}.downsample"),
    (r"backbone\.body\.layers_", "@layers."),
    (r"backbone\.body\.layer(\d)", lambda m: f"@res{int(m[1]) + 1}"),
    (r"backbone\.body\.(conv1|bn1)", r"@stem.\1"),
    (r"backbone\.body\.", "@"),
]
_INNER = [
    (r"block1\.skip", "block1.downsample"),
    (r"attention\.channel\.(\d)", lambda m: f"attention.ChannelGate.mlp.{int(m[1]) + 1}"),
    (r"attention\.spatial", "attention.SpatialGate.spatial.conv"),
]


def spell(name: str) -> str:
    for pattern, new in _RULES:
        spelled, count = re.subn(rf"^{pattern}", new, name)
        if count:
            break
    else:
        raise AssertionError(name)
    for pattern, new in _INNER:
        spelled = re.sub(pattern, new, spelled)
    if "@res" in spelled or "@stem" in spelled:
        spelled = spelled.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        spelled = re.sub(r"\.bn(\d)\.", r".conv\1.norm.", spelled)
    return spelled.replace("@", "detr.detr.backbone.0.backbone.")


def official_state(config: ModelConfig) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A random model in the released layout, and the same tensors under our names."""
    model = UniRef(config)
    ours = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    official = {spell(name): tensor for name, tensor in ours.items()}
    for name in list(official):
        if re.match(r"detr\.detr\.(class|bbox)_embed", name):
            official[name.replace("detr.detr.", "detr.detr.transformer.decoder.", 1)] = official[name]
        if name.endswith("relative_position_bias_table"):
            official[name.replace("bias_table", "index")] = torch.zeros(25, 25, dtype=torch.int64)
    if config.text is not None:
        official["text_encoder.pooler.dense.weight"] = torch.zeros(64, 64)
        official["text_encoder.embeddings.position_ids"] = torch.arange(80)[None]
    official["criterion._iter"] = torch.zeros(1)
    return official, ours
