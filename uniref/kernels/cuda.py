"""Modules for CUDA: deformable attention by Triton kernels, and fusion whose references carry no padding.

Axes: N objects, K reference tokens, H heads, D channels of a head.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from torch import Tensor, nn

from uniref.kernels import InferenceKernel
from uniref.model.deformable_layers import DeformableAttention
from uniref.model.structures import ProjectedTokens, ReferenceTokens
from uniref.model.unifusion import UniFusion
from uniref.ops.ms_deform_attn import Sizes


class TritonDeformableAttention(DeformableAttention):
    """`DeformableAttention` by the kernels of `uniref.kernels.triton_deformable`; it can be trained.

    Under autocast the values keep their half precision: the kernels compute locations and sums in float32.

    Args:
        plain: The module to replace; its parameters are shared, under the same names.
    """

    def __init__(self, plain: DeformableAttention) -> None:
        from uniref.kernels.triton_deformable import triton_ms_deform_attn

        nn.Module.__init__(self)  # the plain module's parameters are taken over, not initialised again
        self.training = plain.training
        self.heads, self.levels, self.points = plain.heads, plain.levels, plain.points
        self.sampling_offsets, self.attention_weights = plain.sampling_offsets, plain.attention_weights
        self.value_proj, self.output_proj = plain.value_proj, plain.output_proj
        self.sample: Callable[[Tensor, Sizes, Tensor, Tensor], Tensor] = triton_ms_deform_attn

    def forward(
        self, query: Tensor, references: Tensor, tokens: Tensor, sizes: Sizes, padding: Tensor | None
    ) -> Tensor:
        """As `DeformableAttention.forward`."""
        value = self.value_proj(tokens)
        if padding is not None:
            value = value.masked_fill(padding[..., None], 0)
        locations, weights = self.sampling_points(query, references, sizes)
        return self.output_proj(self.sample(value.unflatten(2, (self.heads, -1)), sizes, locations, weights))


class UnpaddedUniFusion(InferenceKernel, UniFusion):
    """`UniFusion` that drops padded tokens when a reference is projected, once for all frames that it serves.

    Attention without a mask runs by the flash kernels of `scaled_dot_product_attention`, which take none. Only
    references whose objects differ in their padding (texts, which are short) keep it.

    Args:
        plain: The module to replace; its parameters are shared.
    """

    def __init__(self, plain: UniFusion) -> None:
        InferenceKernel.__init__(self)
        self.heads, self.head_dim, self.dropout = plain.heads, plain.head_dim, plain.dropout
        self.query_norm, self.key_norm, self.modulation = plain.query_norm, plain.key_norm, plain.modulation
        self.query, self.key, self.value, self.out = plain.query, plain.key, plain.value, plain.out

    def project(self, tokens: ReferenceTokens) -> ProjectedTokens:
        """As `UniFusion.project`; masks of one frame share their padding, and lose it: [N or 1, kept, H, D]."""
        padding = tokens.padding
        if padding is not None and len(padding) == 1:
            kept = (~padding[0]).nonzero()[:, 0]
            keys, values = tokens.keys.index_select(1, kept), tokens.values.index_select(1, kept)
            tokens = ReferenceTokens(keys, values, None, tokens.embedding)
        return super().project(tokens)


def use_triton(model: nn.Module) -> int:
    """Replace every deformable attention of a model, to train or to predict with; where Triton is not installed (it
    comes with PyTorch for CUDA on Linux), nothing.

    Returns:
        How many were replaced.
    """
    if importlib.util.find_spec("triton") is None:
        return 0
    replaced = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is DeformableAttention:
                setattr(parent, name, TritonDeformableAttention(child))
                replaced += 1
    return replaced


def prepare_for_cuda(model: nn.Module) -> None:
    """Replace a model's modules by the kernels for prediction on CUDA. The model cannot be trained afterwards.

    Args:
        model: In evaluation mode; changed in place.
    """
    use_triton(model)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is UniFusion:
                setattr(parent, name, UnpaddedUniFusion(child))
    model.requires_grad_(False)
