"""What a dry run tells."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.engine.conftest import MakeRecipe
from uniref.core.errors import UniRefError, UsageError
from uniref.engine.dry_run import _activations, describe, fixed_memory
from uniref.model.uniref import UniRef
from uniref.recipe.load import load_recipe
from uniref.recipe.recipe import Recipe


@pytest.mark.slow
def test_sizes_rates_data_and_batches(recipe: Recipe, root: Path) -> None:
    text = "\n".join(describe(recipe, (), root, "cpu", 2))
    count = sum(p.numel() for p in UniRef(recipe.stages["only"].model).parameters())
    assert f"/ {count:,}" in text
    assert "global batch 4 = 2 per device x 2 processes (cpu) x 1 accumulated" in text
    assert "25.0%  vos/train: vos, 4 samples, seen 1.5 times" in text
    assert "warm-up over 2 steps" in text
    assert "memory about" in text


def test_memory_of_weights_gradients_and_optimiser(make_recipe: MakeRecipe) -> None:
    """Four bytes each: all weights once; of the trained ones a gradient, two moments, and with EMA an average."""
    for ema, copies in ((None, 3), (0.99, 4)):
        stage = load_recipe(make_recipe(ema=ema)).stages["only"]
        model = UniRef(stage.model)
        everything = [*model.parameters()]
        everything[0].requires_grad = False
        frozen = everything[0].numel()
        count = sum(p.numel() for p in everything)
        trained = sum(p.numel() for p in everything if p.requires_grad)
        assert count - trained >= frozen > 0
        assert fixed_memory(model, stage) == 4 * (count + copies * trained)


@pytest.mark.slow
def test_recomputed_activations_are_not_counted(make_recipe: MakeRecipe, root: Path) -> None:
    """Only their layers' arguments are: about half of the tiny model's."""
    sizes = []
    for recompute in (False, True):
        stage = load_recipe(make_recipe(activation_checkpointing=recompute)).stages["only"]
        with torch.device("meta"):
            model = UniRef(stage.model)
        sizes.append(_activations(model, stage, (480, 640)))
    assert 0.05 * sizes[0] < sizes[1] < 0.7 * sizes[0]


@pytest.mark.slow
def test_data_that_is_not_there_is_told(recipe: Recipe, tmp_path: Path) -> None:
    lines: list[str] = []
    with pytest.raises(UniRefError, match=r"not ready to train: .*ris/train: is not an index .*; and 3 more"):
        lines.extend(describe(recipe, ("only",), tmp_path, "cpu", 1))
    assert any("ris/train: not prepared (uniref prepare-data ris)" in line for line in lines)


def test_a_batch_that_cannot_be_shared(recipe: Recipe, make_recipe: MakeRecipe, root: Path) -> None:
    with pytest.raises(UsageError, match=r"stages\.only: the 3 batches in a step .* cannot be shared by 2 processes"):
        list(describe(load_recipe(make_recipe(global_batch=6)), (), root, "cpu", 2))
    with pytest.raises(UsageError, match="no such stage"):
        list(describe(recipe, ("other",), root, "cpu", 1))


@pytest.mark.slow
def test_more_processes_than_batches(recipe: Recipe, root: Path) -> None:
    text = "\n".join(describe(recipe, (), root, "cpu", 32))
    assert "global batch 4 = 2 per device x 2 processes (cpu) x 1 accumulated; the other 30 wait" in text


@pytest.mark.slow
def test_a_machine_that_is_not_this_one(recipe: Recipe, root: Path) -> None:
    """GPUs of a cluster, asked for on a machine without any: bfloat16, and the estimate beside their memory."""
    text = "\n".join(describe(recipe, (), root, "cuda", 2, memory=80))
    assert "x 2 processes (cuda) x 1 accumulated" in text
    assert "of the 80 GB of a device" in text
    if not torch.cuda.is_available():
        assert "bfloat16" in text
    tight = "\n".join(describe(recipe, (), root, "cuda", 2, memory=0.001))
    assert "more than the 0.001 GB of a device: set activation_checkpointing: true, a smaller micro_batch" in tight
