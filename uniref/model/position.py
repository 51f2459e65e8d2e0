"""Sine position encodings of pixels and of boxes (SPEC section 5)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

TEMPERATURE = 10000.0


def _interleaved_sine(x: Tensor, features: int) -> Tensor:
    """[...] positions to [..., features]: sine and cosine in turn, geometric frequencies."""
    steps = torch.arange(features, dtype=torch.float32, device=x.device)
    frequencies = TEMPERATURE ** (2 * torch.div(steps, 2, rounding_mode="floor") / features)
    phase = x[..., None] / frequencies
    return torch.stack([phase[..., 0::2].sin(), phase[..., 1::2].cos()], dim=-1).flatten(-2)


def pixel_positions(padding: Tensor, width: int) -> Tensor:
    """Position encoding of a feature map, normalised over its unpadded part.

    Args:
        padding: Bool [B, h, w], True = padded.
        width: Channels of the result, a multiple of 4: the first half encodes y, the second x.

    Returns:
        Float32 [B, width, h, w].
    """
    valid = ~padding
    ys = valid.cumsum(1, dtype=torch.float32)
    xs = valid.cumsum(2, dtype=torch.float32)
    ys = (ys - 0.5) / (ys[:, -1:, :] + 1e-6) * (2 * math.pi)
    xs = (xs - 0.5) / (xs[:, :, -1:] + 1e-6) * (2 * math.pi)
    return torch.cat([_interleaved_sine(ys, width // 2), _interleaved_sine(xs, width // 2)], dim=-1).permute(0, 3, 1, 2)


def box_positions(boxes: Tensor, features: int) -> Tensor:
    """Position encoding of boxes.

    Args:
        boxes: Float [B, Q, 4], cxcywh in 0..1.
        features: Channels for each coordinate, even.

    Returns:
        Float32 [B, Q, 4 * features], in the order cx, cy, w, h.
    """
    return _interleaved_sine(boxes * (2 * math.pi), features).flatten(2)
