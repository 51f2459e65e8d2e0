"""Masks as COCO and YouTube-VIS write them: run lengths or polygons, boxes, areas and scores."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from uniref.core.types import BoolMask
from uniref.inference.polygons import mask_polygons
from uniref.inference.results import FrameResult
from uniref.inference.sink_base import Context, Sink
from uniref.media.frame import SourceFrame
from uniref.version import __version__

INFO = {"description": "uniref predict", "version": __version__}
"""How a file begins that uniref wrote."""
_BUFFER = 1 << 14  # bytes of a list in memory


class RleSink(Sink):
    """`masks.jsonl`: one COCO record per object and frame (run-length masks as pycocotools reads them)."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._file: IO[str] = (context.folder / "masks.jsonl").open("w", encoding="utf-8")

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Write one line per object: its run lengths, box, area and score."""
        for number, mask in result.masks.items():
            record = {
                "image_id": frame.index,
                "file_name": frame.name,
                "category_id": 1,
                "object_id": number,
                "score": round(result.scores.get(number, 0.0), 6),
                **describe_mask(mask),
            }
            about = self.context.describe(number)
            record |= {key: about[key] for key in ("text", "instance") if key in about}
            self._file.write(json.dumps(record) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class CocoSink(Sink):
    """`coco.json` for an image; `youtube_vis.json` for a video or frames, with one annotation per object."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._file = _CocoImages(context) if context.source.kind == "image" else _YoutubeVis(context)

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Add the objects of one frame."""
        self._file.write(frame, result)

    def close(self) -> None:
        """Write the file."""
        self._file.close()


class Categories:
    """Categories of a file, named by the texts, in the order in which they are asked for."""

    def __init__(self, context: Context | None = None) -> None:
        self._numbers: dict[str, int] = {}
        for number in context.objects.ids if context else ():  # so that their order does not depend on the frames
            self.of_object(context, number)

    def of_object(self, context: Context | None, number: int) -> int:
        """The number, from 1, of an object's category: its text, or "object"."""
        text = context.describe(number).get("text", "") if context else ""
        return self.number(" ".join(str(text).split()) or "object")

    def number(self, name: str) -> int:
        """The number of a category, from 1."""
        return self._numbers.setdefault(name, len(self._numbers) + 1)

    @property
    def names(self) -> list[str]:
        """The names, from category 1 on."""
        return list(self._numbers)

    def records(self) -> list[dict[str, Any]]:
        """As in COCO."""
        return [{"id": number, "name": name, "supercategory": "object"} for name, number in self._numbers.items()]


class JsonLists:
    """Lists of a JSON document that grow at the same time, on disk but for a small part.

    Args:
        folder: Where its temporary file, which has no name there, may take space.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        self._buffers: dict[str, bytearray] = {}
        self._blocks: dict[str, list[tuple[int, int]]] = {}

    def add(self, name: str, value: Any) -> None:
        """Append a value of JSON types to a list."""
        known = name in self._buffers
        buffer = self._buffers.setdefault(name, bytearray())
        buffer += (b",\n" if known else b"") + json.dumps(value).encode("ascii")
        if len(buffer) > _BUFFER:
            self._blocks.setdefault(name, []).append((self._file.seek(0, 2), len(buffer)))
            self._file.write(buffer)
            buffer.clear()

    def write_to(self, target: IO[bytes], name: str) -> None:
        """Write a list with its brackets."""
        target.write(b"[")
        for start, length in self._blocks.get(name, ()):
            self._file.seek(start)
            target.write(self._file.read(length))
        target.write(self._buffers.get(name, b""))
        target.write(b"]")

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()


class _CocoImages(Sink):
    """A file in the form of COCO instances."""

    file_name = "coco.json"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._categories = Categories(context)
        self._lists = JsonLists(context.folder)
        self._images = self._annotations = 0

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Add the objects of one frame."""
        self._images += 1
        height, width = result.labels.shape
        file_name = self.context.source.file_name(frame)
        self._lists.add("images", {"id": self._images, "file_name": file_name, "width": width, "height": height})
        for number, mask in sorted(result.masks.items()):
            if not mask.any():
                continue
            self._annotations += 1
            annotation = {
                "id": self._annotations,
                "image_id": self._images,
                "category_id": self._categories.of_object(self.context, number),
                "object_id": number,
                "iscrowd": 0,
                "score": round(result.scores.get(number, 0.0), 6),
            }
            self._lists.add("annotations", annotation | self._describe(mask))

    def _describe(self, mask: BoolMask) -> dict[str, Any]:
        """Box, area and segmentation."""
        return describe_mask(mask)

    def close(self) -> None:
        """Write the file."""
        write_document(self.context.folder / self.file_name, self._lists, ("images", "annotations"), self._categories)
        self._lists.close()


