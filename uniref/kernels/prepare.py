"""A model prepared for inference on a CPU: the same function, rounded elsewhere, with fewer passes over its maps."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from uniref.core.errors import UsageError
from uniref.core.files import first_line
from uniref.kernels import InferenceKernel
from uniref.kernels.deformable import BagDeformableAttention
from uniref.kernels.feed_forward import ChunkedFeedForward
from uniref.kernels.matmul import cpu_has_bfloat16
from uniref.kernels.norms import FoldedBackbone, fold_batch_norms
from uniref.kernels.unifusion import FoldedUniFusion, NarrowUniFusion
from uniref.model.backbone import Backbone
from uniref.model.deformable_layers import DeformableAttention, FeedForward
from uniref.model.mask_encoder import MaskEncoder
from uniref.model.referring import ReferringModel
from uniref.model.unifusion import UniFusion
from uniref.model.uniref import UniRef


def prepare_for_inference(model: ReferringModel, bfloat16_attention: bool = False) -> None:
    """Replace a model's modules by kernels for CPUs, fold its batch norms, and lay out its weights channels-last.

    The model is in evaluation mode afterwards and cannot be trained or stored: its kernels refuse training mode, and no
    parameter has a gradient.

    Args:
        model: Float32, on the CPU; changed in place.
        bfloat16_attention: Multiply in bfloat16 in the attention to mask references, on CPUs that have such products
            (see `uniref.kernels.multi_query_attention`).
    """
    model.eval()
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, MaskEncoder):
                fold_batch_norms(child)
            elif not isinstance(child, InferenceKernel):
                setattr(parent, name, _kernel(child, bfloat16_attention and cpu_has_bfloat16()))
    model.to(memory_format=torch.channels_last)
    model.requires_grad_(False)


def compile_image_encoder(model: ReferringModel) -> None:
    """Compile the image encoder by `torch.compile`, once per input size, at the first image of that size.

    Only this part: its shapes are those of the image alone. Objects and references, whose numbers change from frame to
    frame, go through kernels of their own.

    Args:
        model: Prepared for inference; changed in place. Its next image may raise UsageError: PyTorch cannot compile
            here.
    """
    from torch._dynamo.exc import TorchDynamoException  # a second and a half, which only compiling needs

    encoder = model.get_submodule("backbone" if isinstance(model, UniRef) else "sam.vision_encoder")
    compiled = torch.compile(encoder.forward, dynamic=False)

    def forward(*arguments: Any, **options: Any) -> Any:
        try:
            return compiled(*arguments, **options)
        except TorchDynamoException as error:
            raise UsageError(f"--compile: PyTorch cannot compile here ({first_line(error)}); leave it out") from error

    encoder.forward = forward


def share_weights(model: ReferringModel) -> ReferringModel:
    """A model of modules of its own with the same tensors: preparing it leaves `model` as it is."""
    tensors = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in model.parameters()}
    return copy.deepcopy(model, tensors | {id(buffer): buffer for buffer in model.buffers()})


def _kernel(plain: nn.Module, bfloat16_attention: bool) -> nn.Module:
    """What replaces a module; most stay as they are."""
    if isinstance(plain, Backbone):
        return FoldedBackbone(plain)
    if isinstance(plain, DeformableAttention):
        return BagDeformableAttention(plain)
    if isinstance(plain, FeedForward):
        return ChunkedFeedForward(plain)
    if isinstance(plain, UniFusion):
        wide = plain.head_dim >= plain.query.in_features
        return FoldedUniFusion(plain, bfloat16_attention) if wide else NarrowUniFusion(plain)
    return plain
