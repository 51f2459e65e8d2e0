"""Users' videos in the layouts of DAVIS, YouTube-VOS, MOSE and SA-V.

JPEGImages/run/00000.jpg   Annotations/run/00000.png        a video and its label maps, for all frames or some
JPEGImages/480p/run/...    Annotations/480p/run/...         the same with a folder for the resolution (DAVIS)
                           Annotations/run/001/00000.png    one folder of black-and-white masks per object (SA-V)
meta.json                  ImageSets/2017/train.txt         class names; names of the videos of a split
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from uniref.core.errors import UniRefError
from uniref.core.json_files import outline
from uniref.data.prepare.formats import plain
from uniref.data.prepare.formats.file_tree import FileTree, is_image_name
from uniref.data.prepare.formats.write_videos import write_videos
from uniref.data.prepare.job import ConversionJob
from uniref.data.prepare.regions import Region
from uniref.data.prepare.split_names import in_split_order, split_of
from uniref.data.prepare.videos import LabelledVideo, VideoFiles, read_labelled_video, read_video_json

_FRAMES, _MASKS = "JPEGImages", "Annotations"
_RESOLUTIONS = ("480p", "Full-Resolution", "1080p", "720p")


def find(tree: FileTree) -> list[Path]:
    """Folders that hold `JPEGImages` and `Annotations`."""
    parents = [
        PurePosixPath(folder).parent
        for folder in tree.folders
        if PurePosixPath(folder).name == _FRAMES and str(PurePosixPath(folder).parent / _MASKS) in tree.folders
    ]
    return [tree.base / parent for parent in parents]


def splits(paths: Sequence[Path], base: Path | None) -> dict[str, list[Path]]:
    """The splits that `ImageSets` lists; by the folders' names where it lists none."""
    by_split: dict[str, list[Path]] = {}
    for path in paths:
        listed = {split_of(Path(x.name)) for x in _lists(path)} - {None}
        for split in listed or {split_of(path, base) or "train"}:
            by_split.setdefault(str(split), []).append(path)
    return in_split_order(by_split)


def _lists(path: Path) -> list[Path]:
    folder = path / "ImageSets"
    lists = sorted(folder.rglob("*.txt")) if folder.is_dir() else []
    newest = [x for x in lists if x.parent.name == "2017"]
    return newest or lists


def prepare(job: ConversionJob, paths: Sequence[Path], trees: Sequence[FileTree]) -> None:
    """One split from its folder. Raises UniRefError."""
    base = paths[0]
    if len(paths) > 1:
        raise UniRefError(f"{base}: and {paths[1]} are both of split {job.split}; name one with --source")
    # folders of frames; where there are none, single images
    frames, masks = _with_resolution(base)
    names = sorted(x.name for x in frames.iterdir() if x.is_dir() and not x.name.startswith("."))
    if not names:
        plain.prepare_images(job, base, frames, masks)
        return
    # the videos of the split
    if listed := [x for x in _lists(base) if split_of(Path(x.name)) == job.split]:
        selected = {line.split()[0] for x in listed for line in job.read_lines(x)}
        for name in sorted(selected - set(names)):
            job.bad(listed[0], f"{name}: there is no folder of this name in {frames}")
        names = [name for name in names if name in selected]
    # frames and label maps
    files = [VideoFiles(name, frames / name, masks / name, users_own=True) for name in names]
    videos = [_read(each) for each in job.progress(job.first(files), f"{job.dataset.name}/{job.split}", None, "video")]
    usable: list[tuple[VideoFiles, LabelledVideo]] = []
    for each, video in zip(files, videos, strict=False):
        if video.problem:
            job.bad(video.name, video.problem)
        else:
            usable.append((each, video))
    classes = _classes(job, base)
    write_videos(job, base, [each for each, _ in usable], classes, [video for _, video in usable])


def _with_resolution(base: Path) -> tuple[Path, Path]:
    """The folders of frames and of masks, inside that of their resolution where there is one."""
    frames, masks = base / _FRAMES, base / _MASKS
    for name in _RESOLUTIONS:
        if (frames / name).is_dir() and (masks / name).is_dir():
            return frames / name, masks / name
    return frames, masks


def _read(files: VideoFiles) -> LabelledVideo:
    """A video; where its masks lie in one folder per object, these are merged."""
    assert files.labels is not None
    folder = files.labels
    objects = sorted(x for x in folder.iterdir() if x.is_dir()) if folder.is_dir() else []
    if not objects or any(is_image_name(x.name) for x in folder.iterdir() if x.is_file()):
        return read_labelled_video(files)
    # one track per folder
    numbers = _numbers([x.name for x in objects])
    tracks: dict[int, dict[int, Region]] = {}
    labelled: set[int] = set()
    notes: dict[str, None] = {}
    video = None
    for number, each in zip(numbers, objects, strict=True):
        video = read_labelled_video(replace(files, labels=each))
        if video.problem:
            return video
        if len(video.tracks) > 1:
            return replace(video, problem=f"{each}: shows {len(video.tracks)} objects; a folder per object shows one")
        tracks.update((number, dict(track)) for track in video.tracks.values())
        labelled |= set(video.labelled)
        notes |= dict.fromkeys(video.notes)
    assert video is not None
    return replace(video, tracks=tracks, labelled=tuple(sorted(labelled)), notes=tuple(notes))


def _numbers(names: Sequence[str]) -> list[int]:
    """Numbers of the objects by their folders' names; counted from 1 where a name is 0 or not a number."""
    if all(name.isdecimal() and int(name) > 0 for name in names) and len({int(name) for name in names}) == len(names):
        return [int(name) for name in names]
    return list(range(1, len(names) + 1))


def _classes(job: ConversionJob, base: Path) -> dict[str, dict[int, str]]:
    """Class names by video and object, where `meta.json` has some. Raises UniRefError."""
    path = base / "meta.json"
    if not path.is_file() or "videos" not in outline(path):
        return {}
    classes: dict[str, dict[int, str]] = {}
    for name, video in read_video_json(job, path, "objects").items():
        with job.record(f"{path}: video {name}"):
            classes[name] = {
                int(number): str(info["category"]) for number, info in video["objects"].items() if info.get("category")
            }
    return classes
