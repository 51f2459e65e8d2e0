"""Videos given as folders of frames with label maps: DAVIS, YouTube-VOS, LVOS, MOSE and what is built on them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from uniref.core.errors import MediaError
from uniref.data.index import GIVEN, TRUTH, IndexWriter
from uniref.data.prepare.clip_file import clip_file_size
from uniref.data.prepare.job import BadRecord, Job, image_size
from uniref.data.prepare.labels import VOID, Region, read_label_map, regions
from uniref.media.image import EXTENSIONS, Labels, read_labels

T = TypeVar("T")


@dataclass(frozen=True)
class ClipFiles:
    """A video on disk."""

    name: str
    frames: Path
    """Folder of pictures, or a video file."""
    labels: Path | None
    """Folder of label maps named like the frames (or by their number); only some frames may have one."""
    own: bool = False
    """A user's: masks of any shape that people have (`read_labels`); where all of a clip are black and white, white is
    object 1 and not void. Otherwise label maps as they are published."""


@dataclass(frozen=True)
class Clip:
    """A video as read."""

    name: str
    frames: tuple[str, ...]
    """File names; none where the clip is a video file."""
    length: int
    height: int
    width: int
    tracks: Mapping[int, Mapping[int, Region]]
    """Regions by object id, then frame index."""
    labelled: tuple[int, ...]
    """Frames that have a label map."""
    void: Mapping[int, Region] = field(default_factory=dict)
    """Regions that belong to nothing (label 255), by frame index."""
    problem: str = ""
    """Why it cannot be used."""
    notes: tuple[str, ...] = ()
    """What was guessed about its masks."""


def read_clip(files: ClipFiles) -> Clip:
    """Read every label map of a video and check it against the frames."""
    try:
        return _read(files)
    except BadRecord as error:
        return Clip(files.name, (), 0, 0, 0, {}, (), problem=str(error))


def _read(files: ClipFiles) -> Clip:
    is_file = files.frames.is_file()
    names, places, size = _read_file(files.frames) if is_file else _read_folder(files.frames)
    found: dict[int, dict[int, Region]] = {}
    labelled: list[int] = []
    numbers: dict[tuple[int, int, int], int] = {}
    notes: dict[str, None] = {}
    for path in _label_maps(files.labels, files.own):
        place = places.get(str(int(path.stem)) if is_file and path.stem.isdecimal() else path.stem)
        if place is None or place in labelled:
            raise BadRecord(f"{path}: there is no {'other ' if place in labelled else ''}frame of this name")
        labels = _own_labels(path) if files.own else Labels(_at(path, read_label_map))
        if labels.ids.shape != size:
            raise BadRecord(f"{path}: is {_text(labels.ids.shape)}, the frame {_text(size)}")
        labelled.append(place)
        if labels.note:
            notes[labels.note] = None
        for number, region in regions(labels.ids, void=True).items():
            # a colour is the same object in all frames; white is void where other frames have ids
            own = numbers.setdefault(labels.colours[number - 1], len(numbers) + 1) if labels.colours else number
            found.setdefault(VOID if labels.white else own, {})[place] = region
    tracks = {number: dict(sorted(found[number].items())) for number in sorted(found)}
    void = tracks.pop(VOID, {})
    if files.own and not tracks:
        tracks, void = ({1: void} if void else {}), {}
    return Clip(files.name, names, len(places), *size, tracks, tuple(sorted(labelled)), void, notes=tuple(notes))


def _own_labels(path: Path) -> Labels:
    try:
        return read_labels(path)
    except MediaError as error:
        raise BadRecord(str(error)) from None


def _read_folder(folder: Path) -> tuple[tuple[str, ...], dict[str, int], tuple[int, int]]:
    """Names of the frames, their places by name without extension, and (height, width)."""
    if not folder.is_dir():
        raise BadRecord(f"{folder}: no such folder")
    names = sorted(f.name for f in folder.iterdir() if f.suffix.lower() in EXTENSIONS)
    if not names:
        raise BadRecord(f"{folder}: holds no pictures")
    size = _size(folder / names[0])
    for name in names[1:]:
        if (other := _size(folder / name)) != size:
            raise BadRecord(f"{folder / name}: is {_text(other)}, the first frame {_text(size)}")
    places = {Path(name).stem: place for place, name in enumerate(names)}
    if len(places) < len(names):
        raise BadRecord(f"{folder}: holds two frames of one name")
    return tuple(names), places, size


def _read_file(path: Path) -> tuple[tuple[str, ...], dict[str, int], tuple[int, int]]:
    """As `_read_folder` for a video file; its frames are called by their number, however many zeros it has."""
    length, height, width = clip_file_size(path)
    return (), {str(place): place for place in range(length)}, (height, width)


def _label_maps(folder: Path | None, own: bool) -> Sequence[Path]:
    if folder is None:
        return ()
    if not folder.is_dir():
        raise BadRecord(f"{folder}: no such folder")
    if not own:
        return sorted(folder.glob("*.png"))
    return sorted(x for x in folder.iterdir() if x.suffix.lower() in EXTENSIONS and not x.name.startswith("."))


def _size(path: Path) -> tuple[int, int]:
    return _at(path, image_size)


def _at(path: Path, read: Callable[[Path], T]) -> T:
    try:
        return read(path)
    except BadRecord as error:
        raise BadRecord(f"{path}: {error}") from None


def _text(size: Sequence[int]) -> str:
    return f"{size[1]} x {size[0]}"


def read_clips(job: Job, files: Sequence[ClipFiles], every_frame: bool = False) -> Generator[Clip]:
    """The usable videos among `files`, in order; others are reported.

    Args:
        job: What is prepared.
        files: Where the videos are.
        every_frame: A frame without a label map makes a video unusable.
    """
    for clip in job.map(read_clip, job.first(files), "video"):
        if clip.problem:
            job.bad(clip.name, clip.problem)
        elif every_frame and len(clip.labelled) != clip.length:
            missing = sorted(set(range(clip.length)) - set(clip.labelled))[0]
            job.bad(job.video(clip.name), f"{clip.frames[missing]} has no label map")
        else:
            yield clip


def add_clip(writer: IndexWriter, clip: Clip, root: str, path: str, complete: bool) -> int:
    """Begin a clip's media."""
    return writer.add_media(
        name=clip.name,
        kind="frames" if clip.frames else "video",
        root=root,
        path=path,
        frames=clip.frames,
        length=clip.length,
        width=clip.width,
        height=clip.height,
        complete=complete,
    )


def add_track(
    writer: IndexWriter,
    number: int,
    track: Mapping[int, Region],
    *,
    given: int = -1,
    only_given: bool = False,
    category: int = -1,
    crowd: bool = False,
    score_range: tuple[int, int] | None = None,
    seen: bool | None = None,
) -> int:
    """An object with its regions. With `only_given` the others stay hidden: what an evaluation gives to a model."""
    row = writer.add_object(
        source_id=number, category=category, crowd=crowd, given_frame=given, score_range=score_range, seen=seen
    )
    for frame, region in track.items():
        if only_given and frame != given:
            continue
        role = TRUTH | (GIVEN if frame == given else 0)
        writer.add_annotation(frame, region.box, region.counts, region.area, role)
    return row
