"""A contact sheet of training samples, drawn from the very tensors that the model gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from uniref.core.batch import Batch
from uniref.core.boxes import cxcywh_to_xyxy
from uniref.core.errors import UniRefError
from uniref.data.train.collate import collate
from uniref.data.train.dataset import MicroBatchDataset
from uniref.data.train.sources import OpenHooks, Tokenise, make_sampler, no_hooks, open_sources
from uniref.media.draw import colour, draw_overlay, write_contact_sheet
from uniref.ops.images import denormalise
from uniref.recipe.data import DataConfig

_GAP = 4  # white pixels between images of one sample


def write_preview(
    config: DataConfig,
    root: Path,
    path: Path,
    count: int,
    *,
    seed: int,
    micro_batches_per_step: int,
    micro_batch_size: int,
    tokenizer: Tokenise | None = None,
    open_hooks: OpenHooks = no_hooks,
) -> None:
    """Draw the first samples of a training run into one PNG: references left of the image, masks, boxes, text.

    Args:
        config: Sources and augmentation.
        root: Data root.
        path: The PNG.
        count: How many samples.
        seed, micro_batches_per_step, micro_batch_size, tokenizer, open_hooks: As for `TrainLoader`.

    Raises:
        UniRefError: As `TrainLoader`; or the PNG cannot be written.
    """
    # the samples of the training, in its order
    sources = open_sources(config, root, open_hooks)
    sampler = make_sampler(config, sources, seed, micro_batches_per_step, micro_batch_size)
    dataset = MicroBatchDataset(sources, seed)
    tiles: list[tuple[npt.NDArray[np.uint8], str]] = []
    # the micro batches that hold the first samples
    for number in range(-(-count // micro_batch_size)):
        drawn = dataset[sampler.micro_batch(number)]
        if drawn.error:
            raise UniRefError(drawn.error)
        batch = collate(drawn.samples, drawn.source, tokenizer)
        for row, sample in enumerate(drawn.samples):
            caption = f"{sample.id} {batch.task.value}" + (f": {sample.text}" if sample.text else "")
            tiles.append((_side_by_side(batch, row), caption))
    write_contact_sheet(path, tiles[:count], columns=3, side=420)


def _side_by_side(batch: Batch, row: int) -> npt.NDArray[np.uint8]:
    """A sample's references, then the image to segment, uint8 [h, w, 3]."""
    panels = []
    if batch.references is not None:
        images, masks = batch.references.images[row], batch.references.masks[row]
        panels = [draw_overlay(_unnormalised(x), {1: mask.numpy()}) for x, mask in zip(images, masks, strict=True)]
    panels.append(_target(batch, row))
    height = max(panel.shape[0] for panel in panels)
    filled = [np.pad(each, ((0, height - len(each)), (0, _GAP), (0, 0)), constant_values=255) for each in panels]
    return np.concatenate(filled, axis=1)[:, :-_GAP]


def _target(batch: Batch, row: int) -> npt.NDArray[np.uint8]:
    """The image to segment with its masks and boxes, uint8 [H, W, 3]."""
    target, inside = batch.targets[row], ~batch.padding[row]
    panel = _unnormalised(batch.images[row])
    if target.masks is not None:
        panel = draw_overlay(panel, {number: mask.numpy() for number, mask in enumerate(target.masks, start=1)})
    drawing = Image.fromarray(panel)
    draw = ImageDraw.Draw(drawing)
    height, width = int(inside.any(1).sum()), int(inside.any(0).sum())
    corners = cxcywh_to_xyxy(target.boxes) * torch.tensor([width, height, width, height])
    for number, (x0, y0, x1, y1) in enumerate(corners.tolist(), start=1):
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=colour(number), width=max(1, min(height, width) // 200))
    return np.asarray(drawing)


def _unnormalised(image: Tensor) -> npt.NDArray[np.uint8]:
    """A normalised image [3, H, W] as uint8 [H, W, 3]; padding shows as the mean colour."""
    return denormalise(image).byte().permute(1, 2, 0).numpy()
