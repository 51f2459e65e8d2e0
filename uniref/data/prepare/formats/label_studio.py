"""Label Studio's JSON (and JSON-MIN): brush masks in its own run lengths, polygons, ellipses, boxes.

Brush masks are bit streams: the number of values in 32 bits, bits of a value (5, less one), four sizes of run lengths
(4 bits each, less one), then runs: one bit whether a value is repeated, two that choose the size, the length less
one, and the value or values. Values are the bytes of an RGBA image, whose alpha is the mask.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import numpy.typing as npt

from uniref.core.errors import UniRefError
from uniref.core.types import BoolMask
from uniref.data.prepare.formats.file_tree import FileTree, MediaFinder, is_image_name, tree_base
from uniref.data.prepare.formats.write_images import AnnotatedImage, AnnotatedObject, SplitInfo, write_images
from uniref.data.prepare.job import BadRecord, ConversionJob, image_size
from uniref.data.prepare.regions import ellipse_polygon, region_of_mask, region_of_segmentation

_UPLOADED = re.compile(r"^[0-9a-fA-F]{8}-")
"""What Label Studio puts before the names of files that are uploaded."""
_KINDS = ("brushlabels", "polygonlabels", "rectanglelabels", "ellipselabels", "labels", "bitmasklabels")
_CHANNELS = 4
_DROPPED = "region of a kind that is not read"


def is_label_studio(keys: Sequence[str]) -> bool:
    """Whether the keys of a JSON list's first entry are Label Studio's."""
    return keys[:1] == ("[]",) and (
        ("data" in keys and bool({"annotations", "completions", "predictions"} & set(keys)))
        or ("image" in keys and "id" in keys and bool({"annotation_id", "annotator", "lead_time"} & set(keys)))
    )


def prepare(job: ConversionJob, paths: Sequence[Path], trees: Sequence[FileTree]) -> None:
    """One split from one or several files. Raises UniRefError."""
    finder = MediaFinder(trees)
    images: list[AnnotatedImage] = []
    several = 0
    for path in paths:
        tasks = job.read_json(path)
        if not isinstance(tasks, list):
            raise UniRefError(f"{path}: is not a list of tasks; export JSON or JSON-MIN")
        for position, task in enumerate(job.progress(tasks, path.name, len(tasks), "task")):
            name = task.get("id", f"at {position}") if isinstance(task, dict) else f"at {position}"
            with job.record(f"{path}: task {name}"):
                image, more = _read(job, task, path, finder)
                images.append(image)
                several += more
    if several:
        job.notes.append(f"{several} tasks have annotations of several people; the first that was not cancelled counts")
    base = tree_base(paths[0], trees)
    write_images(job, images, SplitInfo(base, trees))


def _read(job: ConversionJob, task: dict[str, Any], path: Path, finder: MediaFinder) -> tuple[AnnotatedImage, bool]:
    """A task's image with its objects, and whether several people annotated it. Raises BadRecord."""
    data = task["data"] if isinstance(task.get("data"), dict) else task
    file = _image_file(data, path, finder)
    height, width = image_size(file)
    results, several = _results(task)
    texts: dict[str, list[str]] = {}
    for result in results:
        if result.get("type") == "textarea" and isinstance(result.get("value"), dict):
            text = result["value"].get("text") or ()
            texts[str(result.get("id"))] = [text] if isinstance(text, str) else [str(text) for text in text]
    objects: list[AnnotatedObject] = []
    for position, result in enumerate(results):
        if result.get("type") in ("textarea", "choices", "relation"):
            continue
        try:
            obj = _annotated_object(job, result, len(objects) + 1, height, width, texts.get(str(result.get("id")), ()))
        except (BadRecord, ValueError, OverflowError) as problem:
            raise BadRecord(f"region {result.get('id', position)}: {problem}") from None
        if obj is not None:
            objects.append(obj)
    return AnnotatedImage(file, height, width, tuple(objects), where=f"{path}: task {task.get('id')}"), several


