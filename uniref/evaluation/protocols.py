"""How each data set is evaluated: resolution, threshold, what counts, and how its server wants files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from uniref.core.tasks import Task

Summary = Literal["referring", "few-shot", "boxes", "objects", "categories", "videos", "assigned"]
Frames = Literal["all", "inner", "after first", "range"]


@dataclass(frozen=True)
class Protocol:
    """One way of evaluating."""

    task: Task
    summary: Summary
    """How scores become the data set's numbers, a key of the tables in summaries.py."""
    sides: tuple[int, int]
    """Short and longest long side of the network input, pixels."""
    name: str
    """Name of a sample's prediction, with `{media}`, `{stem}`, `{expression}`, `{category}` and `{group}`: of an image
    its key, of a clip the folder that holds `<frame>.png`."""
    threshold: float = 0.3
    """Videos: a best score at or under it gives an empty mask (SPEC section 7)."""
    propagate: bool = True
    """Texts in videos: use the object's own earlier masks; else every frame by the text alone."""
    frames: Frames = "all"
    """Which frames of an object count: all; all but the clip's first and last; those after the object's first; the
    range that the data set names."""
    mode: Literal["P", "L"] = "P"
    """Palette PNGs with object ids, or grey ones with 0 and 255."""
    server: bool = False
    """Whether some split is scored by a server, from a zip of this layout."""

    @property
    def is_video(self) -> bool:
        """Whether samples are clips."""
        return self.task.is_video


_REFERRING = Protocol(Task.RIS, "referring", (800, 1333), name="{expression}")
_FEW_SHOT = Protocol(Task.FSS, "few-shot", (480, 768), name="{category}/{stem}")
_BOXES = Protocol(Task.DETECTION, "boxes", (800, 1333), name="{stem}")
_OBJECTS = Protocol(Task.VOS, "objects", (480, 1333), name="{media}", frames="inner", server=True)
_YOUTUBE = replace(_OBJECTS, summary="categories", threshold=0.4, frames="after first", name="Annotations/{media}")
_TEXTS = Protocol(Task.RVOS, "objects", (480, 1333), name="{media}/{expression}", mode="L", server=True)

PROTOCOLS: Mapping[str, Protocol] = {
    "refcoco": _REFERRING,
    "refcoco+": _REFERRING,
    "refcocog": _REFERRING,
    "fss-1000": _FEW_SHOT,
    "coco": _BOXES,
    "objects365": _BOXES,
    "ref-youtube-vos": replace(_TEXTS, name="Annotations/{media}/{expression}"),
    "ref-davis17": replace(
        _TEXTS, summary="assigned", name="valid_{group}/{media}", mode="P", propagate=False, server=False
    ),
    "mevis": _TEXTS,
    "youtube-vos-2018": _YOUTUBE,
    "youtube-vos-2019": _YOUTUBE,
    "davis17": _OBJECTS,
    "lvos": replace(_OBJECTS, summary="videos", threshold=0.5, frames="range"),
    "mose": replace(_OBJECTS, threshold=0.4),
}
"""By the data set's name in the index."""

_OTHERS: Mapping[Task, Protocol] = {
    Task.DETECTION: replace(_BOXES, name="{media}"),
    Task.RIS: replace(_REFERRING, name="{media}/{expression}"),
    Task.FSS: replace(_FEW_SHOT, name="{category}/{media}"),
    Task.VOS: replace(_OBJECTS, frames="after first", server=False),
    Task.RVOS: replace(_TEXTS, server=False),
}


def protocol_of(dataset: str, task: Task) -> Protocol:
    """The protocol of a data set; that of its task for one that is not published."""
    known = PROTOCOLS.get(dataset)
    return known if known is not None and known.task == task else _OTHERS[task]
