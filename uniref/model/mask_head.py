"""Masks by dynamic convolutions (Tian et al., "CondInst", ECCV 2020): mask features, and a controller that predicts the
parameters of a small network over them for each query.

Axes: B images, N queries, C width, H x W the padded network input.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from uniref.core.device import without_autocast
from uniref.model.deformable_layers import MLP
from uniref.ops.dynamic_conv import parameter_count, predict_masks
from uniref.recipe.model import MaskHeadConfig

STRIDE = 4  # input pixels per mask feature pixel


class MaskHead(nn.Module):
    """Masks of queries at stride 4.

    Args:
        config: Widths of mask features and dynamic convolutions.
        dim: Width C of the transformer.
        stride4_width: Channels of the backbone's stride-4 map.
    """

    def __init__(self, config: MaskHeadConfig, dim: int, stride4_width: int) -> None:
        super().__init__()
        self.config = config
        middle, width = config.widths
        # of strides 32, 16, 8, in the order in which they run
        self.top_down = nn.ModuleList(nn.Conv2d(dim, dim, 3, padding=1) for _ in range(3))
        self.reduce1 = nn.Conv2d(dim, middle, 3, padding=1)
        self.reduce2 = nn.Conv2d(middle, width, 3, padding=1)
        self.lateral = nn.Conv2d(stride4_width, width, 1)
        self.smooth = nn.Conv2d(width, width, 3, padding=1)
        self.output = nn.Conv2d(width, width, 1)
        self.controller = MLP(dim, dim, parameter_count(width, config.dynamic_width, config.dynamic_layers), 3)

    def features(self, memory: Sequence[Tensor], stride4: Tensor) -> Tensor:
        """Mask features.

        Args:
            memory: The encoder's output at strides 8, 16, 32 (further levels are ignored), float [B, C, h, w].
            stride4: The backbone's stride-4 map, float [B, C4, H / 4, W / 4], or batch 1 for one image.

        Returns:
            Float [B, width, H / 4, W / 4].
        """
        # top-down over strides 32, 16, 8 (FPN)
        x = F.relu(self.top_down[0](memory[2]))
        for conv, finer in zip(self.top_down[1:], (memory[1], memory[0]), strict=True):
            x = F.relu(conv(finer + F.interpolate(x, size=finer.shape[-2:], mode="nearest")))
        # fewer channels, then stride 4
        x = F.relu(self.reduce2(F.relu(self.reduce1(x))))
        lateral = self.lateral(stride4)
        x = lateral + F.interpolate(x, size=lateral.shape[-2:], mode="bilinear", align_corners=False)
        return self.output(F.relu(self.smooth(x)))

    def predict_masks(self, features: Tensor, states: Tensor, centres: Tensor) -> Tensor:
        """Mask logits of N queries.

        Args:
            features: Mask features of each query's image, float [N, width, h, w] (or [1, ...] for one image).
            states: The queries' decoder states, float [N, C].
            centres: (x, y) of the queries' reference boxes of their layer, in input pixels, float [N, 2].

        Returns:
            Float32 logits [N, h, w] at stride 4.
        """
        # coordinates are pixels of the image: half precision would lose whole ones
        with without_autocast(features):
            return predict_masks(
                features.float(),
                centres.float(),
                self.controller(states.float()),
                width=self.config.dynamic_width,
                layers=self.config.dynamic_layers,
                stride=STRIDE,
            )
