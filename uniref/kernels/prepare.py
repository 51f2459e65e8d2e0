"""A model rewritten for inference on a CPU: the same function, rounded elsewhere, with fewer passes over its maps."""

from __future__ import annotations

import copy

import torch
from timm.layers import FrozenBatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import FrozenBatchNorm2d

from uniref.model.backbone import Backbone
from uniref.model.mask_encoder import MaskEncoder
from uniref.model.referring import ReferringModel

_NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d, FrozenBatchNormAct2d)
_SIDE = 64  # of the picture that a folded backbone is tried on


def prepare_for_inference(model: ReferringModel) -> None:
    """Fold batch norms into the convolutions before them, and lay weights out channels last, which maps then follow.

    The model cannot be trained or stored afterwards.

    Args:
        model: In evaluation mode, float32, on the CPU; changed in place.
    """
    for part in model.modules():
        if isinstance(part, Backbone):
            part.body = _folded_backbone(part.body)
        elif isinstance(part, MaskEncoder):
            fold_norms(part)
    model.to(memory_format=torch.channels_last)


def fold_norms(module: nn.Module) -> int:
    """Fold every batch norm that is registered next after a convolution of as many channels; in place.

    Returns:
        How many were folded.
    """
    folded = 0
    for parent in list(module.modules()):
        children = list(parent.named_children())
        for (_, conv), (name, norm) in zip(children[:-1], children[1:], strict=True):
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


def _folded_backbone(body: nn.Module) -> nn.Module:
    """The backbone with its norms folded, or as it is where that changes it: its modules may run in another order
    than they are registered in."""
    folded = copy.deepcopy(body)
    if not fold_norms(folded):
        return body
    image = torch.randn(1, 3, _SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        pairs = zip(body(image), folded(image), strict=True)
        same = all(torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(a.abs().max())) for a, b in pairs)
    return folded if same else body
