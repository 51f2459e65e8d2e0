"""MeViS v1 (Ding et al., "MeViS: A Large-scale Benchmark for Video Segmentation with Motion Expressions", ICCV 2023)
and v2, which has further expressions for the same videos, some of them for nothing in the video.

`{train,valid_u,valid}/JPEGImages/<video>/%05d.jpg`, `mask_dict.json`, and `meta_expressions.json`; in v2
`meta_expressions_v2.json` (FudanCVL/MeViSv2 on Hugging Face; without masks also `meta_expressions_v2_release.json`),
where older descriptions still say `meta_expressions.json`. An expression may refer to several objects, whose union is
the target, or in v2 to none: then its `anno_id` is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from uniref.core.tasks import Task
from uniref.data.prepare.dataset import OVIS_VIDEOS, DataSet, PublishedCounts
from uniref.data.prepare.job import ConversionJob, FilesMissing
from uniref.data.prepare.mask_dict import add_expression_video, expression_video, note_no_target, read_mask_dict
from uniref.data.prepare.videos import read_video_json
from uniref.data.protocol import MEVIS_SERVER, MEVIS_V2_SERVER, VIDEO_EXPRESSIONS

_PUBLISHED = {
    "train": "f9d9b01a2a6d7a004e2e7a664ce2b9b1576218e975030f8e4df4f66111fb253f",
    "valid_u": "6e711a3f713cd95a825f536323e434b4d80f85a8e4e66d0cd662408e8779db50",
}
"""SHA-256 of mask_dict.json of v1."""
_FOLDERS = {"train": "train", "valid_u": "valid_u", "val": "valid"}
_META = {
    "mevis": ("meta_expressions.json",),
    "mevis-v2": ("meta_expressions_v2.json", "meta_expressions_v2_release.json", "meta_expressions.json"),
}


def convert(job: ConversionJob) -> None:
    """One sample per expression; `val` has no masks."""
    name, folder = job.dataset.name, _FOLDERS[job.split]
    meta_file = _meta_file(job, folder)
    base = meta_file.parent
    videos = read_video_json(job, meta_file, "expressions", "frames")
    masks = None if job.split == "val" else _read_masks(job, base / "mask_dict.json")
    names = job.first(sorted(videos))
    nothing = every = 0
    with job.writer({"mevis": base}) as writer:
        for video in job.progress(names, f"{name}/{job.split}", len(names), "video"):
            with job.record(f"{meta_file}: video {video}"):
                checked = expression_video(base, f"JPEGImages/{video}", video, videos[video], masks)
                add_expression_video(writer, checked, "mevis")
                every += len(checked.texts)
                nothing += sum(not keys for keys in (checked.objects or {}).values())
        note_no_target(job, nothing, every)


def _meta_file(job: ConversionJob, folder: str) -> Path:
    """The expressions of a split; those of v2 are not taken for v1's, whose file has another name."""
    found = job.find(*(f"{folder}/{file}" for file in _META[job.dataset.name]))
    other = job.find(*(f"{folder}/{file}" for file in _META["mevis-v2"]))
    if found is None and other is not None:
        raise FilesMissing(f"{other}: has the expressions of MeViS v2; prepare mevis-v2 from it")
    return found or job.need(*(f"{folder}/{file}" for file in _META[job.dataset.name]))


def _read_masks(job: ConversionJob, path: Path) -> Mapping[str, Any]:
    masks = read_mask_dict(job, path)
    if job.dataset.name == "mevis" and job.subset is None and job.sources[-1].sha256 != _PUBLISHED[job.split]:
        job.notes.append(f"{path.name} is not the one of MeViS v1 (its SHA-256 is {job.sources[-1].sha256})")
    return masks


_V1 = DataSet(
    name="mevis",
    title="MeViS v1",
    task=Task.RVOS,
    splits={
        "train": PublishedCounts(1_662, None, 23_051, 23_051),
        "valid_u": PublishedCounts(50, None, 793, 793),
        "val": PublishedCounts(140, None, 2_236, 2_236),
    },
    convert=convert,
    size="not published",
    licence="CC BY-NC-SA 4.0",
    page="https://henghuiding.com/MeViS/",
    files="the train, valid_u and valid folders with JPEGImages, meta_expressions.json and mask_dict.json",
    layout="{train,valid_u,valid}/{JPEGImages/<video>/%05d.jpg,meta_expressions.json,mask_dict.json}",
    group="mevis",
    papers=("LMPM (train, valid_u, val)",),
    protocol=replace(VIDEO_EXPRESSIONS, server=MEVIS_SERVER, missing="zero"),
    hidden=("val",),
    media_family=OVIS_VIDEOS,
)

DATASETS = (
    _V1,
    replace(
        _V1,
        name="mevis-v2",
        title="MeViS v2 (with expressions for nothing)",
        # henghuiding/MeViS, README.md; the paper counts a few expressions less
        splits={
            "train": PublishedCounts(1_662, None, 27_502, 27_502),
            "valid_u": PublishedCounts(50, None, 907, 907),
            "val": PublishedCounts(140, None, 2_523, 2_523),
        },
        size="16 GB (train)",
        files="the train, valid_u and valid folders of FudanCVL/MeViSv2 with JPEGImages, meta_expressions_v2.json and "
        "mask_dict.json",
        layout="{train,valid_u,valid}/{JPEGImages/<video>/%05d.jpg,meta_expressions_v2.json,mask_dict.json}",
        group="mevis-v2",
        folders=("mevis_v2", "mevisv2"),
        papers=("LMPM++ (train, valid_u, val)",),
        protocol=replace(VIDEO_EXPRESSIONS, server=MEVIS_V2_SERVER, missing="zero"),
    ),
)
