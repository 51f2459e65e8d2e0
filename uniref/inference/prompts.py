"""Prompts: texts, masks and support images, read, checked and matched with a source.

A `Prompt` is as written on the command line or in a record of a prompts file; `Objects` is what it resolves to for one
source, with every file read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from uniref.core.errors import MediaError, UsageError
from uniref.core.files import is_folder, split_pair
from uniref.core.types import UInt8Image
from uniref.inference.video import MAX_ID
from uniref.media.image import read_image
from uniref.media.mask import colour_name, read_labels
from uniref.media.source import MediaSource, Selection, frame_files
from uniref.recipe.base import Strict

_LONGEST_TEXT = 2_000  # characters; the text encoder reads 77 word pieces


class Prompt(Strict):
    """The references for one input."""

    text: tuple[str, ...] = ()
    """Texts, or `id=text`."""
    mask: tuple[str, ...] = ()
    """`FILE` (first frame), `FRAME:FILE`, or a folder of masks named like the frames."""
    support: tuple[str, ...] = ()
    """`IMAGE=MASK` pairs: together, k-shot examples of one object."""

    @property
    def empty(self) -> bool:
        """Whether there is no reference."""
        return not (self.text or self.mask or self.support)


@dataclass(frozen=True)
class Objects:
    """The objects to segment in one source."""

    texts: dict[int, str] = field(default_factory=dict)
    """Object id -> text."""
    masks: dict[int, dict[int, npt.NDArray[np.bool_]]] = field(default_factory=dict)
    """Frame index in the source -> object id -> bool [H, W]."""
    mask_files: dict[tuple[int, int], Path] = field(default_factory=dict)
    """(frame index, object id) -> the file that the mask was read from."""
    support: list[tuple[UInt8Image, npt.NDArray[np.bool_]]] = field(default_factory=list)
    """Support images with their masks."""
    support_id: int | None = None
    notes: tuple[str, ...] = ()
    """What was guessed about masks, one line per guess."""

    @property
    def ids(self) -> list[int]:
        """All object ids, ascending."""
        numbers = {*self.texts, *(number for masks in self.masks.values() for number in masks)}
        return sorted(numbers | ({self.support_id} if self.support_id else set()))

    def mask_file(self, frame: int, number: int) -> Path:
        """The file that an object's mask in a frame was read from."""
        return self.mask_files[frame, number]

    def describe(self, number: int) -> dict[str, Any]:
        """How an object was given, for reports."""
        if number in self.texts:
            return {"kind": "text", "text": self.texts[number]}
        if number == self.support_id:
            return {"kind": "support", "shots": len(self.support)}
        return {"kind": "mask", "first_frame": min(i for i, masks in self.masks.items() if number in masks)}


def resolve(prompt: Prompt, source: MediaSource, selection: Selection) -> Objects:
    """Read and number everything that a prompt names.

    Masks keep their own ids; texts and the support object get the lowest free ones, unless a text says `id=text`.

    Raises:
        UsageError: Contradictory or impossible references.
        MediaError: A file cannot be read.
    """
    if prompt.empty:
        raise UsageError(f"{source.path}: no prompt given; use --text, --mask or --support")
    if source.kind == "image" and prompt.mask:
        raise UsageError(
            f"--mask {prompt.mask[0]}: {source.path.name} is a single image, but a mask is followed through a video; "
            "use --support IMAGE=MASK to segment a similar object"
        )
    if source.kind == "image" and prompt.text and prompt.support:
        raise UsageError("--text and --support: an image takes only one of them; run the command twice for both")
    table = _read_masks(prompt.mask, source, selection)
    mask_ids = {number for _, number in table.files}
    texts = _number_texts(prompt.text, mask_ids)
    support = [_read_support(pair, table) for pair in prompt.support]
    support_id = _free_ids(mask_ids | set(texts), 1)[0] if support else None
    return Objects(texts, table.masks, table.files, support, support_id, tuple(table.notes()))


def _number_texts(texts: Sequence[str], mask_ids: set[int]) -> dict[int, str]:
    """Object id -> text: ids as written, the lowest free ones for the others."""
    parsed = [_parse_text(text) for text in texts]
    fixed: dict[int, str] = {}
    for number, text in parsed:
        if number is None:
            continue
        if number in mask_ids or number in fixed:
            other = "a mask" if number in mask_ids else "another text"
            raise UsageError(f"--text '{number}={text}': object {number} is already given by {other}; use another id")
        fixed[number] = text
    free = iter(_free_ids(mask_ids | set(fixed), sum(number is None for number, _ in parsed)))
    return {next(free) if number is None else number: text for number, text in parsed}


