from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uniref.evaluation.metrics.videos import best_assignment, deviation, jitter, statistics

values = st.lists(st.floats(0, 1), min_size=1, max_size=400)


def test_by_hand() -> None:
    found = statistics([1.0, 0.8, 0.5, 0.2, 0.1])
    assert found.mean == pytest.approx(0.52)
    assert found.recall == pytest.approx(0.4)  # 0.5 itself is not above
    assert found.decay == pytest.approx((1.0 + 0.8) / 2 - (0.2 + 0.1) / 2)


def test_single_frame() -> None:
    found = statistics([0.7])
    assert (found.mean, found.recall, found.decay) == (0.7, 1.0, 0.0)


def test_no_frames() -> None:
    with pytest.raises(ValueError, match="no frames"):
        statistics([])


def test_long_sequences_do_not_wrap() -> None:
    """Quarters of 1,000 frames lie where they should, beyond what 8-bit edges could hold."""
    assert statistics([1.0] * 250 + [0.5] * 500 + [0.0] * 250).decay == pytest.approx(1.0, abs=0.01)


@given(values)
def test_reversed_decay_changes_sign_only_with_the_order(x: list[float]) -> None:
    found = statistics(x)
    assert -1 <= found.decay <= 1
    assert min(x) - 1e-12 <= found.mean <= max(x) + 1e-12
    assert found.recall == sum(v > 0.5 for v in x) / len(x)


def test_deviation_is_rounded_before_the_root() -> None:
    assert deviation([0.5, 0.5], [0.5, 0.5]) == 0
    assert deviation([0.5, 0.51], [0.5, 0.51]) == 0  # a variance of 0.000025 rounds to 0
    assert deviation([1.0, 0.0], [1.0, 0.0]) == 0.5
    assert deviation([0.9, 0.4], [0.7, 0.2]) == math.sqrt(0.0625)


def test_jitter() -> None:
    assert jitter([0.3], [0.9]) == 0
    assert jitter([0.0, 1.0, 0.0], [0.0, 1.0, 1.0]) == pytest.approx((1 + 0.5) / 2)


def test_assignment_is_optimal_not_greedy() -> None:
    assert best_assignment([[0.9, 0.8], [0.85, 0.1]]) == [1, 0]
    assert best_assignment([[0.2], [0.6]]) == [-1, 0]
    assert best_assignment([[], []]) == [-1, -1]
    assert best_assignment([[0.1, 0.5, 0.3]]) == [1]
