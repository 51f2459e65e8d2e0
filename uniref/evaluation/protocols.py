"""How each data set is evaluated: resolution, threshold, what counts, and how its server wants files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from uniref.core.tasks import Task

Summary = Literal["referring", "few-shot", "boxes", "objects", "categories", "videos", "assigned"]
Frames = Literal["all", "inner", "after first", "range"]

IMAGE_SIDES = (800, 1333)
SUPPORT_SIDES = (480, 768)
VIDEO_SIDES = (480, 1333)


@dataclass(frozen=True)
class Protocol:
    """One way of evaluating."""

    task: Task
    summary: Summary
    """How scores become the data set's numbers, a key of `SUMMARIES`."""
    sides: tuple[int, int]
    """Short and longest long side of the network input, pixels."""
    threshold: float = 0.3
    """Videos: a best score at or under it gives an empty mask (SPEC section 7)."""
    propagate: bool = True
    """Texts in videos: use the object's own earlier masks; else every frame by the text alone."""
    frames: Frames = "all"
    """Which frames of an object count: all; all but the clip's first and last; those after the object's first; the
    range that the data set names."""
    layout: str = ""
    """Where the masks of a sample lie, with `{video}`, `{expression}` and `{group}`; `<frame>.png` comes below."""
    mode: Literal["P", "L"] = "P"
    """Palette PNGs with object ids, or grey ones with 0 and 255."""
    server: bool = False
    """Whether some split is scored by a server, from a zip of this layout."""
    published: Mapping[str, str] = field(default_factory=dict)
    """Split -> measure that the released checkpoints' table reports."""

    @property
    def is_video(self) -> bool:
        """Whether samples are clips."""
        return self.task.is_video


_PLAIN, _IN_ANNOTATIONS = "{video}", "Annotations/{video}"
_TEXT = "{video}/{expression}"


def _objects(
    threshold: float, frames: Frames, summary: Summary = "objects", layout: str = _PLAIN, **more: object
) -> Protocol:
    return Protocol(Task.VOS, summary, VIDEO_SIDES, threshold, frames=frames, layout=layout, **more)  # type: ignore[arg-type]


_REFERRING = Protocol(Task.RIS, "referring", IMAGE_SIDES)

PROTOCOLS: Mapping[str, Protocol] = {
    "refcoco": Protocol(Task.RIS, "referring", IMAGE_SIDES, published={"val": "oIoU"}),
    "refcoco+": _REFERRING,
    "refcocog": _REFERRING,
    "fss-1000": Protocol(Task.FSS, "few-shot", SUPPORT_SIDES, published={"val": "image mIoU"}),
    "coco": Protocol(Task.DETECTION, "boxes", IMAGE_SIDES),
    "objects365": Protocol(Task.DETECTION, "boxes", IMAGE_SIDES),
    "ref-youtube-vos": Protocol(
        Task.RVOS,
        "objects",
        VIDEO_SIDES,
        layout=f"Annotations/{_TEXT}",
        mode="L",
        server=True,
        published={"val": "J&F"},
    ),
    "ref-davis17": Protocol(
        Task.RVOS,
        "assigned",
        VIDEO_SIDES,
        propagate=False,
        layout="valid_{group}/{video}",
        published={"val": "J&F"},
    ),
    "mevis": Protocol(Task.RVOS, "objects", VIDEO_SIDES, layout=_TEXT, mode="L", server=True),
    "youtube-vos-2018": _objects(
        0.4, "after first", "categories", _IN_ANNOTATIONS, server=True, published={"val": "G"}
    ),
    "youtube-vos-2019": _objects(0.4, "after first", "categories", _IN_ANNOTATIONS, server=True),
    "davis17": _objects(0.3, "inner", server=True, published={"val": "J&F"}),
    "lvos": _objects(0.5, "range", "videos", server=True, published={"val": "J&F"}),
    "mose": _objects(0.4, "inner", server=True),
}
"""By the data set's name in the index."""

_OTHERS: Mapping[Task, Protocol] = {
    Task.DETECTION: PROTOCOLS["coco"],
    Task.RIS: _REFERRING,
    Task.FSS: Protocol(Task.FSS, "few-shot", SUPPORT_SIDES),
    Task.VOS: _objects(0.3, "inner"),
    Task.RVOS: Protocol(Task.RVOS, "objects", VIDEO_SIDES, layout=_TEXT, mode="L"),
}


def protocol_of(dataset: str, task: Task) -> Protocol:
    """The protocol of a data set; that of its task for one that is not published."""
    known = PROTOCOLS.get(dataset)
    return known if known is not None and known.task == task else _OTHERS[task]
