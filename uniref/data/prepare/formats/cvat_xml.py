"""CVAT's own XML: "CVAT for images" (`<image>`) and "CVAT for video" (`<track>`).

Polygons, masks and ellipses have masks; boxes have none; shapes with one group number and label are one object.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from uniref.core.errors import UniRefError
from uniref.core.files import reading
from uniref.core.xml_files import read_xml
from uniref.data.prepare.formats.file_tree import FileTree, MediaFinder, common_folder, is_image_name, tree_base
from uniref.data.prepare.formats.write_images import AnnotatedImage, AnnotatedObject, SplitInfo, write_images
from uniref.data.prepare.formats.write_videos import write_videos
from uniref.data.prepare.job import BadRecord, ConversionJob, image_size
from uniref.data.prepare.regions import (
    Region,
    ellipse_polygon,
    merge_regions,
    paste_mask,
    region_of_mask,
    region_of_segmentation,
)
from uniref.data.prepare.split_names import in_split_order, split_of
from uniref.data.prepare.videos import LabelledVideo, VideoFiles, is_video_file, video_file_size

_LARGEST = 1 << 29
_SUBSET = re.compile(rb"""<image\s[^>]*?\ssubset=["']([^"']*)["']""")
_FRAME_NAME = re.compile(r"frame_(\d{1,9})\.\w+", re.IGNORECASE)
_HEAD = 4096  # bytes in which the outermost element begins
_NO_AREA = ("polyline", "points", "cuboid", "skeleton", "tag")
_SHAPES = ("polygon", "mask", "ellipse", "box", *_NO_AREA)
_TEXTS = frozenset(("phrase", "expression", "description", "caption", "text", "sentence"))
_DROPPED = "shape without an area (points, lines)"
_BOX_ONLY = "box of a track (a box alone is not a mask)"
_SAME_STEP = 2


def find(tree: FileTree) -> list[Path]:
    """XML files whose outermost element is CVAT's."""
    paths = []
    for path in tree.files(".xml"):
        with reading(path), path.open("rb") as file:
            head = file.read(_HEAD)
        if b"<annotations" in head:
            paths.append(path)
    return paths


def splits(paths: Sequence[Path], base: Path | None) -> dict[str, list[Path]]:
    """The splits that images are marked with (projects of CVAT), else those that the files are named after."""
    by_split: dict[str, list[Path]] = {}
    for path in paths:
        with reading(path):
            subsets = set(_SUBSET.findall(path.read_bytes())) if path.stat().st_size <= _LARGEST else set()
        named = split_of(path, base) or "train"
        subset_splits = {split_of(name.decode("utf-8", "replace")) or "train" for name in subsets} or {named}
        for split in subset_splits:
            by_split.setdefault(split, []).append(path)
    return in_split_order(by_split)


def prepare(job: ConversionJob, paths: Sequence[Path], trees: Sequence[FileTree]) -> None:
    """One split from one or several files. Raises UniRefError."""
    roots = [(path, read_xml(path)) for path in paths]
    for path, root in roots:
        job.used(path)
        if root.tag != "annotations":
            raise UniRefError(f"{path}: is not a valid CVAT XML (its outermost element is {root.tag!r:.40})")
    # tracks make videos
    tracked = [(path, root) for path, root in roots if root.find("track") is not None]
    if tracked and len(tracked) < len(roots):
        raise UniRefError(f"{tracked[0][0]}: has tracks, other files have images; make a data set of each (--name)")
    base = tree_base(paths[0], trees)
    if tracked:
        _prepare_videos(job, tracked, trees, base)
        return
    # images of this split
    finder = MediaFinder(trees)
    images: list[AnnotatedImage] = []
    for path, root in roots:
        for position, element in enumerate(root.iterfind("image")):
            if element.get("subset") and (split_of(element.get("subset", "")) or "train") != job.split:
                continue
            with job.record(f"{path}: image {element.get('id', f'at {position}')}"):
                images.append(_image(job, element, path, finder))
    if not images:
        job.bad(paths[0], "has no images and no tracks")
    write_images(job, images, SplitInfo(base, trees))


