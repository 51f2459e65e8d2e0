"""Long-RVOS (Liang et al., "Long-RVOS: A Comprehensive Benchmark for Long-term Referring Video Object Segmentation",
arXiv 2505.12702).

`{train,valid,test}/JPEGImages/<video>/<frame>.jpg`, `Annotations/<video>/<object>/<frame>.png` (white is the object; no
file where it is absent) and `meta_expressions.json` (read in iSEE-Laboratory/Long_RVOS: README.md,
`datasets/long_rvos/long_rvos_dataset.py` and `eval/eval_long_rvos/`). Whether `test` comes with masks is told
differently in different places: without them it is prepared as a split whose truth is unknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from uniref.core.files import exists
from uniref.core.tasks import Task
from uniref.data.index import TRUTH, IndexWriter
from uniref.data.prepare.dataset import DataSet, no_counts
from uniref.data.prepare.job import BadRecord, ConversionJob, image_size
from uniref.data.prepare.regions import Region
from uniref.data.prepare.videos import read_object_masks, read_video_json, text_of
from uniref.data.protocol import LONG_TYPES, VIDEO_EXPRESSIONS

_FOLDERS = {"train": "train", "val": "valid", "test": "test"}


@dataclass(frozen=True)
class _VideoFiles:
    """A video that is to be read."""

    name: str
    base: Path
    record: Mapping[str, Any]
    masks: bool


@dataclass(frozen=True)
class _Text:
    id: str
    text: str
    object_id: int
    kind: int


@dataclass(frozen=True)
class _Video:
    """A video that was read."""

    name: str
    frames: tuple[str, ...] = ()
    size: tuple[int, int] = (0, 0)
    texts: tuple[_Text, ...] = ()
    tracks: Mapping[int, Mapping[int, Region]] | None = None
    """Regions by object id and frame; None where the truth is unknown."""
    problem: str = ""


def convert(job: ConversionJob) -> None:
    """Train: one sample per object with all its expressions. Otherwise one per expression."""
    folder = _FOLDERS[job.split]
    meta_file = job.need(*(f"{parent}{folder}/meta_expressions.json" for parent in ("long_rvos/", "")))
    base = meta_file.parent
    videos = read_video_json(job, meta_file, "expressions", "frames")
    has_masks = exists(base / "Annotations")
    if not has_masks and job.split != "test":
        job.need(f"{folder}/Annotations")
    if not has_masks:
        job.notes.append(f"{base} has no Annotations: its truth is unknown here")
    files = [_VideoFiles(name, base, videos[name], has_masks) for name in job.first(sorted(videos))]
    with job.writer({"long-rvos": base}) as writer:
        for video in job.map(_read_video, files, "video"):
            if video.problem:
                job.bad(f"{meta_file}: video {video.name}", video.problem)
            else:
                _add_video(writer, video, together=job.split == "train")


def _read_video(files: _VideoFiles) -> _Video:
    try:
        return _checked(files)
    except (BadRecord, KeyError, TypeError, ValueError) as error:
        problem = f"has no {error}" if isinstance(error, KeyError) else str(error)
        return _Video(files.name, problem=problem)


def _checked(files: _VideoFiles) -> _Video:
    """Frames, expressions and masks. Raises BadRecord, KeyError, TypeError, ValueError."""
    images = files.base / "JPEGImages" / files.name
    frames = tuple(f"{frame}.jpg" for frame in sorted(files.record["frames"]))
    for frame in frames:
        if not exists(images / frame):
            raise BadRecord(f"{images / frame}: no such file")
    size = image_size(images / frames[0])
    texts = tuple(_text(str(number), record) for number, record in files.record["expressions"].items())
    tracks = None
    if files.masks:
        folder = files.base / "Annotations" / files.name
        numbers = sorted({text.object_id for text in texts})
        frame_of = {Path(frame).stem: number for number, frame in enumerate(frames)}
        tracks = {number: _read_track(folder / str(number), frame_of, size) for number in numbers}
    return _Video(files.name, frames, size, texts, tracks)


def _text(number: str, record: Mapping[str, Any]) -> _Text:
    kind = record["type"]
    if kind not in LONG_TYPES:
        raise BadRecord(f"the type of expression {number} is {kind!r}, not one of {', '.join(LONG_TYPES)}")
    return _Text(number, text_of(record["exp"]), int(record["obj_id"]), LONG_TYPES.index(kind))


def _read_track(folder: Path, frame_of: Mapping[str, int], size: tuple[int, int]) -> dict[int, Region]:
    """The regions of an object by frame; none where its mask is empty or missing. Raises BadRecord."""
    masks = read_object_masks(folder, frame_of, size)
    return {frame: region for frame, region in masks.items() if region is not None}


def _add_video(writer: IndexWriter, video: _Video, together: bool) -> None:
    height, width = video.size
    writer.add_media(
        name=video.name,
        kind="frames",
        root="long-rvos",
        path=f"JPEGImages/{video.name}",
        frames=video.frames,
        width=width,
        height=height,
        complete=video.tracks is not None,
    )
    rows = {}
    for number, track in (video.tracks or {}).items():
        rows[number] = writer.add_object(source_id=number)
        for frame, region in track.items():
            writer.add_annotation(frame, region.box, region.counts, region.area, TRUTH)
    # samples: alternatives for one object, or one by one
    groups: dict[Any, list[_Text]] = defaultdict(list)
    for text in video.texts:
        groups[text.object_id if together else text.id].append(text)
    for texts in groups.values():
        objects = [rows[texts[0].object_id]] if rows else []
        added = [writer.add_expression(text.text, source_id=text.id) for text in texts]
        writer.add_sample(objects=objects, expressions=added, group=-1 if together else texts[0].kind)


DATASETS = (
    DataSet(
        name="long-rvos",
        title="Long-RVOS (videos of a minute)",
        task=Task.RVOS,
        splits=no_counts("train", "val", "test"),
        convert=convert,
        size="51 GB (train)",
        licence="MIT (its repository) or Apache-2.0 (its page on Hugging Face)",
        page="https://huggingface.co/datasets/iSEE-Laboratory/Long-RVOS",
        files="JPEGImages.tar.gz, Annotations.tar.gz and meta_expressions.json of each split",
        layout="{train,valid,test}/{JPEGImages/<video>/<frame>.jpg,Annotations/<video>/<object>/<frame>.png,"
        "meta_expressions.json}",
        group="long-rvos",
        folders=("long_rvos", "longrvos"),
        papers=("ReferMo (train, val, test)",),
        protocol=replace(VIDEO_EXPRESSIONS, summary="long", missing="empty"),
    ),
)
