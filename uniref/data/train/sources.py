"""The data sets of a training mix, opened and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from uniref.core.errors import UniRefError, UsageError
from uniref.core.tasks import Task
from uniref.data.index import Expression, Index, Sample
from uniref.data.train.augment import Transform
from uniref.data.train.sampler import BatchSampler, SourceSampler
from uniref.recipe.data import AugmentConfig, DataConfig, SourceConfig

Reals = npt.NDArray[np.float64]
Tokenise = Callable[[Sequence[str]], tuple[Tensor, Tensor]]
"""Texts to ids int64 [B, K] and valid bool [B, K], as uniref.model.text.TextTokenizer does; picklable."""
_SERVED_BY = {
    Task.DETECTION: (Task.DETECTION,),
    Task.RIS: (Task.RIS,),
    Task.FSS: (Task.FSS,),
    Task.VOS: tuple(Task),
    Task.RVOS: (Task.RVOS, Task.RIS),
}
"""The tasks of indexes that a task can be trained from."""


class SourceHooks:
    """What an extension may change about a source's samples; this base class leaves them as they are."""

    def sample_weights(self) -> Reals | None:
        """Relative probability of each sample, [samples], multiplied onto other weights; None = all alike."""
        return None

    def accepts(self, expression: Expression) -> bool:
        """Whether an expression may be drawn."""
        del expression
        return True

    def draw_absent(self, sample: Sample, rng: np.random.Generator) -> str | None:
        """A text that refers to nothing in a sample's image, which is then trained on without an object; None: one of
        the sample's own texts is drawn."""
        del sample, rng
        return None

    def draw_extra(self, source: TrainSource, sample: Sample, transform: Transform, rng: np.random.Generator) -> Any:
        """Something more that belongs to an augmented sample of an image with expressions; drawn last."""
        del source, sample, transform, rng

    def collate_extra(self, extras: Sequence[Any], size: Sequence[int], tokenizer: Tokenise | None) -> Any:
        """`Batch.extra`: a dataclass of tensors made of what `draw_extra` gave for each sample, or None.

        Args:
            extras: Of each sample.
            size: (H, W) of the padded network input.
            tokenizer: Of the text encoder.
        """
        del extras, size, tokenizer


OpenHooks = Callable[[SourceConfig, Index, Task], SourceHooks]
"""From a source's configuration, index and task to its hooks."""


def no_hooks(config: SourceConfig, index: Index, task: Task) -> SourceHooks:
    """The hooks of a source without extensions."""
    del config, index, task
    return SourceHooks()


@dataclass(frozen=True)
class TrainSource:
    """One source of training samples."""

    index: Index
    task: Task
    config: SourceConfig
    augment: AugmentConfig
    clip_range: int
    text_only: float
    """Probability that a batch has no mask of the first frame (RVOS)."""
    share: float
    """Of all batches."""
    classes: Mapping[int, int] = field(default_factory=dict)
    """Category id to class, where targets carry categories; empty = every object is of class 0."""
    rows_of_category: Mapping[int, npt.NDArray[np.int64]] = field(default_factory=dict)
    """Few-shot: the sample rows of each category."""
    hooks: SourceHooks = field(default_factory=SourceHooks)
    """Of an extension."""

    @property
    def name(self) -> str:
        """`refcoco-mixed/train`."""
        return self.index.manifest.name

    def __len__(self) -> int:
        return len(self.index) - self.without_target

    @property
    def without_target(self) -> int:
        """Samples whose expressions refer to nothing; they are never drawn."""
        return int(self.index.sample_column("no_target").sum())

    @property
    def has_masks(self) -> bool:
        """Whether objects have masks; else only boxes."""
        return self.index.manifest.masks > 0

    def sampler(self, micro_batch_size: int) -> SourceSampler:
        """Draws its samples, weighted where the recipe or an extension asks for it."""
        height, width = self.index.media_sizes()[self.index.sample_column("media")].T
        weights = class_aware_weights(self.index) if self.config.class_aware else None
        further = self.hooks.sample_weights()
        if further is not None:
            weights = further if weights is None else weights * further
        usable = self.index.sample_column("no_target") == 0
        return SourceSampler(width >= height, micro_batch_size, weights, usable)


