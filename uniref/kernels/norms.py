"""Batch norms folded into the convolutions before them."""

from __future__ import annotations

import copy

import torch
from timm.layers import FrozenBatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import FrozenBatchNorm2d

from uniref.kernels import InferenceKernel
from uniref.model.backbone import Backbone

_NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d, FrozenBatchNormAct2d)
_SIDE = 64  # pixels of the image that a folded backbone is compared on


class FoldedBackbone(InferenceKernel, Backbone):
    """`Backbone` without batch norms; its maps are channels-last in memory where the images are.

    Args:
        plain: The module to replace; it stays as it is.
    """

    def __init__(self, plain: Backbone) -> None:
        InferenceKernel.__init__(self)
        self.channels_last, self.widths, self.norms = plain.channels_last, plain.widths, plain.norms
        self.body = folded_body(plain.body)

    def channels_first(self, x: Tensor) -> Tensor:
        """Float [B, h, w, C] -> a view [B, C, h, w]."""
        return x.permute(0, 3, 1, 2)


def fold_batch_norms(module: nn.Module) -> int:
    """Fold every batch norm that is registered next after a convolution of as many channels; in place.

    Returns:
        How many were folded.
    """
    folded = 0
    for parent in list(module.modules()):
        children = list(parent.named_children())
        for (_, conv), (name, norm) in zip(children[:-1], children[1:], strict=True):
            # other kinds of convolution change their weights in every forward pass
            if type(conv) is not nn.Conv2d or not isinstance(norm, _NORMS):
                continue
            mean, variance = norm.running_mean, norm.running_var
            if not isinstance(mean, Tensor) or not isinstance(variance, Tensor) or len(mean) != conv.out_channels:
                continue
            with torch.no_grad():
                weight, bias = fuse_conv_bn_weights(
                    conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias
                )
            conv.weight, conv.bias = weight, bias
            after = [getattr(norm, part, nn.Identity()) for part in ("drop", "act")]  # of timm's norms
            setattr(parent, name, nn.Sequential(*after))
            folded += 1
    return folded


def folded_body(body: nn.Module) -> nn.Module:
    """A copy of the backbone with its norms folded, or the backbone itself where that changes it: its modules may run
    in another order than they are registered in."""
    folded = copy.deepcopy(body)
    if not fold_batch_norms(folded):
        return body
    image = torch.randn(1, 3, _SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        pairs = zip(body(image), folded(image), strict=True)
        same = all(torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(a.abs().max())) for a, b in pairs)
    return folded if same else body
