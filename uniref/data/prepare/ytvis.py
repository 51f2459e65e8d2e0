"""YouTube-VIS JSON: OVIS, the released system's own preprocessed files, and users' data.

`videos[]{id, file_names[], height, width, length}`, `annotations[]{id, video_id, category_id, iscrowd, segmentations[],
bboxes[], areas[]}` with one entry a frame, null where the object is absent. The released system adds `expressions` (and
`video`, `exp_id`) to videos and `ori_id` to annotations.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from uniref.core import rle
from uniref.data.index import GIVEN, TRUTH, IndexWriter
from uniref.data.prepare.job import BadRecord, Job, image_size

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
    "images",
)


def find(job: Job) -> Path | None:
    """The released system's preprocessed file of this split (`train.json`; `valid.json` or `val.json`), if given."""
    names = _NAMES.get(job.split, (job.split,))
    return job.find(*(f"{place}{name}.json" for place in _PLACES for name in names))


@dataclass(frozen=True)
class Video:
    """A video record with its annotations, checked."""

    record: Mapping[str, Any]
    name: str
    folder: str
    """Of the frames, relative to the media root."""
    frames: tuple[str, ...]
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
    """A JSON file of this kind and the folder that its frames lie in.

    Args:
        job: What is prepared.
        path: The file.
        root: The frames' folder; searched for by default.

    Raises:
        UniRefError: No such structure; no frames found.
    """

    def __init__(self, job: Job, path: Path, root: Path | None = None) -> None:
        self.job, self.path = job, path
        data = job.read_json(path)
        if not isinstance(data, dict) or not isinstance(data.get("videos"), list):
            job.bad(path, "is no YouTube-VIS JSON (no `videos` list)")
            data = {"videos": []}
        self.records: Sequence[Mapping[str, Any]] = job.first(data["videos"])
        self.categories = {int(c["id"]): str(c["name"]) for c in data.get("categories") or ()}
        self.by_video: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
        for annotation in data.get("annotations") or ():  # OVIS has null for splits without truth
            self.by_video[annotation["video_id"]].append(annotation)
        self._check_ids(data)
        self.root = root or self._find_root()

    def _check_ids(self, data: Mapping[str, Any]) -> None:
        for kind in ("videos", "annotations"):
            seen: set[Any] = set()
            for record in data.get(kind) or ():
                if record["id"] in seen:
                    self.job.bad(self.path, f"{kind}: id {record['id']} occurs twice")
                seen.add(record["id"])
        known = {record["id"] for record in data["videos"]}
        for video in sorted(set(self.by_video) - known):
            self.job.bad(self.path, f"annotations of video {video}, which is not listed")

    def _find_root(self) -> Path:
        if not self.records:
            return self.path.parent
        first = str(self.records[0]["file_names"][0])
        found = self.job.need(*(str(PurePosixPath(folder) / first) for folder in _FRAME_FOLDERS))
        return found.parents[len(PurePosixPath(first).parts) - 1]

    def videos(self) -> Iterator[Video]:
        """Every usable video, in order; others are reported."""
        for record in self.job.progress(self.records, self.job.split, len(self.records), "video"):
            video = None
            with self.job.record(f"{self.path}: video {record.get('id')}"):
                video = self._video(record)
            if video is not None:
                yield video

    def _video(self, record: Mapping[str, Any]) -> Video:
        names = [PurePosixPath(str(name)) for name in record["file_names"]]
        folders = {name.parent for name in names}
        if len(folders) != 1:
            raise BadRecord(f"its frames lie in {len(folders)} folders")
        if len(names) != record.get("length", len(names)):
            raise BadRecord(f"length {record['length']}, but {len(names)} file names")
        folder = folders.pop()
        for name in names:
            if not (self.root / name).exists():
                raise BadRecord(f"{self.root / name}: no such file")
        size = image_size(self.root / names[0])
        if size != (record["height"], record["width"]):
            raise BadRecord(
                f"{names[0]} is {size[1]} x {size[0]}, the record says {record['width']} x {record['height']}"
            )
        annotations = tuple(self.by_video.get(record["id"], ()))
        title = str(record.get("video") or folder.name or record["id"])
        return Video(record, title, folder.as_posix(), tuple(n.name for n in names), annotations)


def add_video(writer: IndexWriter, video: Video, root: str, complete: bool) -> int:
    """Begin a video's media."""
    return writer.add_media(
        name=video.name,
        kind="frames",
        root=root,
        path=video.folder,
        frames=video.frames,
        width=video.width,
        height=video.height,
        source_id=int(video.record["id"]),
        complete=complete,
    )


def add_annotation(writer: IndexWriter, video: Video, annotation: Mapping[str, Any], given: bool) -> int:
    """An object with its masks (or boxes where it has no masks).

    Raises:
        BadRecord: Lists of another length than the video, masks of another size.
    """
    masks = annotation.get("segmentations") or [None] * len(video.frames)
    boxes = annotation.get("bboxes") or [None] * len(video.frames)
    places = []
    for what, entries in (("segmentations", masks), ("bboxes", boxes)):
        if len(entries) != len(video.frames):
            raise BadRecord(f"annotation {annotation['id']}: {len(entries)} {what} for {len(video.frames)} frames")
    for frame, (mask, box) in enumerate(zip(masks, boxes, strict=True)):
        if mask is None and box is None:
            continue
        places.append((frame, *_geometry(annotation, mask, box, video)))
    first = places[0][0] if places else -1
    row = writer.add_object(
        source_id=int(annotation.get("ori_id", annotation["id"])),
        category=int(annotation.get("category_id", -1)),
        crowd=bool(annotation.get("iscrowd", 0)),
        given_frame=first if given else -1,
    )
    for frame, counts, xyxy, area in places:
        writer.add_annotation(frame, xyxy, counts, area, TRUTH | (GIVEN if given and frame == first else 0))
    return row


def _geometry(
    annotation: Mapping[str, Any], mask: Any, box: Any, video: Video
) -> tuple[bytes | None, tuple[float, float, float, float], float]:
    try:
        counts = None if mask is None else rle.from_segmentation(mask, video.height, video.width)
    except ValueError as error:
        raise BadRecord(f"annotation {annotation['id']}: {error}") from None
    if counts is not None:
        return counts, rle.box(counts, video.height, video.width), rle.area(counts, video.height, video.width)
    if box is None:
        raise BadRecord(f"annotation {annotation['id']}: neither a mask nor a box")
    x, y, w, h = (float(value) for value in box)
    return None, (x, y, x + w, y + h), w * h


def prepare_videos(job: Job, path: Path, *, complete: bool) -> None:
    """One sample a video with all its objects (video object segmentation)."""
    source = YoutubeVis(job, path)
    with job.writer({job.dataset.group: source.root}, categories=source.categories) as writer:
        for video in source.videos():
            add_video(writer, video, job.dataset.group, complete)
            rows = add_all(job, writer, video, given=job.split != "train")
            writer.add_sample(objects=rows)


def add_all(job: Job, writer: IndexWriter, video: Video, given: bool) -> list[int]:
    """Every object of a video; unusable ones are reported."""
    rows = []
    for annotation in video.annotations:
        with job.record(f"{job.dataset.name}/{job.split}: video {video.name}"):
            rows.append(add_annotation(writer, video, annotation, given))
    return rows
