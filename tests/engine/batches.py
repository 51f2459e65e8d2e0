"""Small batches of every task, drawn: two rectangles a picture, and a reference that decides which one is meant."""

from __future__ import annotations

import torch
from torch import Tensor

from uniref.core.batch import Batch, ReferenceImages, Targets, TextTokens
from uniref.core.tasks import Task
from uniref.model.text import TextTokenizer

SIZE = (64, 96)
BOXES = ((8, 12, 40, 44), (52, 20, 88, 56))
"""x0, y0, x1, y1 in pixels, one left and one right."""


def picture(seed: int, moved: int = 0) -> tuple[Tensor, Tensor]:
    """A normalised image [3, H, W] of the rectangles, each of its own colour, on noise; and their masks [2, H, W]."""
    image = 0.3 * torch.randn(3, *SIZE, generator=torch.Generator().manual_seed(seed))
    masks = torch.zeros(len(BOXES), *SIZE, dtype=torch.bool)
    for index, (x0, y0, x1, y1) in enumerate(BOXES):
        masks[index, y0:y1, x0 - moved : x1 - moved] = True
        image[:, masks[index]] += torch.tensor([1.5, -1.5, 0.5]).roll(index)[:, None]
    return image, masks


def mask_box(mask: Tensor) -> Tensor:
    """The tight box of a mask, cxcywh as fractions."""
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    y0, y1, x0, x1 = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    height, width = mask.shape
    return torch.stack([(x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height])


def make_batch(task: Task, masks: bool = True, text_only: bool = False) -> Batch:
    """Two samples with the same picture; what refers to the first rectangle in one refers to the second in the other.

    Args:
        task: Of the batch; detection wants both rectangles in both.
        masks: False: targets have boxes only.
        text_only: RVOS without the earlier frame.
    """
    image, drawn = picture(0)
    wanted = [drawn, drawn] if task is Task.DETECTION else [drawn[:1], drawn[1:]]
    text = references = None
    if task.needs_text:
        text = TextTokens(*TextTokenizer.bert_base_uncased()(["the left one", "a box on the right"]))
    if task in (Task.FSS, Task.VOS) or (task is Task.RVOS and not text_only):
        shots = 2 if task is Task.FSS else 1
        shown = [picture(1 + shot, moved=2 + shot) for shot in range(shots)]
        references = ReferenceImages(
            images=torch.stack([view for view, _ in shown]).expand(2, -1, -1, -1, -1),
            padding=torch.zeros(2, shots, *SIZE, dtype=torch.bool),
            masks=torch.stack([torch.stack([each[sample] for _, each in shown]) for sample in range(2)]),
        )
    return Batch(
        task=task,
        images=image.expand(2, -1, -1, -1),
        padding=torch.zeros(2, *SIZE, dtype=torch.bool),
        targets=tuple(
            Targets(
                torch.stack([mask_box(mask) for mask in each]),
                torch.zeros(len(each), dtype=torch.int64),
                each if masks else None,
            )
            for each in wanted
        ),
        text=text,
        references=references,
        ids=("drawn:0", "drawn:1"),
    )
