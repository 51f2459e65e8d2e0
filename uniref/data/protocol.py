"""How a data set is evaluated: resolution, threshold, which frames count, and the layout of submitted masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from uniref.core.tasks import Task

Summary = Literal["referring", "generalised", "few-shot", "boxes", "objects", "categories", "videos", "assigned"]
Frames = Literal["all", "inner", "after first", "range"]


@dataclass(frozen=True)
class Protocol:
    """One way of evaluating; each data set declares its own beside its converter."""

    task: Task
    summary: Summary
    """How scores become the data set's numbers; a key of the tables of `uniref.evaluation`."""
    sides: tuple[int, int]
    """Short and longest long side of the network input, pixels."""
    name: str
    """Name of a sample's prediction, with `{media}`, `{stem}`, `{expression}`, `{category}` and `{group}`: of an image
    its key, of a video the folder that holds `<frame>.png`."""
    threshold: float = 0.3
    """Videos, and images with `instances`: a best score at or under it gives an empty mask."""
    instances: bool = False
    """Texts in images: the mask is the union of all objects with a score above the threshold; else the best query's."""
    propagate: bool = True
    """Texts in videos: use the object's own earlier masks; else every frame by the text alone."""
    two_pass: bool = False
    """Texts in videos: find each in its best frame first, then follow it both ways. No published protocol does."""
    frames: Frames = "all"
    """Which frames of an object count: all; all but the video's first and last; those after the object's first; the
    range that the data set names."""
    mode: Literal["P", "L"] = "P"
    """Palette PNGs with object ids, or grey ones with 0 and 255."""
    server: bool = False
    """Whether some split is scored by a server, from a zip of this layout."""

    @property
    def is_video(self) -> bool:
        """Whether samples are videos."""
        return self.task.is_video


DETECTION = Protocol(Task.DETECTION, "boxes", (800, 1333), name="{stem}")
"""COCO's box AP (pycocotools)."""
REFERRING = Protocol(Task.RIS, "referring", (800, 1333), name="{expression}")
"""Overall and mean IoU, one mask per expression."""
GENERALISED = replace(REFERRING, summary="generalised", instances=True)
"""Several or no targets per expression (henghuiding/ReLA, `gres_model/evaluation/refer_evaluation.py`)."""
FEW_SHOT = Protocol(Task.FSS, "few-shot", (480, 768), name="{category}/{stem}")
"""Mean IoU over classes and foreground-background IoU (HSNet, VAT)."""
VIDEO_OBJECTS = Protocol(Task.VOS, "objects", (480, 1333), name="{media}", frames="inner", server=True)
"""J and F per object, without the first and last frame (DAVIS 2017's evaluation tool)."""
YOUTUBE_VOS = replace(
    VIDEO_OBJECTS, summary="categories", threshold=0.4, frames="after first", name="Annotations/{media}"
)
"""J and F over seen and unseen categories, with G as their mean (YouTube-VOS's server)."""
VIDEO_EXPRESSIONS = Protocol(Task.RVOS, "objects", (480, 1333), name="{media}/{expression}", mode="L", server=True)
"""J and F per expression."""

OF_TASK: Mapping[Task, Protocol] = {
    Task.DETECTION: replace(DETECTION, name="{media}"),
    Task.RIS: replace(REFERRING, name="{media}/{expression}"),
    Task.FSS: replace(FEW_SHOT, name="{category}/{media}"),
    Task.VOS: replace(VIDEO_OBJECTS, frames="after first", server=False),
    Task.RVOS: replace(VIDEO_EXPRESSIONS, server=False),
}
"""For data sets that declare no protocol of their own."""
