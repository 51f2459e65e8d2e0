"""Drawing: results onto frames, and contact sheets of many small images."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from uniref.core.atomic import atomic_file
from uniref.core.boxes import mask_bounds
from uniref.core.types import BoolMask, UInt8Image

_OPACITY = 0.45
_LONGEST = 0.6  # of a label, as a share of the image's width
_LAST_LETTER = 0x17F  # last letter that Pillow's own font has: Latin letters
# distinct, bright on photographs; the palette of label PNGs starts with dark colours
_COLOURS = (
    (235, 52, 52),
    (52, 152, 235),
    (64, 200, 96),
    (245, 196, 40),
    (190, 90, 230),
    (40, 205, 205),
    (245, 130, 40),
    (235, 100, 170),
    (150, 205, 40),
    (120, 120, 245),
)


_MOST_LETTERS = 300  # of a label, before it is fitted
_ROWS = 512  # drawn at a time


def colour(number: int) -> tuple[int, int, int]:
    """RGB of an object id (repeats after ten)."""
    return _COLOURS[(number - 1) % len(_COLOURS)]


def draw_overlay(
    image: UInt8Image, masks: Mapping[int, BoolMask], labels: Mapping[int, str] | None = None
) -> UInt8Image:
    """A frame with every object tinted, outlined and, where given, labelled.

    Args:
        image: uint8 RGB [H, W, 3]; not changed.
        masks: Object id -> bool [H, W].
        labels: Object id -> text beside the object.

    Returns:
        uint8 RGB [H, W, 3].
    """
    # tint and outline each object, within its bounds
    out = image.copy()
    thickness = max(1, round(min(image.shape[:2]) / 240))
    for number, mask in masks.items():
        region = mask_bounds(mask)
        if region is None:
            continue
        rows, cols = _grown(region, thickness, image.shape[:2])
        part, inside = out[rows, cols], mask[rows, cols]
        tint = np.array(colour(number), np.float32)
        for first in range(0, len(part), _ROWS):  # a float copy of a whole large image would take too much memory
            band, chosen = part[first : first + _ROWS], inside[first : first + _ROWS]
            band[chosen] = (band[chosen] * (1 - _OPACITY) + tint * _OPACITY + 0.5).astype(np.uint8)
        part[_outline(inside, thickness)] = colour(number)
    if labels:
        out = _write_labels(out, masks, labels)
    return out


def _grown(region: tuple[slice, slice], margin: int, size: tuple[int, ...]) -> tuple[slice, slice]:
    rows, cols = region
    return (
        slice(max(0, rows.start - margin), min(size[0], rows.stop + margin)),
        slice(max(0, cols.start - margin), min(size[1], cols.stop + margin)),
    )


def _outline(mask: BoolMask, thickness: int) -> BoolMask:
    """Pixels outside the mask within `thickness` steps of it, and its own border."""
    grown = mask
    for _ in range(thickness):
        grown = _dilated(grown)
    return grown & ~_eroded(mask)


def _dilated(mask: BoolMask) -> BoolMask:
    out = mask.copy()
    out[1:] |= mask[:-1]
    out[:-1] |= mask[1:]
    out[:, 1:] |= mask[:, :-1]
    out[:, :-1] |= mask[:, 1:]
    return out


def _eroded(mask: BoolMask) -> BoolMask:
    return ~_dilated(~mask)


def _write_labels(image: UInt8Image, masks: Mapping[int, BoolMask], labels: Mapping[int, str]) -> UInt8Image:
    drawing = Image.fromarray(image)
    draw = ImageDraw.Draw(drawing)
    size = max(11, min(image.shape[:2]) // 28)
    font = ImageFont.load_default(size)
    occupied: list[tuple[int, int, int, int]] = []
    for number, label in labels.items():
        region = mask_bounds(masks[number]) if number in masks else None
        if region is None:
            continue
        text = _shortened(label, _LONGEST * image.shape[1], lambda t: draw.textlength(t, font=font))
        left, top, right, bottom = (int(edge) for edge in draw.textbbox((0, 0), text, font=font))
        width, height = right - left + 6, bottom - top + 4
        x, y = _free_position(region, width, height, image.shape[:2], occupied)
        occupied.append((x, y, x + width, y + height))
        draw.rectangle(occupied[-1], fill=colour(number))
        dark = sum(colour(number)) > 400
        draw.text((x + 3 - left, y + 2 - top), text, fill=(0, 0, 0) if dark else (255, 255, 255), font=font)
    return np.asarray(drawing)


def drawable(text: str) -> bool:
    """Whether the font of the labels has all letters of a text (Latin letters)."""
    return all(ord(letter) <= _LAST_LETTER for letter in text)


def _shortened(label: str, room: float, length: Callable[[str], float]) -> str:
    """A label that fits, its last word (the score) kept."""
    if len(label) > _MOST_LETTERS:  # every trial measures the whole text
        head, _, tail = label.rpartition(" ")
        label = f"{head[:_MOST_LETTERS]} {tail[-_MOST_LETTERS:]}"
    if length(label) <= room:
        return label
    head, _, tail = label.rpartition(" ")
    while head and length(f"{head}... {tail}") > room:
        head = head[:-1]
    return f"{head.rstrip()}... {tail}"


def _free_position(
    region: tuple[slice, slice],
    width: int,
    height: int,
    size: tuple[int, ...],
    occupied: Sequence[tuple[int, int, int, int]],
) -> tuple[int, int]:
    """Left and top of a label: over its object, under it, or further down or up; where no other label stands."""
    rows, cols = region
    x = int(np.clip(cols.start, 0, max(0, size[1] - width)))
    lowest = max(0, size[0] - height - 1)
    over = int(np.clip(rows.start - height - 2, 0, lowest))
    step = height + 2
    for y in (over, rows.stop + 2, *range(over + step, lowest + 1, step), *range(over - step, -1, -step)):
        if 0 <= y <= lowest and not any(
            x <= right and left <= x + width and y <= bottom and top <= y + height
            for left, top, right, bottom in occupied
        ):
            return x, y
    return x, over


_LINE = 13  # pixels of a caption line
_LINES = 3
_MARGIN = 6


Tile = tuple[UInt8Image, str]
"""An image and its caption."""


def write_contact_sheet(path: Path, tiles: Sequence[Tile], columns: int = 4, side: int = 240) -> None:
    """Write a contact sheet as PNG, atomically.

    Raises:
        UniRefError: It cannot be written.
    """
    with atomic_file(path) as work:
        contact_sheet(tiles, columns, side).save(work, format="PNG")


def contact_sheet(tiles: Sequence[Tile], columns: int = 4, side: int = 240) -> Image.Image:
    """Images in a grid, each fitted into a square, with its caption below.

    Args:
        tiles: Images of any sizes and their captions.
        columns: Images per row.
        side: Side of a square in pixels.
    """
    # an empty sheet
    columns = max(1, min(columns, len(tiles)))
    rows = max(1, -(-len(tiles) // columns))
    cell = (side + _MARGIN, side + _LINES * _LINE + 2 * _MARGIN)
    sheet = Image.new("RGB", (columns * cell[0] + _MARGIN, rows * cell[1] + _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    # every image in the middle of its square, with up to three lines of caption below
    for number, (image, caption) in enumerate(tiles):
        x = _MARGIN + number % columns * cell[0]
        y = _MARGIN + number // columns * cell[1]
        tile = Image.fromarray(image)
        scale = side / max(tile.size)
        tile = tile.resize((max(1, round(tile.width * scale)), max(1, round(tile.height * scale))))
        sheet.paste(tile, (x + (side - tile.width) // 2, y + (side - tile.height) // 2))
        lines = textwrap.wrap(caption, max(8, side // 6))
        if len(lines) > _LINES:
            lines = [*lines[: _LINES - 1], lines[_LINES - 1][:-1] + "..."]
        draw.multiline_text((x, y + side + 2), "\n".join(lines), fill="black", font=font, spacing=1)
    return sheet
