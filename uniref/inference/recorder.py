"""Writes the outputs of one source in a thread, and keeps the counts for its summary."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from uniref.core.environment import versions
from uniref.core.errors import MediaError
from uniref.core.parallel import BackgroundWorker
from uniref.inference.results import FrameResult
from uniref.inference.sink_base import Context, Sink
from uniref.inference.tallies import PredictTallies
from uniref.inference.timeline import Timeline
from uniref.media.frame import SourceFrame

_LISTED = 50  # damaged frames named in a summary


class StoppedError(Exception):
    """A run was stopped before it wrote a frame."""


class Recorder:
    """Writes frames in a thread and keeps the counts for the summary."""

    def __init__(self, context: Context, kinds: Iterable[type[Sink]]) -> None:
        self.context = context
        self.sinks = [kind(context) for kind in kinds]
        self._thread = BackgroundWorker(self._write)
        self._tallies = PredictTallies()
        self._timeline = Timeline()
        self.frames = 0
        self.damaged_count = 0
        self.damaged: list[str] = []
        self._last: SourceFrame | None = None
        self._error: BaseException | None = None

    def add(self, frame: SourceFrame, result: FrameResult) -> None:
        """Count a frame, and hand it to the thread that writes."""
        if self.context.first is None:
            self.context.first = frame
        self._last = frame
        self.frames += 1
        self._timeline.add(result)
        if frame.damaged:
            self.damaged_count += 1
            if len(self.damaged) < _LISTED:
                self.damaged.append(frame.name)
        else:
            self.context.add_instances(result)
            self._tallies.add(result)
        self._thread.put((frame, result))

    def _write(self, item: tuple[SourceFrame, FrameResult]) -> None:
        for sink in self.sinks:
            try:
                sink.write(*item)
            except OSError as error:
                raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> MediaError:
        return MediaError(f"{self.context.folder}: cannot be written ({error.strerror or error})")

    def finish(self) -> None:
        """Close every file, whatever happened; `check` raises what went wrong."""
        steps: list[Callable[[], None]] = [self._thread.close, *(sink.close for sink in self.sinks)]
        for step in steps:
            try:
                step()
            except OSError as error:
                self._error = self._error or self._unwritable(error)
            except Exception as error:  # noqa: BLE001 - the others have to be closed too
                self._error = self._error or error

    def check(self, stop: Callable[[], bool]) -> None:
        """Raise what went wrong while writing; StoppedError if `stop` came before the first frame."""
        if self._error is not None:
            raise self._error
        if self.frames == 0 and stop():
            raise StoppedError
        if self.frames == 0:
            raise MediaError(f"{self.context.source.label}: holds no frames to segment")

    def summary(self, complete: bool, seconds: float, model_seconds: float) -> dict[str, Any]:
        """What is known at the end, as JSON types.

        Args:
            complete: All frames were processed.
            seconds: All in all.
            model_seconds: Of the model.
        """
        source = self.context.source
        first, last = self.context.first, self._last
        assert first is not None
        assert last is not None
        return {
            # what was read
            "input": source.label,
            "kind": source.kind,
            "complete": complete,
            "size": {"height": first.image.shape[0], "width": first.image.shape[1]},
            "tone_mapped": source.video is not None and source.video.tone_mapped,
            "frames": {
                "written": self.frames,
                "first": first.index,
                "last": last.index,
                "damaged": self.damaged_count,
                "damaged_names": self.damaged,
                "lost_at_end": source.video.tail_lost if source.video else 0,
            },
            # what was predicted
            "objects": self._tallies.summary(self.context.ids, self.context.describe),
            **({"timeline": self._timeline.summary()} if source.kind != "image" else {}),
            # how it went, and what came of it
            "seconds": {"total": round(seconds, 3), "model": round(model_seconds, 3)},
            "frames_per_second": round(self.frames / seconds, 3) if seconds else None,
            **({"stream": report} if (report := source.stream_report()) else {}),
            "outputs": sorted(str(p.relative_to(self.context.folder)) for p in self.context.folder.iterdir()),
            "versions": versions(),
        }

    def warn_of_damage(self) -> None:
        """Tell the user about damage that was survived."""
        source, warn = self.context.source, self.context.warn
        if source.problem:
            warn(f"{source.label}: {source.problem}")
        if self.damaged_count:
            frames = "1 damaged frame has" if self.damaged_count == 1 else f"{self.damaged_count} damaged frames have"
            warn(f"{source.label}: {frames} empty masks (first: {self.damaged[0]})")
        if source.video is not None and source.video.tail_lost:
            lost = source.video.tail_lost
            frames = "1 frame at its end is" if lost == 1 else f"{lost} frames at its end are"
            warn(f"{source.label}: is cut off; {frames} lost")
        elif source.video is not None and source.video.lacks_end:
            warn(f"{source.label}: is cut off; frames at its end may be lost, and it does not say how many")
        if source.resized and source.video is not None:
            warn(f"{source.label}: its frames change size ({source.resized}); they are fitted to the first one's")
        elif source.resized:
            warn(
                f"{source.label}: its frames differ in size ({source.resized}); masks have each frame's own size, "
                "videos the first one's. If they are pictures of different things, name them one by one instead of "
                "their folder"
            )
        if source.video is not None and source.video.hdr and not source.video.tone_mapped:
            warn(f"{source.label}: is HDR, which this ffmpeg (without zscale) cannot convert; colours are dull")