def open_sources(config: DataConfig, root: Path, open_hooks: OpenHooks = no_hooks) -> tuple[TrainSource, ...]:
    """The sources of a recipe, in its order.

    Args:
        config: What to open.
        root: Data root: indexes lie at `<root>/index/<dataset>/<split>`.
        open_hooks: Of an extension.

    Raises:
        UniRefError: An index is missing, damaged, empty, or holds no masks for a task that needs them.
        UsageError: An index does not serve the task that the recipe gives it.
    """
    total = sum(source.ratio for source in config.sources)
    return tuple(_open(config, source, root, source.ratio / total, open_hooks) for source in config.sources)


def make_sampler(
    config: DataConfig, sources: Sequence[TrainSource], seed: int, micro_batches_per_step: int, micro_batch_size: int
) -> BatchSampler:
    """The sampler of a mix of sources (arguments as for `TrainLoader`)."""
    return BatchSampler(
        [source.sampler(micro_batch_size) for source in sources],
        [source.config.ratio for source in sources],
        seed=seed,
        micro_batches_per_step=micro_batches_per_step,
        one_source_per_step=config.same_source_on_all_ranks,
    )


def _open(config: DataConfig, source: SourceConfig, root: Path, share: float, open_hooks: OpenHooks) -> TrainSource:
    index = Index.open(Path(root) / "index" / source.index)
    prepared_for = index.manifest.task
    task = source.task or prepared_for
    # the index has to have what the task needs
    if not len(index):
        raise UniRefError(f"{index.folder}: holds no samples; prepare the data set again or leave the source out")
    if index.sample_column("no_target").all():
        raise UniRefError(f"{index.folder}: none of its expressions has a target; leave the source out")
    if prepared_for not in _SERVED_BY[task]:
        raise UsageError(
            f"{source.index}: is prepared for {prepared_for.value} and cannot serve {task.value} "
            f"(which takes: {', '.join(each.value for each in _SERVED_BY[task])})"
        )
    if not index.manifest.masks and task is not Task.DETECTION:
        raise UniRefError(f"{index.folder}: has boxes but no masks, which {task.value} needs")
    if (source.categories or source.class_aware) and not index.manifest.categories:
        raise UsageError(f"{source.index}: its index has no categories; leave out `categories` and `class_aware`")
    # categories become classes; still images become clips without a first frame's mask
    categories = sorted(index.manifest.categories) if source.categories else []
    still = prepared_for in (Task.DETECTION, Task.RIS, Task.FSS)
    return TrainSource(
        index=index,
        task=task,
        config=source,
        augment=config.augment_of(source),
        clip_range=config.clip_range,
        text_only=source.text_only if source.text_only is not None else 1.0 if still else config.text_only,
        share=share,
        classes={category: number for number, category in enumerate(categories)},
        rows_of_category=rows_by(index, "category") if task is Task.FSS else {},
        hooks=open_hooks(source, index, task),
    )


def rows_by(index: Index, column: str) -> dict[int, npt.NDArray[np.int64]]:
    """Sample rows by their value in a column."""
    values = index.sample_column(column)
    order = np.argsort(values, kind="stable")
    distinct, starts = np.unique(values[order], return_index=True)
    return {int(value): rows for value, rows in zip(distinct, np.split(order, starts[1:]), strict=True)}


def class_aware_weights(index: Index) -> npt.NDArray[np.float64]:
    """Class-aware sampling: for each sample the sum over its image's categories of 1 / images with that category,
    float64 [samples]. UniRef++ means to pretrain on Objects365 with it."""
    media, category = index.object_column("media"), index.object_column("category").astype(np.int64)
    span = int(category.max(initial=0)) + 1
    named = category >= 0
    pairs = np.unique(media[named] * span + category[named])  # of image and category, each once
    images = np.bincount(pairs % span, minlength=span)
    weights = np.bincount(pairs // span, 1 / images[pairs % span], minlength=len(index.media_sizes()))
    return weights[index.sample_column("media")]
