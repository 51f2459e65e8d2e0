"""Outputs that annotation tools and trainers of other projects read: YOLO text files, MOTS PNGs, archives for CVAT."""

from __future__ import annotations

import abc
import io
import json
import zipfile
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import numpy.typing as npt
from PIL import Image

from uniref.core.boxes import mask_bounds
from uniref.core.types import BoolMask
from uniref.inference.coco import Categories
from uniref.inference.polygons import join_polygons, mask_polygons
from uniref.inference.results import FrameResult
from uniref.inference.sink_base import Context, Sink
from uniref.media.frame import SourceFrame

_MOTS_CLASSES = 64  # class times 1000 plus id has to fit into 16 bits
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # of files in an archive, so that equal results are equal archives


class YoloSink(Sink):
    """`yolo/labels/<frame>.txt`: a line per visible object, `class x y x y ...` from 0 to 1; `yolo/data.yaml`.

    Parts of an object are joined, and holes cut in, by slits of no width, as the format has one outline per object.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._categories = Categories(context)
        self._folder = context.folder / "yolo"
        (self._folder / "labels").mkdir(parents=True)

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Write the file of one frame, empty where nothing is visible."""
        height, width = result.labels.shape
        lines = []
        for number, mask in sorted(result.masks.items()):
            if polygons := mask_polygons(mask):
                points = join_polygons(polygons) / (width, height)
                name = self._categories.of_object(self.context, number) - 1
                lines.append(" ".join([str(name), *(f"{value:.6f}" for value in points.flatten())]) + "\n")
        (self._folder / "labels" / f"{frame.name}.txt").write_text("".join(lines), "ascii")

    def close(self) -> None:
        """Write the names of the classes."""
        names = self._categories.names
        lines = ["path: .", "train: images", "val: images", "names:"]
        lines += [f"  {index}: {json.dumps(name, ensure_ascii=False)}" for index, name in enumerate(names)]
        (self._folder / "data.yaml").write_text("\n".join(lines) + "\n", "utf-8")
        (self._folder / "classes.txt").write_text("".join(f"{name}\n" for name in names), "utf-8", errors="replace")


class MotsSink(Sink):
    """`mots/instances/<frame>.png`: 16 bits, 1000 times the class plus the object's id; `labels.txt`: the classes."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._values = _MotsValues(context)
        self._folder = context.folder / "mots" / "instances"
        self._folder.mkdir(parents=True)

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Write the PNG of one frame."""
        Image.fromarray(self._values.of_frame(result)).save(self._folder / f"{frame.name}.png", compress_level=1)

    def close(self) -> None:
        """Write the names of the classes."""
        (self._folder / "labels.txt").write_text(self._values.labels(), "utf-8", errors="replace")


class CvatSink(Sink):
    """`cvat.zip`: for CVAT's "Upload annotations"; a video as "MOTS PNG 1.0", an image as "CVAT 1.1"."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._archive = zipfile.ZipFile(context.folder / "cvat.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        form = _CvatImage if context.source.kind == "image" else _CvatFrames
        self._form: _CvatForm = form(context)

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Add one frame."""
        self._add(self._form.files(frame, result))

    def _add(self, files: Iterator[tuple[str, bytes]]) -> None:
        for name, content in files:
            self._archive.writestr(zipfile.ZipInfo(name, _FIXED_TIME), content, zipfile.ZIP_DEFLATED, 1)

    def close(self) -> None:
        """Finish the archive."""
        try:
            self._add(self._form.last_files())
        finally:  # also on a full disk: left open, it would complain once more when it is collected
            self._archive.close()


class _CvatForm(abc.ABC):
    """Files of an archive."""

    @abc.abstractmethod
    def files(self, frame: SourceFrame, result: FrameResult) -> Iterator[tuple[str, bytes]]:
        """(name, content) of the files of a frame."""

    def last_files(self) -> Iterator[tuple[str, bytes]]:
        """(name, content) of the files at the end."""
        yield from ()


class _CvatFrames(_CvatForm):
    """MOTS PNGs, which CVAT imports as one track per object; frames are called as CVAT calls them."""

    def __init__(self, context: Context) -> None:
        self._values = _MotsValues(context)
        self._named = context.source.kind == "frames"

    def files(self, frame: SourceFrame, result: FrameResult) -> Iterator[tuple[str, bytes]]:
        buffer = io.BytesIO()
        Image.fromarray(self._values.of_frame(result)).save(buffer, "PNG", compress_level=1)
        name = frame.name if self._named else f"frame_{frame.index:06d}"
        yield f"default/instances/{name}.png", buffer.getvalue()

    def last_files(self) -> Iterator[tuple[str, bytes]]:
        yield "default/instances/labels.txt", self._values.labels().encode("utf-8", "replace")


class _CvatImage(_CvatForm):
    """CVAT's own XML with one mask per object."""

    def __init__(self, context: Context) -> None:
        self._context, self._categories = context, Categories(context)

    def files(self, frame: SourceFrame, result: FrameResult) -> Iterator[tuple[str, bytes]]:
        height, width = result.labels.shape
        masks = "".join(
            f'    <mask label={self._label(number)} source="auto" occluded="0" {_cvat_mask(mask)} z_order="{layer}"/>\n'
            for layer, (number, mask) in enumerate(sorted(result.masks.items()))
            if mask.any()
        )
        labels = "".join(f"<label><name>{escape(_xml(name))}</name></label>" for name in self._categories.names)
        name = quoteattr(_xml(self._context.source.file_name(frame)))
        text = (
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
            f"  <meta><task><size>1</size><mode>annotation</mode><labels>{labels}</labels></task></meta>\n"
            f'  <image id="0" name={name} width="{width}" height="{height}">\n{masks}  </image>\n</annotations>\n'
        )
        yield "annotations.xml", text.encode("utf-8", "replace")

    def _label(self, number: int) -> str:
        return quoteattr(_xml(self._categories.names[self._categories.of_object(self._context, number) - 1]))


class _MotsValues:
    """Pixels as MOTS has them, and the names of its classes."""

    def __init__(self, context: Context) -> None:
        self._context, self._categories = context, Categories(context)

    def of_frame(self, result: FrameResult) -> npt.NDArray[np.uint16]:
        """Uint16 [H, W]: 1000 times the class plus the object's id; 0 = background."""
        table = np.zeros(256, np.uint16)
        for number in result.masks:
            table[number] = 1000 * self._class(number) + number
        return table[result.labels]

    def _class(self, number: int) -> int:
        """The class of an object, from 1; the one after the last that fits is for all others."""
        return min(self._categories.of_object(self._context, number), _MOTS_CLASSES + 1)

    def labels(self) -> str:
        """The names, one per line."""
        names = self._categories.names
        if len(names) > _MOTS_CLASSES:
            names = [*names[:_MOTS_CLASSES], "object"]
        return "".join(f"{name}\n" for name in names)


def _cvat_mask(mask: BoolMask) -> str:
    """Attributes of a mask: run lengths, row by row inside its box, beginning with those outside of the object."""
    region = mask_bounds(mask)
    assert region is not None
    rows, cols = region
    flat = mask[rows, cols].flatten()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    lengths = ", ".join(map(str, [0, *runs] if flat[0] else runs))
    return (
        f'rle="{lengths}" left="{cols.start}" top="{rows.start}" '
        f'width="{cols.stop - cols.start}" height="{rows.stop - rows.start}"'
    )


def _xml(text: str) -> str:
    """A text without the characters that XML cannot hold."""
    return "".join(
        letter if letter in "\t\n\r" or " " <= letter < "\ufffe" or letter > "\uffff" else "?" for letter in text
    )
