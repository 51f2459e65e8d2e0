"""Scoring one unit of work, in any process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from uniref.core.atomic import write_text_atomic
from uniref.evaluation.image_predictions import Prediction, read_block
from uniref.evaluation.score_clips import score_clip
from uniref.evaluation.score_images import score_block
from uniref.evaluation.store import Store


@dataclass(frozen=True)
class ScoreJob:
    """A unit whose predictions are there."""

    store: Store
    unit: int
    given: Sequence[Prediction] | None = None
    """Predictions of another tool for the unit's images."""


def score_unit(job: ScoreJob) -> int:
    """Score a unit, write the scores and return its number. Raises UniRefError."""
    store, unit = job.store, job.unit
    benchmark = store.benchmark
    state = store.state(unit)
    if benchmark.protocol.is_video:
        scored = score_clip(benchmark, unit, store.predictions)
    else:
        given = read_block(benchmark, store.predictions, unit) if job.given is None else job.given
        scored = score_block(benchmark, unit, given)
    write_text_atomic(store.score_path(unit), json.dumps({"state": state, **scored}))
    return unit
