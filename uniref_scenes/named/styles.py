"""Other pictures of the same nouns, for tests only: a second drawing style, and things cut out of photographs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from uniref.core.errors import UniRefError

FONT = "NotoColorEmoji.ttf"
_SIZE = 109  # pixels an em: the only size of this font's pictures
_UNASSIGNED = "\U000effff"


def draw_font(font: Path, codes: list[str], folder: Path) -> dict[str, Path]:
    """Pictures of Noto Color Emoji as PNG files, by code; those of several code points or missing are left out.

    Args:
        font: The font's file.
        codes: Code points as in `words.code_of`.
        folder: Where pictures go, called by their codes; existing ones stay.

    Raises:
        UniRefError: The font cannot be used.
    """
    try:
        face = ImageFont.truetype(str(font), _SIZE)
    except OSError as error:
        raise UniRefError(f"{font}: cannot be used ({error}); it needs Noto Color Emoji with bitmaps") from None
    folder.mkdir(parents=True, exist_ok=True)
    missing = _draw(face, _UNASSIGNED).tobytes()
    found = {}
    for code in codes:
        if "-" in code:
            continue
        path = folder / f"{code}.png"
        if not path.exists():
            picture = _draw(face, chr(int(code, 16)))
            if picture.tobytes() == missing or picture.getbbox() is None:
                continue
            picture.save(path)
        found[code] = path
    return found


def _draw(face: ImageFont.FreeTypeFont, character: str) -> Image.Image:
    picture = Image.new("RGBA", (160, 160))
    ImageDraw.Draw(picture).text((12, 8), character, font=face, embedded_color=True)
    return picture


def read_stamps(folder: Path) -> dict[Path, str]:
    """Noun of every reviewed photograph that is below Tux Paint's folder `stamps`."""
    return {folder / place: noun for place, noun in _table().items() if (folder / place).is_file()}


def _table() -> Mapping[str, str]:
    text = (files("uniref_scenes") / "assets/photo-stamps.txt").read_text(encoding="utf-8")
    lines = [line.split(" = ") for line in text.splitlines() if line and not line.startswith("#")]
    return {place: noun for place, noun in lines}
