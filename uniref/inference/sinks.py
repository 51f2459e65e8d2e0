"""Pictures of a prediction on disk, written frame by frame, and the names of all kinds of output."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from uniref.inference.annotation_sinks import CvatSink, MotsSink, YoloSink
from uniref.inference.coco import CocoSink, PolygonSink, RleSink
from uniref.inference.mattes import MatteSink, MatteVideoSink
from uniref.inference.results import FrameResult
from uniref.inference.sink_base import Context, Sink, VideoSink, image_path
from uniref.media.draw import draw_overlay, drawable
from uniref.media.frame import SourceFrame
from uniref.media.mask import write_labels
from uniref.media.video_read import VideoFile
from uniref.media.video_write import add_audio


class OverlaySink(VideoSink):
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
        self.context.warn(f"{self.context.source.label}: its sound could not be kept ({problem})")

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
        return draw_result(self.context, frame, result)


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
        write_labels(image_path(self.context, "mask", "masks", frame), result.labels)


class CutoutSink(Sink):
    """`cutout/<frame>.png`: the objects on a transparent background (RGBA); `cutout.png` for an image."""

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Write the cut-out objects of one frame."""
        path = image_path(self.context, "cutout", "cutout", frame)
        Image.fromarray(cut_out(frame, result)).save(path, compress_level=1)


class WebmSink(VideoSink):
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
    "coco": CocoSink,
    "polygons": PolygonSink,
    "yolo": YoloSink,
    "mots": MotsSink,
    "cvat": CvatSink,
    "npz": NpzSink,
    "cutout": CutoutSink,
    "webm": WebmSink,
    "prores": ProresSink,
    "mattes": MatteSink,
    "matte-video": MatteVideoSink,
}


def draw_result(context: Context, frame: SourceFrame, result: FrameResult) -> npt.NDArray[np.uint8]:
    """The frame with its objects drawn in, and their names and scores: uint8 RGB [H, W, 3]."""

    def label(number: int) -> str:
        name = context.name(number)
        if not drawable(name):
            name = f"#{number}"
        return f"{name}: {result.scores[number]:.2f}" if number in result.scores else name

    labels = {number: label(number) for number in result.masks} if context.labels else None
    return draw_overlay(frame.image, result.masks, labels)


def cut_out(frame: SourceFrame, result: FrameResult) -> npt.NDArray[np.uint8]:
    """The objects' pixels with everything else transparent: uint8 RGBA [H, W, 4]."""
    alpha = np.where(result.labels > 0, 255, 0).astype(np.uint8)
    return np.dstack([frame.image, alpha])
