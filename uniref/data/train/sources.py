"""The data sets of a recipe, opened and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from uniref.core.errors import UniRefError, UsageError
from uniref.core.tasks import Task
from uniref.data.index import Index
from uniref.data.train.sampler import BatchSampler, SourceSampler
from uniref.recipe.data import AugmentConfig, DataConfig, SourceConfig

_FROM = {
    Task.DETECTION: (Task.DETECTION,),
    Task.RIS: (Task.RIS,),
    Task.FSS: (Task.FSS,),
    Task.VOS: tuple(Task),
    Task.RVOS: (Task.RVOS, Task.RIS),
}
"""Which indexes serve a task."""


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
    rows_of_media: Mapping[int, npt.NDArray[np.int64]] = field(default_factory=dict)
    """Where further `phrases` are wanted: the sample rows of each picture."""

    @property
    def name(self) -> str:
        """`refcoco-mixed/train`."""
        return self.index.manifest.name

    def __len__(self) -> int:
        return len(self.index)

    @property
    def has_masks(self) -> bool:
        """Whether objects are known by more than their boxes."""
        return self.index.manifest.masks > 0

    def pool(self, micro_batch_size: int) -> SourceSampler:
        """Its samples as the sampler takes them."""
        height, width = self.index.media_sizes()[self.index.sample_column("media")].T
        weights = class_aware_weights(self.index) if self.config.class_aware else None
        if self.config.kinds:
            known = self._with_kinds()
            weights = known if weights is None else weights * known
        return SourceSampler(width >= height, micro_batch_size, weights)

    def _with_kinds(self) -> npt.NDArray[np.float64]:
        """1 for samples with an expression of the source's kinds, else 0.

        Raises:
            UsageError: There are none.
        """
        index, wants = self.index, self.config.wants
        known = np.array(
            [
                any(wants(index.expression(each).source_id) for each in index.sample(row).expressions)
                for row in range(len(index))
            ],
            np.float64,
        )
        if not known.any():
            raise UsageError(f"{self.name}: has no expressions of the kinds {', '.join(self.config.kinds)}")
        return known


def open_sources(config: DataConfig, root: Path) -> tuple[TrainSource, ...]:
    """The sources of a recipe, in its order.

    Args:
        config: What to open.
        root: Data root: indexes lie at `<root>/index/<dataset>/<split>`.

    Raises:
        UniRefError: An index is missing, damaged, empty, or holds no masks for a task that needs them.
        UsageError: An index does not serve the task that the recipe gives it.
    """
    total = sum(source.ratio for source in config.sources)
    return tuple(_open(config, source, root, source.ratio / total) for source in config.sources)


def make_sampler(
    config: DataConfig, sources: Sequence[TrainSource], seed: int, micro_batches_per_step: int, micro_batch_size: int
) -> BatchSampler:
    """The sampler of a mix of sources (arguments as for `TrainLoader`)."""
    return BatchSampler(
        [source.pool(micro_batch_size) for source in sources],
        [source.config.ratio for source in sources],
        seed=seed,
        micro_batches_per_step=micro_batches_per_step,
        one_source_a_step=config.same_source_on_all_ranks,
    )


def _open(config: DataConfig, source: SourceConfig, root: Path, share: float) -> TrainSource:
    index = Index.open(Path(root) / "index" / source.index)
    given = index.manifest.task
    task = source.task or given
    if not len(index):
        raise UniRefError(f"{index.folder}: holds no samples; prepare the data set again or leave the source out")
    if given not in _FROM[task]:
        raise UsageError(
            f"{source.index}: is prepared for {given.value} and cannot serve {task.value} "
            f"(which takes: {', '.join(each.value for each in _FROM[task])})"
        )
    if not index.manifest.masks and task is not Task.DETECTION:
        raise UniRefError(f"{index.folder}: has boxes but no masks, which {task.value} needs")
    if source.phrases and task is not Task.RIS:
        raise UsageError(f"{source.index}: `phrases` is for pictures with expressions (ris), not for {task.value}")
    if (source.categories or source.class_aware) and not index.manifest.categories:
        raise UsageError(f"{source.index}: its index has no categories; leave out `categories` and `class_aware`")
    categories = sorted(index.manifest.categories) if source.categories else []
    still = given in (Task.DETECTION, Task.RIS, Task.FSS)
    return TrainSource(
        index=index,
        task=task,
        config=source,
        augment=config.augment_of(source),
        clip_range=config.clip_range,
        text_only=source.text_only if source.text_only is not None else 1.0 if still else config.text_only,
        share=share,
        classes={category: place for place, category in enumerate(categories)},
        rows_of_category=_rows_by(index, "category") if task is Task.FSS else {},
        rows_of_media=_rows_by(index, "media") if source.phrases else {},
    )


def _rows_by(index: Index, column: str) -> dict[int, npt.NDArray[np.int64]]:
    """Sample rows by what they have in a column."""
    values = index.sample_column(column)
    order = np.argsort(values, kind="stable")
    found, starts = np.unique(values[order], return_index=True)
    return {int(each): rows for each, rows in zip(found, np.split(order, starts[1:]), strict=True)}


def class_aware_weights(index: Index) -> npt.NDArray[np.float64]:
    """Sum over an image's categories of 1 / images with that category (SPEC section 9, stage 1), [samples]."""
    media, category = index.object_column("media"), index.object_column("category").astype(np.int64)
    span = int(category.max(initial=0)) + 1
    known = category >= 0
    pairs = np.unique(media[known] * span + category[known])
    images = np.bincount(pairs % span, minlength=span)
    weights = np.bincount(pairs // span, 1 / images[pairs % span], minlength=len(index.media_sizes()))
    return weights[index.sample_column("media")]
