"""A tiny model learns one batch of each task by heart."""

from __future__ import annotations

import pytest
import torch

from tests.engine.batches import make_batch
from tests.tiny import tiny_config
from uniref.core.batch import Batch
from uniref.core.tasks import Task
from uniref.engine.learner import Learner, ground_truth_boxes
from uniref.model.uniref import UniRef
from uniref.recipe.loss import LossConfig
from uniref.recipe.model import BackboneConfig, FusionConfig, TextConfig

STEPS = 300


def iou_of_best(learner: Learner, batch: Batch) -> float:
    """Mean IoU of the best query's mask with its object (the nearest one in detection)."""
    model = learner.model
    features = model.encode_image(batch.images, batch.padding)
    fused = model.fuse(features, learner.references(batch))
    found = model.detect(fused)
    masks = model.draw_best(fused, found, model.best_queries(found)) > 0
    ious = []
    for mask, target in zip(masks, batch.targets, strict=True):
        assert target.masks is not None
        truth = target.masks[:, 2::4, 2::4]
        overlap, union = (mask & truth).sum((1, 2)), (mask | truth).sum((1, 2))
        ious.append(float((overlap / union).max()))
    return sum(ious) / len(ious)


@pytest.mark.parametrize("task", list(Task), ids=lambda task: task.value)
def test_overfits_a_batch(task: Task) -> None:
    torch.manual_seed(0)
    config = tiny_config()
    learner = Learner(UniRef(config), LossConfig(auxiliary_masks=task.is_video))
    batch = make_batch(task)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=2e-3)
    learner.train()
    for step in range(STEPS):
        terms = learner(batch, ground_truth_boxes(batch), step)
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 49:
            learner.eval()
            with torch.no_grad():
                print(task, step, float(sum(terms.values())), iou_of_best(learner, batch))
            learner.train()
