"""YouTube-VOS 2018 and 2019: `{train,valid}/{JPEGImages,Annotations}/<video>/<frame>`, `{train,valid}/meta.json`.

Frames are named by their number in the original video (`00000`, `00005`, ...). Not every label map shows every object
that is visible, so a missing mask does not mean that an object is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uniref.data.index import IndexWriter
from uniref.data.prepare import ytvis
from uniref.data.prepare.clips import Clip, ClipFiles, add_clip, add_track, read_clips
from uniref.data.prepare.job import Job

_FOLDERS = {"train": ("train",), "val": ("valid", "val")}


def prepare(job: Job) -> None:
    """One sample a video with all its objects; in val each is given in the one label map that shows it."""
    if (official := ytvis.find(job)) is not None:
        ytvis.prepare_videos(job, official, complete=False)
        return
    base = split_folder(job)
    meta = read_meta(job, base)
    names = sorted(meta) if meta is not None else sorted(x.name for x in (base / "JPEGImages").iterdir() if x.is_dir())
    files = [ClipFiles(name, base / "JPEGImages" / name, base / "Annotations" / name) for name in names]
    categories = category_ids(meta)
    with job.writer({"youtube-vos": base}, categories={i: n for n, i in categories.items()}) as writer:
        if meta is None:
            writer.notes.append("meta.json was missing: objects are those of the label maps")
        for clip in read_clips(job, files):
            objects = clip_objects(job, clip, meta)
            if objects is None:
                continue
            add_clip(writer, clip, "youtube-vos", f"JPEGImages/{clip.name}", complete=False)
            rows = [
                add_object(writer, clip, number, info, categories, given=job.split == "val")
                for number, info in objects.items()
            ]
            writer.add_sample(objects=rows)


def split_folder(job: Job) -> Path:
    """The folder of this split."""
    return job.need(*(f"{name}/JPEGImages" for name in _FOLDERS[job.split])).parent


def read_meta(job: Job, base: Path) -> dict[str, dict[str, Any]] | None:
    """Objects of every video by `meta.json`, which some copies lack (training only)."""
    path = base / "meta.json"
    if not path.exists() and job.split == "train":
        return None
    data = job.read_json(path)
    videos = data.get("videos") if isinstance(data, dict) else None
    if not isinstance(videos, dict):
        job.bad(path, "has no `videos`")
        return {}
    return {str(name): dict(video.get("objects", {})) for name, video in videos.items()}


def category_ids(meta: dict[str, dict[str, Any]] | None) -> dict[str, int]:
    """Numbers for the category names, in alphabetical order from 1."""
    names = {info.get("category") for objects in (meta or {}).values() for info in objects.values()}
    return {name: place for place, name in enumerate(sorted(n for n in names if n), start=1)}


def clip_objects(job: Job, clip: Clip, meta: dict[str, dict[str, Any]] | None) -> dict[int, Mapping[str, Any]] | None:
    """Objects of a clip by number; None where label maps and meta.json disagree."""
    if meta is None:
        return {number: {} for number in clip.tracks}
    objects = {int(number): info for number, info in sorted(meta[clip.name].items(), key=lambda item: int(item[0]))}
    if extra := sorted(set(clip.tracks) - set(objects)):
        job.bad(f"{clip.name}", f"its label maps show object {extra[0]}, which meta.json does not have")
        return None
    return objects


def add_object(
    writer: IndexWriter,
    clip: Clip,
    number: int,
    info: Mapping[str, Any],
    categories: Mapping[str, int],
    given: bool,
) -> int:
    """An object's track; meta.json names the frames it is scored in."""
    track = clip.tracks.get(number, {})
    places = {Path(name).stem: place for place, name in enumerate(clip.frames)}
    listed = sorted(places[f] for f in info.get("frames", ()) if f in places)
    return add_track(
        writer,
        number,
        track,
        given=min(track, default=-1) if given else -1,
        category=categories.get(info.get("category", ""), -1),
        score_range=(listed[0], listed[-1]) if listed and given else None,
    )
