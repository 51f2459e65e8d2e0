"""Swin as the released checkpoints were trained: a map is padded to whole windows before it is shifted.

timm shifts first and pads afterwards, which puts other pixels into the border windows whenever a map is not
a multiple of the window size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models.swin_transformer import SwinTransformerBlock, window_partition, window_reverse
from torch import Tensor, nn


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
