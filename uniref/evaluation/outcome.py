"""The scores of all units, merged: a benchmark's numbers, and what was wrong with its predictions.

Units are merged in their order whoever scored them, so that any number of processes gives the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from uniref.core.errors import UniRefError
from uniref.core.tasks import Task
from uniref.evaluation.benchmark import Benchmark
from uniref.evaluation.metrics.detection import box_precision
from uniref.evaluation.score_boxes import BoxItem, box_items, class_agnostic, coco_form
from uniref.evaluation.score_clips import Track
from uniref.evaluation.score_images import Item
from uniref.evaluation.store import Store
from uniref.evaluation.summaries import CLIP_SUMMARIES, IMAGE_SUMMARIES, Numbers, caveat

Entry = Item | Track | BoxItem
"""What is scored by itself."""


@dataclass
class Issues:
    """What is wrong with predictions, by name."""

    missing: list[str] = field(default_factory=list)
    """They are not there."""
    problems: list[str] = field(default_factory=list)
    """They cannot be used, and why."""
    strays: list[str] = field(default_factory=list)
    """Files that belong to nothing."""

    def add(self, scored: Mapping[str, Any]) -> None:
        """Those that scoring a unit found."""
        self.missing += scored["missing"]
        self.problems += scored["problems"]
        self.strays += scored.get("strays", ())


@dataclass(frozen=True)
class Outcome:
    """What came out for one benchmark."""

    benchmark: Benchmark
    numbers: Numbers = field(default_factory=dict)
    """Fractions 0..1 by measure, the headline first; empty where only a server has the truth."""
    items: Sequence[Item] = ()
    tracks: Sequence[Track] = ()
    boxes: Sequence[BoxItem] = ()
    issues: Issues = field(default_factory=Issues)
    notes: Sequence[str] = ()
    """What else to know about the numbers."""

    @property
    def entries(self) -> Sequence[Entry]:
        """What was scored one by one; of several ways of matching, the official one."""
        return self.items or self.boxes or [t for t in self.tracks if t.frames and t.matched != "direct"]

    @property
    def complete(self) -> bool:
        """Whether every prediction was there."""
        return not self.issues.missing


def gather(store: Store, strays: Sequence[str] = ()) -> Outcome:
    """Merge the scores of all units.

    Args:
        store: With every unit scored, unless there is no truth.
        strays: Files that belong to nothing, found elsewhere.

    Raises:
        UniRefError: Scores cannot be read, or there is nothing to score.
    """
    benchmark = store.benchmark
    notes = list(benchmark.notes)
    if not benchmark.has_truth:
        return Outcome(benchmark, notes=[*notes, "only a server has the truth: nothing was scored here"])
    records: list[dict[str, Any]] = []
    issues = Issues(strays=list(strays))
    for unit in range(len(benchmark.units)):
        scored = store.read_scores(unit)
        records += scored["items"]
        issues.add(scored)
    items: list[Item] = []
    tracks: list[Track] = []
    boxes: list[BoxItem] = []
    numbers: Numbers = {}
    if benchmark.protocol.task == Task.DETECTION:
        numbers = box_precision(*coco_form(benchmark, records))
        boxes = box_items(benchmark, records)
        if class_agnostic(records):
            notes.append("the model knows a single class: all categories count as one")
    elif benchmark.protocol.is_video:
        tracks = [Track(**record) for record in records]
        scored_tracks = [track for track in tracks if track.frames]
        summary = benchmark.protocol.summary
        numbers = CLIP_SUMMARIES[summary](scored_tracks) if scored_tracks else {}
        if scored_tracks and (line := caveat(summary, scored_tracks)):
            notes.append(line)
        if issues.missing:
            notes.append(f"incomplete: {len(issues.missing)} missing masks were left out of the scores")
    else:
        items = [Item(**record) for record in records]
        numbers = IMAGE_SUMMARIES[benchmark.protocol.summary](items) if items else {}
        if issues.missing:
            notes.append(f"incomplete: {len(issues.missing)} missing predictions count as empty masks")
    return Outcome(benchmark, numbers, items, tracks, boxes, issues, notes)


def check(outcome: Outcome) -> None:
    """Raise UniRefError where the evaluation of a model has nothing to tell or is not whole."""
    if wrong := [*outcome.issues.missing, *outcome.issues.problems]:
        raise UniRefError(f"{outcome.benchmark.name}: {len(wrong)} predictions are missing or wrong, first: {wrong[0]}")
    if not outcome.numbers:
        raise UniRefError(f"{outcome.benchmark.name}: nothing was scored; the split has no ground truth")
