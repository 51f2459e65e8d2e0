"""Counts and names of objects, of which more are found while frames pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from uniref.inference.prompts import Objects
from uniref.inference.results import FrameResult
from uniref.inference.sink_base import Context
from uniref.inference.tallies import PredictTallies
from uniref.media.source import MediaSource

NOTHING, ALL = np.zeros((2, 3), np.bool_), np.ones((2, 3), np.bool_)


def frame(index: int, masks: dict[int, np.ndarray], scores: dict[int, float], of: dict[int, int]) -> FrameResult:
    return FrameResult(index, np.zeros((2, 3), np.uint8), masks, scores, {}, instance_of=of)


def test_objects_found_later_are_counted_and_named(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    Image.new("RGB", (3, 2)).save(image)
    objects = Objects(texts={1: "the  car", 2: "a dog"})
    context = Context(tmp_path, MediaSource(image), objects, 1, True, print)
    tallies = PredictTallies()
    for result in (
        frame(0, {1: NOTHING, 2: NOTHING}, {1: 0.25, 2: 0.5}, {}),
        frame(1, {1: ALL, 2: NOTHING, 3: ALL}, {1: 0.75, 2: 0.25, 3: 0.5}, {1: 1, 3: 1}),
    ):
        context.add_instances(result)
        tallies.add(result)
    assert [context.name(number) for number in context.ids] == ["the car #1", "a dog", "the car #2"]
    assert tallies.summary(context.ids, context.describe) == {
        "1": {
            "kind": "text",
            "text": "the  car",
            "instance": 1,
            "present": True,
            "frames_present": 1,
            "frames_predicted": 2,
            "mean_score": 0.5,
            "best_score": 0.75,
        },
        "2": {
            "kind": "text",
            "text": "a dog",
            "present": False,
            "frames_present": 0,
            "frames_predicted": 2,
            "mean_score": 0.375,
            "best_score": 0.5,
        },
        "3": {
            "kind": "text",
            "text": "the  car",
            "instance": 2,
            "present": True,
            "frames_present": 1,
            "frames_predicted": 1,
            "mean_score": 0.5,
            "best_score": 0.5,
        },
    }


def test_an_object_that_was_never_predicted_is_absent() -> None:
    about = PredictTallies().summary([4], lambda number: {"kind": "mask"})
    assert about["4"] == {
        "kind": "mask",
        "present": False,
        "frames_present": 0,
        "frames_predicted": 0,
        "mean_score": None,
        "best_score": None,
    }
