"""YouTube-VIS JSON: OVIS, the released system's own preprocessed files, and users' data.

`videos[]{id, file_names[], height, width, length}` (`file_names` may be one video file), `annotations[]{id, video_id,
category_id, iscrowd, segmentations[], bboxes[], areas[]}` with one entry per frame, null where the object is absent.
The released system adds `expressions` (and `video`, `exp_id`) to videos and `ori_id` to annotations.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from uniref.core import rle
from uniref.core.files import exists
from uniref.data.index import GIVEN, TRUTH, IndexWriter
from uniref.data.prepare.coco_json import read_box, read_categories, relative_name, whole
from uniref.data.prepare.job import BadRecord, ConversionJob, image_size
from uniref.data.prepare.regions import region_of_counts
from uniref.data.prepare.videos import is_video_file, video_file_size

_NAMES = {"train": ("train",), "val": ("valid", "val"), "valid_u": ("valid_u",), "test": ("test",)}
_PLACES = ("", "annotations/", "annotations_vos/")
_FRAME_FOLDERS = (
    "",
    "JPEGImages",
    "train",
    "valid",
    "train/JPEGImages",
    "valid/JPEGImages",
    "JPEGImages/480p",
    "DAVIS/JPEGImages/480p",
    "images",
)


def find_released(job: ConversionJob, published: Sequence[str] = (), prefix: str = "") -> Path | None:
    """The released system's preprocessed file of this split (`train.json`; `valid.json` or `val.json`), if it is used.

    Args:
        job: The split that is prepared.
        published: Candidates for the publishers' own annotations, which have more information: the preprocessed file is
            used where they are missing, or where the user named it.
        prefix: Of its name.
    """
    names = [f"{prefix}{name}.json" for name in _NAMES.get(job.split, (job.split,))]
    if (named := next((path for path in job.named if path.name in names), None)) is not None:
        return named
    if published and job.find(*published) is not None:
        return None
    return job.find(*(f"{place}{name}" for place in _PLACES for name in names))


@dataclass(frozen=True)
class Video:
    """A video record with its annotations, checked."""

    record: Mapping[str, Any]
    name: str
    folder: str
    """Of the frames, relative to the media root."""
    frames: tuple[str, ...]
    """Names within the folder; none where the video is a video file, which `folder` then is."""
    length: int
    """Frames."""
    annotations: tuple[Mapping[str, Any], ...]

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.record["height"])

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self.record["width"])


class YoutubeVis:
    """A YouTube-VIS JSON file and the folder of its frames.

    Args:
        job: The split that is prepared.
        path: The file.
        root: The frames' folder; searched for by default.

    Raises:
        UniRefError: No such structure; no frames found.
    """

    def __init__(self, job: ConversionJob, path: Path, root: Path | None = None) -> None:
        self.job, self.path = job, path
        data = job.read_json(path)
        if not isinstance(data, dict):
            data = {}
        self.records = self._records(data, "video", "file_names")
        if not self.records:
            job.bad(path, "is not a valid YouTube-VIS JSON (it has no `videos` list)")
        self.categories = read_categories(path)
        self.by_video: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
        video_ids = {record["id"] for record in self.records}
        for annotation in self._records(data, "annotation", "video_id"):
            if annotation["video_id"] in video_ids:
                self.by_video[annotation["video_id"]].append(annotation)
            else:
                job.bad(f"{path}: annotation {annotation['id']}", f"video {annotation['video_id']} is not listed")
        self.records = job.first(self.records)
        self.root = root or self._find_root()

    def _records(self, data: Mapping[str, Any], kind: str, field: str) -> Sequence[Mapping[str, Any]]:
        """The usable entries of a list (OVIS has null for splits without ground truth), with unique ids."""
        by_id: dict[int, Mapping[str, Any]] = {}
        entries = data.get(f"{kind}s") or []
        if not isinstance(entries, list):
            self.job.bad(self.path, f"its `{kind}s` are not a list")
            entries = []
        for position, record in enumerate(entries):
            where = f"{kind} {record.get('id')}" if isinstance(record, dict) else f"{kind} {record}"
            with self.job.record(f"{self.path}: {where} (at {position})"):
                kind_of_field = list if field == "file_names" else int
                if (
                    not isinstance(record["id"], int)
                    or not isinstance(record[field], kind_of_field)
                    or whole(record["id"], 64) < 0
                ):
                    raise BadRecord(f"its id or {field} is of another type than expected")
                if record["id"] in by_id:
                    raise BadRecord("its id occurs twice")
                by_id[record["id"]] = record
        return list(by_id.values())

    def _find_root(self) -> Path:
        if not self.records:
            return self.path.parent
        first = next((str(names[0]) for record in self.records if (names := record["file_names"])), "")
        path = self.job.need(*(str(PurePosixPath(folder) / first) for folder in _FRAME_FOLDERS))
        return path.parents[len(PurePosixPath(first).parts) - 1]

    def videos(self) -> Iterator[Video]:
        """Every usable video, in order; others are reported."""
        for record in self.job.progress(self.records, self.job.split, len(self.records), "video"):
            video = None
            with self.job.record(f"{self.path}: video {record.get('id')}"):
                video = self._video(record)
            if video is not None:
                yield video

    def _video(self, record: Mapping[str, Any]) -> Video:
        names = [PurePosixPath(relative_name(name)) for name in record["file_names"]]
        texts = record.get("expressions") or []
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise BadRecord("its expressions are not a list of texts")
        if len(names) == 1 and is_video_file(names[0].name):
            folder, frames = names[0], tuple[str, ...]()
            length, height, width = video_file_size(self.root / folder)
        else:
            folder, frames = self._frames(names)
            length, (height, width) = len(frames), image_size(self.root / names[0])
        if length != record.get("length", length):
            raise BadRecord(f"its length is {record['length']}, but it has {length} frames")
        if (height, width) != (record["height"], record["width"]):
            raise BadRecord(f"{names[0]} is {width} x {height}, the record says {record['width']} x {record['height']}")
        annotations = tuple(self.by_video.get(record["id"], ()))
        title = str(record.get("video") or (folder.name if frames else folder.stem) or record["id"])
        return Video(record, title, folder.as_posix(), frames, length, annotations)

    def _frames(self, names: Sequence[PurePosixPath]) -> tuple[PurePosixPath, tuple[str, ...]]:
        folders = {name.parent for name in names}
        if len(folders) != 1:
            raise BadRecord(f"its frames lie in {len(folders)} folders")
        for name in names:
            if not exists(self.root / name):
                raise BadRecord(f"{self.root / name}: no such file")
        return folders.pop(), tuple(name.name for name in names)


def add_video(writer: IndexWriter, video: Video, root: str, complete: bool) -> int:
    """Add the media row of a video; returns it."""
    return writer.add_media(
        name=video.name,
        kind="frames" if video.frames else "video",
        root=root,
        path=video.folder,
        frames=video.frames,
        length=video.length,
        width=video.width,
        height=video.height,
        source_id=int(video.record["id"]),
        complete=complete,
    )


def add_annotation(writer: IndexWriter, video: Video, annotation: Mapping[str, Any], prompted: bool) -> int:
    """An object with its masks (or boxes where it has no masks).

    Raises:
        BadRecord: Lists of another length than the video, masks of another size.
    """
    masks = annotation.get("segmentations") or [None] * video.length
    boxes = annotation.get("bboxes") or [None] * video.length
    regions = []
    for name, entries in (("segmentations", masks), ("bboxes", boxes)):
        if len(entries) != video.length:
            raise BadRecord(f"annotation {annotation['id']}: {len(entries)} {name} for {video.length} frames")
    for frame, (mask, box) in enumerate(zip(masks, boxes, strict=True)):
        if mask is None and box is None:
            continue
        regions.append((frame, *_geometry(annotation, mask, box, video)))
    first = regions[0][0] if regions else -1
    row = writer.add_object(
        source_id=whole(annotation.get("ori_id", annotation["id"]), 64),
        category=whole(annotation.get("category_id", -1)),
        crowd=bool(annotation.get("iscrowd", 0)),
        given_frame=first if prompted else -1,
    )
    for frame, counts, xyxy, area in regions:
        writer.add_annotation(frame, xyxy, counts, area, TRUTH | (GIVEN if prompted and frame == first else 0))
    return row


def _geometry(
    annotation: Mapping[str, Any], mask: Any, box: Any, video: Video
) -> tuple[bytes | None, tuple[float, float, float, float], float]:
    try:
        counts = None if mask is None else rle.from_segmentation(mask, video.height, video.width)
    except ValueError as error:
        raise BadRecord(f"annotation {annotation['id']}: {error}") from None
    if counts is not None:
        region = region_of_counts(counts, video.height, video.width)
        return counts, region.box, region.area
    if box is None:
        raise BadRecord(f"annotation {annotation['id']}: neither a mask nor a box")
    x, y, w, h = read_box(box)
    return None, (x, y, x + w, y + h), w * h


def convert_released(job: ConversionJob, published: Sequence[str], *, complete: bool, prefix: str = "") -> bool:
    """Convert the released system's preprocessed file of this split, where it is the one to use (`find_released`).

    Args:
        job: The split that is prepared.
        published: As of `find_released`.
        complete: Whether a missing annotation means that the object is absent.
        prefix: As of `find_released`.

    Returns:
        Whether there was one; if not, nothing was written.
    """
    path = find_released(job, published, prefix)
    if path is not None:
        convert_videos(job, path, complete=complete)
    return path is not None


def convert_videos(job: ConversionJob, path: Path, *, complete: bool) -> None:
    """One sample per video with all its objects (video object segmentation)."""
    source = YoutubeVis(job, path)
    with job.writer({job.dataset.group: source.root}, categories=source.categories) as writer:
        for video in source.videos():
            add_video(writer, video, job.dataset.group, complete)
            rows = add_all(job, writer, video, prompted=job.split != "train")
            writer.add_sample(objects=rows)


def add_all(job: ConversionJob, writer: IndexWriter, video: Video, prompted: bool) -> list[int]:
    """Every object of a video; unusable ones are reported. Returns the rows of those that are not crowds."""
    rows = []
    for annotation in video.annotations:
        with job.record(job.video(video.name)):
            row = add_annotation(writer, video, annotation, prompted)
            if not annotation.get("iscrowd"):
                rows.append(row)
    return rows
