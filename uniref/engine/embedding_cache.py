"""Image embeddings of a frozen encoder on disk: an image that comes again, in any epoch or run, is not encoded."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from uniref.core.atomic import atomic_file
from uniref.core.errors import UniRefError
from uniref.model.structures import Features
from uniref.weights.adapter import frozen_digest

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
