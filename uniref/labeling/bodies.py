"""Bodies and addresses of the page's requests, checked: what reaches a session has the right types and bounds."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, StrictBool, StrictStr, StringConstraints, ValidationError

from uniref.core.errors import UsageError
from uniref.core.json_files import parse_json
from uniref.recipe.base import Strict

LARGEST_INDEX = (1 << 31) - 1
_FARTHEST = 1e6  # pixels
_MOST_POINTS, _MOST_OBJECTS, _MOST_FORMATS = 100, 1000, 50
_REASONS = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "model_type": "expected an object, as in {...}",
    "string_unicode": "holds half a surrogate pair, which is not a character",
    "finite_number": "expected a number that is finite",
}
"""What is wrong with a value, by pydantic's type of error, where its own message needs programmers."""


def _one_line(text: str) -> str:
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in text):
        raise ValueError("holds a control character or a line break")
    return text


Index = Annotated[int, Field(strict=True, ge=0, le=LARGEST_INDEX)]
"""Number of a frame or an object."""
Pixels = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-_FARTHEST, le=_FARTHEST)]
"""A coordinate."""
Name = Annotated[
    StrictStr, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(_one_line)
]
Text = Annotated[
    StrictStr, StringConstraints(strip_whitespace=True, min_length=1, max_length=500), AfterValidator(_one_line)
]
FileName = Annotated[StrictStr, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,60}$")]
"""Of an export: no path, and a valid file name on every system."""


class NewObject(Strict):
    """A new object."""

    name: Name | None = None


class ObjectChange(Strict):
    """What an object is called and how it is shown."""

    name: Name | None = None
    colour: Annotated[StrictStr, StringConstraints(pattern=r"^#[0-9A-Fa-f]{6}$")] | None = None
    visible: StrictBool | None = None


class TextPrompt(Strict):
    """An object by a text."""

    frame: Index
    text: Text


class RunLengths(Strict):
    """A mask as COCO's plain run lengths: column by column, first the pixels outside."""

    size: tuple[Index, Index]
    """Height and width."""
    counts: list[Index]

    def check(self, height: int, width: int) -> None:
        """Raise UsageError where they do not describe a mask of this size."""
        if self.size != (height, width):
            raise UsageError(f"rle.size: is {self.size[1]} x {self.size[0]}, the frame {width} x {height}")
        if len(self.counts) > height * width + 1:
            raise UsageError(f"rle.counts: holds {len(self.counts)} runs, more than the frame has pixels")
        if sum(self.counts) != height * width:
            raise UsageError(f"rle.counts: covers {sum(self.counts)} pixels of {height * width}")


class MaskPrompt(Strict):
    """An object by its mask."""

    frame: Index
    rle: RunLengths


class RegionPrompt(Strict):
    """An object by a box, by points, or by both."""

    frame: Index
    box: tuple[Pixels, Pixels, Pixels, Pixels] | None = None
    """x0, y0, x1, y1."""
    points: (
        Annotated[list[tuple[Pixels, Pixels, Literal[0, 1]]], Field(min_length=1, max_length=_MOST_POINTS)] | None
    ) = None
    """x, y, and whether it is on the object (1) or beside it (0)."""

    def check(self) -> None:
        """Raise UsageError where nothing is shown."""
        if self.box is None and self.points is None:
            raise UsageError("box, points: one of them is needed")
        if self.box is not None and not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
            raise UsageError("box: is empty; expected x0, y0, x1, y1 with x0 < x1 and y0 < y1")


class Run(Strict):
    """What to follow."""

    frame: Index | None = None
    direction: Literal["both", "forwards", "backwards"] = "both"
    objects: Annotated[list[Index], Field(max_length=_MOST_OBJECTS)] | None = None


class Export(Strict):
    """What to write."""

    formats: Annotated[
        list[Annotated[StrictStr, StringConstraints(pattern=r"^[a-z0-9_-]{1,40}$")]],
        Field(min_length=1, max_length=_MOST_FORMATS),
    ]
    name: FileName | None = None


M = TypeVar("M", bound=Strict)


def parse(model: type[M], body: bytes) -> M:
    """The content of a JSON body; an empty body is an object without keys.

    Raises:
        UsageError: Not JSON, or not what is expected; names the key.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("the request is not UTF-8") from None
    content: Any = parse_json(text, "the request", UsageError) if text.strip() else {}
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part)[:40] for part in first["loc"]) or "the request"
        reason = _REASONS.get(first["type"], first["msg"].removeprefix("Value error, "))
        raise UsageError(f"{key}: {reason}") from None


def parse_index(text: str, name: str) -> int:
    """A whole number of an address. Raises UsageError that names it."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= LARGEST_INDEX):
        raise UsageError(f"{name}: expected a whole number")
    return int(text)
