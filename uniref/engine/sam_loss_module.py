"""UniFusion in SAM (UniRef++, Sec. 3.6): its losses, and a cache of the frozen encoder's image embeddings."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from uniref.core.atomic import atomic_file
from uniref.core.batch import Batch
from uniref.core.errors import UniRefError, UsageError
from uniref.engine.loss_module import ReferringLossModule
from uniref.losses.terms import dice_loss
from uniref.model.sam import UniRefSam
from uniref.model.structures import Features
from uniref.ops.images import pad_mask
from uniref.recipe.loss import SamLossConfig
from uniref.weights.checkpoint import frozen_digest


class SamLossModule(ReferringLossModule):
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


if TYPE_CHECKING:  # transformers' SAM takes a moment to import
    from uniref.model.sam import UniRefSam


class EmbeddingCache:
    """Keeps what a SAM's image encoder makes of images, by their content.

    The folder may serve several processes, runs, models and precisions at once: the encoder's weights and the precision
    are part of every name. Embeddings are rounded to float16, new ones too, so that every epoch sees the same.

    Args:
        folder: Where; made if it is not there.
        model: Whose image encoder it is. Its weights are taken for final when the first image comes.
        precision: Of the encoder's products.
    """

    def __init__(self, folder: Path, model: UniRefSam, precision: str) -> None:
        self.root, self.model, self.precision = folder, model, precision

    @cached_property
    def folder(self) -> Path:
        """Of this encoder in this precision."""
        return self.root / f"{frozen_digest(self.model.sam.vision_encoder.state_dict())[:16]}-{self.precision}"

    def encode(self, images: Tensor, padding: Tensor) -> Features:
        """As the model's `encode_image`; what is not kept yet is encoded and written.

        Raises:
            UniRefError: The folder cannot be written.
        """
        sizes = zip((~padding[:, :, 0]).sum(1).tolist(), (~padding[:, 0, :]).sum(1).tolist(), strict=True)
        paths = [self._path(image[:, :h, :w]) for image, (h, w) in zip(images, sizes, strict=True)]
        found = [_read(path) for path in paths]
        missing = [row for row, embedding in enumerate(found) if embedding is None]
        if missing:
            (fresh,) = self.model.encode_image(images[missing], padding[missing]).levels
            for row, embedding in zip(missing, fresh.half().cpu(), strict=True):
                found[row] = embedding
                _write(paths[row], embedding)
        stacked = torch.stack([embedding for embedding in found if embedding is not None])
        return self.model.features(stacked.to(images.device, torch.float32), padding)

    def _path(self, image: Tensor) -> Path:
        """Of an unpadded image [3, h, w]."""
        plain = image.detach().float().cpu().contiguous()
        digest = hashlib.sha256(f"{list(plain.shape)}\n".encode())
        digest.update(plain.numpy().data)
        name = digest.hexdigest()
        return self.folder / name[:2] / f"{name[2:]}.npy"


def _read(path: Path) -> Tensor | None:
    """A kept embedding, float16 [C, h, w]; None where it is not there or damaged."""
    try:
        return torch.from_numpy(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError):
        return None


def _write(path: Path, embedding: Tensor) -> None:
    """Complete under its name, or not there; several processes may write the same."""
    try:
        with atomic_file(path) as work:
            np.save(work, embedding.numpy())
    except UniRefError as error:
        raise UniRefError(f"embedding_cache: {error}") from None
