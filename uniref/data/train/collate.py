"""Training samples to one padded batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from uniref.core.batch import Batch, ReferenceImages, Targets, TextTokens
from uniref.core.boxes import xyxy_to_cxcywh
from uniref.core.errors import UniRefError
from uniref.data.train.dataset import AugmentedImage, DrawnSamples, TrainSample
from uniref.data.train.sources import Tokenise, TrainSource
from uniref.ops.images import Input, normalise, pad_batch, pad_mask


class LoadedBatch(NamedTuple):
    """What comes back from a loading process (a named tuple: PyTorch pins what it holds)."""

    batch: Batch | None
    skipped: tuple[str, ...]
    """One line for each sample that could not be read and was replaced."""
    redrawn: int
    """Samples with nothing to learn from that were replaced."""
    error: str
    """Why there is no batch; empty otherwise."""


def collate_drawn(drawn: DrawnSamples, tokenizer: Tokenise | None = None) -> LoadedBatch:
    """The batch of a micro batch's samples, or the error that kept them from being drawn."""
    batch, error = None, drawn.error
    if not error:
        try:
            batch = collate(drawn.samples, drawn.source, tokenizer)
        except UniRefError as failure:
            error = str(failure)
    return LoadedBatch(batch, tuple(drawn.skipped), drawn.redrawn, error)


def collate(samples: Sequence[TrainSample], source: TrainSource, tokenizer: Tokenise | None = None) -> Batch:
    """A batch of samples of one source.

    Images are normalised; targets and references are padded right and bottom, each to their own common size.
    """
    # the images to segment decide the size of the batch
    padded = _padded([sample.target for sample in samples])
    size = padded.images.shape[-2:]
    text = None
    if source.task.needs_text:
        assert tokenizer is not None
        text = TextTokens(*tokenizer([sample.text or "" for sample in samples]))
    return Batch(
        task=source.task,
        images=padded.images,
        padding=padded.padding,
        targets=tuple(_targets(sample, size) for sample in samples),
        text=text,
        references=_references([sample.references for sample in samples]),
        extra=source.hooks.collate_extra([sample.extra for sample in samples], size, tokenizer),
        ids=tuple(sample.id for sample in samples),
    )


def _targets(sample: TrainSample, size: Sequence[int]) -> Targets:
    image = sample.target
    height, width = image.image.shape[:2]
    boxes = xyxy_to_cxcywh(torch.from_numpy(image.boxes)) / torch.tensor([width, height, width, height])
    return Targets(boxes, torch.from_numpy(sample.classes), _mask_tensor(image, size))


def _references(references: Sequence[tuple[AugmentedImage, ...]]) -> ReferenceImages | None:
    """[B, S] reference images; the same S in every sample."""
    if not references[0]:
        return None
    images = [image for each in references for image in each]
    padded = _padded(images)
    size = padded.images.shape[-2:]
    masks = torch.cat([mask for image in images if (mask := _mask_tensor(image, size)) is not None])
    shape = (len(references), len(references[0]))
    return ReferenceImages(
        padded.images.unflatten(0, shape), padded.padding.unflatten(0, shape), masks.unflatten(0, shape)
    )


def _padded(images: Sequence[AugmentedImage]) -> Input:
    return pad_batch([normalise(image.image, image.image.shape[:2]) for image in images])


def _mask_tensor(image: AugmentedImage, size: Sequence[int]) -> Tensor | None:
    return None if image.masks is None else pad_mask(torch.from_numpy(image.masks), size)
