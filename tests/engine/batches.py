"""Small batches of every task, drawn: a bright rectangle an image, and whatever refers to it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from uniref.core.batch import Batch, ReferenceImages, Targets, TextTokens
from uniref.core.tasks import Task
from uniref.model.tokenizer import TextTokenizer

SIZE = (96, 128)
Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels."""


def picture(boxes: Sequence[Box], size: tuple[int, int] = SIZE, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A normalised image [3, H, W] of differently coloured rectangles on noise, and their masks bool [N, H, W]."""
    generator = torch.Generator().manual_seed(seed)
    image = 0.3 * torch.randn(3, *size, generator=generator)
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for index, (x0, y0, x1, y1) in enumerate(boxes):
        masks[index, y0:y1, x0:x1] = True
        image[:, y0:y1, x0:x1] += torch.tensor([1.5, -1.5, 0.5]).roll(index)[:, None, None]
    return image, masks


def targets(boxes: Sequence[Box], masks: Tensor | None, size: tuple[int, int] = SIZE) -> Targets:
    """Of rectangles in an image of `size`."""
    x0, y0, x1, y1 = torch.tensor(boxes, dtype=torch.float32).view(-1, 4).unbind(1)
    scale = torch.tensor([size[1], size[0], size[1], size[0]])
    cxcywh = torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], dim=1) / scale
    return Targets(cxcywh, torch.zeros(len(boxes), dtype=torch.int64), masks)


def make_batch(task: Task, masks: bool = True, text_only: bool = False) -> Batch:
    """Two samples of a task; the first has two objects where the task is detection.

    Args:
        task: Of the batch.
        masks: False: targets have boxes only.
        text_only: RVOS without the earlier frame.
    """
    boxes: list[list[Box]] = [[(12, 20, 60, 70)], [(70, 30, 118, 84)]]
    if task is Task.DETECTION:
        boxes[0].append((76, 10, 110, 50))
    drawn = [picture(each, seed=seed) for seed, each in enumerate(boxes)]
    text = references = None
    if task.needs_text:
        text = TextTokens(*TextTokenizer.bert_base_uncased()(["the left thing", "a box on the right"]))
    if task in (Task.FSS, Task.VOS) or (task is Task.RVOS and not text_only):
        shots = 2 if task is Task.FSS else 1
        earlier = [
            [picture([(x0 - 4 * s, y0, x1 - 4 * s, y1)], seed=9 + s) for s in range(shots)]
            for ((x0, y0, x1, y1), *_) in boxes
        ]
        references = ReferenceImages(
            torch.stack([torch.stack([image for image, _ in each]) for each in earlier]),
            torch.zeros(2, shots, *SIZE, dtype=torch.bool),
            torch.stack([torch.stack([mask[0] for _, mask in each]) for each in earlier]),
        )
    return Batch(
        task=task,
        images=torch.stack([image for image, _ in drawn]),
        padding=torch.zeros(2, *SIZE, dtype=torch.bool),
        targets=tuple(targets(each, mask if masks else None) for each, (_, mask) in zip(boxes, drawn, strict=True)),
        text=text,
        references=references,
        ids=("drawn:0", "drawn:1"),
    )
