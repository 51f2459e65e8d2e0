"""Time of one training step by part, and its peak memory (ResNet-50, 2 images of 480 x 640, CPU).

    python -m benchmarks.train_step [--task ris] [--steps 3] [--cpu-time]

With --cpu-time, CPU seconds of all threads are counted: on a busy machine, those of one thread (OMP_NUM_THREADS=1)
still show the share of each part.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch

from uniref.core.batch import Batch, ReferenceImages, Targets, TextTokens
from uniref.core.tasks import Task
from uniref.engine.loss_module import LossModule
from uniref.engine.stage_model import train_mode
from uniref.model.uniref import UniRef
from uniref.recipe.loss import LossConfig
from uniref.recipe.model import ModelConfig

_SIZE = (480, 640)


def main() -> None:
    """Print a line per part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="ris", choices=[task.value for task in Task])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--cpu-time", action="store_true")
    options = parser.parse_args()
    task, clock = Task(options.task), time.process_time if options.cpu_time else time.perf_counter
    torch.manual_seed(0)
    model = UniRef(ModelConfig())
    model.backbone.freeze(model.config.backbone.frozen_stages)
    loss_module = LossModule(model, LossConfig(auxiliary_masks=task.is_video))
    train_mode(model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)
    # measure every part
    spent: dict[str, list[float]] = defaultdict(list)
    current: dict[str, float] = {}
    for owner, name, part in (
        (model, "encode_image", "backbone and projection"),
        (model, "encode_text", "text encoder"),
        (model, "encode_mask", "mask encoder"),
        (model, "fuse", "fusion"),
        (model, "detect", "transformer"),
        (model, "mask_features", "mask features"),
        (loss_module.criterion, "match_queries", "matching"),
        (loss_module.criterion, "match_proposals", "matching"),
        (model, "predict_masks", "masks of matched queries"),
    ):
        setattr(owner, name, _timed(getattr(owner, name), part, current, clock))
    # train on one batch
    batch = random_batch(task, 2, _SIZE)
    for step in range(options.steps + 1):
        current.clear()
        began = clock()
        loss = torch.stack(list(loss_module(batch, 1.0, step).values())).sum()
        forward = clock() - began
        parts = dict(current)  # masks are predicted once more in the backward pass
        loss.backward()
        backward = clock() - began - forward
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        whole = clock() - began
        if step:  # the first step warms up
            parts["losses"] = forward - sum(parts.values())
            parts["backward"], parts["optimiser"] = backward, whole - forward - backward
            parts["the whole step"] = whole
            for part, seconds in parts.items():
                spent[part].append(seconds)
    # medians over the steps
    total = statistics.median(spent["the whole step"])
    print(f"{task.value}, {len(batch)} x {_SIZE[0]} x {_SIZE[1]}, {torch.get_num_threads()} threads")
    for part, values in spent.items():
        seconds = statistics.median(values)
        print(f"{part:26} {seconds:7.3f} s  {seconds / total:6.1%}")
    print(f"peak resident memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB")


def _timed(
    function: Callable[..., Any], part: str, spent: dict[str, float], clock: Callable[[], float]
) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        began = clock()
        result = function(*arguments, **options)
        spent[part] = spent.get(part, 0.0) + clock() - began
        return result

    return call


def random_batch(task: Task, count: int, size: tuple[int, int]) -> Batch:
    """Noise with an object of 200 x 200 pixels (or a quarter of the sides where they are small), and a reference."""
    height, width = size
    # the object
    top, left = min(100, height // 4), min(200, width // 4)
    bottom, right = top + min(200, height // 4), left + min(200, width // 4)
    masks = torch.zeros(1, height, width, dtype=torch.bool)
    masks[:, top:bottom, left:right] = True
    box = torch.tensor(
        [[(left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height]]
    )
    target = Targets(box, torch.zeros(1, dtype=torch.int64), masks)
    # images and references
    images, padding = torch.randn(count, 3, height, width), torch.zeros(count, height, width, dtype=torch.bool)
    text = TextTokens(torch.randint(1000, 2000, (count, 8)), torch.ones(count, 8, dtype=torch.bool))
    references = ReferenceImages(images[:, None].clone(), padding[:, None], masks[None].expand(count, 1, height, width))
    return Batch(
        task,
        images,
        padding,
        (target,) * count,
        text if task.needs_text else None,
        references if task in (Task.FSS, Task.VOS, Task.RVOS) else None,
    )


if __name__ == "__main__":
    main()
