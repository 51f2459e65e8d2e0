"""How often an image encoder runs."""

from __future__ import annotations

from torch import Tensor

from uniref.model.sam import UniRefSam


def encoder_calls(model: UniRefSam) -> list[int]:
    """Images of each call of SAM's image encoder from now on; the list grows."""
    calls: list[int] = []
    forward = model.sam.vision_encoder.forward

    def counting(images: Tensor, **options: object) -> object:
        calls.append(len(images))
        return forward(images, **options)

    model.sam.vision_encoder.forward = counting
    return calls
