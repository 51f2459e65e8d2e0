"""Optimiser steps as lists of batches: what the engine trains on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from torch import Tensor

from uniref.core.batch import Batch
from uniref.recipe.data import DataConfig

Tokenise = Callable[[Sequence[str]], tuple[Tensor, Tensor]]
"""Texts to ids int64 [B, K] and valid bool [B, K] (uniref.model.tokenizer.TextTokenizer); picklable."""


class TrainLoader:
    """Iterates over the optimiser steps of one process: `for batches in loader` gives a list[Batch] a step.

    The content of a step is a function of (seed, step) alone. Its `units_per_step` units (batches of `unit_size`
    samples of one source and one orientation) are dealt to processes and micro batches: micro batch m of process r is
    unit m * world_size + r. So 8 units give the same step on 8 processes, or on 1 that accumulates 8 micro batches.

    Args:
        config: Sources, ratios, augmentation.
        root: Data root; indexes lie at `<root>/index/<dataset>/<split>`.
        seed: Of everything random here; at least 0.
        start_step: First step to give (resuming is nothing else).
        end_step: Step to stop before; None = never.
        units_per_step: Batches in the global batch, all processes together; a multiple of world_size.
        unit_size: Samples in a batch.
        rank, world_size: Which process this is, of how many.
        tokenizer: For sources with expressions.
        pin_memory: Put batches into page-locked memory (for CUDA).
        on_skip: Told one line for each sample that could not be read.

    Raises:
        UniRefError: An index is missing, damaged or empty, or does not serve its task. While iterating: nothing
            usable was found in many draws, or a worker died.
        UsageError: units_per_step is no multiple of world_size.
    """

    step: int
    """The step that the next iteration gives."""
    skipped: int
    """Samples that could not be read and were replaced, in this process so far."""
    redrawn: int
    """Samples whose object was lost to a crop and that were replaced, in this process so far."""

    def __init__(
        self,
        config: DataConfig,
        root: Path,
        *,
        seed: int,
        units_per_step: int,
        unit_size: int,
        start_step: int = 0,
        end_step: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        tokenizer: Tokenise | None = None,
        pin_memory: bool = False,
        on_skip: Callable[[str], None] | None = None,
    ) -> None:
        raise NotImplementedError

    def __iter__(self) -> Iterator[list[Batch]]:
        raise NotImplementedError

    def close(self) -> None:
        """Stop the workers."""
        raise NotImplementedError
