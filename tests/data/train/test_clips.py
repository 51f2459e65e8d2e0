"""Which frames a clip shows."""

from __future__ import annotations

from collections import Counter

import numpy as np

from uniref.data.train.dataset import draw_pair


def pairs(present: np.ndarray, reach: int, draws: int = 300) -> Counter[tuple[int, int] | None]:
    return Counter(draw_pair(np.random.default_rng(seed), present, reach) for seed in range(draws))


def test_frames_are_ordered_near_and_share_an_object() -> None:
    present = np.random.default_rng(0).random((3, 40)) < 0.3
    found = pairs(present, 10)
    assert len(found) > 50
    for pair in found:
        assert pair is not None
        first, second = pair
        assert 0 < second - first <= 10
        assert (present[:, first] & present[:, second]).any()


def test_the_distribution_is_that_of_drawing_until_accepted() -> None:
    present = np.array([[1, 1, 0, 1, 1, 1], [0, 1, 1, 0, 0, 0]], bool)
    rng, accepted = np.random.default_rng(1), Counter[tuple[int, int]]()
    while sum(accepted.values()) < 6000:
        first = int(rng.integers(6))
        second = int(rng.choice([t for t in range(6) if t != first and abs(t - first) <= 2]))
        pair = (min(first, second), max(first, second))
        if (present[:, pair[0]] & present[:, pair[1]]).any():
            accepted[pair] += 1
    found = pairs(present, 2, 6000)
    assert set(found) == set(accepted)
    for pair, count in accepted.items():
        assert abs(found[pair] - count) / 6000 < 0.03


def test_one_frame_is_shown_twice() -> None:
    assert draw_pair(np.random.default_rng(0), np.ones((2, 1), bool), 10) == (0, 0)


def test_no_common_object() -> None:
    rng = np.random.default_rng(0)
    assert draw_pair(rng, np.zeros((1, 1), bool), 10) is None
    assert draw_pair(rng, np.eye(4, dtype=bool), 10) is None
    assert draw_pair(rng, np.array([[1, 0, 0, 1]], bool), 2) is None
    assert draw_pair(rng, np.zeros((0, 5), bool), 2) is None
