"""BURST (Athar et al., "BURST: A Benchmark for Unifying Object Recognition, Segmentation and Tracking in Video", WACV
2023), its exemplar-guided task: every object is given by its first mask.

`<split>/all_classes.json` (read in Ali2500/BURST-benchmark, `ANNOTATION_FORMAT.md`) and the frames of TAO,
`frames/<split>/<source>/<video>/<frame>.jpg`. In val and test, one frame per second is annotated; predictions are made
for all frames that are there. What is scored is read in that repository's `burstapi/eval/run.py` and
`burstapi/thirdparty/trackeval/datasets`, as for `EXEMPLAR_GUIDED` (the script itself leaves that unset).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from uniref.core import rle
from uniref.core.tasks import Task
from uniref.data.index import IndexWriter
from uniref.data.prepare.dataset import DataSet, no_counts
from uniref.data.prepare.job import BadRecord, ConversionJob, image_size
from uniref.data.prepare.regions import VOID, Region, empty_region, region_of_counts
from uniref.data.prepare.videos import add_track
from uniref.data.protocol import VIDEO_OBJECTS

# fmt: off
DISTRACTORS = frozenset((
    20, 63, 108, 180, 188, 204, 212, 247, 303, 403, 407, 415, 490, 504, 507, 513, 529, 567, 569, 588, 672, 691,
    702, 708, 711, 720, 736, 737, 798, 813, 815, 827, 831, 851, 877, 883, 912, 971, 976, 1130, 1133, 1134, 1169,
    1184, 1220,
))
"""Categories whose objects are neither given nor scored (ids of LVIS)."""
COMMON = frozenset((
    4, 13, 34, 35, 36, 41, 45, 58, 60, 78, 79, 81, 91, 95, 99, 118, 126, 133, 139, 154, 174, 185, 211, 221, 229,
    235, 237, 276, 299, 347, 371, 382, 392, 428, 429, 452, 475, 480, 502, 544, 579, 621, 625, 642, 699, 714, 717,
    729, 747, 779, 805, 829, 852, 896, 926, 937, 961, 979, 980, 982, 993, 1001, 1018, 1038, 1057, 1091, 1097,
    1099, 1115, 1117, 1122, 1132, 1135, 1144, 1155, 1162, 1215, 1229,
))
"""Categories that count as common; the others are uncommon."""
# fmt: on
_MERGED = {153: 943, 201: 1175, 967: 529}
"""Categories that TAO counts as others."""


@dataclass(frozen=True)
class _Video:
    """A sequence, checked before anything is written."""

    name: str
    frames: tuple[str, ...]
    size: tuple[int, int]
    tracks: Mapping[int, Mapping[int, Region]]
    """Regions by track id and frame index."""
    categories: Mapping[int, int]
    """By track id."""


def convert(job: ConversionJob) -> None:
    """One sample per video with all its objects."""
    split = job.split
    path = job.need(*(f"{folder}{split}/all_classes.json" for folder in ("annotations/", "burst_annotations/", "")))
    images = job.need(*(f"{folder}/{split}" for folder in ("frames", "TAO/frames", "tao/frames", "images")))
    data = job.read_json(path)
    sequences = data.get("sequences") if isinstance(data, dict) else None
    if not isinstance(sequences, list) or not sequences:
        job.bad(path, "has no `sequences`")
        return
    names: dict[int, str] = {}
    with job.record(f"{path}: categories"):
        names = {int(category["id"]): str(category["name"]) for category in data["categories"]}
    with job.writer({"burst": images}, categories=names) as writer:
        for place, record in enumerate(job.first(sequences)):
            video = None
            with job.record(f"{path}: sequence {place}"):
                video = _checked(images, record)
            if video is not None and not video.tracks:
                writer.drop("video without an object that is scored")
            elif video is not None:
                _add_video(writer, video, scored=split != "train")


def _checked(images: Path, record: Mapping[str, Any]) -> _Video:
    """Frames and masks. Raises BadRecord and what a malformed record raises."""
    source, name = str(record["dataset"]), str(record["seq_name"])
    if any(part in ("", ".", "..") or "/" in part or "\\" in part for part in (source, name)):
        raise BadRecord(f"{source}/{name} is not a valid name")
    size = (int(record["height"]), int(record["width"]))
    frames, annotated = _frames(images / source / name, record)
    if (found := image_size(images / source / name / frames[annotated[0]])) != size:
        raise BadRecord(
            f"{source}/{name}: is {size[1]} x {size[0]} by its record, its frames are {found[1]} x {found[0]}"
        )
    # masks of the objects that are scored, in frames that show any object which is not a distractor
    original = {int(track): int(category) for track, category in record["track_category_ids"].items()}
    categories = {track: _MERGED.get(category, category) for track, category in original.items()}
    tracks: dict[int, dict[int, Region]] = {}
    counted: list[int] = []
    for frame, masks in zip(annotated, record["segmentations"], strict=True):
        for text, mask in masks.items():
            track = int(text)
            if original[track] in DISTRACTORS:
                continue
            counted += [frame] if frame not in counted[-1:] else []
            if categories[track] not in DISTRACTORS:
                tracks.setdefault(track, {})[frame] = region_of_counts(_counts(mask, size), *size)
    if bad := [track for track in tracks if not 0 < track < VOID]:
        raise BadRecord(f"{source}/{name}: track {bad[0]}: the ids of a video are expected to be 1 to {VOID - 1}")
    # where no object that is scored has been given yet, nothing can be predicted
    first = min((frame for track in tracks.values() for frame in track), default=0)
    absent = empty_region(*size)
    complete = {
        track: {frame: regions.get(frame, absent) for frame in counted if frame >= first}
        for track, regions in sorted(tracks.items())
    }
    return _Video(f"{source}/{name}", frames, size, complete, categories)


def _frames(folder: Path, record: Mapping[str, Any]) -> tuple[tuple[str, ...], list[int]]:
    """Names of the frames, and the places of the annotated ones among them: all frames, or where some of those are not
    in the folder, only the annotated ones. Raises BadRecord."""
    every, annotated = [str(name) for name in record["all_image_paths"]], record["annotated_image_paths"]
    if any("/" in name or "\\" in name for name in (*every, *annotated)) or not annotated:
        raise BadRecord(f"{folder}: its frames are not a list of file names")
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    names = every if present.issuperset(every) else list(annotated)
    if lost := sorted(set(annotated) - present):
        raise BadRecord(f"{folder / lost[0]}: no such file")
    place = {name: frame for frame, name in enumerate(names)}
    return tuple(names), [place[name] for name in annotated]


def _counts(mask: Mapping[str, Any], size: tuple[int, int]) -> bytes:
    counts = str(mask["rle"]).encode("ascii")
    rle.check(counts, *size)
    return counts


def _add_video(writer: IndexWriter, video: _Video, scored: bool) -> None:
    height, width = video.size
    writer.add_media(
        name=video.name,
        kind="frames",
        root="burst",
        path=video.name,
        frames=video.frames,
        width=width,
        height=height,
        complete=False,
    )
    rows = []
    for number, track in video.tracks.items():
        shown = {frame: region for frame, region in track.items() if region.area}
        category = video.categories[number]
        given = min(shown, default=-1) if scored else -1
        row = add_track(
            writer,
            number,
            track if scored else shown,
            given_frame=given,
            category=category,
            seen=category in COMMON if scored else None,
        )
        rows.append(row)
    writer.add_sample(objects=rows)


DATASETS = (
    DataSet(
        name="burst",
        title="BURST, exemplar-guided (mask)",
        task=Task.VOS,
        splits=no_counts("train", "val", "test"),
        convert=convert,
        size="not published",
        licence="not stated for the annotations; frames: terms of TAO and of its seven sources",
        page="https://github.com/Ali2500/BURST-benchmark",
        files="annotations.zip, and the frames of TAO (registration at motchallenge.net)",
        layout="annotations/<split>/all_classes.json, frames/<split>/<source>/<video>/<frame>.jpg",
        group="burst",
        folders=("tao",),
        default_splits=("val", "test"),
        papers=("BURST (train, val, test)",),
        protocol=replace(
            VIDEO_OBJECTS, summary="tracking", threshold=0.4, frames="annotated", missing="empty", other_ids=True
        ),
    ),
)