def _results(task: Mapping[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    """The regions of a task, of one annotator."""
    annotations = task.get("annotations", task.get("completions"))
    if isinstance(annotations, list):
        usable = [x for x in annotations if isinstance(x, dict) and not x.get("was_cancelled")]
        results = usable[0].get("result", []) if usable else []
        return [x for x in results if isinstance(x, dict)], len(usable) > 1
    # JSON-MIN: lists of values under the names of the controls
    regions = []
    for values in task.values():
        if isinstance(values, list):
            for value in (x for x in values if isinstance(x, dict)):
                kind = next((kind for kind in _KINDS if kind in value), "")
                sizes = {key: value[key] for key in ("original_width", "original_height") if key in value}
                regions.append({"type": kind, "value": value, **sizes})
    return regions, False


def _image_file(data: Mapping[str, Any], path: Path, finder: MediaFinder) -> Path:
    """The file of a task: its address ends in the name, which may have a prefix of eight digits."""
    addresses = [x for x in data.values() if isinstance(x, str)]
    named = [name for name in map(_file_name, addresses) if is_image_name(name)]
    if not named:
        raise BadRecord("names no image")
    try:
        return finder.find(named[0], path)
    except BadRecord:
        short = _UPLOADED.sub("", named[0].rpartition("/")[2])
        if short == named[0]:
            raise
        return finder.find(short, path)


def _file_name(address: str) -> str:
    """`b/a.jpg` of `/data/local-files/?d=b/a.jpg`, `s3://x/b/a.jpg` or `/data/upload/1/a.jpg`."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    local = parse_qs(parts.query).get("d")
    return local[0] if local else unquote(parts.path)


def _annotated_object(
    job: ConversionJob, result: Mapping[str, Any], number: int, height: int, width: int, texts: Sequence[str]
) -> AnnotatedObject | None:
    value = result.get("value")
    if not isinstance(value, dict):
        raise BadRecord("has no value")
    # size, class and phrases
    recorded = result.get("original_height", height), result.get("original_width", width)
    if recorded != (height, width):
        raise BadRecord(f"the image is {width} x {height}, its record says {recorded[1]} x {recorded[0]}")
    labels = next((value[kind] for kind in _KINDS if isinstance(value.get(kind), list) and value[kind]), [""])
    name = str(labels[0]).strip()
    phrases = tuple(text.strip() for text in texts if text.strip())
    # its shape: brush mask, polygon, ellipse or box
    if value.get("format") == "rle" or "rle" in value:
        region = region_of_mask(decode_brush(value.get("rle"), height, width))
    elif "points" in value:
        points = [(float(x) * width / 100, float(y) * height / 100) for x, y in value["points"]]
        region = region_of_segmentation([[v for point in points for v in point]], height, width)
    elif "radiusX" in value:
        x, y, rx, ry = (float(value[key]) / 100 for key in ("x", "y", "radiusX", "radiusY"))
        outline = ellipse_polygon(x * width, y * height, rx * width, ry * height, float(value.get("rotation") or 0))
        region = region_of_segmentation([outline], height, width)
    elif "width" in value and "height" in value:
        x, y, w, h = (float(value[key]) / 100 for key in ("x", "y", "width", "height"))
        return AnnotatedObject(
            number, None, (x * width, y * height, (x + w) * width, (y + h) * height), name, phrases=phrases
        )
    else:
        job.dropped[_DROPPED] = job.dropped.get(_DROPPED, 0) + 1
        return None
    return None if region is None else AnnotatedObject(number, region, name=name, phrases=phrases)


def decode_brush(codes: object, height: int, width: int) -> BoolMask:
    """The mask of a brush region: bool [height, width], true where at least half opaque.

    Args:
        codes: Bytes as whole numbers.
        height: Of the image, pixels.
        width: Of the image, pixels.

    Raises:
        BadRecord: The stream is damaged, or of an image of another size.
    """
    if not isinstance(codes, list) or not all(isinstance(x, int) and 0 <= x <= 255 for x in codes):
        raise BadRecord("its rle is not a list of bytes")
    bits = _Bits(bytes(codes))
    count = bits.take(32)
    if count != height * width * _CHANNELS:
        raise BadRecord(f"its run lengths hold {count} values; an image of {width} x {height} has {_CHANNELS} each")
    size = bits.take(5) + 1
    lengths = [bits.take(4) + 1 for _ in range(4)]
    values = np.zeros(count, np.uint32 if size > 8 else np.uint8)
    for start, stop, part in _runs(bits, count, size, lengths):
        values[start:stop] = part
    alpha = values.reshape(height, width, _CHANNELS)[..., 3]
    return np.asarray(alpha >= 1 << (size - 1))


def _runs(bits: _Bits, count: int, size: int, lengths: Sequence[int]) -> Iterator[tuple[int, int, Any]]:
    start = 0
    while start < count:
        repeated = bits.take(1)
        run = bits.take(lengths[bits.take(2)]) + 1
        if start + run > count:
            raise BadRecord("its run lengths hold more values than they say")
        yield start, start + run, bits.take(size) if repeated else bits.many(run, size)
        start += run


class _Bits:
    """Reads numbers of any number of bits, the highest bit first."""

    def __init__(self, data: bytes) -> None:
        self._data, self._position = data, 0

    def take(self, count: int) -> int:
        """The next number. Raises BadRecord at the end."""
        end = self._position + count
        if end > 8 * len(self._data):
            raise BadRecord("its run lengths end too early")
        part = self._data[self._position >> 3 : (end + 7) >> 3]
        self._position = end
        return (int.from_bytes(part, "big") >> (-end % 8)) & ((1 << count) - 1)

    def many(self, count: int, size: int) -> npt.NDArray[np.uint32]:
        """The next numbers, all of one size. Raises BadRecord at the end."""
        end = self._position + count * size
        if end > 8 * len(self._data):
            raise BadRecord("its run lengths end too early")
        part = np.frombuffer(self._data[self._position >> 3 : (end + 7) >> 3], np.uint8)
        skip = self._position % 8
        bits = np.unpackbits(part)[skip : skip + count * size].reshape(count, size).astype(np.uint32)
        self._position = end
        return np.asarray((bits << np.arange(size - 1, -1, -1, dtype=np.uint32)).sum(axis=1, dtype=np.uint32))
