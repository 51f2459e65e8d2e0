"""Image backbones from timm, and the projection of their maps to the model's feature levels.

Axes: B images, C channels, H x W the padded network input, h x w a feature map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.layers import freeze_batch_norm_2d
from timm.models.swin_transformer import SwinTransformerBlock, window_partition, window_reverse
from torch import Tensor, nn

from uniref.core.errors import UsageError
from uniref.recipe.model import BackboneConfig

_BACKBONE_LEVELS = 3  # strides 8, 16 and 32

STRIDES = (4, 8, 16, 32)


class Backbone(nn.Module):
    """A timm network's feature maps at strides 4, 8, 16, 32.

    Args:
        config: Which network, and its options.

    Raises:
        UsageError: timm has no such network, or it lacks one of the strides.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        body: Any = _create(config)
        self.channels_last = str(getattr(body, "output_fmt", "NCHW")).endswith("NHWC")
        self.widths: list[int] = body.feature_info.channels()
        if config.frozen_batch_norm:
            for module in body.modules():
                if isinstance(module, nn.BatchNorm2d):
                    nn.init.ones_(module.weight)  # frozen at timm's zero start, it would switch its block off for good
            body = freeze_batch_norm_2d(body)
        self.body = body
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in self.widths) if config.level_norm else None

    def forward(self, images: Tensor) -> list[Tensor]:
        """Normalised images, float [B, 3, H, W] with H and W multiples of 32 -> four maps [B, C, h, w]."""
        maps = []
        for index, feature in enumerate(self.body(images)):
            x = feature if self.channels_last else feature.permute(0, 2, 3, 1)
            if self.norms is not None:
                x = self.norms[index](x)
            maps.append(self.channels_first(x))
        return maps

    def channels_first(self, x: Tensor) -> Tensor:
        """Float [B, h, w, C] -> contiguous [B, C, h, w]."""
        return x.permute(0, 3, 1, 2).contiguous()

    def freeze(self, stages: int) -> None:
        """Turn off the gradient of the first parts: 1 = stem, 2 = stem and stride-4 stage, ..., 5 = all."""
        # the modules whose output is one of the four maps
        prefixes = [name.replace(".", "_") + "_" for name in self.body.feature_info.module_name()]
        stage = 0  # of the four, the one that began last; 0 = the stem
        for name, parameter in self.body.named_parameters():
            flat = name.replace(".", "_")
            index = next((i for i, prefix in enumerate(prefixes) if flat.startswith(prefix)), None)
            if index is not None:
                stage = index + 1
            # a module between two stages (a downsampling) belongs to the later one
            between = index is None and 0 < stage < len(prefixes)
            if 1 + stage + between <= stages:
                parameter.requires_grad_(False)


def _create(config: BackboneConfig) -> nn.Module:
    """The timm network with feature maps at `STRIDES`. Raises UsageError as `Backbone`."""
    options = dict(config.options)
    if config.drop_path:
        options["drop_path_rate"] = config.drop_path
    if config.name.startswith("swin_"):
        options["drop_path_rate"] = config.drop_path  # timm's own default is 0.1
        # images of any size, and windows that never shrink to a small map
        options |= {"strict_img_size": False, "always_partition": True}
    # which of the network's maps have the strides: asked of one without memory
    try:
        with torch.device("meta"):
            pyramid = timm.create_model(config.name, features_only=True, **options)
        reductions = pyramid.feature_info.reduction()
        indices = [reductions.index(stride) for stride in STRIDES]
    except (RuntimeError, TypeError, AttributeError, AssertionError) as error:
        raise UsageError(f"backbone {config.name!r}: timm cannot build it as a feature pyramid ({error})") from None
    except ValueError:
        raise UsageError(
            f"backbone {config.name!r}: has feature strides {reductions}, but 4, 8, 16 and 32 are needed"
        ) from None
    body = timm.create_model(config.name, features_only=True, out_indices=indices, **options)
    if config.name.startswith("swin_"):
        pad_before_shift(body)
    return body


