"""LabelMe: a JSON file beside every image, with polygons, rectangles, circles and masks."""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from uniref.core.errors import UniRefError
from uniref.core.json_files import read_json
from uniref.data.prepare.formats.file_tree import FileTree, MediaFinder, tree_base
from uniref.data.prepare.formats.write_images import AnnotatedImage, AnnotatedObject, SplitInfo, read_all, write_images
from uniref.data.prepare.job import BadRecord, ConversionJob, image_size
from uniref.data.prepare.regions import (
    Region,
    ellipse_polygon,
    merge_regions,
    paste_mask,
    region_of_mask,
    region_of_segmentation,
)
from uniref.media.image import ImageProblem, open_image

_LARGEST = 1 << 28  # bytes; the image itself may be inside
_LEFT_OUT = frozenset(("__ignore__", "_background_"))
_NO_AREA = frozenset(("line", "linestrip", "point", "points"))
_CORNERS = 2
_STEPS = 64  # corners of a circle


def is_labelme(keys: Sequence[str]) -> bool:
    """Whether the outermost keys of a JSON file are LabelMe's."""
    return "shapes" in keys


def prepare(job: ConversionJob, paths: Sequence[Path], trees: Sequence[FileTree]) -> None:
    """One split from its JSON files. Raises UniRefError."""
    read = partial(_read, MediaFinder(trees))
    results = read_all(job, list(job.first(sorted(paths))), read, "file")
    left_out: dict[str, int] = {}
    for _, reasons in results:
        for reason in reasons:
            left_out[reason] = left_out.get(reason, 0) + 1
    for reason, count in left_out.items():
        job.dropped[reason] = job.dropped.get(reason, 0) + count
    base = tree_base(paths[0], trees)
    write_images(job, [image for image, _ in results], SplitInfo(base, trees))


def _read(finder: MediaFinder, path: Path) -> tuple[AnnotatedImage, list[str]]:
    """A file's image with its objects, and why shapes were left out. Raises UniRefError."""
    # the image, and whether its size is as recorded
    data = read_json(path, largest=_LARGEST)
    shapes = data.get("shapes") if isinstance(data, dict) else None
    if not isinstance(shapes, list):
        raise BadRecord("has no `shapes`")
    name = data.get("imagePath") or path.with_suffix(".jpg").name
    file = finder.find(name, path)
    height, width = image_size(file)
    recorded = (data.get("imageHeight"), data.get("imageWidth"))
    if None not in recorded and recorded != (height, width):
        raise BadRecord(f"its image {file.name} is {width} x {height}, it says {recorded[1]} x {recorded[0]}")
    # regions and descriptions by object
    groups: dict[tuple[str, object], list[Region]] = {}
    texts: dict[tuple[str, object], list[str]] = {}
    left_out: list[str] = []
    for position, shape in enumerate(shapes):
        try:
            label, kind = str(shape["label"]).strip(), str(shape.get("shape_type") or "polygon")
            if label in _LEFT_OUT or kind in _NO_AREA:
                left_out.append(f"shape without an area ({kind})" if kind in _NO_AREA else f"shape called {label}")
                continue
            region = _region(kind, shape, height, width)
            # parts that carry one group number are one object
            key = (label, position if shape.get("group_id") is None else f"group {shape['group_id']}")
            if region is None:
                left_out.append("shape outside of its image or without an area")
                continue
            groups.setdefault(key, []).append(region)
            if isinstance(shape.get("description"), str) and shape["description"].strip():
                texts.setdefault(key, []).append(shape["description"].strip())
        except (BadRecord, KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as problem:
            reason = f"has no {problem}" if isinstance(problem, KeyError) else str(problem)
            raise UniRefError(f"{path}: shape {position}: {reason}") from None
    objects = [
        AnnotatedObject(number, merge_regions(parts, height, width), name=key[0], phrases=tuple(texts.get(key, ())))
        for number, (key, parts) in enumerate(groups.items(), start=1)
    ]
    return AnnotatedImage(file, height, width, tuple(objects), where=str(path)), left_out


def _region(kind: str, shape: dict[str, Any], height: int, width: int) -> Region | None:
    points = [(float(x), float(y)) for x, y in shape["points"]]
    if kind == "mask":
        return _pasted(shape.get("mask"), points, height, width)
    if kind == "circle" and len(points) == _CORNERS:
        (x, y), edge = points
        return region_of_segmentation(
            [ellipse_polygon(x, y, math.dist((x, y), edge), math.dist((x, y), edge))], height, width
        )
    if kind == "rectangle" and len(points) == _CORNERS:
        (x0, y0), (x1, y1) = points
        points = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    elif kind not in ("polygon", "rectangle", "oriented_rectangle", "rotation"):
        raise BadRecord(f"is of a kind that is not read ({kind})")
    return region_of_segmentation([[value for point in points for value in point]], height, width)


def _pasted(encoded: object, points: Sequence[tuple[float, float]], height: int, width: int) -> Region | None:
    """A mask as a PNG in base64, with the corners of its position."""
    if not isinstance(encoded, str):
        raise BadRecord("its mask is not a valid PNG in base64")
    try:
        with open_image(io.BytesIO(base64.b64decode(encoded, validate=True)), ("PNG",)) as image:
            part = np.asarray(image.convert("L")) > 0
    except (ImageProblem, binascii.Error) as problem:
        raise BadRecord(f"its mask is not a valid PNG in base64 ({problem})") from None
    return region_of_mask(paste_mask(part, round(points[0][0]), round(points[0][1]), height, width))
