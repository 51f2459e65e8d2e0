"""UniRef++ (Wu et al., 2023): a `ReferringModel` that detects objects with a deformable transformer.

`segment`, in steps:

    detections = model.detect(fused)
    logits = model.predict_best_masks(fused, detections, model.best_queries(detections))
"""

from __future__ import annotations

import torch
from torch import Tensor

from uniref.model.backbone import Backbone, Projection, level_paddings
from uniref.model.deformable_transformer import DeformableTransformer
from uniref.model.mask_encoder import MaskEncoder
from uniref.model.mask_head import MaskHead
from uniref.model.referring import ReferringModel, unpadded_sizes
from uniref.model.structures import Detections, Features, Segments
from uniref.model.text import TextEncoder
from uniref.model.unifusion import UniFusion
from uniref.recipe.model import ModelConfig


class UniRef(ReferringModel):
    """The network. Axes: B images, N objects, M masks, C width, Q queries.

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
        self.classes, self.levels = config.classes, config.levels
        dim, levels = config.hidden_dim, config.levels
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
        """Backbone and projection.

        Args:
            images: Normalised, padded right and bottom to multiples of 32, float [B, 3, H, W].
            padding: Bool [B, H, W], True = padded.

        Returns:
            Features before fusion.
        """
        stride4, *maps = self.backbone(images)
        levels = self.projection(maps)
        return Features(tuple(levels), tuple(level_paddings(padding, levels)), unpadded_sizes(padding), stride4)

    def freeze(self) -> None:
        """As `ReferringModel.freeze`: the first stages of the backbone."""
        self.backbone.freeze(self.config.backbone.frozen_stages)

    def segment(self, features: Features) -> Segments:
        """The best query's mask for each row of (fused) features, with its class score and box."""
        detections = self.transformer(features.levels, features.paddings)
        queries = self.best_queries(detections)
        logits = self.predict_best_masks(features, detections, queries)
        rows = torch.arange(len(queries), device=queries.device)
        scores = detections.logits[-1, rows, queries].sigmoid().amax(-1)
        return Segments(logits, scores, detections.boxes[-1, rows, queries])

    def detect(self, features: Features, with_proposals: bool = False) -> Detections:
        """Run the transformer on (fused) features."""
        return self.transformer(features.levels, features.paddings, with_proposals)

    def best_queries(self, detections: Detections) -> Tensor:
        """Index of the query with the highest class score in each image: int64 [N].

        The released system runs class-agnostic NMS first, which never removes the best query.
        """
        return detections.logits[-1].sigmoid().amax(-1).argmax(1)

    def predict_best_masks(self, features: Features, detections: Detections, queries: Tensor) -> Tensor:
        """Predict the mask of one query per image; the others' masks are never computed.

        Args:
            features: As given to `detect`; supplies the stride-4 map and the unpadded sizes.
            detections: What `detect` returned, batch N.
            queries: Int64 [N].

        Returns:
            Float32 logits [N, H / 4, W / 4].
        """
        rows = torch.arange(len(queries), device=queries.device)
        last = torch.full_like(queries, len(detections.query_states) - 1)
        mask_features = self.mask_features(features, detections)
        return self.predict_masks(mask_features, detections, features.sizes, last, rows, queries)

    def mask_features(self, features: Features, detections: Detections) -> Tensor:
        """The dynamic convolutions' input: float [N, width, H / 4, W / 4]. Arguments as for `predict_best_masks`."""
        assert features.stride4 is not None
        return self.mask_head.features(detections.memory, features.stride4)

    def predict_masks(
        self,
        mask_features: Tensor,
        detections: Detections,
        sizes: Tensor,
        layers: Tensor,
        rows: Tensor,
        queries: Tensor,
    ) -> Tensor:
        """Predict the masks of M chosen queries.

        Args:
            mask_features: What `mask_features` returned, batch N.
            detections: What `detect` returned, batch N.
            sizes: (height, width) of each unpadded image in input pixels, float [N or 1, 2].
            layers, rows, queries: Decoder layer, row of the batch and query of each mask, int64 [M].

        Returns:
            Float32 logits [M, H / 4, W / 4].
        """
        scale = sizes.flip(-1).expand(len(mask_features), 2)[rows]
        centres = detections.reference_boxes[layers, rows, queries, :2] * scale
        states = detections.query_states[layers, rows, queries]
        return self.mask_head.predict_masks(mask_features.index_select(0, rows), states, centres)
