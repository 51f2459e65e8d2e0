"""Videos that can be read several times, and backwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from uniref.core.types import UInt8Image
from uniref.inference.prompt_masks import SelectedFrames
from uniref.media.frame import SourceFrame
from uniref.media.source import MediaSource, Selection


class Clip(Protocol):
    """Frames that can be read several times, and backwards."""

    @property
    def name(self) -> str:
        """For progress bars."""
        ...

    def forwards(self) -> Iterator[SourceFrame]:
        """All frames, in order."""
        ...

    def backwards(self, last: int) -> Iterator[SourceFrame]:
        """Frames from the one of index `last` back to the first; damaged ones may be left out."""
        ...

    def count(self, last: int | None = None) -> int:
        """About how many frames there are up to the one of index `last` (None: to the end)."""
        ...

    def __contains__(self, index: int) -> bool:
        """Whether there is a frame of this index."""
        ...


@dataclass(frozen=True)
class MediaClip:
    """Selected frames of a file or a folder of frames."""

    source: MediaSource
    selection: Selection = field(default_factory=Selection)

    @property
    def name(self) -> str:
        """The file's."""
        return self.source.path.name

    def forwards(self) -> Iterator[SourceFrame]:
        """All frames, in order."""
        return self.source.frames(self.selection)

    def backwards(self, last: int) -> Iterator[SourceFrame]:
        """Frames from the one of index `last` back to the first."""
        return self.source.frames_backwards(self.selection, last)

    def count(self, last: int | None = None) -> int:
        """Frames that the file announces."""
        if last is None:
            announced = self.source.selected_count(self.selection)
            assert announced is not None  # a file
            return announced
        return len(range(self.selection.bounds(self.source.index_at)[0], last + 1, self.selection.stride))

    def __contains__(self, index: int) -> bool:
        return index in SelectedFrames(self.source, self.selection)


@dataclass(frozen=True)
class ArrayClip:
    """Frames in memory: uint8 RGB [H, W, 3] each."""

    frames: Sequence[UInt8Image]
    name: str = "frames"

    def forwards(self) -> Iterator[SourceFrame]:
        """All frames, in order."""
        return map(self._frame, range(len(self.frames)))

    def backwards(self, last: int) -> Iterator[SourceFrame]:
        """Frames from the one of index `last` back to the first."""
        return map(self._frame, range(last, -1, -1))

    def count(self, last: int | None = None) -> int:
        """How many frames there are."""
        return len(self.frames) if last is None else last + 1

    def __contains__(self, index: int) -> bool:
        return 0 <= index < len(self.frames)

    def _frame(self, index: int) -> SourceFrame:
        return SourceFrame(index, str(index), self.frames[index], float(index), 1.0)
