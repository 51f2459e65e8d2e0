"""What every kind of output shares: what it may ask, its two methods, and videos with the source's timestamps."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from uniref.inference.prompts import Objects
from uniref.inference.results import FrameResult
from uniref.media.frame import SourceFrame
from uniref.media.source import MediaSource
from uniref.media.video_colors import BT709
from uniref.media.video_write import VideoStyle, VideoWriter


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
        return f"{words} #{about['instance']}" if "instance" in about else words


class Sink(abc.ABC):
    """An output. `write` is called for every frame in order, then `close` once."""

    needs_probabilities: ClassVar[bool] = False
    """Whether `FrameResult.probabilities` has to be there."""

    def __init__(self, context: Context) -> None:
        self.context = context

    @abc.abstractmethod
    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Add a frame."""

    def close(self) -> None:  # noqa: B027 - images need no end
        """Finish the files."""


class VideoSink(Sink):
    """Writes images as one video with the source's timestamps."""

    file_name = ""
    options: ClassVar[dict[str, Any]] = {}

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._writer: VideoWriter | None = None
        self._start = self._end = 0.0

    def _write_image(self, frame: SourceFrame, image: npt.NDArray[np.uint8]) -> None:
        stride = self.context.stride
        if self._writer is None:
            self._start = frame.seconds
            path = self.context.folder / self.file_name
            base = self.context.source.time_base
            fps = self.context.source.fps / stride
            self._writer = VideoWriter(path, image.shape[:2], fps, time_base=base, look=self._style(), **self.options)
        duration = frame.duration * stride
        self._end = frame.seconds + duration
        self._writer.write(image, frame.seconds - self._start, duration)

    def _style(self) -> VideoStyle:
        video = self.context.source.video
        return VideoStyle(BT709) if video is None else VideoStyle(video.colors, video.pixel_aspect)

    def close(self) -> None:
        """Finish the video."""
        if self._writer is not None:
            self._writer.close()


def image_path(context: Context, single: str, folder: str, frame: SourceFrame) -> Path:
    """Where a frame's PNG goes: `<folder>/<frame>.png`, or `<single>.png` for an image."""
    if context.source.kind == "image":
        return context.folder / f"{single}.png"
    path = context.folder / folder / f"{frame.name}.png"
    path.parent.mkdir(exist_ok=True)
    return path
