"""Masks by dynamic 1x1 convolutions over mask features and relative coordinates (Tian et al., "CondInst", ECCV 2020).

Axes: N queries, C mask feature channels, h x w the features' size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def layer_widths(feature_width: int, width: int, layers: int) -> list[tuple[int, int]]:
    """(inputs, outputs) of each dynamic convolution; the first also reads the two relative coordinates."""
    widths = [feature_width + 2] + [width] * (layers - 1) + [1]
    return list(zip(widths[:-1], widths[1:], strict=True))


def parameter_count(feature_width: int, width: int, layers: int) -> int:
    """Numbers that the controller predicts for one query: all weights, then all biases."""
    return sum(i * o + o for i, o in layer_widths(feature_width, width, layers))


def predict_masks(
    features: Tensor, centres: Tensor, parameters: Tensor, *, width: int, layers: int, stride: int
) -> Tensor:
    """Mask logits of N queries.

    Args:
        features: float [N, C, h, w], or [1, C, h, w] shared by all.
        centres: float [N, 2], (x, y) of the centre of each query's reference box in input pixels.
        parameters: float [N, P], `P = parameter_count(C, width, layers)`: first all weights (output-major), then
            all biases, layer after layer.
        width, layers: Shape of the dynamic network.
        stride: Input pixels per feature pixel; the centre of feature pixel i is at i * stride + stride / 2.

    Returns:
        Logits [N, h, w].
    """
    # weights and biases of every layer
    count, (channels, h, w) = len(parameters), features.shape[1:]
    shapes = layer_widths(channels, width, layers)
    sizes = [i * o for i, o in shapes] + [o for _, o in shapes]
    parts = parameters.split(sizes, dim=1)

    # coordinates relative to the query's centre, beside the features
    ys = torch.arange(h, dtype=centres.dtype, device=centres.device) * stride + stride // 2
    xs = torch.arange(w, dtype=centres.dtype, device=centres.device) * stride + stride // 2
    rel_x = (centres[:, 0, None, None] - xs).expand(-1, h, w)
    rel_y = (centres[:, 1, None, None] - ys[:, None]).expand(-1, h, w)
    x = torch.cat([torch.stack([rel_x, rel_y], dim=1), features.expand(count, -1, -1, -1)], dim=1).flatten(2)
    # the dynamic network
    for index, (inputs, outputs) in enumerate(shapes):
        weight, bias = parts[index].view(count, outputs, inputs), parts[layers + index]
        x = torch.baddbmm(bias[:, :, None], weight, x)
        if index < layers - 1:
            x = F.relu(x)
    return x.view(count, h, w)
