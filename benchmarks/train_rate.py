"""Training steps per second and peak memory, with activation checkpointing and compilation on and off: for GPUs.

    python -m benchmarks.train_rate [--recipe recipes/swinl.yaml] [--stage image-a] [--side 800] [--steps 20]

One device, one micro batch per step: the rate of N devices is N times this, minus communication.
"""

from __future__ import annotations

import argparse
import time
from itertools import product
from pathlib import Path

import torch

from benchmarks.train_step import random_batch
from uniref.core.device import resolve_device
from uniref.core.tasks import Task
from uniref.engine.distributed import World
from uniref.engine.optim import TrainState
from uniref.engine.reporter import memory_gb
from uniref.engine.stage_model import freeze
from uniref.engine.trainer import train_step
from uniref.model.build import build_model
from uniref.recipe.load import load_recipe
from uniref.recipe.recipe import StageConfig


def main() -> None:
    """Print a line per combination."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/r50.yaml"))
    parser.add_argument("--stage", default="image-a")
    parser.add_argument("--task", default="ris", choices=[task.value for task in Task])
    parser.add_argument("--side", type=int, default=800, help="height of the images, which are 4 : 3")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    stage = load_recipe(options.recipe).stages[options.stage]
    device = resolve_device(options.device)
    width = -(-options.side * 4 // 3 // 32) * 32
    print(
        f"{options.recipe}, {options.stage}, {options.task}, {stage.micro_batch} x {options.side} x {width}, {device}"
    )
    print(f"{'checkpointing':14} {'compiled':9} {'precision':10} {'steps/s':>8} {'peak memory':>12}")
    # a step with every combination
    for recompute, compiled in product((False, True), (False, True)):
        changes = {
            "activation_checkpointing": recompute,
            "compile": compiled,
            "global_batch": stage.micro_batch,
        }
        rate, precision = _rate(stage.model_copy(update=changes), options, width, device)
        print(f"{recompute!s:14} {compiled!s:9} {precision:10} {rate:8.2f} {memory_gb(device):9.1f} GB", flush=True)


def _rate(stage: StageConfig, options: argparse.Namespace, width: int, device: torch.device) -> tuple[float, str]:
    """Steps per second and the precision; afterwards the device's peak memory is that of these steps."""
    torch.compiler.reset()
    torch.manual_seed(0)
    model = build_model(stage.model)
    freeze(model, stage)
    state = TrainState(stage, model, World(device), seed=0)
    batch = random_batch(Task(options.task), stage.micro_batch, (options.side, width))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    began = 0.0
    for step in range(-3, options.steps):  # the first ones warm up
        if step == 0:
            began = time.perf_counter()
        train_step(state, [batch], max(step, 0))  # it ends with a number on the CPU, so that the device is done
    return options.steps / (time.perf_counter() - began), state.precision


if __name__ == "__main__":
    main()
