"""The mask encoder: a residual network over image and mask, fused with the frame's features, as in STCN (Cheng et al.,
2021).

Axes: B images, C channels, H x W the padded network input, h x w a feature map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uniref.recipe.model import MaskEncoderConfig


class BasicBlock(nn.Module):
    """ResNet's basic block with biased convolutions: [B, inputs, h, w] -> [B, width, h / stride, w / stride]."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != width:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, width, 1, stride), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """Float [B, inputs, h, w] -> [B, width, h / stride, w / stride]."""
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.downsample(x))


class ResidualBlock(nn.Module):
    """Pre-activation block: x + conv(relu(conv(relu(x)))), with a convolution on the skip if widths differ."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.skip: nn.Module = nn.Conv2d(inputs, width, 3, padding=1) if inputs != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Float [B, inputs, h, w] -> [B, width, h, w]."""
        return self.skip(x) + self.conv2(F.relu(self.conv1(F.relu(x))))


class CBAM(nn.Module):
    """Channel gate, then spatial gate (Woo et al., 2018), both multiplied onto x [B, C, h, w]."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        hidden = max(1, width // reduction)
        self.channel = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.spatial = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        """Float [B, C, h, w] -> the same shape, every value scaled by its gates in 0..1."""
        channel = self.channel(x.mean((2, 3))) + self.channel(x.amax((2, 3)))
        x = x * channel.sigmoid()[:, :, None, None]
        summary = torch.stack([x.amax(1), x.mean(1)], dim=1)
        return x * self.spatial(summary).sigmoid()


class Fuser(nn.Module):
    """Joins the mask path's features with the frame's projected features of the same level."""

    def __init__(self, inputs: int, width: int, reduction: int) -> None:
        super().__init__()
        self.block1 = ResidualBlock(inputs, width)
        self.attention = CBAM(width, reduction)
        self.block2 = ResidualBlock(width, width)

    def forward(self, mask_features: Tensor, frame_features: Tensor) -> Tensor:
        """Both [B, *, h, w], same size -> [B, width, h, w]."""
        x = self.block1(torch.cat([mask_features, frame_features], dim=1))
        return self.block2(x + self.attention(x))


class MaskEncoder(nn.Module):
    """Image and mask to reference values at every level.

    Args:
        config: Sizes of the residual network.
        dim: Width C of frame features and values.
        strides: Of the feature levels, ascending, each at least 8; beyond the stages (strides 4, 8, 16, ...) come
            stride-2 convolutions.
        groups: Groups of the further levels' GroupNorm.
    """

    def __init__(self, config: MaskEncoderConfig, dim: int, strides: Sequence[int], groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, config.stem_width, 7, 2, 3)
        self.bn1 = nn.BatchNorm2d(config.stem_width)
        # residual stages at strides 4, 8, 16, ... (ResNet-18 in the released models)
        stages, inputs = [], config.stem_width
        for index, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
            blocks = [BasicBlock(inputs, width, 1 if index == 0 else 2)]
            blocks += [BasicBlock(width, width, 1) for _ in range(depth - 1)]
            stages.append(nn.Sequential(*blocks))
            inputs = width
        self.stages = nn.ModuleList(stages)
        # further levels by stride-2 convolutions
        self.level_indices = [stride.bit_length() - 3 for stride in strides]  # of the maps at strides 4, 8, 16, ...
        extra = []
        for _ in range(self.level_indices[-1] + 1 - len(stages)):
            extra.append(nn.Sequential(nn.Conv2d(inputs, dim, 3, 2, 1), nn.GroupNorm(groups, dim)))
            inputs = dim
        self.extra = nn.ModuleList(extra)
        widths = [*config.widths, *[dim] * len(extra)]
        self.fusers = nn.ModuleList(
            Fuser(widths[index] + dim, dim, config.gate_reduction) for index in self.level_indices
        )

    def forward(self, images: Tensor, masks: Tensor, frame_features: Sequence[Tensor]) -> list[Tensor]:
        """Encode one mask per image.

        Args:
            images: Normalised and padded, float [B, 3, H, W].
            masks: Float [B, H, W], 0 or 1.
            frame_features: The same images' projected features, [B, C, h, w] per level.

        Returns:
            Values, float [B, C, h, w] per level.
        """
        # the mask is a fourth channel
        x = torch.cat([images, masks[:, None].to(images.dtype)], dim=1)
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        maps = []
        for stage in [*self.stages, *self.extra]:
            x = stage(x)
            maps.append(x)
        # each level joins the frame's own features
        return [
            fuser(maps[index], frame_map)
            for fuser, index, frame_map in zip(self.fusers, self.level_indices, frame_features, strict=True)
        ]
