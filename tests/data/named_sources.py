"""Stand-ins for the packages that named objects come from: few and drawn, but packed and called as the real ones."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SUBGROUPS = {
    "animal-mammal": (3, "animals-nature"),
    "animal-bird": (3, "animals-nature"),
    "plant-flower": (3, "animals-nature"),
    "food-fruit": (4, "food-drink"),
    "food-prepared": (4, "food-drink"),
    "transport-ground": (5, "travel-places"),
    "tool": (7, "objects"),
    "office": (7, "objects"),
    "game": (6, "activities"),
    "household": (7, "objects"),
    "person-role": (1, "people-body"),
    "hand-fingers-open": (1, "people-body"),
    "country-flag": (9, "flags"),
    "alphanum": (8, "symbols"),
}
USED = {
    "1F697": ("automobile", "transport-ground", (205, 30, 40)),
    "1F698": ("oncoming automobile", "transport-ground", (30, 80, 220)),
    "1F695": ("taxi", "transport-ground", (240, 205, 20)),
    "1F408": ("cat", "animal-mammal", (255, 140, 0)),
    "1F431": ("cat face", "animal-mammal", (120, 70, 30)),
    "1F42F": ("tiger face", "animal-mammal", (250, 140, 20)),
    "1F40E": ("horse", "animal-mammal", (120, 70, 30)),
    "1F427": ("penguin", "animal-bird", (30, 30, 34)),
    "1F339": ("rose", "plant-flower", (215, 25, 35)),
    "1F34E": ("red apple", "food-fruit", (215, 25, 35)),
    "1F355": ("pizza", "food-prepared", (240, 205, 20)),
    "1F9F2": ("magnet", "tool", (215, 25, 35)),
    "1F6AA": ("door", "household", (120, 70, 30)),
    "1F477": ("construction worker", "person-role", (240, 200, 40)),
}
DENIED = {
    "1F1EB-1F1F7": ("flag: France", "country-flag"),
    "1F4CE": ("paperclip", "office"),
    "1F579-FE0F": ("joystick", "game"),
    "1F9D1-200D-1F4BB": ("technologist", "person-role"),
    "1F477-200D-2640-FE0F": ("woman construction worker", "person-role"),
    "1F477-1F3FB": ("construction worker: light skin tone", "person-role"),
    "1F201": ("Japanese “here” button", "alphanum"),
}


def write_objects(path: Path) -> Path:
    """The archive of sprites: a body of the colour, panes on vehicles."""
    with tarfile.open(path, "w:gz") as archive:
        for number, (code, entry) in enumerate({**USED, **DENIED}.items()):
            colour = entry[2] if len(entry) > 2 else (60, 160, 60)
            _add(archive, f"package/assets/{code.lower()}.webp", _sprite(number, colour, entry[1].startswith("trans")))
    return path


def _sprite(number: int, colour: tuple[int, int, int], panes: bool) -> bytes:
    image = Image.new("RGBA", (128, 128))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((8, 30 + number % 5 * 6, 118, 110), 10 + number, colour)
    if panes:
        draw.rectangle((40, 44, 84, 62), (120, 200, 245))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def write_names(path: Path) -> Path:
    """The archive of emojibase's English entries."""
    order = {name: number for number, name in enumerate(SUBGROUPS)}
    data = [
        {"label": label, "hexcode": code, "group": SUBGROUPS[group][0], "subgroup": order[group], "tags": []}
        for code, (label, group, *_) in {**USED, **DENIED}.items()
    ]
    data.append({"label": "regional indicator A", "hexcode": "1F1E6"})
    messages = {
        "groups": [{"order": number, "key": name} for number, name in sorted(set(SUBGROUPS.values()))],
        "subgroups": [{"order": number, "key": name} for name, number in order.items()],
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (("data", data), ("messages", messages)):
            _add(archive, f"package/en/{name}.json", json.dumps(content).encode())
    return path


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def write_photos(folder: Path) -> Path:
    """A source with own photographs: enough for each division, and one that is known by its name."""
    own, known = folder / "photos", folder / "usr/share/backgrounds"
    for place in (own, known):
        place.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for path in (*(own / f"{n}.jpg" for n in range(40)), known / "friends_by_Aitzol_Berasategi.jpg"):
        small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
        small.resize((240, 180), Image.Resampling.BICUBIC).save(path)
    return folder
