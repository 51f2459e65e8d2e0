"""The small multi-layer perceptrons of boxes and mask controllers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers with ReLU between them: [..., inputs] -> [..., outputs]."""

    def __init__(self, inputs: int, hidden: int, outputs: int, layers: int) -> None:
        super().__init__()
        widths = [inputs] + [hidden] * (layers - 1) + [outputs]
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in zip(widths[:-1], widths[1:], strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """Float [..., inputs] -> [..., outputs]."""
        *inner, last = self.layers
        for layer in inner:
            x = F.relu(layer(x))
        return last(x)
