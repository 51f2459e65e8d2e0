"""UniFusion in SAM (UniRef++): its losses, and a cache of the frozen encoder's image embeddings."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property
from pathlib import Path

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
    """UniFusion in SAM and its losses: binary cross entropy and dice.

    The frozen image encoder runs without gradients, or not at all for images whose embedding is cached.

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
            batch: One object per image, with a reference; images no larger than the model's square.
            boxes, iteration: Not used.

        Returns:
            `loss_bce` and `loss_dice`, float32 scalars: means over the masks, at input resolution. The square's padding
            is background, as in the released system.

        Raises:
            UsageError: The batch has no reference or no masks, or its images are too large.
        """
        del boxes, iteration
        # the reference is fused into the image embedding, and the mask decoder segments the result
        square = to_square(batch, self.model.config.image_encoder.image_size)
        fused = self.model.fuse(self.encode_image(square.images, square.padding), self.references(square))
        logits = self.model.segment(fused).logits
        with torch.autocast(batch.images.device.type, enabled=False):
            logits = F.interpolate(logits[:, None].float(), scale_factor=4, mode="bilinear", align_corners=False)[:, 0]
            ground_truth = _masks(square)
            bce = F.binary_cross_entropy_with_logits(logits, ground_truth)
            dice = dice_loss(logits.sigmoid(), ground_truth).mean()
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
    references = batch.references
    if references is not None:
        squares, padding = _square(references.images, references.padding, side)
        references = replace(references, images=squares, padding=padding, masks=_fitted(references.masks, side))
    return replace(batch, images=images[0], padding=images[1], targets=targets, references=references)


def _square(images: Tensor, padding: Tensor, side: int) -> tuple[Tensor, Tensor]:
    height, width = (int((~padding).any(axis).sum(-1).max()) for axis in (-1, -2))
    if max(height, width) > side:
        raise UsageError(
            f"an image of {width} x {height} pixels does not fit into the model's square of {side}; "
            f"set data.augment.max_long_side to at most {side}"
        )
    return _fitted(images, side), ~_fitted(~padding, side)


def _fitted(x: Tensor, side: int) -> Tensor:
    """[..., h, w] cut or padded with 0 to [..., side, side]; only padding is cut."""
    return pad_mask(x[..., :side, :side], (side, side))


def _masks(batch: Batch) -> Tensor:
    """The object of each image, float [B, S, S]."""
    masks = []
    for row, target in enumerate(batch.targets):
        if target.masks is None:
            name = batch.ids[row] if batch.ids else f"sample {row}"
            raise UsageError(f"{name}: has no mask; a SAM model is trained with masks")
        masks.append(target.masks.any(0).float())
    return torch.stack(masks)


class EmbeddingCache:
    """A SAM's image embeddings on disk, by the images' content: an image that comes again is not encoded again.

    The folder may serve several processes, runs, models and precisions at once: the encoder's weights and the precision
    are part of every name. Embeddings are rounded to float16, new ones too, so that every epoch sees the same.

    Args:
        folder: Created if it does not exist.
        model: The image encoder's model. Its weights must not change after the first image.
        precision: Of the encoder's products.
    """

    def __init__(self, folder: Path, model: UniRefSam, precision: str) -> None:
        self.root, self.model, self.precision = folder, model, precision

    @cached_property
    def folder(self) -> Path:
        """The part of the folder for this encoder in this precision."""
        return self.root / f"{frozen_digest(self.model.sam.vision_encoder.state_dict())[:16]}-{self.precision}"

    def encode(self, images: Tensor, padding: Tensor) -> Features:
        """As the model's `encode_image`; embeddings that are not cached yet are computed and written.

        Raises:
            UniRefError: The folder cannot be written.
        """
        # look up every image, without its padding
        sizes = zip((~padding[:, :, 0]).sum(1).tolist(), (~padding[:, 0, :]).sum(1).tolist(), strict=True)
        paths = [self._path(image[:, :h, :w]) for image, (h, w) in zip(images, sizes, strict=True)]
        embeddings = [_read(path) for path in paths]
        missing = [row for row, embedding in enumerate(embeddings) if embedding is None]
        # encode the others
        if missing:
            (fresh,) = self.model.encode_image(images[missing], padding[missing]).levels
            for row, embedding in zip(missing, fresh.half().cpu(), strict=True):
                embeddings[row] = embedding
                _write(paths[row], embedding)
        stacked = torch.stack([embedding for embedding in embeddings if embedding is not None])
        return self.model.features(stacked.to(images.device, torch.float32), padding)

    def _path(self, image: Tensor) -> Path:
        """The file of an unpadded image [3, h, w]."""
        plain = image.detach().float().cpu().contiguous()
        digest = hashlib.sha256(f"{list(plain.shape)}\n".encode())
        digest.update(plain.numpy().data)
        name = digest.hexdigest()
        return self.folder / name[:2] / f"{name[2:]}.npy"


def _read(path: Path) -> Tensor | None:
    """A cached embedding, float16 [C, h, w]; None where it is missing or damaged."""
    try:
        return torch.from_numpy(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError):
        return None


def _write(path: Path, embedding: Tensor) -> None:
    """Write an embedding completely or not at all; several processes may write the same one."""
    try:
        with atomic_file(path) as work:
            np.save(work, embedding.numpy())
    except UniRefError as error:
        raise UniRefError(f"embedding_cache: {error}") from None
