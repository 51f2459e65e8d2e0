"""Prompts: texts, masks, support images, boxes and points, read, checked and matched with a source.

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
from uniref.core.files import split_pair
from uniref.core.types import UInt8Image
from uniref.inference.prompt_masks import GivenMask, MaskTable, SelectedFrames, read_masks
from uniref.inference.prompt_regions import GivenRegion, parse_regions, place_regions
from uniref.inference.results import MAX_ID
from uniref.media.image import read_image
from uniref.media.source import MediaSource, Selection
from uniref.recipe.base import Strict

PROMPT_OPTIONS = "--text, --mask, --support, --box or --point"
_LONGEST_TEXT = 2_000  # characters; the text encoder reads 77 word pieces


class Prompt(Strict):
    """The references for one input."""

    text: tuple[str, ...] = ()
    """`[ID=][FRAME:]TEXT`: with a frame, the text is looked for from there on."""
    mask: tuple[str, ...] = ()
    """`FILE` (first frame), `FRAME:FILE`, or a folder of masks named like the frames."""
    support: tuple[str, ...] = ()
    """`IMAGE=MASK` pairs: together, k-shot examples of one object."""
    box: tuple[str, ...] = ()
    """`[ID=][FRAME:]x0,y0,x1,y1`, in pixels."""
    point: tuple[str, ...] = ()
    """`[ID=][FRAME:]x,y`, in pixels; `ID=[FRAME:]-x,y` beside the object."""

    @property
    def empty(self) -> bool:
        """Whether there is no reference."""
        return not (self.text or self.mask or self.support or self.box or self.point)


@dataclass(frozen=True)
class Objects:
    """The objects to segment in one source."""

    texts: dict[int, str] = field(default_factory=dict)
    """Object id -> text."""
    text_frames: dict[int, int] = field(default_factory=dict)
    """Object id -> frame index in the source from which on its text is looked for; the others from the first on."""
    masks: dict[int, dict[int, GivenMask]] = field(default_factory=dict)
    """Frame index in the source -> object id -> its mask there; an object starts again at each of its masks."""
    regions: dict[int, dict[int, GivenRegion]] = field(default_factory=dict)
    """Frame index in the source -> object id -> box and points that show it there; it starts again at each of them."""
    support: list[tuple[UInt8Image, npt.NDArray[np.bool_]]] = field(default_factory=list)
    """Support images with their masks."""
    support_id: int | None = None
    notes: tuple[str, ...] = ()
    """What was guessed about masks, one line per guess."""

    @property
    def ids(self) -> list[int]:
        """All object ids, ascending."""
        numbers = {*self.texts}
        for masks in self.masks.values():
            numbers.update(masks)
        for shown in self.regions.values():
            numbers.update(shown)
        return sorted(numbers | ({self.support_id} if self.support_id else set()))

    def describe(self, number: int) -> dict[str, Any]:
        """How an object was given, for reports."""
        if number in self.texts:
            first = {"first_frame": self.text_frames[number]} if number in self.text_frames else {}
            return {"kind": "text", "text": self.texts[number]} | first
        if number == self.support_id:
            return {"kind": "support", "shots": len(self.support)}
        shown = sorted(frame for frame, objects in self.regions.items() if number in objects)
        given = sorted(frame for frame, objects in self.masks.items() if number in objects)
        if not shown or (given and given[0] < shown[0]):
            return {"kind": "mask", "first_frame": given[0]}
        region = self.regions[shown[0]][number].region
        kind = {"kind": "box", "box": list(region.box)} if region.box else {"kind": "point"}
        points = {"points": [list(point) for point in region.points]} if region.points else {}
        return kind | points | {"first_frame": shown[0]}


def resolve(prompt: Prompt, source: MediaSource, selection: Selection) -> Objects:
    """Read and number everything that a prompt names.

    Masks keep their own ids; texts, boxes and points, and the support object get the lowest free ones, unless a text,
    box or point says `id=`.

    Raises:
        UsageError: Contradictory or impossible references.
        MediaError: A file cannot be read.
    """
    if prompt.empty:
        raise UsageError(f"{source.label}: no prompt given; use {PROMPT_OPTIONS}")
    if source.kind == "image" and prompt.mask:
        raise UsageError(
            f"--mask {prompt.mask[0]}: {source.path.name} is a single image, but a mask is followed through a video; "
            "use --support IMAGE=MASK to segment a similar object, or --box or --point to show one"
        )
    if source.kind == "image" and prompt.text and prompt.support:
        raise UsageError("--text and --support: an image takes only one of them; run the command twice for both")
    frames = SelectedFrames(source, selection)
    table = read_masks(prompt.mask, source, frames)
    mask_ids = {number for masks in table.masks.values() for number in masks}
    written = parse_regions(prompt.box, prompt.point)
    region_ids = {each.number for each in written if each.number is not None}
    texts, text_frames = _number_texts(prompt.text, mask_ids, region_ids)
    for number, frame in text_frames.items():
        if not frames.go_on_after(frame):
            raise UsageError(f"--text '{frame}:{texts[number]}': {frames.do_not_hold(frame)}")
    used = mask_ids | region_ids | set(texts)
    free = iter(_free_ids(used, sum(each.number is None for each in written)))
    regions = place_regions(written, frames, free, texts)
    for frame, shown in regions.items():
        for number in shown:
            if number in table.masks.get(frame, {}):
                raise UsageError(f"{shown[number].option}: object {number} has a mask in frame {frame} already")
            used.add(number)
    support = [_read_support(pair, table) for pair in prompt.support]
    support_id = _free_ids(used, 1)[0] if support else None
    return Objects(texts, text_frames, table.masks, regions, support, support_id, tuple(table.notes()))


def _number_texts(
    texts: Sequence[str], mask_ids: set[int], region_ids: set[int]
) -> tuple[dict[int, str], dict[int, int]]:
    """Object id -> text, and -> the frame of those that start later. Ids as written, the lowest free for the others."""
    parsed = [_parse_text(text) for text in texts]
    fixed: set[int] = set()
    for number, _, text in parsed:
        if number is None:
            continue
        if number in mask_ids or number in fixed:
            other = "a mask" if number in mask_ids else "another text"
            raise UsageError(f"--text '{number}={text}': object {number} is already given by {other}; use another id")
        fixed.add(number)
    free = iter(_free_ids(mask_ids | region_ids | fixed, sum(number is None for number, _, _ in parsed)))
    numbered = [(next(free) if number is None else number, frame, text) for number, frame, text in parsed]
    return {number: text for number, _, text in numbered}, {number: frame for number, frame, _ in numbered if frame}


def _parse_text(written: str) -> tuple[int | None, int, str]:
    """`[ID=][FRAME:]TEXT` as (id or None, frame, text).

    What follows `FRAME:` must not begin with a digit, so that "16:9 screen" stays a text; "0: 5: five" is the way to
    write a text that looks like one with a frame.

    Raises:
        UsageError: The id is out of range, or the text is empty, too long, or no text.
    """
    match = re.fullmatch(r"(?:\s*(\d{1,18})\s*=)?(?:\s*(\d{1,18}):(?!\d))?(.*)", written, re.DOTALL)
    assert match
    number, frame, expression = int(match[1]) if match[1] else None, int(match[2] or 0), match[3]
    if number is not None and not 1 <= number <= MAX_ID:
        raise UsageError(f"--text {written!r}: object ids go from 1 to {MAX_ID}")
    if number is None and (swapped := re.fullmatch(r"\s*(\d{1,18}):\s*(\d{1,18})\s*=(.*)", written, re.DOTALL)):
        raise UsageError(f"--text {written!r}: the id comes first: '{swapped[2]}={swapped[1]}:{swapped[3]}'")
    if not expression.strip():
        raise UsageError("--text: is empty; describe the object to segment")
    # bytes of the command line that are not characters
    if any(0xD800 <= ord(letter) < 0xE000 for letter in expression):
        raise UsageError(f"--text {expression!r:.80}: is not text in UTF-8")
    if len(expression) > _LONGEST_TEXT:
        raise UsageError(
            f"--text '{expression[:40]}...': has {len(expression):,} characters; at most {_LONGEST_TEXT:,} are read"
        )
    return number, frame, expression.strip()


def _free_ids(used: set[int], count: int) -> list[int]:
    """The lowest `count` ids that are not used. Raises UsageError."""
    free = [number for number in range(1, MAX_ID + 1) if number not in used]
    if len(free) < count:
        raise UsageError(f"{len(used) + count} objects: at most {MAX_ID} fit into one label map")
    return free[:count]


def _read_support(pair: str, table: MaskTable) -> tuple[UInt8Image, npt.NDArray[np.bool_]]:
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


def _check_size(file: Path, mask: npt.NDArray[np.bool_], size: tuple[int, int], image: str) -> None:
    if mask.shape != size:
        raise MediaError(f"{file}: is {mask.shape[1]} x {mask.shape[0]} pixels, but {image} is {size[1]} x {size[0]}")
