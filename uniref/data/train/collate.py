"""Examples to one padded batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from uniref.core.batch import Batch, ReferenceImages, Targets, TextTokens
from uniref.core.boxes import xyxy_to_cxcywh
from uniref.core.errors import UniRefError
from uniref.data.train.dataset import DrawnSamples, Example, View
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
            batch = collate(drawn.examples, drawn.source, tokenizer)
        except UniRefError as failure:
            error = str(failure)
    return LoadedBatch(batch, tuple(drawn.skipped), drawn.redrawn, error)


def collate(examples: Sequence[Example], source: TrainSource, tokenizer: Tokenise | None = None) -> Batch:
    """A batch of examples of one source; targets and references are each padded to their own common size."""
    images = _padded([example.target for example in examples])
    size = images.images.shape[-2:]
    text = None
    if source.task.needs_text:
        assert tokenizer is not None
        text = TextTokens(*tokenizer([example.text or "" for example in examples]))
    return Batch(
        task=source.task,
        images=images.images,
        padding=images.padding,
        targets=tuple(_targets(example, size) for example in examples),
        text=text,
        references=_references([example.references for example in examples]),
        extra=source.hooks.collate_extra([example.extra for example in examples], size, tokenizer),
        ids=tuple(example.id for example in examples),
    )


def _targets(example: Example, size: Sequence[int]) -> Targets:
    view = example.target
    height, width = view.image.shape[:2]
    boxes = xyxy_to_cxcywh(torch.from_numpy(view.boxes)) / torch.tensor([width, height, width, height])
    return Targets(boxes, torch.from_numpy(example.classes), _mask_tensor(view, size))


def _references(references: Sequence[tuple[View, ...]]) -> ReferenceImages | None:
    """[B, S] views; the same S in every sample."""
    if not references[0]:
        return None
    views = [view for each in references for view in each]
    padded = _padded(views)
    size = padded.images.shape[-2:]
    masks = torch.cat([mask for view in views if (mask := _mask_tensor(view, size)) is not None])
    shape = (len(references), len(references[0]))
    return ReferenceImages(
        padded.images.unflatten(0, shape), padded.padding.unflatten(0, shape), masks.unflatten(0, shape)
    )


def _padded(views: Sequence[View]) -> Input:
    return pad_batch([normalise(view.image, view.image.shape[:2]) for view in views])


def _mask_tensor(view: View, size: Sequence[int]) -> Tensor | None:
    return None if view.masks is None else pad_mask(torch.from_numpy(view.masks), size)
