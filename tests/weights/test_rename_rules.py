"""Weights under other names, and for other inputs."""

from __future__ import annotations

import torch
from torch import nn

from uniref.ops.images import MEAN, STD
from uniref.weights.rename_rules import adapt_input


def test_an_efficientnet_is_the_same_network_for_images_normalised_by_imagenet() -> None:
    """Its original reads (x - 127) / 128; at the border the first convolution reads padding, which is not compared."""
    torch.manual_seed(0)
    stem, norm = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8)
    norm.running_mean, norm.running_var = torch.randn(8), torch.rand(8) + 0.5
    image = torch.rand(1, 3, 16, 16) * 255
    mean, std = (torch.tensor(values)[None, :, None, None] for values in (MEAN, STD))
    tensors = {f"backbone.body.bn1.{name}": value for name, value in norm.state_dict().items()}
    tensors["backbone.body.conv_stem.weight"] = stem.weight.detach()
    with torch.no_grad():
        original = norm.eval()(stem((image - 127) / 128))
        adapted = adapt_input(tensors)
        stem.weight.copy_(adapted.pop("backbone.body.conv_stem.weight"))
        norm.load_state_dict({name.removeprefix("backbone.body.bn1."): value for name, value in adapted.items()})
        ours = norm(stem((image - mean) / std))
    torch.testing.assert_close(ours[..., 1:, 1:], original[..., 1:, 1:], atol=1e-5, rtol=1e-5)