def _image(job: ConversionJob, element: Element, path: Path, finder: MediaFinder) -> AnnotatedImage:
    # the image and its size
    file = finder.find(element.get("name"), path)
    height, width = image_size(file)
    recorded = int(element.get("height", height)), int(element.get("width", width))
    if recorded != (height, width):
        raise BadRecord(f"its image {file.name} is {width} x {height}, its record says {recorded[1]} x {recorded[0]}")
    # regions by object: what carries one label and group number, else every shape by itself
    groups: dict[tuple[str, str], list[Region]] = {}
    boxes: list[AnnotatedObject] = []
    texts: dict[tuple[str, str], list[str]] = {}
    for position, shape in enumerate(x for x in element if x.tag in _SHAPES):
        try:
            label = shape.get("label", "").strip()
            if shape.tag in _NO_AREA:
                job.dropped[_DROPPED] = job.dropped.get(_DROPPED, 0) + 1
                continue
            group = shape.get("group_id", "0")
            key = (label, f"shape {position}" if group == "0" else f"group {group}")
            if shape.tag == "box":
                boxes.append(AnnotatedObject(position + 1, None, _box(shape), label))
            elif (region := _region(shape, height, width)) is not None:
                groups.setdefault(key, []).append(region)
                texts.setdefault(key, []).extend(_texts(shape))
        except (BadRecord, ValueError, TypeError, OverflowError) as problem:
            raise BadRecord(f"{shape.tag} {position}: {problem}") from None
    # objects with masks come first, boxes are numbered after them
    objects = [
        AnnotatedObject(number, merge_regions(parts, height, width), name=key[0], phrases=tuple(texts[key]))
        for number, (key, parts) in enumerate(groups.items(), start=1)
    ]
    objects += [AnnotatedObject(len(objects) + n, None, x.box, x.name) for n, x in enumerate(boxes, start=1)]
    return AnnotatedImage(file, height, width, tuple(objects), where=f"{path}: image {element.get('id')}")


def _texts(shape: Element) -> list[str]:
    """Phrases in the attributes of a shape."""
    attributes = [(x.get("name", "").strip().lower(), (x.text or "").strip()) for x in shape.iterfind("attribute")]
    return [text for name, text in attributes if name in _TEXTS and text]


def _number(shape: Element, name: str) -> float:
    value = shape.get(name)
    if value is None:
        raise BadRecord(f"has no {name}")
    return float(value)


def _box(shape: Element) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (_number(shape, name) for name in ("xtl", "ytl", "xbr", "ybr"))
    if not all(map(np.isfinite, (x0, y0, x1, y1))) or x1 < x0 or y1 < y0:
        raise BadRecord("its corners are not a valid box")
    return x0, y0, x1, y1


def _region(shape: Element, height: int, width: int) -> Region | None:
    if shape.tag == "polygon":
        points = [point.split(",") for point in shape.get("points", "").split(";") if point.strip()]
        return region_of_segmentation([[float(value) for point in points for value in point]], height, width)
    if shape.tag == "ellipse":
        cx, cy, rx, ry = (_number(shape, name) for name in ("cx", "cy", "rx", "ry"))
        return region_of_segmentation([ellipse_polygon(cx, cy, rx, ry, float(shape.get("rotation", 0)))], height, width)
    left, top, w, h = (int(_number(shape, name)) for name in ("left", "top", "width", "height"))
    if not (0 < w <= width and 0 < h <= height):
        raise BadRecord(f"its mask is {w} x {h}, the image {width} x {height}")
    # runs of background and object in turn, row by row within the box
    runs = [int(run) for run in shape.get("rle", "").split(",") if run.strip()]
    if min(runs, default=0) < 0 or sum(runs) != w * h:
        raise BadRecord(f"its run lengths cover {sum(runs)} pixels of {w * h}")
    values = np.repeat(np.arange(len(runs)) % _SAME_STEP == 1, runs)
    return region_of_mask(paste_mask(values.reshape(h, w), left, top, height, width))


def _prepare_videos(
    job: ConversionJob, files: Sequence[tuple[Path, Element]], trees: Sequence[FileTree], base: Path
) -> None:
    """One video per file. Raises UniRefError."""
    videos: list[LabelledVideo] = []
    video_files: list[VideoFiles] = []
    classes: dict[str, dict[int, str]] = {}
    for path, root in job.first(files):
        with job.record(path):
            frames = _frames(path, root, trees)
            video, names = _video(job, root, frames, {x.name for x in videos})
            videos.append(video)
            video_files.append(VideoFiles(video.name, frames, None, users_own=True))
            classes[video.name] = names
    root_folder = common_folder([place.frames for place in video_files], base) if video_files else base
    write_videos(job, root_folder, video_files, classes, videos)


