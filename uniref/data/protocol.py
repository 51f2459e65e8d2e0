"""How a data set is evaluated: resolution, threshold, which frames count, and the layout of submitted masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from uniref.core.tasks import Task

Summary = Literal[
    "referring",
    "generalised",
    "few-shot",
    "boxes",
    "objects",
    "categories",
    "videos",
    "videos 2024",
    "transformation",
    "tracking",
    "reappearance",
    "assigned",
    "reasoning",
    "long",
]
REASONING_TYPES = ("referring", "reasoning", "hallucination")
"""Kinds of ReVOS's expressions, by the sample's group."""
LONG_TYPES = ("static", "dynamic", "hybrid")
"""Kinds of Long-RVOS's expressions, by the sample's group."""
FOREGROUND = "foreground"
"""Name of a category whose object is all foreground of a video, to which no sample refers (ReVOS)."""
Frames = Literal["all", "inner", "after first", "range", "inner range", "annotated", "inner annotated"]
Missing = Literal["stop", "zero", "empty"]


@dataclass(frozen=True)
class Server:
    """An evaluation server: where it is, and where the layout of its submissions was read.

    A layout is never written down from memory: `layout_source` names the publication (a file of the organisers'
    repository, or what a tool packs whose results are on the leaderboard).
    """

    page: str
    layout_source: str
    closed: str = ""
    """Why it takes no submissions any more, with the date; empty: open as far as is known."""
    successor: str = ""
    """What to use instead; empty: nothing is known."""


CODALAB_CLOSED = "CodaLab has taken no submissions since 31 December 2025 (codalab/codalab-competitions, issue 3625)"
_CODALAB = "https://codalab.lisn.upsaclay.fr/competitions"
_CODABENCH = "https://www.codabench.org/competitions"

DAVIS_SERVER = Server(
    f"{_CODALAB}/6812",
    "davisvideochallenge/davis2017-evaluation, evaluation_codalab.py: sequences directly in the zip, indexed PNGs",
    CODALAB_CLOSED,
)
YOUTUBE_VOS_2018_SERVER = Server(
    f"{_CODALAB}/7685", "hkchengrex/XMem, eval.py: packs the folder Annotations itself", CODALAB_CLOSED
)
YOUTUBE_VOS_2019_SERVER = replace(YOUTUBE_VOS_2018_SERVER, page=f"{_CODALAB}/6066")
REF_YOUTUBE_VOS_SERVER = Server(
    f"{_CODALAB}/3282",
    "wjn922/ReferFormer, docs/Ref-Youtube-VOS.md and inference_ytvos.py: zip of the folder Annotations",
    CODALAB_CLOSED,
    "the authors have published the validation masks (skynbe/Refer-Youtube-VOS, issue 7): score with --truth",
)
MOSE_SERVER = Server(
    f"{_CODALAB}/10703",
    "henghuiding/MOSE-api, MOSEv2/sam2_rcms/README.md: zip made inside the folder of videos",
    CODALAB_CLOSED,
    f"the organisers name the server of MOSEv2, another data set: {_CODABENCH}/10062 (henghuiding/MOSE-api, issue 18)",
)
MOSE_V2_SERVER = Server(
    f"{_CODABENCH}/10062",
    "henghuiding/MOSE-api, MOSEv2/sam2_rcms: README.md (zip made inside the folder of videos) and tools/score.py "
    "(frames are taken by their place in the folder: none may be missing)",
)
LVOS_SERVER = Server(
    f"{_CODALAB}/8767",
    "LingyiHongfd/lvos-evaluation, evaluation_codalab.py: reads Annotations/<video>/<frame>.png",
    CODALAB_CLOSED,
)
MEVIS_SERVER = Server(
    f"{_CODALAB}/15094",
    "henghuiding/MeViS, README.md: sample_submission_valid.zip, video folders at the root",
    CODALAB_CLOSED,
    f"{_CODABENCH}/11420, which has the expressions of MeViS v2",
)
MEVIS_V2_SERVER = Server(f"{_CODABENCH}/11420", "henghuiding/MeViS, README.md: as for v1, 140 folders of videos")


@dataclass(frozen=True)
class Protocol:
    """One way of evaluating; each data set declares its own beside its converter."""

    task: Task
    summary: Summary
    """How scores become the data set's numbers; a key of the tables of `uniref.evaluation`."""
    sides: tuple[int, int]
    """Short and longest long side of the network input, pixels."""
    name: str
    """Name of a sample's prediction, with `{media}`, `{stem}`, `{object}`, `{expression}`, `{category}` and `{group}`:
    of an image its key, of a video the folder that holds `<frame>.png`."""
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
    range that the data set names; that range without its first and last frame; the object's
    annotated frames, or these but the first and the last."""
    mode: Literal["P", "L"] = "P"
    """Palette PNGs with object ids, or grey ones with 0 and 255."""
    other_ids: bool = False
    """Predicted label maps may have ids that the video does not have; the published evaluator drops them."""
    server: Server | None = None
    """Scores some split from a zip of this layout; None: there is none."""
    missing: Missing = "stop"
    """What the published evaluator does about videos that have no predictions: it stops, scores them 0, or scores them
    0 and takes a single missing file for an empty mask."""

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
VIDEO_OBJECTS = Protocol(Task.VOS, "objects", (480, 1333), name="{media}", frames="inner")
"""J and F per object, without the first and last frame (DAVIS 2017's evaluation tool)."""
YOUTUBE_VOS = replace(
    VIDEO_OBJECTS, summary="categories", threshold=0.4, frames="after first", name="Annotations/{media}"
)
"""J and F over seen and unseen categories, with G as their mean (YouTube-VOS's server)."""
VIDEO_EXPRESSIONS = Protocol(Task.RVOS, "objects", (480, 1333), name="{media}/{expression}", mode="L")
"""J and F per expression."""

OF_TASK: Mapping[Task, Protocol] = {
    Task.DETECTION: replace(DETECTION, name="{media}"),
    Task.RIS: replace(REFERRING, name="{media}/{expression}"),
    Task.FSS: replace(FEW_SHOT, name="{category}/{media}"),
    Task.VOS: replace(VIDEO_OBJECTS, frames="after first"),
    Task.RVOS: VIDEO_EXPRESSIONS,
}
"""For data sets that declare no protocol of their own."""
