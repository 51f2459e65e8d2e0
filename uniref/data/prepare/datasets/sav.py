"""SA-V (Ravi et al., "SAM 2: Segment Anything in Images and Videos", ICLR 2025), its validation and test sets.

`sav_<split>/sav_<split>.txt`, `JPEGImages_24fps/<video>/%05d.jpg`, `Annotations_6fps/<video>/<object>/%05d.png` (read
in facebookresearch/sam2, `sav_dataset/README.md`). Objects may overlap, so that each has masks of its own, in every
fourth frame; predictions are made for all frames, in the same layout. An object's masks may begin with empty ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from uniref.core.tasks import Task
from uniref.data.index import IndexWriter
from uniref.data.prepare.dataset import DataSet, PublishedCounts
from uniref.data.prepare.job import BadRecord, ConversionJob
from uniref.data.prepare.regions import Region, empty_region
from uniref.data.prepare.videos import add_track, read_frames, read_object_masks
from uniref.data.protocol import VIDEO_OBJECTS

_IMAGES, _MASKS = "JPEGImages_24fps", "Annotations_6fps"


@dataclass(frozen=True)
class _Video:
    """A video that was read."""

    name: str
    frames: tuple[str, ...] = ()
    size: tuple[int, int] = (0, 0)
    tracks: Mapping[int, Mapping[int, Region | None]] | None = None
    """Regions by object id and annotated frame; None where the object is absent."""
    problem: str = ""


def convert(job: ConversionJob) -> None:
    """One sample per object, given by its first mask that is not empty."""
    name = f"sav_{job.split}"
    names_file = job.need(f"{name}/{name}.txt", f"{name}.txt")
    base = names_file.parent
    names = job.first(job.read_names(names_file))
    with job.writer({"sav": base}) as writer:
        for video in job.map(_read, [(base, name) for name in names], "video"):
            if video.problem:
                job.bad(f"{names_file}: video {video.name}", video.problem)
            else:
                _add_video(writer, video)


def _read(place: tuple[Path, str]) -> _Video:
    base, name = place
    try:
        return _checked(base, name)
    except BadRecord as error:
        return _Video(name, problem=str(error))


def _checked(base: Path, name: str) -> _Video:
    """Frames and masks. Raises BadRecord."""
    if name in (".", "..") or "/" in name or "\\" in name:
        raise BadRecord("its name is not a valid folder name")
    names, frame_of, size = read_frames(base / _IMAGES / name)
    folder = base / _MASKS / name
    if not folder.is_dir():
        raise BadRecord(f"{folder}: no such folder")
    tracks: dict[int, Mapping[int, Region | None]] = {}
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        if not path.name.isdecimal():
            raise BadRecord(f"{path}: is not the number of an object")
        if lost := sorted({mask.stem for mask in path.glob("*.png")} - frame_of.keys()):
            raise BadRecord(f"{path / lost[0]}.png: there is no frame of this name")
        tracks[int(path.name)] = read_object_masks(path, frame_of, size)
        if not any(tracks[int(path.name)].values()):
            raise BadRecord(f"{path}: no mask shows the object")
    if not tracks:
        raise BadRecord(f"{folder}: has no objects")
    return _Video(name, names, size, tracks)


def _add_video(writer: IndexWriter, video: _Video) -> None:
    height, width = video.size
    writer.add_media(
        name=video.name,
        kind="frames",
        root="sav",
        path=f"{_IMAGES}/{video.name}",
        frames=video.frames,
        width=width,
        height=height,
        complete=False,
    )
    absent = empty_region(height, width)
    for number, track in (video.tracks or {}).items():
        given = min(frame for frame, region in track.items() if region is not None)
        regions = {frame: region or absent for frame, region in track.items()}
        writer.add_sample(objects=[add_track(writer, number, regions, given_frame=given)])


DATASETS = (
    DataSet(
        name="sav",
        title="SA-V, validation and test sets",
        task=Task.VOS,
        splits={"val": PublishedCounts(155, 293), "test": PublishedCounts(150, 278)},
        convert=convert,
        size="not published",
        licence="CC BY 4.0",
        page="https://ai.meta.com/datasets/segment-anything-video-downloads/",
        files="the archives of the val and test sets",
        layout="sav_<split>/{sav_<split>.txt,JPEGImages_24fps/<video>/%05d.jpg,"
        "Annotations_6fps/<video>/<object>/%05d.png}",
        group="sav",
        folders=("sa-v", "sa_v"),
        papers=("SAM 2 (val, test)",),
        protocol=replace(VIDEO_OBJECTS, threshold=0.4, frames="inner annotated", name="{media}/{object}", mode="L"),
    ),
)
