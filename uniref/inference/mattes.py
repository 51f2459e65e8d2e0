"""Mattes: one grey picture per object and frame, whose edges are as soft as the model's probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from uniref.inference.results import FrameResult
from uniref.inference.sink_base import Context, Sink, VideoSink
from uniref.media.frame import SourceFrame
from uniref.media.video_colors import BT709
from uniref.media.video_write import VideoStyle

_MOST_VIDEOS = 16  # encoders that run at a time


class MatteSink(Sink):
    """`mattes/<object>/<frame>.png`: grey, 0 to 255; `mattes/<object>.png` for an image."""

    needs_probabilities = True

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Write one matte per object."""
        for number in result.masks:
            path = self._path(number, frame)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(matte(result, number)).save(path, compress_level=1)

    def _path(self, number: int, frame: SourceFrame) -> Path:
        folder = self.context.folder / "mattes"
        is_image = self.context.source.kind == "image"
        return folder / f"{number}.png" if is_image else folder / str(number) / f"{frame.name}.png"


class MatteVideoSink(Sink):
    """`matte-<object>.mp4`: each object's mattes as a video with the source's timestamps; a PNG for an image."""

    needs_probabilities = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._videos: dict[int, _MatteVideo] = {}
        self._times: list[tuple[float, float]] = []  # of frames so far: an object that is found later begins black
        self._left_out: set[int] = set()

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Add one frame to the video of every object."""
        if self.context.source.kind == "image":
            for number in result.masks:
                Image.fromarray(matte(result, number)).save(self.context.folder / f"matte-{number}.png")
            return
        # objects that are new, as long as there are not too many
        for number in result.masks:
            if number not in self._videos and len(self._videos) < _MOST_VIDEOS:
                self._videos[number] = _MatteVideo(self.context, number)
                self._videos[number].catch_up(self._times, frame)
            elif number not in self._videos:
                self._left_out.add(number)
        # a frame each
        for video in self._videos.values():
            video.write(frame, result)
        self._times.append((frame.seconds, frame.duration))

    def close(self) -> None:
        """Finish every video."""
        for video in self._videos.values():
            video.close()
        if self._left_out:
            self.context.warn(
                f"{self.context.source.label}: {len(self._left_out)} of its objects got no matte video, which at most "
                f"{_MOST_VIDEOS} do; 'mattes' writes PNGs of all"
            )


class _MatteVideo(VideoSink):
    """The matte of one object as a video."""

    options: ClassVar = {"crf": 10}

    def __init__(self, context: Context, number: int) -> None:
        super().__init__(context)
        self.file_name, self._number = f"matte-{number}.mp4", number

    def catch_up(self, times: list[tuple[float, float]], frame: SourceFrame) -> None:
        """Write black frames for those before the object was found."""
        black = np.zeros_like(frame.image)
        for index, (seconds, duration) in enumerate(times):
            self._write_image(SourceFrame(index, "", black, seconds, duration), black)

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Write one matte."""
        self._write_image(frame, np.repeat(matte(result, self._number)[..., None], 3, axis=2))

    def _style(self) -> VideoStyle:
        """Grey is grey in every colour space: the usual tags, and the shape of the source's pixels."""
        video = self.context.source.video
        return VideoStyle(BT709) if video is None else VideoStyle(BT709, video.pixel_aspect)


def matte(result: FrameResult, number: int) -> npt.NDArray[np.uint8]:
    """An object's matte: its probability from 0 to 255, uint8 [H, W]; black where the object is not in the frame.

    Where objects exclude each other, they and the background share the pixel.
    """
    if number not in result.probabilities or not (mask := result.masks[number]).any():
        return np.zeros(result.labels.shape, np.uint8)
    probability = result.probabilities[number]
    if len(result.probabilities) > 1 and bool((result.labels[mask] == number).all()):
        background = np.ones_like(probability)
        total = np.zeros_like(probability)
        for each in result.probabilities.values():
            total += each
            background *= 1 - each
        probability = probability / (total + background)
    return (probability * 255 + 0.5).clip(0, 255).astype(np.uint8)
