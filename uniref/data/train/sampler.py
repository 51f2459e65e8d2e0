"""Which samples an optimiser step consists of: a pure function of (seed, step).

A micro batch holds `micro_batch_size` samples of one source and one orientation. A step consists of
`micro_batches_per_step` of them, however many processes share them, so resuming is setting the step.

Within an epoch of a source no sample comes twice: its samples are permuted and cut into micro batches, which are
permuted in turn; samples of an orientation that do not fill a micro batch wait for another epoch. An orientation with
too few samples for one micro batch is mixed with the other. Class-aware sources draw with replacement instead.

Random numbers are hashes of (seed, purpose, index), so any micro batch can be drawn without those before it, and the
same on every platform and version of NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uniref.core.errors import UsageError

SPARES = 15
"""Further draws of a micro batch, for samples that turn out to be unusable."""

Key = tuple[int, ...]
Rows = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint64]
Reals = npt.NDArray[np.float64]

_SOURCE, _ORDER, _ROWS, _SPARE, _WEIGHTED = range(5)  # purposes of random numbers
_CHUNK = 1 << 16  # micro batches whose sources are drawn at once


@dataclass(frozen=True)
class MicroBatch:
    """The samples of one micro batch."""

    number: int
    """Counted over all steps and processes; with the seed it determines every random choice within the micro batch."""
    source: int
    """Which of the sources."""
    rows: tuple[int, ...]
    """Sample rows of its index."""
    spares: tuple[int, ...]
    """Rows that replace unusable ones, in this order."""


class SourceSampler:
    """Draws the samples of one source, one orientation at a time.

    Args:
        landscape: Whether a sample's media is at least as wide as high, bool [samples]; at least one sample.
        micro_batch_size: Samples in a micro batch.
        weights: Relative probability of each sample, [samples]; None = every sample once an epoch.
        usable: Samples that may be drawn, bool [samples], at least one; None = all.
    """

    def __init__(
        self,
        landscape: npt.NDArray[np.bool_],
        micro_batch_size: int,
        weights: Reals | None = None,
        usable: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        self.micro_batch_size = micro_batch_size
        used = np.ones(len(landscape), np.bool_) if usable is None else usable
        self._groups: list[Rows] = [np.flatnonzero(landscape & used), np.flatnonzero(~landscape & used)]
        if any(len(rows) < micro_batch_size for rows in self._groups):
            self._groups = [rows for rows in self._groups if len(rows)]
            if any(len(rows) < micro_batch_size for rows in self._groups):
                self._groups = [np.flatnonzero(used)]
        self._ends = np.cumsum([max(1, len(rows) // micro_batch_size) for rows in self._groups])
        self._weights = None if weights is None else [np.cumsum(weights[rows]) for rows in self._groups]
        self._orders: dict[Key, tuple[int, Rows]] = {}

    @property
    def micro_batches_per_epoch(self) -> int:
        """Micro batches until every sample (but for the leftovers) has been seen."""
        return int(self._ends[-1])

    def draw(self, key: Key, index: int) -> tuple[Rows, Rows]:
        """Rows and spares of the source's micro batch number `index`; `key` is the seed and the source."""
        group, rows = self._permuted(key, index) if self._weights is None else self._weighted(key, index)
        alternatives = self._groups[group]
        return rows, alternatives[(_random_bits((*key, _SPARE, index), SPARES) % len(alternatives)).astype(np.int64)]

    def _permuted(self, key: Key, index: int) -> tuple[int, Rows]:
        # the micro batch of this epoch's permutation
        epoch, index = divmod(index, self.micro_batches_per_epoch)
        chosen = int(self._order((*key, _ORDER), epoch, self.micro_batches_per_epoch)[index])
        group = int(np.searchsorted(self._ends, chosen, side="right"))
        # its samples of the orientation's permutation
        rows = self._groups[group]
        order = self._order((*key, _ROWS, group), epoch, len(rows))
        if len(order) < self.micro_batch_size:
            order = np.resize(order, self.micro_batch_size)
        first = (chosen - (self._ends[group - 1] if group else 0)) * self.micro_batch_size
        return group, rows[order[first : first + self.micro_batch_size]]

    def _order(self, key: Key, epoch: int, size: int) -> Rows:
        """A permutation of range(size); the one of the last epoch asked for is kept."""
        kept, order = self._orders.get(key, (-1, None))
        if order is None or kept != epoch:
            order = np.argsort(_random_bits((*key, epoch), size), kind="stable")
            self._orders[key] = (epoch, order)
        return order

    def _weighted(self, key: Key, index: int) -> tuple[int, Rows]:
        assert self._weights is not None
        values = _uniform(_random_bits((*key, _WEIGHTED, index), self.micro_batch_size + 1))
        group = int(_choose(np.cumsum([sums[-1] for sums in self._weights]), values[0]))
        return group, self._groups[group][_choose(self._weights[group], values[1:])]


