"""What a run has to segment, worked by hand: a video of 20 frames."""

from __future__ import annotations

import pytest

from uniref.labeling.plan import (
    Pass,
    Segment,
    frames_of,
    passes,
    segments_from,
    stale_from,
    stale_segments,
    text_in_force,
)
from uniref.labeling.records import MaskRecord

COUNT = 20


def given(frame: int, forwards: int | None = None, backwards: int | None = None, number: int = 1) -> MaskRecord:
    return MaskRecord(
        number, frame, 1, '{"kind": "mask"}', 1.0, None, 4, 4, b"", area=1, forwards=forwards, backwards=backwards
    )


def seg(anchor: int, first: int, last: int, **more: int) -> Segment:
    return Segment(1, anchor, first, last, **more)


@pytest.mark.parametrize(
    ("masks", "forwards", "backwards"),
    [
        ([], [], []),
        ([given(0)], [seg(0, 0, 19)], []),
        ([given(0, forwards=19)], [], []),
        ([given(0, forwards=7)], [seg(0, 8, 19)], []),
        ([given(5)], [seg(5, 5, 19)], [seg(5, 5, 0)]),
        ([given(5, backwards=2)], [seg(5, 5, 19)], [seg(5, 1, 0)]),
        ([given(19)], [], [seg(19, 19, 0)]),
        # two masks: the frames between belong to the first
        ([given(5), given(9)], [seg(5, 5, 8), seg(9, 9, 19)], [seg(5, 5, 0)]),
        ([given(5), given(6, forwards=19)], [], [seg(5, 5, 0)]),
        # or to the second, where it was followed back to there
        ([given(5), given(9, forwards=19, backwards=6)], [], [seg(5, 5, 0)]),
        ([given(5), given(9, forwards=19, backwards=7)], [seg(5, 5, 8)], [seg(5, 5, 0)]),
        ([given(5, forwards=6), given(9, forwards=19, backwards=7)], [], [seg(5, 5, 0)]),
    ],
)
def test_out_of_date(masks: list[MaskRecord], forwards: list[Segment], backwards: list[Segment]) -> None:
    assert stale_segments(masks, 1, COUNT) == forwards
    assert stale_segments(masks, -1, COUNT) == backwards
    assert stale_from(masks, COUNT) == (forwards[0].first if forwards else None)


@pytest.mark.parametrize(
    ("frame", "step", "shown", "wanted"),
    [
        # from a given mask to the next one, and on while that is out of date
        (5, 1, {5}, [seg(5, 5, 9), seg(10, 10, 19)]),
        (7, 1, {7}, [seg(5, 7, 9), seg(10, 10, 19)]),
        (10, 1, {10}, [seg(10, 10, 19)]),
        # from before the first one
        (2, 1, set(), [seg(5, 5, 9), seg(10, 10, 19)]),
        (2, 1, {2}, [seg(5, 3, 4, resumed_from=2)]),
        (4, 1, {4}, [seg(5, 5, 9), seg(10, 10, 19)]),
        # backwards: the mask of the frame itself stays
        (12, -1, {12}, [seg(10, 11, 11, resumed_from=12)]),
        (10, -1, {10}, [seg(10, 10, 6), seg(5, 5, 0)]),
        (3, -1, {3}, [seg(5, 2, 0)]),
        (0, -1, {0}, []),
    ],
)
def test_from_a_frame(frame: int, step: int, shown: set[int], wanted: list[Segment]) -> None:
    got = segments_from([given(5), given(10)], frame, step, COUNT, shown.__contains__)
    assert got == wanted


def test_readings_leave_out_what_is_of_no_object() -> None:
    segments = [seg(0, 0, 3), Segment(2, 2, 2, 6), seg(15, 15, 19)]
    assert passes(segments, 1) == [
        Pass(1, 0, 6, (segments[0], segments[1])),
        Pass(1, 15, 19, (segments[2],)),
    ]
    back = [seg(9, 9, 5), Segment(2, 6, 6, 0)]
    [only] = passes(back, -1)
    assert (only.first, only.last, only.direction) == (9, 0, "backwards")
    assert frames_of([only]) == set(range(10))
    assert passes([seg(0, 0, 3), seg(4, 4, 9)], 1) == [Pass(1, 0, 9, (seg(0, 0, 3), seg(4, 4, 9)))]  # neighbours
    assert passes([], 1) == []


def test_a_text_holds_until_the_next_one() -> None:
    first = MaskRecord(1, 3, 1, '{"kind": "text", "text": "a"}', None, None, 4, 4, b"")
    painted, second = given(5), MaskRecord(1, 8, 1, '{"kind": "mask", "text": "b"}', None, None, 4, 4, b"")
    masks = [first, painted, second]
    assert [text_in_force(masks, frame) for frame in (2, 3, 5, 8, 19)] == [None, "a", "a", "b", "b"]
    assert [each.text for each in masks] == ["a", None, None]
