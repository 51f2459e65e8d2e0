"""Configuration of the training data: which samples, how often, and how they are augmented.

The defaults are the released image-level settings; a recipe states what a stage does differently.
Unknown keys are errors.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from uniref.core.tasks import Task
from uniref.recipe.base import PluginConfig, Strict
from uniref.recipe.language import LanguageSourceConfig


class AugmentConfig(Strict):
    """Random flip, resize and crop. Sides are in pixels."""

    short_sides: tuple[int, ...] = tuple(range(480, 801, 32))
    """Short side of the network input, one of these at random."""
    max_long_side: int = Field(1333, ge=32)
    """The short side becomes smaller where the long one would exceed this."""
    flip: float = Field(0.5, ge=0, le=1)
    """Probability of a horizontal flip; left and right swap in the expression too."""
    crop: float = Field(0.5, ge=0, le=1)
    """Probability of the crop branch."""
    crop_short_sides: tuple[int, ...] = (400, 500, 600)
    """Images: short side before the crop. Clips are cropped at their own size."""
    crop_sides: tuple[int, int] = (384, 600)
    """Height and width of a crop are drawn from this range, independently; a smaller image limits both ends."""
    released_words: bool = False
    """Treat expressions as the released system does: `left` and `right` are swapped inside other words too
    ("bright" becomes "bleft"), and ordinals are searched for inside words, in all expressions of a sample."""

    @model_validator(mode="after")
    def _check(self) -> AugmentConfig:
        for name in ("short_sides", "crop_short_sides", "crop_sides"):
            sides = getattr(self, name)
            if not sides or min(sides) < 1:
                raise ValueError(f"{name}: give at least one side, each at least 1 pixel")
        if self.crop_sides[0] > self.crop_sides[1]:
            raise ValueError(f"crop_sides {list(self.crop_sides)}: the smaller one comes first")
        return self


class SourceConfig(Strict):
    """One prepared data set, and how it is used."""

    index: str = Field(pattern=r"^[^/\\\s]+/[^/\\\s]+$")
    """`dataset/split` of an index below the data root."""
    ratio: float = Field(1.0, gt=0)
    """How often a batch comes from here, relative to the other sources."""
    task: Task | None = None
    """Null: the task of the index. Otherwise `vos` from any index, or `rvos` from an image index with expressions;
    still images become clips."""
    categories: bool = False
    """Targets carry the index's categories (0, 1, ... in the order of their ids) instead of the one class "object"."""
    class_aware: bool = False
    """Draw an image with a probability that is the sum over its categories of 1 / images with that category, with
    replacement; otherwise every sample comes once per epoch. Described in the paper, but not active in the released
    pretraining."""
    shots: int = Field(1, ge=1)
    """Support images of a few-shot sample."""
    text_only: float | None = Field(None, ge=0, le=1)
    """Probability that a batch of referring clips has no mask of the first frame. Null: the data's `text_only` for
    videos, 1 for still images."""
    augment: AugmentConfig | None = None
    """Null: as the data's `augment`."""
    sampler: PluginConfig | None = None
    """Samples chosen by another package: an entry point of the group `uniref.samplers`."""
    language: LanguageSourceConfig | None = None
    """Language extension: which expressions are used; null = all."""


class DataConfig(Strict):
    """The mix of sources that a stage trains on."""

    sources: tuple[SourceConfig, ...] = Field(min_length=1)
    """Data sets of the mix; at least one."""
    augment: AugmentConfig = Field(default_factory=AugmentConfig)
    """Augmentation of every source that has none of its own."""
    clip_range: int = Field(10, ge=1)
    """The two frames of a clip are at most this many frames apart."""
    text_only: float = Field(0.4, ge=0, le=1)
    """Probability that a batch of referring videos has text as its only reference; otherwise text and the first
    frame's mask."""
    same_source_on_all_ranks: bool = False
    """All batches of an optimiser step come from one source, so that every process uses the same parts of the model."""
    workers: int = Field(4, ge=0)
    """Loading processes beside each training process, at most one per core; 0 loads in the training process itself.
    What is loaded does not depend on it."""
    prefetch: int = Field(4, ge=1)
    """Batches that each worker keeps ready."""

    def augment_of(self, source: SourceConfig) -> AugmentConfig:
        """The augmentation of a source."""
        return source.augment or self.augment
