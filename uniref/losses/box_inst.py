"""BoxInst (Tian et al., CVPR 2021): projection and pairwise terms, which learn masks from boxes and colours.

Axes: B images, M masks, h x w mask pixels (stride 4), E neighbours of a pixel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from uniref.ops.constants import constant
from uniref.recipe.loss import BoxInstConfig

_EPS = 1e-5
_ROUNDING = 1e-3  # pixels: an edge between two pixels stays there, whichever way it was computed
# linear sRGB to XYZ, divided by the D65 white point
_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)


def projection_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Projection term: dice loss of the masks' maxima along both axes against the boxes'.

    Args:
        probabilities: Float [M, h, w], 0..1.
        targets: The boxes as masks, float [M, h, w], 0 or 1.

    Returns:
        Float [M].
    """
    return sum_of_axes(probabilities, targets, 1) + sum_of_axes(probabilities, targets, 2)


def sum_of_axes(probabilities: Tensor, targets: Tensor, axis: int) -> Tensor:
    """Dice loss with squares in the denominator, of the maxima along an axis: [M, h, w] -> [M]."""
    a, b = probabilities.amax(axis), targets.amax(axis)
    return 1 - 2 * (a * b).sum(1) / ((a * a).sum(1) + (b * b).sum(1) + _EPS)


def pairwise_terms(logits: Tensor, similar: Tensor, targets: Tensor, config: BoxInstConfig) -> tuple[Tensor, Tensor]:
    """Pairwise term: negative log-probability that neighbours of similar colour have the same label.

    Args:
        logits: Float [M, h, w].
        similar: Pairs that count, bool [M, E, h, w].
        targets: The boxes as masks, float [M, h, w]: only pixels inside count.
        config: Neighbourhood.

    Returns:
        Sum over the pairs and their number, float [M] each; the loss is the quotient of their sums over all masks.
    """
    inside, outside = F.logsigmoid(logits), F.logsigmoid(-logits)
    both_inside = inside[:, None] + neighbours(inside[:, None], config)[:, 0]
    both_outside = outside[:, None] + neighbours(outside[:, None], config)[:, 0]
    loss = -torch.logaddexp(both_inside, both_outside)
    weight = similar * targets[:, None]
    return (loss * weight).flatten(1).sum(1), weight.flatten(1).sum(1)


def neighbours(x: Tensor, config: BoxInstConfig) -> Tensor:
    """The values around every pixel, 0 outside the image: [B, C, h, w] -> [B, C, E, h, w]."""
    side, centre = config.kernel, config.kernel**2 // 2
    reach = config.dilation * (side // 2)
    around = F.unfold(x, side, dilation=config.dilation, padding=reach)
    around = around.view(len(x), x.shape[1], side * side, *x.shape[-2:])
    return torch.cat([around[:, :, :centre], around[:, :, centre + 1 :]], dim=2)


def similar_neighbours(images: Tensor, padding: Tensor, stride: int, config: BoxInstConfig) -> Tensor:
    """Which neighbouring mask pixels have nearly the same colour.

    Args:
        images: RGB, float 0..255, padded, [B, 3, H, W].
        padding: Bool [B, H, W].
        stride: Input pixels per mask pixel.
        config: Threshold and neighbourhood.

    Returns:
        Bool [B, E, h, w]; False where the neighbour is padded or in the ignored rows at the bottom.
    """
    heights = (~padding[:, :, 0]).sum(1)
    rows = torch.arange(padding.shape[1], device=padding.device)
    usable = ~padding & (rows < heights[:, None] - config.bottom_rows)[..., None]
    usable = usable[:, stride // 2 :: stride, stride // 2 :: stride]
    # whole numbers as in the released system, which also hands red and blue over in exchanged order
    small = F.avg_pool2d(images, stride).floor().flip(1)
    lab = rgb_to_lab(small)
    distance = (lab[:, :, None] - neighbours(lab, config)).norm(dim=1)
    same_colour = (-0.5 * distance).exp() >= config.similarity
    return same_colour & (neighbours(usable[:, None].float(), config)[:, 0] > 0)


def rgb_to_lab(images: Tensor) -> Tensor:
    """sRGB 0..255 to CIE LAB under D65 (2 degrees): float [B, 3, h, w] -> [B, 3, h, w]."""
    x = images / 255
    x = torch.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92)
    xyz = torch.einsum("cd,bdhw->bchw", constant(_XYZ, x), x) / constant(_WHITE, x)[:, None, None]
    f = torch.where(xyz > 0.008856, xyz.clamp(min=0) ** (1 / 3), 7.787 * xyz + 16 / 116)
    fx, fy, fz = f.unbind(1)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], dim=1)


def box_masks(boxes: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """Boxes as masks at a stride.

    Args:
        boxes: Float [M, 4], xyxy in input pixels.
        size: (h, w) of the result.
        stride: Input pixels per mask pixel; mask pixel i stands for input pixel i * stride + stride // 2.

    Returns:
        Float [M, h, w], 1 where that pixel lies in the box.
    """
    edges = (boxes + _ROUNDING).floor()
    first, last = edges[:, None, :2], edges[:, None, 2:]
    inside = []
    for axis, length in ((1, size[0]), (0, size[1])):
        pixel = torch.arange(length, device=boxes.device) * stride + stride // 2
        inside.append((pixel >= first[..., axis]) & (pixel <= last[..., axis]))
    return (inside[0][:, :, None] & inside[1][:, None]).float()
