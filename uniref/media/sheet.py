"""Contact sheets: many small pictures with captions on one."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from uniref.core.atomic import atomic_file

_LINE = 13  # pixels of a caption line
_LINES = 3
_MARGIN = 6


Tile = tuple[npt.NDArray[np.uint8], str]
"""A picture, uint8 RGB [H, W, 3], and what to write under it."""


def write_contact_sheet(path: Path, tiles: Sequence[Tile], columns: int = 4, side: int = 240) -> None:
    """A contact sheet as PNG, complete or not at all.

    Raises:
        UniRefError: It cannot be written.
    """
    with atomic_file(path) as work:
        contact_sheet(tiles, columns, side).save(work, format="PNG")


def contact_sheet(tiles: Sequence[Tile], columns: int = 4, side: int = 240) -> Image.Image:
    """Pictures in a grid, each fitted into a square, with its caption below.

    Args:
        tiles: Pictures of any sizes and their captions.
        columns: Pictures a row.
        side: Pixels of a square.
    """
    columns = max(1, min(columns, len(tiles)))
    rows = max(1, -(-len(tiles) // columns))
    cell = (side + _MARGIN, side + _LINES * _LINE + 2 * _MARGIN)
    sheet = Image.new("RGB", (columns * cell[0] + _MARGIN, rows * cell[1] + _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    for number, (picture, caption) in enumerate(tiles):
        x = _MARGIN + number % columns * cell[0]
        y = _MARGIN + number // columns * cell[1]
        tile = Image.fromarray(picture)
        scale = side / max(tile.size)
        tile = tile.resize((max(1, round(tile.width * scale)), max(1, round(tile.height * scale))))
        sheet.paste(tile, (x + (side - tile.width) // 2, y + (side - tile.height) // 2))
        lines = textwrap.wrap(caption, max(8, side // 6))
        if len(lines) > _LINES:
            lines = [*lines[: _LINES - 1], lines[_LINES - 1][:-1] + "..."]
        draw.multiline_text((x, y + side + 2), "\n".join(lines), fill="black", font=font, spacing=1)
    return sheet