class Projection(nn.Module):
    """Backbone maps at strides 8, 16, 32 to C channels, and further levels by stride-2 convolutions.

    Args:
        widths: Channels of the maps at strides 8, 16, 32.
        dim: C.
        levels: Levels of the result, at least 3.
        groups: Groups of GroupNorm.
    """

    def __init__(self, widths: Sequence[int], dim: int, levels: int, groups: int) -> None:
        super().__init__()
        projections = [nn.Sequential(nn.Conv2d(width, dim, 1), nn.GroupNorm(groups, dim)) for width in widths]
        inputs = widths[-1]
        for _ in range(levels - len(widths)):
            projections.append(nn.Sequential(nn.Conv2d(inputs, dim, 3, 2, 1), nn.GroupNorm(groups, dim)))
            inputs = dim
        self.levels = nn.ModuleList(projections)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps [B, width, h, w] at strides 8, 16, 32 -> levels [B, C, h, w]."""
        levels: list[Tensor] = []
        for index, projection in enumerate(self.levels):
            # stride 64 reads the backbone's stride 32, every further level the one before it
            source = maps[min(index, len(maps) - 1)] if index <= len(maps) else levels[-1]
            levels.append(projection(source))
        return levels


def level_paddings(padding: Tensor, levels: Sequence[Tensor]) -> list[Tensor]:
    """The images' padding at the size of every level.

    Args:
        padding: Bool [B, H, W], True = padded.
        levels: Feature maps [B, C, h, w] at strides 8, 16, 32, 64, ...

    Returns:
        One bool [B, h, w] per level. Those of the backbone's strides (8, 16, 32) come from the images' padding; further
        ones (64, ...) come from the stride-8 level's, as in the released system, and differ from it for some sizes.
    """
    sizes = [(level.shape[-2], level.shape[-1]) for level in levels]
    paddings = [level_padding(padding, size) for size in sizes[:_BACKBONE_LEVELS]]
    return paddings + [level_padding(paddings[0], size) for size in sizes[_BACKBONE_LEVELS:]]


def level_padding(padding: Tensor, size: tuple[int, int]) -> Tensor:
    """A padding mask, bool [B, H, W], at a level's size (nearest neighbour, floor): bool [B, h, w]."""
    return F.interpolate(padding[:, None].to(torch.uint8), size=size, mode="nearest")[:, 0].bool()


class PadFirstBlock(SwinTransformerBlock):
    """timm's block with the order of padding and shifting exchanged; parameters are the same."""

    def _attn(self, x: Tensor) -> Tensor:
        _, height, width, channels = x.shape
        window_h, window_w = self.window_size
        x = F.pad(x, (0, 0, 0, -width % window_w, 0, -height % window_h))
        _, padded_h, padded_w, _ = x.shape
        shift_h, shift_w = self.shift_size
        if shift_h or shift_w:
            x = torch.roll(x, shifts=(-shift_h, -shift_w), dims=(1, 2))
        windows = window_partition(x, self.window_size).view(-1, window_h * window_w, channels)
        windows = self.attn(windows, mask=self.get_attn_mask(x))
        x = window_reverse(windows.view(-1, window_h, window_w, channels), self.window_size, padded_h, padded_w)
        if shift_h or shift_w:
            x = torch.roll(x, shifts=(shift_h, shift_w), dims=(1, 2))
        return x[:, :height, :width].contiguous()


def pad_before_shift(body: nn.Module) -> None:
    """Turn every Swin block inside a timm network into a `PadFirstBlock`, in place.

    timm builds the blocks deep inside its stages; changing the class of a finished block is the one hook that
    needs no copy of the network.
    """
    for module in body.modules():
        if type(module) is SwinTransformerBlock:
            module.__class__ = PadFirstBlock
