"""UniFusion in SAM and its losses (SPEC section 10): a batch in, weighted loss terms out."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from uniref.core.batch import Batch
from uniref.core.errors import UsageError
from uniref.engine.embedding_cache import EmbeddingCache
from uniref.engine.learner import ReferringLearner
from uniref.losses.masks import dice_loss
from uniref.model.sam import UniRefSam
from uniref.model.structures import Features
from uniref.ops.images import pad_mask
from uniref.recipe.loss import SamLossConfig


class SamLearner(ReferringLearner):
    """A SAM model and its losses. The frozen image encoder runs without gradients, or not at all for images in a cache.

    Args:
        model: The network that is trained.
        loss: Weights.
        cache: Of image embeddings.
    """

    model: UniRefSam

    def __init__(self, model: UniRefSam, loss: SamLossConfig, cache: EmbeddingCache | None = None) -> None:
        super().__init__(model)
        self.loss, self.cache = loss, cache

    def encode_image(self, images: Tensor, padding: Tensor) -> Features:
        """As the model's, from the cache where there is one."""
        if self.cache is None:
            return super().encode_image(images, padding)
        return self.cache.encode(images, padding)

    def forward(self, batch: Batch, boxes: float, iteration: int) -> dict[str, Tensor]:
        """Loss terms of a batch, already weighted: their sum is what is minimised.

        Args:
            batch: Of one object an image, with a reference; images no larger than the model's square.
            boxes, iteration: Make no difference.

        Returns:
            `loss_bce` and `loss_dice`, float32 scalars: means over the masks, at input resolution. The square's padding
            is background, as in the released system.

        Raises:
            UsageError: The batch has no reference or no masks, or its images are too large.
        """
        del boxes, iteration
        square = to_square(batch, self.model.config.image_encoder.image_size)
        fused = self.model.fuse(self.encode_image(square.images, square.padding), self.references(square))
        logits = self.model.segment(fused).logits
        with torch.autocast(batch.images.device.type, enabled=False):
            logits = F.interpolate(logits[:, None].float(), scale_factor=4, mode="bilinear", align_corners=False)[:, 0]
            truth = _masks(square)
            bce = F.binary_cross_entropy_with_logits(logits, truth)
            dice = dice_loss(logits.sigmoid(), truth).mean()
        return {"loss_bce": self.loss.bce * bce, "loss_dice": self.loss.dice * dice}


def to_square(batch: Batch, side: int) -> Batch:
    """The batch with images and masks padded right and bottom to a square, instead of to multiples of 32.

    Raises:
        UsageError: An image does not fit.
    """
    images = _square(batch.images, batch.padding, side)
    targets = tuple(
        each if each.masks is None else replace(each, masks=_fitted(each.masks, side)) for each in batch.targets
    )
    shown = batch.references
    if shown is not None:
        pictures, padding = _square(shown.images, shown.padding, side)
        shown = replace(shown, images=pictures, padding=padding, masks=_fitted(shown.masks, side))
    return replace(batch, images=images[0], padding=images[1], targets=targets, references=shown)


def _square(images: Tensor, padding: Tensor, side: int) -> tuple[Tensor, Tensor]:
    height, width = (int((~padding).any(axis).sum(-1).max()) for axis in (-1, -2))
    if max(height, width) > side:
        raise UsageError(
            f"an image of {width} x {height} pixels does not fit into the model's square of {side}; "
            f"set data.augment.max_long_side to at most {side}"
        )
    return _fitted(images, side), ~_fitted(~padding, side)


def _fitted(x: Tensor, side: int) -> Tensor:
    """[..., h, w] cut or padded with 0 to [..., side, side]; what is cut is padding."""
    return pad_mask(x[..., :side, :side], (side, side))


def _masks(batch: Batch) -> Tensor:
    """The object of each image, float [B, S, S]."""
    masks = []
    for place, each in enumerate(batch.targets):
        if each.masks is None:
            name = batch.ids[place] if batch.ids else f"sample {place}"
            raise UsageError(f"{name}: has no mask; a SAM model is trained with masks")
        masks.append(each.masks.any(0).float())
    return torch.stack(masks)