def _frames(path: Path, root: Element, trees: Sequence[FileTree]) -> Path:
    """The video file that the XML names, or the folder of its frames. Raises BadRecord."""
    source = next((x.text.strip() for x in root.iter("source") if x.text and x.text.strip()), "")
    if is_video_file(source):
        try:
            return MediaFinder(trees, videos=True).find(source, path)
        except BadRecord:
            pass  # its frames may be there instead
    folders = [tree.base / folder for tree in trees for folder in tree.folders if tree.images(folder)]
    near = [folder for folder in folders if folder.is_relative_to(path.parent)] or folders
    named = [folder for folder in near if folder.name.lower() in ("images", Path(source).stem.lower())] or near
    if not named:
        raise BadRecord(f"its video {source or '(not named)'} is not there, and no folder of frames")
    if len(named) > 1:
        raise BadRecord(f"its frames may be in {named[0]} or {named[1]}; call one of them {Path(source).stem}")
    return named[0]


def _video(
    job: ConversionJob, root: Element, frames: Path, other_names: set[str]
) -> tuple[LabelledVideo, dict[int, str]]:
    """The video with its tracks, and their class names. Raises BadRecord."""
    # length and size of the video
    names: tuple[str, ...] = ()
    if frames.is_dir():
        names = tuple(sorted(x.name for x in frames.iterdir() if _is_frame(x)))
        length, (height, width) = len(names), image_size(frames / names[0])
    else:
        length, height, width = video_file_size(frames)
    # a track is an object; its shapes say frame by frame where it is
    frame_of = _frame_numbers(names, length)
    tracks: dict[int, dict[int, Region]] = {}
    classes: dict[int, str] = {}
    filled = False
    for track_number, track in enumerate(root.iterfind("track"), start=1):
        regions: dict[int, Region] = {}
        for shape in (x for x in track if x.tag in _SHAPES):
            try:
                number = int(_number(shape, "frame"))
                if number not in frame_of:
                    raise BadRecord(f"the video has {length} frames ({min(frame_of)} to {max(frame_of)})")
                frame = frame_of[number]
                filled = filled or shape.get("keyframe") == "0"
                if shape.get("outside") == "1":
                    continue
                if shape.tag in ("box", *_NO_AREA):
                    job.dropped[_BOX_ONLY] = job.dropped.get(_BOX_ONLY, 0) + 1
                elif (region := _region(shape, height, width)) is not None:
                    regions[frame] = region
            except (BadRecord, ValueError, TypeError, OverflowError) as problem:
                raise BadRecord(
                    f"track {track.get('id', track_number)}, frame {shape.get('frame')}: {problem}"
                ) from None
        if regions:
            tracks[track_number] = dict(sorted(regions.items()))
            classes[track_number] = track.get("label", "").strip()
    # a folder called `images` says nothing: the video is called after the folder around it
    name = frames.name if frames.is_dir() else frames.stem
    if name in ("images",) or name in other_names:
        name = (
            f"{frames.parent.name}-{name}"
            if f"{frames.parent.name}-{name}" not in other_names
            else f"{name}-{len(other_names)}"
        )
    labelled = tuple(sorted({frame for track in tracks.values() for frame in track}))
    if filled:  # CVAT has written the frames between key frames, and where a track is outside
        labelled = tuple(range(length))
    return LabelledVideo(name, names, length, height, width, tracks, labelled), classes


def _frame_numbers(names: Sequence[str], length: int) -> dict[int, int]:
    """Frames by CVAT's numbers: those of `frame_000100.PNG`, which need not begin at 0, else counted from 0."""
    numbers = [_FRAME_NAME.fullmatch(name) for name in names]
    if names and all(numbers):
        return {int(match[1]): index for index, match in enumerate(numbers) if match}
    return {index: index for index in range(length)}


def _is_frame(path: Path) -> bool:
    return is_image_name(path.name) and not path.name.startswith(".")
