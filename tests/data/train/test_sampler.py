"""Which samples a step consists of."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from uniref.core.errors import UsageError
from uniref.data.train.sampler import BatchSampler, MicroBatch, SourceSampler, _mixed


def landscape(count: int, portrait: int) -> np.ndarray:
    """The last `portrait` samples are upright."""
    return np.arange(count) < count - portrait


def batch_sampler(seed: int = 0, micro_batches_per_step: int = 4, **options: bool) -> BatchSampler:
    samplers = [
        SourceSampler(landscape(40, 11), 2),
        SourceSampler(landscape(9, 0), 2),
        SourceSampler(landscape(30, 15), 2),
    ]
    return BatchSampler(samplers, [1, 0.05, 0.5], seed=seed, micro_batches_per_step=micro_batches_per_step, **options)


def test_the_same_seed_and_step_give_the_same_units_in_any_order() -> None:
    forward = [batch_sampler().step(step) for step in range(30)]
    one = batch_sampler()
    backward = [one.step(step) for step in reversed(range(30))][::-1]
    assert forward == backward
    assert forward != [batch_sampler(seed=1).step(step) for step in range(30)]


def test_random_words_are_splitmix64() -> None:
    """Against the generator's published test vector (seed 1234567)."""
    seeds = [(1234567 + place * 0x9E3779B97F4A7C15) % 2**64 for place in range(5)]
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert _mixed(np.array(seeds, np.uint64)).tolist() == expected


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_processes_share_the_same_global_batch(world_size: int) -> None:
    whole = batch_sampler().step(7)
    parts = [batch_sampler().step(7, rank, world_size) for rank in range(world_size)]
    dealt = [part[micro] for micro in range(4 // world_size) for part in parts]
    assert dealt == whole


def test_a_global_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(UsageError, match="4 batches cannot be shared by 3 processes"):
        batch_sampler().step(0, rank=0, world_size=3)


def test_no_sample_comes_twice_in_an_epoch_and_orientations_do_not_mix() -> None:
    upright = landscape(40, 11)
    for source, epochs in ((0, 3), (2, 2)):
        pool = SourceSampler(landscape(40, 11), 2) if source == 0 else SourceSampler(landscape(30, 15), 2)
        micro_batches = [
            micro_batch for micro_batch in map(batch_sampler().micro_batch, range(600)) if micro_batch.source == source
        ]
        for epoch in range(epochs):
            part = micro_batches[epoch * pool.micro_batches_per_epoch : (epoch + 1) * pool.micro_batches_per_epoch]
            rows = [row for micro_batch in part for row in micro_batch.rows]
            assert len(rows) == len(set(rows)) == 2 * pool.micro_batches_per_epoch
            assert part != micro_batches[: len(part)] or epoch == 0
        if source == 0:
            assert all(
                len({bool(upright[row]) for row in (*micro_batch.rows, *micro_batch.spares)}) == 1
                for micro_batch in micro_batches
            )


def test_every_sample_of_an_epoch_over_processes_and_resumption() -> None:
    """An epoch of 40 samples on 2 processes, stopped in its middle and resumed by 4."""
    samplers = [SourceSampler(np.ones(40, bool), 2)]
    first = [
        BatchSampler(samplers, [1], seed=5, micro_batches_per_step=4).step(s, r, 2) for s in range(2) for r in range(2)
    ]
    second = [
        BatchSampler(samplers, [1], seed=5, micro_batches_per_step=4).step(s, r, 4)
        for s in range(2, 5)
        for r in range(4)
    ]
    rows = [row for micro_batches in first + second for micro_batch in micro_batches for row in micro_batch.rows]
    assert sorted(rows) == list(range(40))


def test_ratios_hold() -> None:
    one = batch_sampler()
    counts = Counter(one.micro_batch(number).source for number in range(4000))
    shares = np.array([counts[source] for source in range(3)]) / 4000
    expected = np.array([1, 0.05, 0.5]) / 1.55
    deviation = np.sqrt(expected * (1 - expected) / 4000)
    assert (np.abs(shares - expected) < 4 * deviation).all()


def test_one_source_per_step() -> None:
    one = batch_sampler(one_source_per_step=True)
    sources = [{micro_batch.source for micro_batch in one.step(step)} for step in range(50)]
    assert all(len(each) == 1 for each in sources)
    assert {0, 2} <= set.union(*sources)


@pytest.mark.parametrize(("count", "portrait"), [(1, 0), (1, 1), (3, 1), (5, 4)])
def test_few_samples_still_fill_units(count: int, portrait: int) -> None:
    """An orientation that fills no micro batch joins the other; a data set that fills none repeats its samples."""
    pool = SourceSampler(landscape(count, portrait), 2)
    rows = [row for place in range(20) for row in pool.draw((0, 0), place)[0]]
    assert set(rows) == set(range(count))
    assert len(rows) == 40


def test_weights_decide_how_often_a_sample_comes() -> None:
    weights = np.array([1.0, 0.0, 3.0, 6.0])
    pool = SourceSampler(np.array([True, True, False, False]), 1, weights)
    counts = Counter(int(pool.draw((0, 0), place)[0][0]) for place in range(5000))
    assert counts[1] == 0
    for row, expected in ((0, 0.1), (2, 0.3), (3, 0.6)):
        assert abs(counts[row] / 5000 - expected) < 0.03


def test_places_far_apart_agree_with_counting() -> None:
    """Units of a source are numbered without gaps across the chunks in which sources are drawn."""
    one = batch_sampler()
    boundary = 1 << 16
    micro_batches: list[MicroBatch] = [one.micro_batch(number) for number in range(boundary - 200, boundary + 200)]
    fresh = batch_sampler()
    assert fresh.micro_batch(boundary + 150) == micro_batches[350]
    places = [one._source_and_index(number) for number in range(boundary - 200, boundary + 200)]
    for source in (0, 2):
        mine = [place for each, place in places if each == source]
        assert mine == list(range(mine[0], mine[0] + len(mine)))


def test_samples_that_may_not_be_drawn() -> None:
    usable = np.arange(40) % 4 != 0
    for micro_batch_size, wide in ((2, 25), (30, 38)):  # the second is more than an orientation has
        pool = SourceSampler(landscape(40, 40 - wide), micro_batch_size, usable=usable)
        drawn = [pool.draw((1,), index) for index in range(3 * pool.micro_batches_per_epoch)]
        assert set(np.concatenate([np.concatenate(each) for each in drawn]).tolist()) <= set(np.flatnonzero(usable))
        rows = np.concatenate([rows for rows, _ in drawn[: pool.micro_batches_per_epoch]])
        assert len(set(rows.tolist())) == len(rows) >= 28
    everything = SourceSampler(landscape(40, 15), 2, usable=np.ones(40, bool))
    before = SourceSampler(landscape(40, 15), 2)
    assert all(np.array_equal(a, b) for a, b in zip(everything.draw((1,), 5), before.draw((1,), 5), strict=True))
