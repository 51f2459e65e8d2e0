"""UniRef++: a `ReferringModel` that finds objects with a transformer; its `segment` in steps:

found  = model.detect(fused)
logits = model.predict_best_masks(fused, found, model.best_queries(found))
"""

from __future__ import annotations

import torch
from torch import Tensor

from uniref.model.backbone import Backbone, Projection, level_paddings
from uniref.model.deformable_transformer import DeformableTransformer
from uniref.model.mask_encoder import MaskEncoder
from uniref.model.mask_head import MaskHead
from uniref.model.referring import ReferringModel
from uniref.model.structures import Detections, Features, Segments
from uniref.model.text import TextEncoder
from uniref.model.unifusion import UniFusion
from uniref.recipe.model import ModelConfig


class UniRef(ReferringModel):
    """The network. Axes: B images, N objects, C width, Q queries.

    Args:
        config: All sizes, and which of the optional parts exist.

    Raises:
        UsageError: The backbone cannot be built.
    """

    input_size = None
    mask_threshold_logit = None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config: ModelConfig = config
        self.classes = config.classes
        dim, levels = config.hidden_dim, config.levels
        self.levels = levels
        self.backbone = Backbone(config.backbone)
        self.projection = Projection(self.backbone.widths[1:], dim, levels, config.groups)
        self.text_encoder = TextEncoder(config.text, dim) if config.text else None
        strides = [8 << level for level in range(levels)]
        self.mask_encoder = (
            MaskEncoder(config.mask_encoder, dim, strides, config.groups) if config.mask_encoder else None
        )
        self.fusion = UniFusion(dim, **config.fusion.model_dump()) if config.fusion else None
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
        paddings = level_paddings(padding, levels)
        valid = ~padding
        sizes = torch.stack([valid[:, :, 0].sum(1), valid[:, 0, :].sum(1)], dim=-1).float()
        return Features(tuple(levels), tuple(paddings), sizes, stride4)

    def freeze(self) -> None:
        """As `ReferringModel.freeze`: the first stages of the backbone."""
        self.backbone.freeze(self.config.backbone.frozen_stages)

    def segment(self, features: Features) -> Segments:
        """The best query's mask for each row of (fused) features, with its class score and box."""
        found = self.detect(features)
        queries = self.best_queries(found)
        logits = self.predict_best_masks(features, found, queries)
        rows = torch.arange(len(queries), device=queries.device)
        scores = found.logits[-1, rows, queries].sigmoid().amax(-1)
        return Segments(logits, scores, found.boxes[-1, rows, queries])

    def detect(self, features: Features, with_proposals: bool = False) -> Detections:
        """Run the transformer on (fused) features."""
        return self.transformer(features.levels, features.paddings, with_proposals)

    def best_queries(self, found: Detections) -> Tensor:
        """Index of the query with the highest class score in each image: int64 [N].

        The released system runs class-agnostic NMS first, which never removes the best query.
        """
        return found.logits[-1].sigmoid().amax(-1).argmax(1)

    def predict_best_masks(self, features: Features, found: Detections, queries: Tensor) -> Tensor:
        """Draw one query's mask an image; the others are never drawn.

        Args:
            features: As given to `detect`; supplies the stride-4 map and the unpadded sizes.
            found: What `detect` returned, batch N.
            queries: Int64 [N].

        Returns:
            Float32 logits [N, H / 4, W / 4].
        """
        rows = torch.arange(len(queries), device=queries.device)
        last = torch.full_like(queries, len(found.query_states) - 1)
        return self.predict_masks(self.mask_features(features, found), found, features.sizes, last, rows, queries)

    def mask_features(self, features: Features, found: Detections) -> Tensor:
        """What masks are drawn from: float [N, width, H / 4, W / 4]. Arguments as for `predict_best_masks`."""
        assert features.stride4 is not None
        return self.mask_head.features(found.memory, features.stride4)

    def predict_masks(
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
        centres = found.reference_boxes[layers, rows, queries, :2] * scale
        states = found.query_states[layers, rows, queries]
        return self.mask_head.predict_masks(mask_features.index_select(0, rows), states, centres)
