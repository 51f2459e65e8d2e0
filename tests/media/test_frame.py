"""Times that containers get wrong."""

from fractions import Fraction

import pytest

from uniref.media.frame import FrameClock, writing_base


def ticks(*seconds: float | None) -> list[float]:
    clock = FrameClock(0.1)
    return [clock.tick(value) for value in seconds]


def test_good_times_stay() -> None:
    assert ticks(0.0, 0.1, 0.2, 5.0) == [0.0, 0.1, 0.2, 5.0]
    assert ticks(0.7, 0.8) == [0.7, 0.8]


def test_missing_times_follow_from_the_rate() -> None:
    assert ticks(None, None, None) == pytest.approx([0.0, 0.1, 0.2])
    assert ticks(1.0, None, 1.2) == pytest.approx([1.0, 1.1, 1.2])


def test_repeated_times_are_put_between_their_neighbours() -> None:
    assert ticks(0.0, 0.0, 0.2, 0.2, 0.4) == pytest.approx([0.0, 0.05, 0.2, 0.25, 0.4])


def test_a_clock_that_starts_again_goes_on() -> None:
    assert ticks(50.0, 50.1, 3.0, 3.1, 3.3) == pytest.approx([50.0, 50.1, 50.2, 50.3, 50.5])


@pytest.mark.parametrize("nonsense", [-9223372036854.775, 9223372036854.775, 1e300])
def test_nonsense_is_bounded(nonsense: float) -> None:
    assert ticks(nonsense, nonsense + 0.1) == pytest.approx([0.0, 0.1], abs=0.11)
    assert ticks(0.0, nonsense, 0.2)[1] == pytest.approx(0.1)


@pytest.mark.parametrize("times", [(0.0, 0.0, 0.0), (5.0, 4.99, 4.98, 1e9, 0.0, None, None, 0.0), (None, 3.0, 0.0)])
def test_times_always_grow(times: tuple[float | None, ...]) -> None:
    found = ticks(*times)
    assert found == sorted(set(found))


def test_the_base_for_writing_keeps_times_exact() -> None:
    for base in (Fraction(1, 12288), Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 12), Fraction(1, 1000)):
        written = writing_base(base)
        assert (base / written).denominator == 1
        assert written <= Fraction(1, 1000)
    assert writing_base(Fraction(1, 10**9)) == Fraction(1, 10**6)
