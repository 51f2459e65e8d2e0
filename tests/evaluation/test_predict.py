"""What evaluation asks of the tracker."""

from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.conftest import DATA
from uniref.core.tasks import Task
from uniref.evaluation import evaluate
from uniref.inference.predictor import Predictor
from uniref.inference.video import VideoTracker
from uniref.model.uniref import UniRef


def test_given_masks_are_put_out_as_the_released_system_does(
    model: UniRef, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PublishedNumber scores contain them; prediction for people shows the mask itself instead."""
    trackers: list[VideoTracker] = []
    track = Predictor.track

    def kept(self: Predictor, *arguments: Any, **options: Any) -> VideoTracker:
        trackers.append(track(self, *arguments, **options))
        return trackers[-1]

    monkeypatch.setattr(Predictor, "track", kept)
    evaluate(model, None, root, [DATA[Task.VOS]], sides=(32, 96))
    assert trackers
    assert not any(tracker.exact_masks for tracker in trackers)
