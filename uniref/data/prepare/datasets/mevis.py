"""MeViS v1 (Ding et al., "MeViS: A Large-scale Benchmark for Video Segmentation with Motion Expressions", ICCV 2023).

`{train,valid_u,valid}/JPEGImages/<video>/%05d.jpg`, `meta_expressions.json`, `mask_dict.json`. An expression may refer
to several objects: its sample then has all of them, and the target is their union.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from uniref.core import rle
from uniref.core.errors import UniRefError
from uniref.core.files import exists
from uniref.core.tasks import Task
from uniref.data.index import TRUTH, IndexWriter
from uniref.data.prepare.dataset import OVIS_VIDEOS, DataSet, PublishedCounts
from uniref.data.prepare.job import BadRecord, ConversionJob, image_size
from uniref.data.prepare.regions import region_of_counts
from uniref.data.prepare.videos import read_video_json, text_of
from uniref.data.protocol import MEVIS_SERVER, VIDEO_EXPRESSIONS

_PUBLISHED = {
    "train": "f9d9b01a2a6d7a004e2e7a664ce2b9b1576218e975030f8e4df4f66111fb253f",
    "valid_u": "6e711a3f713cd95a825f536323e434b4d80f85a8e4e66d0cd662408e8779db50",
}
"""SHA-256 of mask_dict.json."""
_FOLDERS = {"train": "train", "valid_u": "valid_u", "val": "valid"}


def convert(job: ConversionJob) -> None:
    """One sample per expression; `val` has no masks."""
    meta_file = job.need(f"{_FOLDERS[job.split]}/meta_expressions.json")
    base = meta_file.parent
    videos = read_video_json(job, meta_file, "expressions", "frames")
    hidden = job.split == "val"
    masks: Mapping[str, Any] = {} if hidden else _read_masks(job, base / "mask_dict.json")
    names = job.first(sorted(videos))
    with job.writer({"mevis": base}) as writer:
        for name in job.progress(names, f"mevis/{job.split}", len(names), "video"):
            with job.record(f"{meta_file}: video {name}"):
                _add_video(writer, base, name, videos[name], masks, hidden)


def _read_masks(job: ConversionJob, path: Path) -> Mapping[str, Any]:
    masks = job.read_json(path)
    if not isinstance(masks, dict):
        raise UniRefError(f"{path}: does not hold masks by annotation id")
    if job.subset is None and job.sources[-1].sha256 != _PUBLISHED[job.split]:
        job.notes.append(f"{path.name} is not the one of MeViS v1 (its SHA-256 is {job.sources[-1].sha256})")
    return masks


def _add_video(
    writer: IndexWriter, base: Path, name: str, video: Mapping[str, Any], masks: Mapping[str, Any], hidden: bool
) -> None:
    folder = base / "JPEGImages" / name
    # frames and texts, checked before anything is written
    frames = [f"{frame}.jpg" for frame in sorted(video["frames"])]
    for frame in frames:
        if not exists(folder / frame):
            raise BadRecord(f"{folder / frame}: no such file")
    texts = {str(number): text_of(expression["exp"]) for number, expression in video["expressions"].items()}
    height, width = image_size(folder / frames[0])
    tracks = {} if hidden else _tracks(video, masks, len(frames), height, width)
    # the video and its objects
    writer.add_media(
        name=name,
        kind="frames",
        root="mevis",
        path=f"JPEGImages/{name}",
        frames=frames,
        width=width,
        height=height,
        complete=not hidden,
    )
    rows = {}
    for key, track in tracks.items():
        rows[key] = writer.add_object(source_id=int(key))
        for index, counts in track:
            region = region_of_counts(counts, height, width)
            writer.add_annotation(index, region.box, region.counts, region.area, TRUTH)
    # one sample per expression, with all objects that it refers to
    for number, expression in video["expressions"].items():
        text = writer.add_expression(texts[number], source_id=number)
        objects = [] if hidden else [rows[str(key)] for key in expression["anno_id"]]
        writer.add_sample(objects=objects, expressions=[text])


def _tracks(
    video: Mapping[str, Any], masks: Mapping[str, Any], length: int, height: int, width: int
) -> dict[str, list[tuple[int, bytes]]]:
    """Run lengths of every annotation that an expression refers to, by annotation id."""
    needed = sorted({str(key) for e in video["expressions"].values() for key in e["anno_id"]}, key=int)
    tracks = {}
    for key in needed:
        if key not in masks:
            raise BadRecord(f"annotation {key} is not in mask_dict.json")
        if len(masks[key]) != length:
            raise BadRecord(f"annotation {key} has {len(masks[key])} masks for {length} frames")
        try:
            encoded = [None if m is None else rle.from_segmentation(m, height, width) for m in masks[key]]
        except ValueError as error:
            raise BadRecord(f"annotation {key}: {error}") from None
        tracks[key] = [(frame, counts) for frame, counts in enumerate(encoded) if counts is not None]
    return tracks


DATASETS = (
    DataSet(
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
        protocol=replace(VIDEO_EXPRESSIONS, server=MEVIS_SERVER, missing="zero"),
        hidden=("val",),
        media_family=OVIS_VIDEOS,
    ),
)
