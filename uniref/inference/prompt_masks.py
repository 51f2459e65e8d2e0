"""Masks of a prompt: files and folders, by frame and object."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from uniref.core import rle
from uniref.core.errors import MediaError, UsageError
from uniref.core.files import is_folder
from uniref.core.types import BoolMask
from uniref.inference.results import MAX_ID
from uniref.media.mask import colour_name, read_labels
from uniref.media.source import MediaSource, Selection, frame_files


@dataclass(frozen=True)
class GivenMask:
    """A mask of a prompt, as run lengths, so that a folder of thousands fits into memory."""

    file: Path
    """That it was read from."""
    size: tuple[int, int]
    """(H, W)."""
    counts: bytes
    """COCO's compressed run lengths."""

    @property
    def pixels(self) -> BoolMask:
        """Bool [H, W]."""
        return rle.decode(self.counts, *self.size)


class SelectedFrames:
    """The frames that are read of a source, which are counted only if somebody asks about others than the first."""

    def __init__(self, source: MediaSource, selection: Selection) -> None:
        self._source, self._stride = source, selection.stride
        self.first, self._last = selection.bounds(source.index_at)

    @functools.cached_property
    def _all(self) -> range:
        count = self._source.exact_frame_count()
        return range(self.first, min(self._last or count, count), self._stride)

    def __contains__(self, frame: int) -> bool:
        return frame == self.first or frame in self._all

    def go_on_after(self, frame: int) -> bool:
        """Whether any frame that is read is `frame` or later."""
        if not self._source.seekable:
            return self._last is None or frame < self._last
        return frame <= self.first or (bool(self._all) and frame <= self._all[-1])

    def do_not_hold(self, frame: int) -> str:
        """Says that a frame is not read."""
        every = f" with stride {self._stride}" if self._stride > 1 else ""
        return (
            f"frame {frame} is not among the frames that are read of {self._source.label} ({self.first} to "
            f"{self._all.stop - 1}{every})"
        )


class MaskTable:
    """Masks by frame and object, with the files they were read from."""

    def __init__(self) -> None:
        self.masks: dict[int, dict[int, GivenMask]] = {}
        self._colours: dict[tuple[int, int, int], int] = {}
        self._guessed: dict[str, list[Path]] = {}
        self._folders: list[str] = []

    def read(self, file: Path) -> npt.NDArray[np.uint8]:
        """Object ids of a mask file; a colour is the same object in all files. Raises MediaError."""
        labels = read_labels(file)
        if labels.note:
            self._guessed.setdefault(labels.note, []).append(file)
        if not labels.colours:
            return labels.objects
        numbers = [0, *(self._colours.setdefault(each, len(self._colours) + 1) for each in labels.colours)]
        if max(numbers) > MAX_ID:
            raise MediaError(f"{file}: with it, masks have more than {MAX_ID} colours; save them as palette PNGs")
        return np.array(numbers, np.uint8)[labels.ids]

    def notes(self) -> list[str]:
        """What was guessed about the files, each guess once."""
        lines = [*self._folders]
        for note, files in self._guessed.items():
            more = f" and {len(files) - 1} more" if len(files) > 1 else ""
            lines.append(f"{files[0]}{more}: {note}")
        if self._colours:
            named = (f"{colour_name(*colour)} = {number}" for colour, number in self._colours.items())
            lines.append(f"objects of colours: {', '.join(named)}")
        return lines

    def add_file(self, frame: int, file: Path) -> None:
        """All objects of a mask file, as masks of one frame. Raises UniRefError."""
        labels = self.read(file)
        numbers = _ids(labels)
        if not numbers:
            raise MediaError(f"{file}: marks no pixel; a mask must mark the object to follow")
        for number in numbers:
            if other := self.masks.get(frame, {}).get(number):
                raise UsageError(f"--mask {file}: object {number} of frame {frame} is already given by {other.file}")
            self._put(frame, number, labels == number, file)

    def add_folder(self, folder: Path, source: MediaSource, frames: SelectedFrames) -> None:
        """Masks named like the frames: every object starts at its first one, and again at each later one.

        Masks of frames that are not read count for nothing.

        Raises:
            MediaError: A file is not named like a frame, or no mask of the frames that are read marks a pixel.
        """
        names = source.frame_names()
        files, used, repeated = frame_files(folder), 0, False
        known: set[int] = set()
        for file in files:
            if names is not None and file.stem in names:
                frame = names.index(file.stem)
            elif names is None and file.stem.isdecimal():
                frame = int(file.stem)
            else:
                raise MediaError(f"{file}: is not named like a frame of {source.label}")
            labels = self.read(file)
            if frame not in frames:
                continue
            numbers = _ids(labels)
            used += bool(numbers)
            repeated = repeated or not known.isdisjoint(numbers)
            known.update(numbers)
            for number in numbers:
                if number not in self.masks.get(frame, {}):  # a file that is named by itself comes first
                    self._put(frame, number, labels == number, file)
        if not used:
            raise MediaError(f"{folder}: none of its masks marks a pixel in the frames that are read of {source.label}")
        if repeated:
            self._folders.append(
                f"{folder}: holds masks of {used} frames; an object starts again from each of its masks (to follow "
                "it from its first mask alone, name that file)"
            )

    def _put(self, frame: int, number: int, mask: BoolMask, file: Path) -> None:
        given = GivenMask(file, (mask.shape[0], mask.shape[1]), rle.encode(mask))
        self.masks.setdefault(frame, {})[number] = given


def _ids(labels: npt.NDArray[np.uint8]) -> list[int]:
    return [int(number) for number in np.unique(labels) if number]


def read_masks(entries: Sequence[str], source: MediaSource, frames: SelectedFrames) -> MaskTable:
    """Masks of files (first frame), `FRAME:FILE` and folders. Raises UniRefError."""
    table = MaskTable()
    for entry in sorted(entries, key=lambda entry: is_folder(Path(entry))):  # folders last
        match = re.fullmatch(r"(\d{1,18}):(.+)", entry)
        if match:
            if int(match[1]) not in frames:
                raise UsageError(f"--mask {entry}: {frames.do_not_hold(int(match[1]))}")
            table.add_file(int(match[1]), Path(match[2]))
        elif is_folder(Path(entry)):
            table.add_folder(Path(entry), source, frames)
        else:
            table.add_file(frames.first, Path(entry))
    return table
