"""UniRef++: the verbs that training and inference are written in.

features  = model.encode_image(images, padding)
reference = model.project(model.encode_text(ids, valid))            # or encode_mask(...)
fused     = model.fuse(features, [reference])
found     = model.detect(fused)
logits    = model.draw_best(fused, found, model.best_queries(found))
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from uniref.core.errors import UsageError
from uniref.model.backbone import Backbone, Projection, level_padding
from uniref.model.deformable.transformer import DeformableTransformer
from uniref.model.mask_encoder import MaskEncoder
from uniref.model.mask_head import MaskHead
from uniref.model.structures import (
    Detections,
    Features,
    ProjectedReference,
    ProjectedTokens,
    Reference,
    ReferenceTokens,
)
from uniref.model.text import TextEncoder
from uniref.model.unifusion import UniFusion
from uniref.recipe.model import ModelConfig


class UniRef(nn.Module):
    """The network. Axes: B images, N objects, C width, Q queries.

    Args:
        config: All sizes, and which of the optional parts exist.

    Raises:
        UsageError: The backbone cannot be built.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        dim, levels = config.hidden_dim, config.levels
        self.backbone = Backbone(config.backbone)
        self.projection = Projection(self.backbone.widths[1:], dim, levels, config.groups)
        self.text_encoder = TextEncoder(config.text, dim) if config.text else None
        self.mask_encoder = (
            MaskEncoder(config.mask_encoder, dim, levels, config.groups) if config.mask_encoder else None
        )
        self.fusion = (
            UniFusion(dim, config.fusion.heads, config.fusion.head_dim, config.fusion.dropout)
            if config.fusion
            else None
        )
        self.transformer = DeformableTransformer(config.transformer, dim, levels, config.classes)
        self.mask_head = MaskHead(config.mask_head, dim, self.backbone.widths[0])

    def encode_image(self, images: Tensor, padding: Tensor) -> Features:
        """Backbone and projection (SPEC section 3).

        Args:
            images: Normalised, padded right and bottom to multiples of 32, float [B, 3, H, W].
            padding: Bool [B, H, W], True = padded.

        Returns:
            Features before fusion.
        """
        stride4, *maps = self.backbone(images)
        levels = self.projection(maps)
        paddings = [level_padding(padding, (x.shape[-2], x.shape[-1])) for x in levels]
        valid = ~padding
        sizes = torch.stack([valid[:, :, 0].sum(1), valid[:, 0, :].sum(1)], dim=-1).float()
        return Features(tuple(levels), tuple(paddings), stride4, sizes)

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
        return (self.text_encoder(ids, valid),) * self.config.levels

    def encode_mask(self, features: Features, images: Tensor, masks: Tensor) -> Reference:
        """Mask reference of frames whose features are at hand (SPEC section 3).

        Args:
            features: The frames' features before fusion, batch B or 1 (one frame, N objects).
            images: The frames as given to `encode_image`, float [B or 1, 3, H, W].
            masks: One mask an object, float [N, H, W], 0 or 1.

        Returns:
            Reference of N objects; its tokens are the pixels of each level, its keys those of the frame.

        Raises:
            UsageError: The model has no mask encoder.
        """
        if self.mask_encoder is None:
            raise UsageError("this checkpoint has no mask encoder: it cannot follow a mask or support images")
        count = len(masks)
        frame = [x.expand(count, *x.shape[1:]) for x in features.levels]
        values = self.mask_encoder(images.expand(count, *images.shape[1:]), masks, frame)
        reference = []
        for level, value, padding in zip(features.levels, values, features.paddings, strict=True):
            keys = level.flatten(2).transpose(1, 2)
            skip = padding.flatten(1)
            weight = (~skip)[..., None].to(keys.dtype)
            embedding = (keys * weight).sum(1) / weight.sum(1)
            reference.append(ReferenceTokens(keys, value.flatten(2).transpose(1, 2), skip, embedding))
        return tuple(reference)

    def project(self, reference: Reference) -> ProjectedReference:
        """UniFusion's side of a reference, computed once however often it is used."""
        done: dict[int, int] = {}
        projected: list[ProjectedTokens] = []
        for level, tokens in enumerate(reference):
            first = done.setdefault(id(tokens), level)  # a text's tokens are shared by all levels
            projected.append(projected[first] if first < level else self._fusion().project(tokens))
        return tuple(projected)

    def fuse(self, features: Features, references: Sequence[ProjectedReference]) -> Features:
        """Inject references at every level; without any, the features stay as they are (detection).

        Args:
            features: Batch N, or 1 for one image with N objects.
            references: Of one batch size N; each adds its own term (text and masks of RVOS).
        """
        if not references:
            return features
        fused = []
        for level, x in enumerate(features.levels):
            tokens = x.flatten(2).transpose(1, 2)
            out = self._fusion().fuse(tokens, [reference[level] for reference in references])
            fused.append(out.transpose(1, 2).unflatten(2, x.shape[-2:]))
        return features.with_levels(fused)

    def detect(self, features: Features, with_proposals: bool = False) -> Detections:
        """Run the transformer on (fused) features."""
        return self.transformer(features.levels, features.paddings, with_proposals)

    def best_queries(self, found: Detections) -> Tensor:
        """Index of the query with the highest class score in each image: int64 [N].

        The released system runs class-agnostic NMS first, which never removes the best query.
        """
        return found.logits[-1].sigmoid().amax(-1).argmax(1)

    def draw_best(self, features: Features, found: Detections, queries: Tensor) -> Tensor:
        """Draw one query's mask an image; the others are never drawn.

        Args:
            features: As given to `detect`; supplies the stride-4 map and the unpadded sizes.
            found: What `detect` returned, batch N.
            queries: Int64 [N].

        Returns:
            Float32 logits [N, H / 4, W / 4].
        """
        rows = torch.arange(len(queries), device=queries.device)
        last = torch.full_like(queries, len(found.states) - 1)
        return self.draw(self.mask_features(features, found), found, features.sizes, last, rows, queries)

    def mask_features(self, features: Features, found: Detections) -> Tensor:
        """What masks are drawn from: float [N, width, H / 4, W / 4]. Arguments as for `draw_best`."""
        return self.mask_head.features(found.memory, features.stride4)

    def draw(
        self, mask_features: Tensor, found: Detections, sizes: Tensor, layers: Tensor, rows: Tensor, queries: Tensor
    ) -> Tensor:
        """Draw the masks of M chosen queries.

        Args:
            mask_features: What `mask_features` returned, batch N.
            found: What `detect` returned, batch N.
            sizes: (height, width) of each unpadded image in input pixels, float [N or 1, 2].
            layers, rows, queries: Decoder layer, row of the batch and query of each mask, int64 [M].

        Returns:
            Float32 logits [M, H / 4, W / 4].
        """
        scale = sizes.flip(-1).expand(len(mask_features), 2)[rows]
        centres = found.references[layers, rows, queries, :2] * scale
        states = found.states[layers, rows, queries]
        return self.mask_head.draw(mask_features.index_select(0, rows), states, centres)

    def _fusion(self) -> UniFusion:
        if self.fusion is None:
            raise UsageError("this checkpoint has no UniFusion (detection pretraining): it cannot follow references")
        return self.fusion
