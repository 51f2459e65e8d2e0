"""Boxes and points of a prompt, by frame and object."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from uniref.core.errors import UsageError
from uniref.inference.prompt_masks import SelectedFrames
from uniref.inference.regions import Region
from uniref.inference.results import MAX_ID

Kind = Literal["box", "point"]
_FORMS = {"box": "[ID=][FRAME:]x0,y0,x1,y1", "point": "[ID=][FRAME:]x,y, or ID=[FRAME:]-x,y beside an object"}


@dataclass(frozen=True)
class WrittenRegion:
    """One `--box` or `--point`."""

    option: str
    """As it was written, for messages."""
    number: int | None
    """Object id; None: the next free one."""
    frame: int | None
    """Index; None: the first one that is read."""
    region: Region


def parse_regions(boxes: Sequence[str], points: Sequence[str]) -> list[WrittenRegion]:
    """Options as they were written, checked as far as that needs no image. Raises UsageError."""
    return [*(_parse("box", text) for text in boxes), *(_parse("point", text) for text in points)]


def _parse(kind: Kind, text: str) -> WrittenRegion:
    option = f"--{kind} {text!r:.80}"
    match = re.fullmatch(r"\s*(?:(\d{1,18})\s*=)?\s*(?:(\d{1,18})\s*:)?\s*(-?)([^=:]*)", text)
    values = [_number(part) for part in match[4].split(",")] if match else []
    if match is None or len(values) != (4 if kind == "box" else 2) or any(math.isnan(value) for value in values):
        raise UsageError(f"{option}: use {_FORMS[kind]}, in pixels")
    # the id and the frame
    number, frame, minus = int(match[1]) if match[1] else None, int(match[2]) if match[2] else None, bool(match[3])
    if number is not None and not 1 <= number <= MAX_ID:
        raise UsageError(f"{option}: object ids go from 1 to {MAX_ID}")
    # the coordinates
    if kind == "box":
        x0, y0, x1, y1 = values
        if minus or min(values) < 0:
            raise UsageError(f"{option}: is outside of the image; coordinates count from 0")
        if x1 <= x0 or y1 <= y0:
            raise UsageError(f"{option}: a box is x0,y0,x1,y1 with x0 < x1 and y0 < y1")
        return WrittenRegion(option, number, frame, Region(box=(x0, y0, x1, y1)))
    point = (values[0], values[1])
    if point[1] < 0:
        raise UsageError(f"{option}: is outside of the image; coordinates count from 0")
    if minus and number is None:
        raise UsageError(f"{option}: is beside an object; say which: --point '1={text.strip()}'")
    return WrittenRegion(option, number, frame, Region(background=(point,)) if minus else Region(points=(point,)))


def _number(text: str) -> float:
    """A finite number, or NaN for anything else."""
    return float(text) if re.fullmatch(r"\s*-?(\d{1,9}(\.\d{0,9})?|\.\d{1,9})\s*", text) else math.nan


@dataclass(frozen=True)
class GivenRegion:
    """A box and points that together show one object in one frame."""

    option: str
    """The options as they were written, for messages."""
    region: Region


def place_regions(
    written: Sequence[WrittenRegion], frames: SelectedFrames, free: Iterator[int], texts: Collection[int]
) -> dict[int, dict[int, GivenRegion]]:
    """Frame index -> object id -> box and points.

    Args:
        written: In the order of the options.
        frames: That are read.
        free: Ids for those without.
        texts: Ids of texts and support images.

    Raises:
        UsageError: A frame is not read, an object has two boxes in one frame or no point on it, or an id is a text's.
    """
    placed: dict[int, dict[int, GivenRegion]] = {}
    for each in written:
        frame = frames.first if each.frame is None else each.frame
        if frame not in frames:
            raise UsageError(f"{each.option}: {frames.do_not_hold(frame)}")
        if each.number in texts:
            raise UsageError(f"{each.option}: object {each.number} is already given by a text; use another id")
        number = next(free) if each.number is None else each.number
        objects = placed.setdefault(frame, {})
        if number not in objects:
            objects[number] = GivenRegion(each.option, each.region)
            continue
        # an object's box and points in one frame belong together
        other, region = objects[number], each.region
        if other.region.box is not None and region.box is not None:
            raise UsageError(f"{each.option}: object {number} has a box in frame {frame} already")
        joined = Region(
            other.region.box or region.box,
            other.region.points + region.points,
            other.region.background + region.background,
        )
        objects[number] = GivenRegion(f"{other.option}, {each.option}", joined)
    for objects in placed.values():
        for given in objects.values():
            if given.region.box is None and not given.region.points:
                raise UsageError(f"{given.option}: give a box, or a point on the object, too")
    return placed


def check_regions(shown: Mapping[int, GivenRegion], size: tuple[int, int]) -> None:
    """Raise UsageError unless all boxes and points are in a frame of `size` (H, W)."""
    for given in shown.values():
        given.region.check(size, given.option)
