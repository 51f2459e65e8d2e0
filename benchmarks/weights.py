"""Models for the benchmarks."""

from __future__ import annotations

import torch

from uniref.model.text import TextTokenizer
from uniref.model.uniref import UniRef
from uniref.recipe.model import ModelConfig
from uniref.weights.catalog import checkpoint_folder
from uniref.weights.checkpoint import Checkpoint, load_checkpoint
from uniref.weights.checkpoint_config import CheckpointMetadata


def make_checkpoint(checkpoint: str | None, seed: int = 0) -> Checkpoint:
    """Load a checkpoint, or build the released ResNet-50 model with random weights.

    Args:
        checkpoint: Folder or bundled name; None = random weights.
        seed: Of the random weights.
    """
    if checkpoint is not None:
        return load_checkpoint(checkpoint_folder(checkpoint))
    return random_checkpoint(ModelConfig(), seed)


def random_checkpoint(config: ModelConfig, seed: int = 0) -> Checkpoint:
    """A model of these sizes with random weights that `seed` repeats; its fusion and heads are awake."""
    torch.manual_seed(seed)
    model = UniRef(config).eval()
    assert model.fusion is not None
    torch.nn.init.normal_(model.fusion.modulation.weight, std=0.05)
    for head in (*model.transformer.box_heads, *model.transformer.class_heads):
        last = head.layers[-1] if hasattr(head, "layers") else head
        torch.nn.init.normal_(last.weight, std=0.05)
    return Checkpoint(model, TextTokenizer.bert_base_uncased(), CheckpointMetadata(model=model.config))