def _parse_text(text: str) -> tuple[int | None, str]:
    """`id=text` or `text` as (id or None, text). Raises UsageError."""
    match = re.fullmatch(r"\s*(\d{1,18})\s*=(.*)", text, re.DOTALL)
    number, expression = (int(match[1]), match[2]) if match else (None, text)
    if number is not None and not 1 <= number <= MAX_ID:
        raise UsageError(f"--text {text!r}: object ids go from 1 to {MAX_ID}")
    if not expression.strip():
        raise UsageError("--text: is empty; describe the object to segment")
    # bytes of the command line that are not characters
    if any(0xD800 <= ord(letter) < 0xE000 for letter in expression):
        raise UsageError(f"--text {expression!r:.80}: is not text in UTF-8")
    if len(expression) > _LONGEST_TEXT:
        raise UsageError(
            f"--text '{expression[:40]}...': has {len(expression):,} characters; at most {_LONGEST_TEXT:,} are read"
        )
    return number, expression.strip()


def _free_ids(used: set[int], count: int) -> list[int]:
    """The lowest `count` ids that are not used. Raises UsageError."""
    free = [number for number in range(1, MAX_ID + 1) if number not in used]
    if len(free) < count:
        raise UsageError(f"{len(used) + count} objects: at most {MAX_ID} fit into one label map")
    return free[:count]


def _read_support(pair: str, table: _MaskTable) -> tuple[UInt8Image, npt.NDArray[np.bool_]]:
    """Image and mask of an `IMAGE=MASK` pair. Raises UniRefError."""
    names = split_pair(pair)
    if names is None:
        raise UsageError(f"--support {pair!r}: use IMAGE=MASK")
    image_name, mask_name = names
    image, mask = read_image(Path(image_name)), table.read(Path(mask_name)) > 0
    _check_size(Path(mask_name), mask, (image.shape[0], image.shape[1]), image_name)
    if not mask.any():
        raise MediaError(f"{mask_name}: marks no pixel; a support mask must mark the object")
    return image, mask


class _MaskTable:
    """Masks by frame and object, with the files they were read from."""

    def __init__(self) -> None:
        self.masks: dict[int, dict[int, npt.NDArray[np.bool_]]] = {}
        self.files: dict[tuple[int, int], Path] = {}
        self._colours: dict[tuple[int, int, int], int] = {}
        self._guessed: dict[str, list[Path]] = {}

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
        lines = []
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
            if number in self.masks.get(frame, {}):
                raise UsageError(
                    f"--mask {file}: object {number} of frame {frame} is already given by {self.files[frame, number]}"
                )
            self._put(frame, number, labels == number, file)

    def add_folder(self, folder: Path, source: MediaSource) -> None:
        """Masks named like the frames; each object is given by the first file that marks it (DAVIS, YouTube-VOS).

        Raises:
            MediaError: A file is not named like a frame, or no mask marks a pixel.
        """
        names = source.frame_names()
        added: set[int] = set()
        for file in frame_files(folder):
            if names is not None and file.stem in names:
                frame = names.index(file.stem)
            elif names is None and file.stem.isdecimal():
                frame = int(file.stem)
            else:
                raise MediaError(f"{file}: is not named like a frame of {source.path}")
            labels = self.read(file)
            for number in _ids(labels):
                if number not in added:
                    added.add(number)
                    self._put(frame, number, labels == number, file)
        if not added:
            raise MediaError(f"{folder}: none of its masks marks a pixel")

    def _put(self, frame: int, number: int, mask: npt.NDArray[np.bool_], file: Path) -> None:
        self.masks.setdefault(frame, {})[number] = mask
        self.files[frame, number] = file


def _ids(labels: npt.NDArray[np.uint8]) -> list[int]:
    return [int(number) for number in np.unique(labels) if number]


def _read_masks(entries: Sequence[str], source: MediaSource, selection: Selection) -> _MaskTable:
    """Masks of files (first frame), `FRAME:FILE` and folders."""
    table = _MaskTable()
    first, _ = selection.bounds(source.index_at)
    for entry in entries:
        match = re.fullmatch(r"(\d{1,18}):(.+)", entry)
        if match:
            table.add_file(int(match[1]), Path(match[2]))
        elif is_folder(Path(entry)):
            table.add_folder(Path(entry), source)
        else:
            table.add_file(first, Path(entry))
    _check_frames(table, source, selection)
    return table


def _check_frames(table: _MaskTable, source: MediaSource, selection: Selection) -> None:
    """Raise UsageError unless every mask belongs to a frame that is read."""
    first, last = selection.bounds(source.index_at)
    if all(frame == first for frame in table.masks):
        return
    count = source.exact_frame_count()
    stop = min(last or count, count)
    selected = range(first, stop, selection.stride)
    for frame, masks in table.masks.items():
        if frame not in selected:
            every = f", every {selection.stride}th" if selection.stride > 1 else ""
            raise UsageError(
                f"--mask {table.files[frame, next(iter(masks))]}: frame {frame} is not among the frames that are "
                f"read of {source.path} ({first} to {stop - 1}{every})"
            )


def _check_size(file: Path, mask: npt.NDArray[np.bool_], size: tuple[int, int], image: str) -> None:
    if mask.shape != size:
        raise MediaError(f"{file}: is {mask.shape[1]} x {mask.shape[0]} pixels, but {image} is {size[1]} x {size[0]}")
