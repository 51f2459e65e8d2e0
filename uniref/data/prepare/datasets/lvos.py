"""LVOS v1 (Hong et al., "LVOS: A Benchmark for Long-term Video Object Segmentation", ICCV 2023) and v2 (Hong et al.,
"LVOS: A Benchmark for Large-scale Long-term Video Object Segmentation", arXiv 2404.19326), whose files have one layout.

`<split>/{JPEGImages,Annotations}/<video>/%08d.{jpg,png}` and `<split>_meta.json`. Frame names start at 00000001 and
step by 5. Validation has masks of every frame; an object is given in the first frame of its `frame_range` and scored
in `frame_nums` frames from there: the published evaluator stops before `end`, and divides by that number. v2 is scored
by the authors' evaluator of 2024 alone, without the first and the last of those frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from uniref.core.files import exists
from uniref.core.tasks import Task
from uniref.data.prepare.dataset import LVOS_VIDEOS, RESEARCH_TERMS, DataSet, PublishedCounts
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
from uniref.data.protocol import LVOS_SERVER, VIDEO_OBJECTS

_FOLDERS = {"train": ("train",), "val": ("valid", "val"), "test": ("test",)}

UNSEEN = frozenset(
    {
        "R3UJGYwy",
        "058oeZ2p",
        "UtEnRpiP",
        "yfzVCnvU",
        "6mNj04tC",
        "yWnanBID",
        "gw84JOqH",
        "711gAS21",
        "FmzvB44A",
        "Oj1z5fO0",
        "tAyQIobn",
        "yxCvN6OJ",
        "LWVlKBlK",
        "K3OUeINk",
        "xpI7xRWN",
        "aFytsETk",
        "FiRTBMg2",
        "nfcT3owb",
        "v3uNUctx",
        "JGG6MrhF",
        "49TNsJzk",
        "dtHbJvYy",
        "8lxxCA5h",
        "N6CONZUW",
        "vJ8W2TO5",
        "gdqCcvs2",
        "pMntJwSQ",
    }
)
"""Validation videos whose categories do not occur in training."""
UNSEEN_2024 = (UNSEEN - {"UtEnRpiP", "aFytsETk"}) | {
    "p9RjdKoh",
    "9NA8c5C3",
    "m37l7ti1",
    "nwflTTf1",
    "LY2zehlH",
    "beR0WT11",
    "afoR2rH6",
    "xQZlxhxV",
    "o36i3YWC",
    "cdzAjcuN",
    "IlvtT6D6",
    "YfoFnMgm",
    "FiQUhyRi",
    "9oLyy7aJ",
    "9RoNInYO",
    "wrrX6bxv",
    "q2HE4zaM",
    "rvwT3piq",
    "ZFqAoImI",
    "bwcKqVSN",
    "QE1wMR58",
    "eEcUJVBZ",
    "Qf9YVXOW",
    "SRRojucs",
    "PQfn7XV2",
    "3bvEjhOT",
}
"""The same list as the authors' evaluator of 2024 has it, for v1 and v2 (`unseen_videos.txt` of
LingyiHongfd/lvos-evaluation)."""


def convert(job: ConversionJob) -> None:
    """One sample per video."""
    names = [f"{name}_meta.json" for name in _FOLDERS[job.split]]
    inside = [f"{folder}/{name}" for folder in _FOLDERS[job.split] for name in names]
    if job.dataset.name == "lvos" and convert_released(job, [*inside, *_outside(names)], complete=job.split == "train"):
        return
    # frames, label maps and scored ranges
    base = job.need(*(f"{name}/JPEGImages" for name in _FOLDERS[job.split])).parent
    meta = _read_meta(job, base)
    files = [VideoFiles(name, base / "JPEGImages" / name, base / "Annotations" / name) for name in sorted(meta)]
    hidden = job.split == "test"
    unseen = UNSEEN if job.dataset.name == "lvos" else UNSEEN_2024
    # one sample per video, each object with its range
    with job.writer({"lvos": base}) as writer:
        for video in read_labelled_videos(job, files, every_frame=not hidden):
            ranges = None
            with job.record(job.video(video.name)):
                ranges = _ranges(video, meta[video.name], scored=job.split != "train")
            if ranges is None:
                continue
            add_labelled_video(writer, video, "lvos", f"JPEGImages/{video.name}", complete=not hidden)
            seen = video.name not in unseen if job.split == "val" else None
            rows = []
            for number, limits in ranges.items():
                given = -1 if job.split == "train" else limits[0]
                track = video.tracks.get(number, {})
                rows.append(add_track(writer, number, track, given_frame=given, score_range=limits, seen=seen))
            writer.add_sample(objects=rows)


def _read_meta(job: ConversionJob, base: Path) -> Mapping[str, Mapping[str, Any]]:
    names = [f"{name}_meta.json" for name in _FOLDERS[job.split]]
    inside = [path for name in names if exists(path := base / name)]
    path = inside[0] if inside else job.need(*_outside(names))
    return {name: video["objects"] for name, video in read_video_json(job, path, "objects").items()}


def _outside(names: Sequence[str]) -> list[str]:
    return [f"{folder}{name}" for name in names for folder in ("meta_jsons/", "")]


def _ranges(video: LabelledVideo, objects: Mapping[str, Any], scored: bool) -> dict[int, tuple[int, int]]:
    """First and last scored frame of every object; where it is `scored`, its mask is given in the first."""
    frame_of = {Path(name).stem: frame for frame, name in enumerate(video.frames)}
    ranges = {}
    for number, info in sorted(objects.items(), key=lambda item: int(item[0])):
        limits = info["frame_range"]
        start = frame_of.get(limits["start"])
        if start is None:
            raise BadRecord(f"object {number} starts at frame {limits['start']}, which does not exist")
        if scored and start not in video.tracks.get(int(number), {}):
            raise BadRecord(f"object {number} has no mask in its first frame {limits['start']}")
        before = frame_of.get(limits["end"], len(frame_of))
        if before < start:
            raise BadRecord(f"object {number} ends at frame {limits['end']}, before it starts")
        count = int(limits.get("frame_nums", before - start))
        ranges[int(number)] = (start, min(start + max(count, 1), len(frame_of)) - 1)
    return ranges


DATASETS = (
    DataSet(
        name="lvos",
        title="LVOS v1",
        task=Task.VOS,
        splits={"train": PublishedCounts(120), "val": PublishedCounts(50), "test": PublishedCounts(50)},
        convert=convert,
        size="not published",
        licence=RESEARCH_TERMS,
        page="https://lingyihongfd.github.io/lvos.github.io/",
        files="the v1 archives of train, val and test, and their <split>_meta.json",
        layout="<split>/{JPEGImages,Annotations}/<video>/%08d.{jpg,png}, <split>/<split>_meta.json",
        group="lvos",
        papers=("UniRef++ (train, val)", "DDMemory (train, val, test)"),
        protocol=replace(
            VIDEO_OBJECTS,
            summary="videos",
            threshold=0.5,
            frames="range",
            name="Annotations/{media}",
            server=LVOS_SERVER,
        ),
        hidden=("test",),
        media_family=LVOS_VIDEOS,
    ),
    DataSet(
        name="lvos-v2",
        title="LVOS v2",
        task=Task.VOS,
        splits={"train": PublishedCounts(420), "val": PublishedCounts(140), "test": PublishedCounts(160)},
        convert=convert,
        size="not published",
        licence="annotations CC BY 4.0; videos for non-commercial research",
        page="https://lingyihongfd.github.io/lvos.github.io/",
        files="the v2 archives of train, val and test, and their <split>_meta.json",
        layout="<split>/{JPEGImages,Annotations}/<video>/%08d.{jpg,png}, <split>/<split>_meta.json",
        group="lvos-v2",
        folders=("lvosv2", "lvos_v2"),
        papers=("LVOS v2 (train, val, test)", "SAM 2 (val)"),
        protocol=replace(
            VIDEO_OBJECTS, summary="videos 2024", threshold=0.5, frames="inner range", name="Annotations/{media}"
        ),
        hidden=("test",),
        media_family=LVOS_VIDEOS,
    ),
)
