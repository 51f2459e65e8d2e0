"""A tiny model learns one batch of each task by heart, and that its reference decides what is meant."""

from __future__ import annotations

import pytest
import torch

from tests.engine.batches import make_batch
from tests.marks import slow_except
from tests.tiny import tiny_config
from uniref.core.batch import Batch
from uniref.core.tasks import Task
from uniref.engine.loss_module import LossModule, ground_truth_boxes
from uniref.model.uniref import UniRef
from uniref.recipe.loss import LossConfig

STEPS = 200


@torch.no_grad()
def worst_iou(loss_module: LossModule, batch: Batch) -> float:
    """IoU of the best query's mask with its object (in detection: the nearest), of the worse sample."""
    model = loss_module.model.eval()
    features = model.encode_image(batch.images, batch.padding)
    fused = model.fuse(features, loss_module.references(batch))
    found = model.detect(fused)
    masks = model.predict_best_masks(fused, found, model.best_queries(found)) > 0
    loss_module.train()
    ious = []
    for mask, target in zip(masks, batch.targets, strict=True):
        assert target.masks is not None
        truth = target.masks[:, 2::4, 2::4]
        overlap, union = (mask & truth).sum((1, 2)), (mask | truth).sum((1, 2))
        ious.append(float((overlap / union).max()))
    return min(ious)


@pytest.mark.parametrize("task", slow_except([Task.DETECTION], Task), ids=lambda task: task.value)
@pytest.mark.slow
def test_overfits_a_batch(task: Task) -> None:
    loss_module = LossModule(UniRef(tiny_config()), LossConfig(auxiliary_masks=task.is_video))
    batch = make_batch(task)
    optimizer = torch.optim.AdamW(loss_module.parameters(), lr=2e-3)
    for step in range(STEPS):
        terms = loss_module(batch, ground_truth_boxes(batch), step)
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(loss_module.parameters(), 1.0)
        optimizer.step()
        if step % 20 == 19 and worst_iou(loss_module, batch) > 0.9:
            break
    else:
        pytest.fail(f"IoU {worst_iou(loss_module, batch):.2f} after {STEPS} steps")
