"""A planned unit to its batch: what a loading process does."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from uniref.core.batch import Batch
from uniref.core.errors import MediaError, UniRefError
from uniref.core.tasks import Task
from uniref.data.collate import Tokenise, collate
from uniref.data.examples import Example, Rejected, draw_example
from uniref.data.plan import Unit
from uniref.data.sources import TrainSource

_TEXT_ONLY, _SAMPLE = range(2)  # what a generator is for


class Made(NamedTuple):
    """What comes back from a loading process (a named tuple: PyTorch pins what it holds)."""

    batch: Batch | None
    skipped: tuple[str, ...]
    """One line for each sample that could not be read."""
    redrawn: int
    """Samples with nothing to learn from that were replaced."""
    error: str
    """Why there is no batch; empty otherwise."""


@dataclass
class Drawn:
    """The examples of a unit, and what happened on the way."""

    examples: list[Example] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    redrawn: int = 0
    reason: str = ""
    """Why the last unusable sample was."""


class UnitMaker:
    """Makes batches of planned units; a map-style data set for PyTorch's loader, whose keys are the units.

    Args:
        sources: As numbered by the plan.
        seed: Of everything random within a unit.
        tokenizer: For tasks with text.
    """

    def __init__(self, sources: Sequence[TrainSource], seed: int, tokenizer: Tokenise | None) -> None:
        self.sources = sources
        self.seed = seed
        self.tokenizer = tokenizer

    def __getitem__(self, unit: Unit) -> Made:
        """The batch. Errors meant for users come back as text: PyTorch would wrap them in a traceback."""
        drawn = Drawn()
        try:
            self.draw(unit, drawn)
            batch = collate(drawn.examples, self.sources[unit.source].task, self.tokenizer)
        except UniRefError as error:
            return Made(None, tuple(drawn.skipped), drawn.redrawn, str(error))
        return Made(batch, tuple(drawn.skipped), drawn.redrawn, "")

    def draw(self, unit: Unit, drawn: Drawn) -> None:
        """Add a unit's examples to `drawn`; unusable samples are replaced by the unit's spares in their order.

        Raises:
            UniRefError: The spares are used up, or the index is damaged.
        """
        source = self.sources[unit.source]
        text_only = False
        if source.task is Task.RVOS:
            text_only = bool(self._generator(_TEXT_ONLY, unit.number).random() < source.text_only)
        spares = iter(unit.spares)
        for place, row in enumerate(unit.rows):
            for attempt, candidate in enumerate(itertools.chain([row], spares)):
                rng = self._generator(_SAMPLE, unit.number, place, attempt)
                example = _usable(source, candidate, rng, text_only, drawn)
                if example:
                    drawn.examples.append(example)
                    break
            else:
                raise UniRefError(f"{source.name}: none of the last samples drawn can be used: {drawn.reason}")

    def _generator(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, *purpose))


def _usable(source: TrainSource, row: int, rng: np.random.Generator, text_only: bool, drawn: Drawn) -> Example | None:
    """An example, or None and the reason in `drawn`."""
    try:
        return draw_example(source, row, rng, text_only)
    except Rejected as error:
        drawn.reason = f"{source.name}:{row}: {error}"
        drawn.redrawn += 1
    except MediaError as error:
        drawn.reason = f"{source.name}:{row}: {error}"
        drawn.skipped.append(drawn.reason)
    return None
