"""Losses, samplers and data sets of other installed packages, found by their entry points.

A package declares them in its `pyproject.toml`, and a recipe names them:

    [project.entry-points."uniref.losses"]
    boundary = "my_package:BoundaryLoss"

    loss: {plugins: [{name: boundary, options: {weight: 2.0}}]}

Data sets (`uniref.datasets`) are looked up by `uniref.data.prepare.catalog`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Any, TypeVar

import numpy as np
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

T = TypeVar("T")
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
    return _call(f"{config.name} ({entry.value})", lambda: entry.load()(*arguments, **config.options))


def _call(plugin: str, function: Callable[..., T], *arguments: Any) -> T:
    """Call code that is not ours. Raises UsageError with the plugin's name, whatever it raises."""
    try:
        return function(*arguments)
    except Exception as error:
        kind, line = type(error).__name__, first_line(error)
        raise UsageError(f"plugin {plugin}: {line if line.startswith(kind) else f'{kind}: {line}'}") from error


def source_hooks(config: SourceConfig, index: Index, task: Task) -> SourceHooks:
    """The hooks of a source: its plugin's, the language extension's, or none. Raises UsageError."""
    if config.sampler is not None and config.language is not None:
        raise UsageError(f"{config.index}: `sampler` and `language` both choose samples; use one of them")
    if config.sampler is not None:
        hooks = make_plugin(SAMPLERS, config.sampler, index, task)
        if not isinstance(hooks, SourceHooks):
            raise UsageError(f"plugin {config.sampler.name}: returned {type(hooks).__name__}, not SourceHooks")
        _check_weights(config.sampler.name, _call(config.sampler.name, hooks.sample_weights), index)
        return hooks
    return SourceHooks() if config.language is None else LanguageSource(config.language, index, task)


def _check_weights(plugin: str, weights: Any, index: Index) -> None:
    """Raise UsageError unless there is one weight per sample, none negative, not all zero."""
    if weights is None:
        return
    try:
        values = np.asarray(weights, np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"plugin {plugin}: sample_weights returned {type(weights).__name__}, not numbers") from None
    if values.shape != (len(index),):
        raise UsageError(
            f"plugin {plugin}: sample_weights returned shape {values.shape}, but {index.manifest.name} has "
            f"{len(index)} samples"
        )
    if not np.isfinite(values).all() or (values < 0).any() or not values.any():
        raise UsageError(f"plugin {plugin}: sample_weights must be finite and not negative, and not all zero")


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
        hooks.append(PluginLosses(plugin.name, made))
    return hooks[0] if len(hooks) == 1 else SeveralLossHooks(hooks)


class PluginLosses(LossHooks):
    """Hooks of a plugin, whose name stands in every error.

    Args:
        name: Of the plugin.
        hooks: What it made.
    """

    def __init__(self, name: str, hooks: LossHooks) -> None:
        self.name, self.hooks = name, hooks
        self.ends_before_fusion = hooks.ends_before_fusion

    def initialise(self, model: ReferringModel) -> None:
        """As `LossHooks`."""
        _call(self.name, self.hooks.initialise, model)

    def losses_before_fusion(
        self, model: ReferringModel, batch: Batch, features: Features, references: Sequence[ProjectedReference]
    ) -> Terms:
        """As `LossHooks`."""
        return self._terms(_call(self.name, self.hooks.losses_before_fusion, model, batch, features, references))

    def losses(self, batch: Batch, detections: Detections, matches: Matches, predict_masks: PredictMasks) -> Terms:
        """As `LossHooks`."""
        return self._terms(_call(self.name, self.hooks.losses, batch, detections, matches, predict_masks))

    def match_proposals(self, batch: Batch, level_sizes: Sequence[tuple[int, int]]) -> Matches | None:
        """As `LossHooks`."""
        return _call(self.name, self.hooks.match_proposals, batch, level_sizes)

    def _terms(self, terms: Any) -> Terms:
        scalars = isinstance(terms, dict) and all(isinstance(t, Tensor) and t.dim() == 0 for t in terms.values())
        if not scalars:
            raise UsageError(f"plugin {self.name}: losses must be a dict of scalar tensors")
        return dict(terms)


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
