"""Videos as folders of frames with label maps (DAVIS, YouTube-VOS, LVOS, MOSE and data sets built on them)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from uniref.core.errors import MediaError
from uniref.data.index import GIVEN, TRUTH, IndexWriter
from uniref.data.prepare.job import BadRecord, ConversionJob, image_size
from uniref.data.prepare.regions import VOID, Region, read_label_map, region_of_mask, regions
from uniref.media.image import EXTENSIONS
from uniref.media.mask import Labels, read_labels

T = TypeVar("T")
VIDEO_EXTENSIONS = frozenset((".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg"))


@dataclass(frozen=True)
class VideoFiles:
    """Where the frames and label maps of a video are."""

    name: str
    frames: Path
    """Folder of images, or a video file."""
    labels: Path | None
    """Folder of label maps named like the frames (or by their number); only some frames may have one."""
    users_own: bool = False
    """A user's own: masks in any common form (`read_labels`); where all of a video are black and white, white is
    object 1 and not void. Otherwise label maps as they are published."""


@dataclass(frozen=True)
class LabelledVideo:
    """A video with its label maps, read."""

    name: str
    frames: tuple[str, ...]
    """File names; none where the video is a video file."""
    length: int
    height: int
    width: int
    tracks: Mapping[int, Mapping[int, Region]]
    """Regions by object id, then frame index."""
    labelled: tuple[int, ...]
    """Frames that have a label map."""
    void: Mapping[int, Region] = field(default_factory=dict)
    """Void regions (label 255), which do not count, by frame index."""
    problem: str = ""
    """Why it cannot be used."""
    notes: tuple[str, ...] = ()
    """What was guessed about its masks."""


def read_labelled_video(files: VideoFiles) -> LabelledVideo:
    """Read every label map of a video and check it against the frames."""
    try:
        return _read(files)
    except BadRecord as error:
        return LabelledVideo(files.name, (), 0, 0, 0, {}, (), problem=str(error))


def _read(files: VideoFiles) -> LabelledVideo:
    # frames: names, size, and their index by name
    is_file = files.frames.is_file()
    names, frame_of, size = _read_file(files.frames) if is_file else read_frames(files.frames)
    regions_of: dict[int, dict[int, Region]] = {}
    labelled: list[int] = []
    numbers: dict[tuple[int, int, int], int] = {}
    notes: dict[str, None] = {}
    for path in _label_maps(files.labels, files.users_own):
        frame = frame_of.get(str(int(path.stem)) if is_file and path.stem.isdecimal() else path.stem)
        if frame is None or frame in labelled:
            raise BadRecord(f"{path}: there is no {'other ' if frame in labelled else ''}frame of this name")
        labels = _own_labels(path) if files.users_own else Labels(_at(path, read_label_map))
        if labels.ids.shape != size:
            raise BadRecord(f"{path}: is {_text(labels.ids.shape)}, the frame {_text(size)}")
        labelled.append(frame)
        if labels.note:
            notes[labels.note] = None
        for number, region in regions(labels.ids, void=True).items():
            # a colour is the same object in all frames; white is void where other frames have ids
            object_id = numbers.setdefault(labels.colours[number - 1], len(numbers) + 1) if labels.colours else number
            regions_of.setdefault(VOID if labels.white else object_id, {})[frame] = region
    # tracks by object id; a user's black-and-white masks show object 1
    tracks = {number: dict(sorted(regions_of[number].items())) for number in sorted(regions_of)}
    void = tracks.pop(VOID, {})
    if files.users_own and not tracks:
        tracks, void = ({1: void} if void else {}), {}
    return LabelledVideo(
        files.name, names, len(frame_of), *size, tracks, tuple(sorted(labelled)), void, notes=tuple(notes)
    )


def read_object_masks(folder: Path, frame_of: Mapping[str, int], size: tuple[int, int]) -> dict[int, Region | None]:
    """The masks of one object, a PNG per frame in which every value but 0 is the object (Long-RVOS, SA-V).

    Args:
        folder: Of the object.
        frame_of: Frame indices by file names without extension; other files are left out.
        size: (H, W) of the frames.

    Returns:
        Regions by frame index, ascending; None where the mask is empty.

    Raises:
        BadRecord: No such folder, or a mask is damaged or of another size.
    """
    if not folder.is_dir():
        raise BadRecord(f"{folder}: no such folder")
    paths = {frame_of[path.stem]: path for path in folder.glob("*.png") if path.stem in frame_of}
    masks = {}
    for frame, path in sorted(paths.items()):
        labels = _at(path, read_label_map)
        if labels.shape != size:
            raise BadRecord(f"{path}: is {_text(labels.shape)}, the frame {_text(size)}")
        masks[frame] = region_of_mask(labels != 0)
    return masks


def _own_labels(path: Path) -> Labels:
    try:
        return read_labels(path)
    except MediaError as error:
        raise BadRecord(str(error)) from None


def read_frames(folder: Path) -> tuple[tuple[str, ...], dict[str, int], tuple[int, int]]:
    """Names of the frames of a folder, their indices by name without extension, and (height, width) in pixels.

    Raises:
        BadRecord: No such folder, no images, or images of several sizes or with the same name.
    """
    if not folder.is_dir():
        raise BadRecord(f"{folder}: no such folder")
    names = sorted(f.name for f in folder.iterdir() if f.suffix.lower() in EXTENSIONS)
    if not names:
        raise BadRecord(f"{folder}: holds no images")
    size = _size(folder / names[0])
    for name in names[1:]:
        if (other := _size(folder / name)) != size:
            raise BadRecord(f"{folder / name}: is {_text(other)}, the first frame {_text(size)}")
    frame_of = {Path(name).stem: frame for frame, name in enumerate(names)}
    if len(frame_of) < len(names):
        raise BadRecord(f"{folder}: holds two frames of one name")
    return tuple(names), frame_of, size


def _read_file(path: Path) -> tuple[tuple[str, ...], dict[str, int], tuple[int, int]]:
    """As `_read_folder` for a video file; its frames are named by their number, with any number of leading zeros."""
    length, height, width = video_file_size(path)
    return (), {str(frame): frame for frame in range(length)}, (height, width)


def _label_maps(folder: Path | None, users_own: bool) -> Sequence[Path]:
    if folder is None:
        return ()
    if not folder.is_dir():
        raise BadRecord(f"{folder}: no such folder")
    if not users_own:
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


def read_labelled_videos(
    job: ConversionJob, files: Sequence[VideoFiles], every_frame: bool = False
) -> Generator[LabelledVideo]:
    """The usable videos among `files`, in order; others are reported.

    Args:
        job: The split that is prepared.
        files: Where the videos are.
        every_frame: A frame without a label map makes a video unusable.
    """
    for video in job.map(read_labelled_video, job.first(files), "video"):
        if video.problem:
            job.bad(video.name, video.problem)
        elif every_frame and len(video.labelled) != video.length:
            missing = sorted(set(range(video.length)) - set(video.labelled))[0]
            job.bad(job.video(video.name), f"{video.frames[missing]} has no label map")
        else:
            yield video


def add_labelled_video(writer: IndexWriter, video: LabelledVideo, root: str, path: str, complete: bool) -> int:
    """Add the media row of a video; returns it."""
    return writer.add_media(
        name=video.name,
        kind="frames" if video.frames else "video",
        root=root,
        path=path,
        frames=video.frames,
        length=video.length,
        width=video.width,
        height=video.height,
        complete=complete,
    )


def add_track(
    writer: IndexWriter,
    number: int,
    track: Mapping[int, Region],
    *,
    given_frame: int = -1,
    prompt_only: bool = False,
    category: int = -1,
    crowd: bool = False,
    score_range: tuple[int, int] | None = None,
    seen: bool | None = None,
) -> int:
    """An object with its regions. With `prompt_only`, only the region that a model gets as its prompt."""
    row = writer.add_object(
        source_id=number, category=category, crowd=crowd, given_frame=given_frame, score_range=score_range, seen=seen
    )
    for frame, region in track.items():
        if prompt_only and frame != given_frame:
            continue
        role = TRUTH | (GIVEN if frame == given_frame else 0)
        writer.add_annotation(frame, region.box, region.counts, region.area, role)
    return row


def is_video_file(path: Path | str) -> bool:
    """Whether the name is that of a video file."""
    return Path(path).suffix.lower() in VIDEO_EXTENSIONS


def video_file_size(path: Path) -> tuple[int, int, int]:
    """(frames, height, width) of a video file as it is shown; one frame is decoded.

    Raises:
        BadRecord: Missing, not a video, or damaged.
    """
    from uniref.media.video_read import VideoFile  # decord takes a while to import

    try:
        video = VideoFile(path)
        first = next(video.frames(0, 1))
    except MediaError as error:
        raise BadRecord(str(error)) from None
    return video.exact_frame_count(), first.image.shape[0], first.image.shape[1]


def read_video_json(job: ConversionJob, path: Path, *fields: str, nested: bool = False) -> dict[str, dict[str, Any]]:
    """Videos by name of `{"videos": {name: {...}}}` (YouTube-VOS, LVOS, MeViS), with some of their fields.

    A video that lacks a field, or has one of another type, is a bad record.

    Args:
        job: The split that is prepared.
        path: The file.
        fields: `objects` and `expressions` (mappings of mappings), `frames` (names without extension).
        nested: A video's name may have folders, with /.
    """
    data = job.read_json(path)
    videos = data.get("videos") if isinstance(data, dict) else None
    if not isinstance(videos, dict) or not videos:
        job.bad(path, "has no `videos`")
        return {}
    by_name: dict[str, dict[str, Any]] = {}
    for name, video in videos.items():
        with job.record(f"{path}: video {name}"):
            parts = name.split("/") if nested else [name]
            if any(part in ("", ".", "..") or "/" in part or "\\" in part for part in parts):
                raise BadRecord("its name is not a valid folder name")
            by_name[name] = {field: _checked_field(field, video[field]) for field in fields}
    return by_name


def text_of(value: Any) -> str:
    """An expression. Raises BadRecord where it is not a text."""
    if not isinstance(value, str):
        raise BadRecord(f"{value!r} is not a valid expression")
    return value


def _checked_field(field: str, value: Any) -> Any:
    if field == "frames":
        if not isinstance(value, list) or not value or not all(isinstance(x, str) and "/" not in x for x in value):
            raise BadRecord("its frames are not a list of frame names")
    elif not isinstance(value, dict) or not all(isinstance(x, dict) for x in value.values()):
        raise BadRecord(f"its {field} are not a mapping of ids to records")
    return value
