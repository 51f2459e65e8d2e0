"""What every model that follows references can do, however it segments objects (UniRef++, Sec. 3 and Fig. 2a).

features  = model.encode_image(images, padding)
reference = model.project(model.encode_text(ids, valid))            # or encode_mask(...)
fused     = model.fuse(features, [reference])
segments  = model.segment(fused)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from uniref.core.errors import UsageError
from uniref.model.mask_encoder import MaskEncoder
from uniref.model.structures import (
    Features,
    ProjectedReference,
    ProjectedTokens,
    Reference,
    ReferenceTokens,
    Segments,
)
from uniref.model.text import TextEncoder
from uniref.model.unifusion import UniFusion
from uniref.recipe.model import AnyModelConfig


class ReferringModel(nn.Module, ABC):
    """The encoders of references and UniFusion. Axes: B images, N objects, K tokens, C width."""

    config: AnyModelConfig
    classes: int
    """Classes of objects that it distinguishes; 1 = objects of any class."""
    levels: int
    """Feature levels."""
    input_size: int | None
    """Side of the square that inputs are padded to; None = multiples of 32."""
    mask_threshold_logit: float | None
    """In videos, masks are resized to the frame's size as probabilities (None), or as logits with this threshold."""
    finds_regions: bool = False
    """Whether `segment_region` finds what a box or points show; other models detect objects, of which one fits best."""
    text_encoder: TextEncoder | None
    mask_encoder: MaskEncoder | None
    fusion: UniFusion | None

    @property
    def resize(self) -> tuple[int, int] | None:
        """Short side and longest long side of the inputs that this model is made for, in pixels; None = any."""
        return self.config.resize

    @abstractmethod
    def encode_image(self, images: Tensor, padding: Tensor) -> Features:
        """Features before fusion.

        Args:
            images: Normalised, padded right and bottom as `input_size` says, float [B, 3, H, W].
            padding: Bool [B, H, W], True = padded.
        """

    @abstractmethod
    def segment(self, features: Features) -> Segments:
        """One mask for each row of fused features, with its score."""

    def segment_region(self, features: Features, points: Tensor, labels: Tensor, box: Tensor | None) -> Segments:
        """The object that points or a box show, without fusion.

        Args:
            features: Of one image, before fusion.
            points: (x, y) in pixels of the input, float [P, 2]; P may be 0 where there is a box.
            labels: Of each point, int [P]: 1 on the object, 0 beside it.
            box: x0, y0, x1, y1 in pixels of the input, float [4].

        Raises:
            NotImplementedError: The model does not have `finds_regions`.
        """
        raise NotImplementedError

    @abstractmethod
    def freeze(self) -> None:
        """Turn off the gradient of what the configuration keeps frozen in any training."""

    def frozen_names(self) -> set[str]:
        """Names of the parameters and buffers that no training changes; the others are an adapter."""
        return set()

    def encode_text(self, ids: Tensor, valid: Tensor) -> Reference:
        """Text reference, the same at every level.

        Args:
            ids: Token ids, int64 [N, K].
            valid: Bool [N, K], True = a real token.

        Raises:
            UsageError: The model has no text encoder.
        """
        if self.text_encoder is None:
            raise UsageError("this checkpoint has no text encoder: it cannot follow a text")
        return (self.text_encoder(ids, valid),) * self.levels

    def encode_mask(self, features: Features, images: Tensor, masks: Tensor) -> Reference:
        """Mask reference of frames whose features have been computed.

        Its keys are the frame's own features, its values come from the mask encoder, its embedding is the mean key.

        Args:
            features: The frames' features before fusion, batch B or 1 (one frame, N objects).
            images: The frames as given to `encode_image`, float [B or 1, 3, H, W].
            masks: One mask per object, float [N, H, W], 0 or 1.

        Returns:
            Reference of N objects, whose tokens are the pixels of each level.

        Raises:
            UsageError: The model has no mask encoder.
        """
        if self.mask_encoder is None:
            raise UsageError("this checkpoint has no mask encoder: it cannot follow a mask or support images")
        # values: one forward pass per object
        count = len(masks)
        frame = [x.expand(count, *x.shape[1:]) for x in features.levels]
        values = self.mask_encoder(images.expand(count, *images.shape[1:]), masks, frame)
        # keys: objects of one frame share them
        reference = []
        for index, (level, value) in enumerate(zip(features.levels, values, strict=True)):
            keys = level.flatten(2).transpose(1, 2)
            padding = features.paddings[index].flatten(1) if features.paddings else None
            reference.append(ReferenceTokens(keys, value.flatten(2).transpose(1, 2), padding, _mean(keys, padding)))
        return tuple(reference)

    def project(self, reference: Reference) -> ProjectedReference:
        """UniFusion's projections of a reference, computed once for all images that it is used with."""
        first_level: dict[int, int] = {}
        projected: list[ProjectedTokens] = []
        for level, tokens in enumerate(reference):
            first = first_level.setdefault(id(tokens), level)  # the tokens of a text are shared by all levels
            projected.append(projected[first] if first < level else self._fusion().project(tokens))
        return tuple(projected)

    def fuse(self, features: Features, references: Sequence[ProjectedReference]) -> Features:
        """Inject references at every level; without any, the features stay as they are (detection).

        Args:
            features: Batch N, or 1 for one image with N objects.
            references: Of one batch size N; each adds its own term (text and masks in RVOS).
        """
        if not references:
            return features
        fused = []
        for level, x in enumerate(features.levels):
            tokens = x.flatten(2).transpose(1, 2)
            out = self._fusion().fuse(tokens, [reference[level] for reference in references])
            fused.append(out.transpose(1, 2).unflatten(2, x.shape[-2:]))
        return features.with_levels(fused)

    def _fusion(self) -> UniFusion:
        if self.fusion is None:
            raise UsageError("this checkpoint has no UniFusion (detection pretraining): it cannot follow references")
        return self.fusion


def unpadded_sizes(padding: Tensor) -> Tensor:
    """(height, width) of each image without its padding, bool [B, H, W]: float [B, 2]."""
    valid = ~padding
    return torch.stack([valid[:, :, 0].sum(1), valid[:, 0, :].sum(1)], dim=-1).float()


def _mean(keys: Tensor, padding: Tensor | None) -> Tensor:
    """Of [B, K, C] over the tokens that are not padded (bool [B, K]): [B, C]."""
    if padding is None:
        return keys.mean(1)
    weight = (~padding)[..., None].to(keys.dtype)
    return (keys * weight).sum(1) / weight.sum(1)