class PolygonSink(_CocoImages):
    """`polygons.json`: COCO with polygons; every frame of a video is an image."""

    file_name = "polygons.json"

    def _describe(self, mask: BoolMask) -> dict[str, Any]:
        rings = [ring.round(2).flatten().tolist() for ring in mask_polygons(mask)]
        return describe_mask(mask) | {"segmentation": rings}


class _YoutubeVis(Sink):
    """A file in the form of YouTube-VIS: per object, one entry per frame, null where it is not visible."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._categories = Categories(context)
        self._lists = JsonLists(context.folder)
        self._frames = 0
        self._size = (0, 0)
        self._lengths: dict[int, int] = {}
        self._scores: dict[int, list[float]] = {}  # sum and number

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Add the objects of one frame."""
        self._size = self._size if self._frames else result.labels.shape
        self._lists.add("file_names", self.context.source.file_name(frame))
        for number, mask in result.masks.items():
            if mask.any():
                self._fill(number, self._frames)
                self._add(number, describe_mask(mask))
            total = self._scores.setdefault(number, [0.0, 0.0])
            if number in result.scores:
                total[0] += result.scores[number]
                total[1] += 1
        self._frames += 1

    def _fill(self, number: int, length: int) -> None:
        """Add frames in which an object is not visible, up to a number of frames."""
        while self._lengths.get(number, 0) < length:
            self._add(number, {})

    def _add(self, number: int, about: dict[str, Any]) -> None:
        for key in ("segmentation", "bbox", "area"):
            self._lists.add(f"{number} {key}", about.get(key))
        self._lengths[number] = self._lengths.get(number, 0) + 1

    def close(self) -> None:
        """Write the file."""
        height, width = self._size
        about = {"id": 1, "width": width, "height": height, "length": self._frames}
        with (self.context.folder / "youtube_vis.json").open("wb") as file:
            # the video
            file.write(f'{{"info": {json.dumps(INFO)}, "licenses": [],\n"videos": [{json.dumps(about)[:-1]}'.encode())
            file.write(b', "file_names": ')
            self._lists.write_to(file, "file_names")
            # objects that are visible somewhere
            file.write(b'}],\n"annotations": [')
            for position, number in enumerate(sorted(self._lengths)):
                self._fill(number, self._frames)
                total, count = self._scores[number]
                annotation = {
                    "id": position + 1,
                    "video_id": 1,
                    "category_id": self._categories.of_object(self.context, number),
                    "object_id": number,
                    "iscrowd": 0,
                    "score": round(total / count, 6) if count else 0.0,
                    **{key: about[key] for key in ("width", "height", "length")},
                }
                file.write((",\n" if position else "").encode() + json.dumps(annotation)[:-1].encode())
                for key in ("segmentation", "bbox", "area"):
                    plural = f"{key}s" if key != "bbox" else "bboxes"
                    file.write(f', "{plural}": '.encode())
                    self._lists.write_to(file, f"{number} {key}")
                file.write(b"}")
            file.write(f'],\n"categories": {json.dumps(self._categories.records())}}}\n'.encode())
        self._lists.close()


def write_document(path: Path, lists: JsonLists, names: tuple[str, ...], categories: Categories) -> None:
    """Write a COCO file: information about it, lists, categories. Raises OSError."""
    with path.open("wb") as file:
        file.write(f'{{"info": {json.dumps(INFO)}, "licenses": []'.encode())
        for name in names:
            file.write(f',\n"{name}": '.encode())
            lists.write_to(file, name)
        file.write(f',\n"categories": {json.dumps(categories.records())}}}\n'.encode())


def describe_mask(mask: BoolMask) -> dict[str, Any]:
    """Box (x, y, width, height), area in pixels and run lengths of a mask, as COCO writes them."""
    from pycocotools import mask as coco_mask

    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {
        "bbox": [float(value) for value in coco_mask.toBbox(rle)],
        "area": int(coco_mask.area(rle)),
        "segmentation": {"size": list(mask.shape), "counts": rle["counts"].decode("ascii")},
    }
