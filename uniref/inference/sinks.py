"""Outputs of a prediction on disk: one class per kind, all written frame by frame."""

from __future__ import annotations

import abc
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from uniref.inference.prompts import Objects
from uniref.inference.results import FrameResult
from uniref.media.draw import draw_overlay, drawable
from uniref.media.frame import SourceFrame
from uniref.media.mask import write_labels
from uniref.media.source import MediaSource
from uniref.media.video_colors import BT709
from uniref.media.video_read import VideoFile
from uniref.media.video_write import VideoStyle, VideoWriter, add_audio


@dataclass
class Context:
    """What every kind of output has access to."""

    folder: Path
    """Where to write."""
    source: MediaSource
    objects: Objects
    stride: int
    labels: bool
    """Write texts and scores into the overlay."""
    warn: Callable[[str], None]
    first: SourceFrame | None = field(default=None)
    """The first frame that was read."""
    instances: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Objects found as instances of a text: object id -> (the text's id, which instance of it, from 1)."""

    @property
    def ids(self) -> list[int]:
        """The ids of all objects so far, ascending; more may be found in later frames."""
        return sorted({*self.objects.ids, *self.instances})

    def add_instances(self, result: FrameResult) -> None:
        """Take note of instances that were found in a frame."""
        for number, text_id in result.instance_of.items():
            if number not in self.instances:
                count = sum(of == text_id for of, _ in self.instances.values())
                self.instances[number] = (text_id, count + 1)

    def describe(self, number: int) -> dict[str, Any]:
        """What an object is, as JSON types: its `kind`, its `text` where it has one, and which `instance` of it."""
        if number not in self.instances:
            return self.objects.describe(number)
        text_id, instance = self.instances[number]
        return self.objects.describe(text_id) | {"instance": instance}

    def name(self, number: int) -> str:
        """What to call an object on one line: its text, with the instance's number; else `#` and its id."""
        about = self.describe(number)
        words = " ".join(str(about.get("text", "")).split())
        if not words:
            return f"#{number}"
        return f"{words} {about['instance']}" if "instance" in about else words


class Sink(abc.ABC):
    """An output. `write` is called for every frame in order, then `close` once."""

    def __init__(self, context: Context) -> None:
        self.context = context

    @abc.abstractmethod
    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Add a frame."""

    def close(self) -> None:  # noqa: B027 - images need no end
        """Finish the files."""


class _VideoSink(Sink):
    """Writes images as one video with the source's timestamps."""

    file_name = ""
    options: ClassVar[dict[str, Any]] = {}

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._writer: VideoWriter | None = None
        self._start = self._end = 0.0

    def _write_image(self, frame: SourceFrame, image: npt.NDArray[np.uint8]) -> None:
        video, stride = self.context.source.video, self.context.stride
        if self._writer is None:
            self._start = frame.seconds
            path = self.context.folder / self.file_name
            look = VideoStyle(BT709) if video is None else VideoStyle(video.colors, video.pixel_aspect)
            base = None if video is None else video.time_base
            fps = self.context.source.fps / stride
            self._writer = VideoWriter(path, image.shape[:2], fps, time_base=base, look=look, **self.options)
        duration = frame.duration * stride
        self._end = frame.seconds + duration
        self._writer.write(image, frame.seconds - self._start, duration)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class OverlaySink(_VideoSink):
    """`overlay.mp4` (with the source's sound), or `overlay.png` for an image."""

    file_name = "overlay.mp4"

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Write one frame with its objects drawn in."""
        image = self._draw(frame, result)
        if self.context.source.kind == "image":
            Image.fromarray(image).save(self.context.folder / "overlay.png")
        else:
            self._write_image(frame, image)

    def close(self) -> None:
        """Finish the video, and put the sound of the source under it."""
        super().close()
        if self._writer is None or (problem := self._add_sound(self._writer.path)) is None:
            return
        self.context.warn(f"{self.context.source.path}: its sound could not be kept ({problem})")

    def _add_sound(self, overlay: Path) -> str | None:
        """Put the source's sound under the overlay; returns why it could not be."""
        video, first = self.context.source.video, self.context.first
        if not isinstance(video, VideoFile) or first is None:
            return None
        # sound that begins before the whole video's first frame is kept
        start = -first.seconds if first.index == 0 else first.seconds
        length = self._end - self._start
        return add_audio(overlay, video.path, video.info, start, length, seek=video.indexed)

    def _draw(self, frame: SourceFrame, result: FrameResult) -> npt.NDArray[np.uint8]:
        labels = {n: self._label(n, result) for n in result.masks} if self.context.labels else None
        return draw_overlay(frame.image, result.masks, labels)

    def _label(self, number: int, result: FrameResult) -> str:
        name = self.context.name(number)
        if not drawable(name):
            name = f"#{number}"
        return f"{name} {result.scores[number]:.2f}" if number in result.scores else name


class GifSink(OverlaySink):
    """`overlay.gif`: the overlay as an animation that plays anywhere."""

    file_name = "overlay.gif"
    options: ClassVar[dict[str, Any]] = {"codec": "gif"}

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Write one frame with its objects drawn in."""
        self._write_image(frame, self._draw(frame, result))

    def _add_sound(self, overlay: Path) -> str | None:
        return None


class MaskSink(Sink):
    """`masks/<frame>.png`: label maps in the DAVIS palette; `mask.png` for an image."""

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Write the label map of one frame."""
        write_labels(_image_path(self.context, "mask", "masks", frame), result.labels)


class CutoutSink(Sink):
    """`cutout/<frame>.png`: the objects on a transparent background (RGBA); `cutout.png` for an image."""

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Write the cut-out objects of one frame."""
        path = _image_path(self.context, "cutout", "cutout", frame)
        Image.fromarray(cut_out(frame, result)).save(path, compress_level=1)


class WebmSink(_VideoSink):
    """`cutout.webm`: the objects on a transparent background, VP9."""

    file_name = "cutout.webm"
    options: ClassVar[dict[str, Any]] = {"codec": "libvpx-vp9", "alpha": True}

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Write the cut-out objects of one frame."""
        self._write_image(frame, cut_out(frame, result))


class ProresSink(WebmSink):
    """`cutout.mov`: the objects on a transparent background, ProRes 4444."""

    file_name = "cutout.mov"
    options: ClassVar[dict[str, Any]] = {"codec": "prores_ks", "alpha": True}


class RleSink(Sink):
    """`masks.jsonl`: one COCO record per object and frame (run-length masks as pycocotools reads them)."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._file: IO[str] = (context.folder / "masks.jsonl").open("w", encoding="utf-8")

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Write one line per object: its run lengths, box, area and score."""
        from pycocotools import mask as coco_mask

        for number, mask in result.masks.items():
            rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            record = {
                "image_id": frame.index,
                "file_name": frame.name,
                "category_id": 1,
                "object_id": number,
                "score": round(result.scores.get(number, 0.0), 6),
                "bbox": [float(value) for value in coco_mask.toBbox(rle)],
                "area": int(coco_mask.area(rle)),
                "segmentation": {"size": list(mask.shape), "counts": rle["counts"].decode("ascii")},
            }
            about = self.context.describe(number)
            record |= {key: about[key] for key in ("text", "instance") if key in about}
            self._file.write(json.dumps(record) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class NpzSink(Sink):
    """`masks.npz`: one array per frame (`<frame>`: labels uint8 [H, W]), and `ids`, `frames`, `scores` [T, N]."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._archive = zipfile.ZipFile(context.folder / "masks.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self._frames: list[int] = []
        self._scores: list[dict[int, float]] = []

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Append the label map of one frame."""
        self._add(frame.name, result.labels)
        self._frames.append(frame.index)
        self._scores.append(result.scores)

    def _add(self, name: str, array: npt.NDArray[Any]) -> None:
        with self._archive.open(f"{name}.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, array, allow_pickle=False)

    def close(self) -> None:
        """Write ids, frames and scores, and finish the archive."""
        ids = self.context.ids
        scores = [[row.get(number, 0.0) for number in ids] for row in self._scores]
        try:
            self._add("ids", np.array(ids, np.int64))
            self._add("frames", np.array(self._frames, np.int64))
            self._add("scores", np.array(scores, np.float32).reshape(len(self._frames), -1))
        finally:  # also on a full disk: left open, it would complain once more when it is collected
            self._archive.close()


SINKS: dict[str, type[Sink]] = {
    "overlay": OverlaySink,
    "gif": GifSink,
    "masks": MaskSink,
    "rle": RleSink,
    "npz": NpzSink,
    "cutout": CutoutSink,
    "webm": WebmSink,
    "prores": ProresSink,
}


def cut_out(frame: SourceFrame, result: FrameResult) -> npt.NDArray[np.uint8]:
    """The objects' pixels with everything else transparent: uint8 RGBA [H, W, 4]."""
    alpha = np.where(result.labels > 0, 255, 0).astype(np.uint8)
    return np.dstack([frame.image, alpha])


def _image_path(context: Context, single: str, folder: str, frame: SourceFrame) -> Path:
    if context.source.kind == "image":
        return context.folder / f"{single}.png"
    path = context.folder / folder / f"{frame.name}.png"
    path.parent.mkdir(exist_ok=True)
    return path
