"""Losses, samplers and data sets of other installed packages, found by their entry points.

A package declares them in its `pyproject.toml`, and a recipe names them:

    [project.entry-points."uniref.losses"]
    boundary = "my_package:BoundaryLoss"

    loss: {plugins: [{name: boundary, options: {weight: 2.0}}]}

Data sets (`uniref.datasets`) are looked up by `uniref.data.prepare.catalog`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any

from torch import Tensor

from uniref.core.batch import Batch
from uniref.core.errors import UsageError
from uniref.core.files import first_line
from uniref.core.tasks import Task
from uniref.data.index import Index
from uniref.data.train.sources import SourceHooks
from uniref.extensions.language import LanguageLosses, LanguageSource
from uniref.losses.criterion import LossHooks, PredictMasks, Terms
from uniref.losses.matching import Matches
from uniref.model.referring import ReferringModel
from uniref.model.structures import Detections, Features, ProjectedReference
from uniref.recipe.base import PluginConfig
from uniref.recipe.data import SourceConfig
from uniref.recipe.recipe import StageConfig

LOSSES = "uniref.losses"
"""Entry points that, called with a plugin's options, return `LossHooks`."""
SAMPLERS = "uniref.samplers"
"""Entry points that, called with an index, its task and a plugin's options, return `SourceHooks`."""


def make_plugin(group: str, config: PluginConfig, *arguments: Any) -> Any:
    """Call the entry point that a recipe names, with its options as keyword arguments.

    Args:
        group: Of entry points.
        config: Name and options.
        arguments: Before the options.

    Raises:
        UsageError: No installed package declares it, or it cannot be imported or called.
    """
    declared = {entry.name: entry for entry in entry_points(group=group)}
    if config.name not in declared:
        there = f"there are {', '.join(sorted(declared))}" if declared else "there are none"
        raise UsageError(f"plugin {config.name}: no installed package declares it under {group!r}; {there}")
    entry = declared[config.name]
    try:
        return entry.load()(*arguments, **config.options)
    except Exception as error:  # of code that is not ours
        raise UsageError(
            f"plugin {config.name} ({entry.value}): {type(error).__name__}: {first_line(error)}"
        ) from error


def source_hooks(config: SourceConfig, index: Index, task: Task) -> SourceHooks:
    """The hooks of a source: its plugin's, the language extension's, or none. Raises UsageError."""
    if config.sampler is not None and config.language is not None:
        raise UsageError(f"{config.index}: `sampler` and `language` both choose samples; use one of them")
    if config.sampler is not None:
        hooks = make_plugin(SAMPLERS, config.sampler, index, task)
        if not isinstance(hooks, SourceHooks):
            raise UsageError(f"plugin {config.sampler.name}: returned {type(hooks).__name__}, not SourceHooks")
        return hooks
    return SourceHooks() if config.language is None else LanguageSource(config.language, index, task)


def loss_hooks(stage: StageConfig) -> LossHooks:
    """The hooks of a stage's losses: the language extension's and those of plugins, one after the other.

    Raises:
        UsageError: A plugin is not installed, or cannot be used.
    """
    hooks: list[LossHooks] = [] if stage.language is None else [LanguageLosses(stage.language)]
    for plugin in stage.loss.plugins:
        made = make_plugin(LOSSES, plugin)
        if not isinstance(made, LossHooks):
            raise UsageError(f"plugin {plugin.name}: returned {type(made).__name__}, not LossHooks")
        hooks.append(made)
    return hooks[0] if len(hooks) == 1 else SeveralLossHooks(hooks)


class SeveralLossHooks(LossHooks):
    """Hooks one after the other; terms of all of them, proposals of the first that matches them.

    Args:
        hooks: In the order of the recipe.
    """

    def __init__(self, hooks: Sequence[LossHooks]) -> None:
        self.hooks = tuple(hooks)
        self.ends_before_fusion = any(each.ends_before_fusion for each in hooks)

    def initialise(self, model: ReferringModel) -> None:
        """As `LossHooks`."""
        for each in self.hooks:
            each.initialise(model)

    def losses_before_fusion(
        self, model: ReferringModel, batch: Batch, features: Features, references: Sequence[ProjectedReference]
    ) -> Terms:
        """As `LossHooks`."""
        return _joined([each.losses_before_fusion(model, batch, features, references) for each in self.hooks])

    def losses(self, batch: Batch, detections: Detections, matches: Matches, predict_masks: PredictMasks) -> Terms:
        """As `LossHooks`."""
        return _joined([each.losses(batch, detections, matches, predict_masks) for each in self.hooks])

    def match_proposals(self, batch: Batch, level_sizes: Sequence[tuple[int, int]]) -> Matches | None:
        """As `LossHooks`."""
        for each in self.hooks:
            if (matches := each.match_proposals(batch, level_sizes)) is not None:
                return matches
        return None


def _joined(parts: Sequence[Terms]) -> Terms:
    """All terms; terms of one name are added."""
    terms: dict[str, Tensor] = {}
    for part in parts:
        for name, value in part.items():
            terms[name] = terms[name] + value if name in terms else value
    return terms