class BatchSampler:
    """The micro batches of every step.

    Args:
        samplers: One per source.
        ratios: How often a micro batch comes from each source, relative to the others.
        seed: At least 0.
        micro_batches_per_step: Micro batches in the global batch.
        one_source_per_step: Draw the source once per step instead of once per micro batch.
    """

    def __init__(
        self,
        samplers: Sequence[SourceSampler],
        ratios: Sequence[float],
        *,
        seed: int,
        micro_batches_per_step: int,
        one_source_per_step: bool = False,
    ) -> None:
        self.micro_batches_per_step = micro_batches_per_step
        self._samplers = samplers
        self._ratios = np.cumsum(ratios)
        self._seed = seed
        self._draws_per_source = micro_batches_per_step if one_source_per_step else 1
        self._before = [np.zeros(len(samplers), np.int64)]  # micro batches of each source before each chunk
        self._chunk: tuple[int, Rows] = (0, self._sources(0))

    def step(self, step: int, rank: int = 0, world_size: int = 1) -> list[MicroBatch]:
        """The micro batches of one process: its m-th is the step's micro batch m * world_size + rank.

        Raises:
            UsageError: A step's micro batches cannot be shared evenly.
        """
        if self.micro_batches_per_step % world_size:
            raise UsageError(
                f"a global batch of {self.micro_batches_per_step} batches cannot be shared by {world_size} processes; "
                "use a number of processes that divides it"
            )
        first = step * self.micro_batches_per_step
        return [self.micro_batch(first + index) for index in range(rank, self.micro_batches_per_step, world_size)]

    def micro_batch(self, number: int) -> MicroBatch:
        """Any micro batch, counted over all steps."""
        source, index = self._source_and_index(number)
        rows, spares = self._samplers[source].draw((self._seed, source), index)
        return MicroBatch(number, source, tuple(rows.tolist()), tuple(spares.tolist()))

    def _source_and_index(self, number: int) -> tuple[int, int]:
        """The source of a micro batch, and how many micro batches of that source come before it."""
        chunk, offset = divmod(number, _CHUNK)
        while len(self._before) <= chunk:
            counts = np.bincount(self._sources(len(self._before) - 1), minlength=len(self._samplers))
            self._before.append(self._before[-1] + counts)
        if self._chunk[0] != chunk:
            self._chunk = (chunk, self._sources(chunk))
        sources = self._chunk[1]
        source = int(sources[offset])
        return source, int(self._before[chunk][source] + np.count_nonzero(sources[:offset] == source))

    def _sources(self, chunk: int) -> Rows:
        numbers = np.arange(chunk * _CHUNK, (chunk + 1) * _CHUNK, dtype=np.uint64)
        draws = _hash((self._seed, _SOURCE), numbers // np.uint64(self._draws_per_source))
        return _choose(self._ratios, _uniform(draws))


def _choose(sums: Reals, values: Reals) -> Rows:
    """Indices with probability proportional to the steps of `sums`, from uniform values in 0..1."""
    return np.minimum(np.searchsorted(sums, values * sums[-1], side="right"), len(sums) - 1)


def _uniform(bits: Bits) -> Reals:
    return (bits >> np.uint64(11)) * 2.0**-53


def _random_bits(key: Key, size: int) -> Bits:
    return _hash(key, np.arange(size, dtype=np.uint64))


def _hash(key: Key, indices: Bits) -> Bits:
    """A random 64-bit word for each index: SplitMix64 (Steele et al. 2014), started at the hash of `key`."""
    state = np.zeros(1, np.uint64)
    for part in key:
        state = _mixed(state + _mixed(np.array([part], np.uint64)))
    return _mixed(state + indices)


def _mixed(x: Bits) -> Bits:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
