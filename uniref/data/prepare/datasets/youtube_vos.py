"""YouTube-VOS 2018 and 2019 (Xu et al., "YouTube-VOS: A Large-Scale Video Object Segmentation Benchmark", 2018).

`{train,valid}/{JPEGImages,Annotations}/<video>/<frame>`, `{train,valid}/meta.json`. Frames are named by their number
in the original video (`00000`, `00005`, ...). Not every label map shows every object that is visible, so a missing
mask does not mean that an object is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from uniref.core.tasks import Task
from uniref.data.index import IndexWriter
from uniref.data.prepare.dataset import RESEARCH_TERMS, DataSet, PublishedCounts
from uniref.data.prepare.job import BadRecord, ConversionJob
from uniref.data.prepare.videos import (
    LabelledVideo,
    VideoFiles,
    add_labelled_video,
    add_track,
    read_labelled_videos,
    read_video_json,
)
from uniref.data.prepare.youtube_vis_json import convert_released
from uniref.data.protocol import YOUTUBE_VOS, YOUTUBE_VOS_2018_SERVER, YOUTUBE_VOS_2019_SERVER

_LAYOUT = "{train,valid}/{JPEGImages,Annotations}/<video>/<frame>.{jpg,png}, {train,valid}/meta.json"
_FOLDERS = {"train": ("train",), "val": ("valid", "val")}


def convert(job: ConversionJob) -> None:
    """One sample per video with all its objects; in val the one label map that shows an object is its prompt."""
    if convert_released(job, [f"{name}/Annotations" for name in _FOLDERS[job.split]], complete=False):
        return
    base = split_folder(job)
    meta = read_meta(job, base)
    names = sorted(meta) if meta is not None else sorted(x.name for x in (base / "JPEGImages").iterdir() if x.is_dir())
    files = [VideoFiles(name, base / "JPEGImages" / name, base / "Annotations" / name) for name in names]
    categories = category_ids(meta)
    with job.writer({"youtube-vos": base}, categories={i: n for n, i in categories.items()}) as writer:
        if meta is None:
            writer.notes.append("meta.json was missing: objects are those of the label maps")
        for video in read_labelled_videos(job, files):
            objects = video_objects(job, video, meta, prompted=job.split == "val")
            if objects is None:
                continue
            add_labelled_video(writer, video, "youtube-vos", f"JPEGImages/{video.name}", complete=False)
            rows = [
                add_object(writer, video, number, info, categories, prompted=job.split == "val")
                for number, info in objects.items()
            ]
            writer.add_sample(objects=rows)


def split_folder(job: ConversionJob) -> Path:
    """The folder of this split."""
    return job.need(*(f"{name}/JPEGImages" for name in _FOLDERS[job.split])).parent


def read_meta(job: ConversionJob, base: Path) -> dict[str, Any] | None:
    """Objects of every video by `meta.json`, which some copies lack (training only)."""
    path = base / "meta.json"
    if not path.exists() and job.split == "train":
        return None
    return {name: video["objects"] for name, video in read_video_json(job, path, "objects").items()}


def category_ids(meta: Mapping[str, Any] | None) -> dict[str, int]:
    """Numbers for the category names, in alphabetical order from 1."""
    infos = [info for objects in (meta or {}).values() for info in objects.values() if isinstance(info, dict)]
    names = {str(info["category"]) for info in infos if info.get("category")}
    return {name: number for number, name in enumerate(sorted(names), start=1)}


def video_objects(
    job: ConversionJob, video: LabelledVideo, meta: Mapping[str, Any] | None, prompted: bool = False
) -> dict[int, Mapping[str, Any]] | None:
    """Objects of a video by number; None where label maps and meta.json disagree.

    Args:
        job: The split that is prepared.
        video: With its label maps.
        meta: Objects of every video.
        prompted: Every object must be shown by a label map.
    """
    if meta is None:
        return {number: {} for number in video.tracks}
    objects: dict[int, Mapping[str, Any]] | None = None
    with job.record(job.video(video.name)):
        listed = {int(number): dict(info) for number, info in meta[video.name].items()}
        for number, info in listed.items():
            if not all(isinstance(frame, str) for frame in info.get("frames", ())):
                raise BadRecord(f"the frames of object {number} are not a list of frame names")
        if extra := sorted(set(video.tracks) - set(listed)):
            raise BadRecord(f"its label maps show object {extra[0]}, which meta.json does not have")
        if prompted and (lost := sorted(set(listed) - set(video.tracks))):
            raise BadRecord(f"object {lost[0]} of meta.json is in none of its label maps")
        objects = dict(sorted(listed.items()))
    return objects


def add_object(
    writer: IndexWriter,
    video: LabelledVideo,
    number: int,
    info: Mapping[str, Any],
    categories: Mapping[str, int],
    prompted: bool,
) -> int:
    """An object's track; meta.json names the frames it is scored in."""
    track = video.tracks.get(number, {})
    frame_of = {Path(name).stem: frame for frame, name in enumerate(video.frames)}
    listed = sorted(frame_of[f] for f in info.get("frames", ()) if f in frame_of)
    return add_track(
        writer,
        number,
        track,
        given_frame=min(track, default=-1) if prompted else -1,
        category=categories.get(str(info.get("category", "")), -1),
        score_range=(listed[0], listed[-1]) if listed and prompted else None,
    )


DATASETS = (
    DataSet(
        name="youtube-vos-2018",
        title="YouTube-VOS 2018",
        task=Task.VOS,
        splits={"train": PublishedCounts(3_471, 5_945), "val": PublishedCounts(474, 894)},
        convert=convert,
        size="about 9 GB",
        licence=RESEARCH_TERMS,
        page="https://youtube-vos.org",
        files="train.zip and valid.zip",
        layout=_LAYOUT,
        group="youtube-vos-2018",
        papers=("UniRef++ (val)", "XMem (val)"),
        folders=("ytbvos18", "youtube2018"),
        protocol=replace(YOUTUBE_VOS, server=YOUTUBE_VOS_2018_SERVER),
        hidden=("val",),
    ),
    DataSet(
        name="youtube-vos-2019",
        title="YouTube-VOS 2019",
        task=Task.VOS,
        splits={"train": PublishedCounts(3_471, 6_459), "val": PublishedCounts(507, 1_063)},
        convert=convert,
        size="about 10 GB",
        licence=RESEARCH_TERMS,
        page="https://youtube-vos.org",
        files="train.zip and valid.zip",
        layout=_LAYOUT,
        group="youtube-vos-2019",
        papers=("UniRef++ (train, val)", "XMem (train, val)", "Cutie (train, val)", "SAM 2 (val)"),
        folders=("ytbvos19", "youtube2019", "youtube-vos", "ref-youtube-vos"),
        protocol=replace(YOUTUBE_VOS, server=YOUTUBE_VOS_2019_SERVER),
        hidden=("val",),
    ),
)
