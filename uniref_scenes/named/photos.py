"""Photographs as backgrounds: which images of known packages are used, by which sets, and what they show."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from uniref_scenes.backgrounds import SceneBackground
from uniref_scenes.files import open_image
from uniref_scenes.motion import SceneShape
from uniref_scenes.types import Rng

_SIDE = 1280  # pixels of the longer side that are kept of a large photograph
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class BackgroundPhoto:
    """A photograph that may be shown behind objects."""

    path: Path
    division: str
    """Which sets may show it: `train`, `val` or `test`."""
    words: tuple[str | None, ...] = ()
    """Words that could refer to something in it: no expression uses them. None: so could "the one on the left"."""


_ANY = None
_LEAVES = ("plant", "leaf", "tree")
_FLOWERS = ("flower", "blossom", "plant", "leaf")
KNOWN_PHOTOS: Mapping[str, tuple[str, tuple[str | None, ...]]] = {
    # lomiri-wallpapers: CC0 and CC-BY-4.0 for training, CC-BY-SA for validation
    "seeding_by_Clements_Engelhardt": ("train", (*_FLOWERS, "ball")),
    "aitzgorri_by_Aitzol_Berasategi": ("train", ("mountain", "tree", "pine", "pine tree", "fir", "plant")),
    "friends_by_Aitzol_Berasategi": ("train", (_ANY, "dog", "puppy", "animal", "window", "house", "building")),
    "life_by_Aitzol_Berasategi": ("train", ("rock", "stone", "tree", "plant", "log", "tree trunk")),
    "picosdeeuropa_by_Aitzol_Berasategi": ("train", ("mountain", "peak", "cloud", "rock", "stone")),
    "sunset_by_Aitzol_Berasategi": ("train", ("sun", "mountain", "rock", "stone")),
    "Picture_0B_by_freespace": ("train", (_ANY, "bowl", "plate", "fruit", "food")),
    "Picture_1A_by_freespace": ("train", ("paintbrush", "brush", "tool")),
    "Wine_by_Jakkub_Mede": (
        "train",
        (_ANY, "bottle", "wine glass", "glass of wine", "drum", "musical instrument", "chair", "table", "drink"),
    ),
    "umang_by_Abhishek_Mudgal": ("train", ()),
    "Bridge_by_Sander_Klootwijk": ("val", ("rope",)),
    "Dragonfly_by_Bolly": ("val", ("insect", "animal", *_LEAVES)),
    "free_by_Peter_Nerlich": ("val", (_ANY, "bird", "animal", "lamp", "light bulb", "bulb")),
    "greentock_by_Peter_Nerlich": ("val", (_ANY, "clock", "alarm clock")),
    "Kleiber_by_Lukas_Baubkus": ("val", (_ANY, "bird", "animal", "tree", "plant", "log", "tree trunk")),
    # scikit-learn and scikit-image: CC-BY-2.0, CC0, public domain
    "china": ("train", ("building", "pagoda", "temple", "hindu temple", "house", "tree", "plant", "roof")),
    "flower": ("train", _FLOWERS),
    "chelsea": ("train", (_ANY, "cat", "kitten", "kitty", "animal")),
    "coffee": (
        "train",
        (_ANY, "cup", "mug", "coffee", "cup of coffee", "cup of tea", "spoon", "drink", "plate"),
    ),
    "rocket": ("train", (_ANY, "rocket", "spaceship", "vehicle", "aircraft", "tower")),
    "hubble_deep_field": ("train", ("star", "planet")),
    "brick": ("train", ("brick wall", "bricks")),
    "grass": ("train", ("plant",)),
    "gravel": ("train", ("rock", "stone")),
    # mate-backgrounds: GPL-2+, for tests only
    "Aqua": ("test", ("drop", "water drop", "wave")),
    "Blinds": ("test", _LEAVES),
    "Dune": ("test", ("plant", "wheat", "ear of wheat")),
    "FreshFlower": ("test", _FLOWERS),
    "Garden": ("test", _FLOWERS),
    "GreenMeadow": ("test", ("plant",)),
    "LadyBird": ("test", (_ANY, "ladybug", "ladybird", "insect", "animal", *_FLOWERS)),
    "RainDrops": ("test", ("drop", "water drop", *_LEAVES)),
    "Storm": ("test", ("cloud", "rain cloud", "storm cloud")),
    "TwoWings": ("test", ("feather", "quill", *_FLOWERS)),
    "Wood": ("test", ()),
    "YellowFlower": ("test", _FLOWERS),
    # plasma-workspace-wallpapers: LGPL-3 and CC-BY-SA-4.0, for tests only
    "Autumn": ("test", (_ANY, "tree", "person", "human", "plant")),
    "BytheWater": ("test", ()),
    "ColdRipple": ("test", ()),
    "ColorfulCups": ("test", (_ANY, "cup", "mug", "circle", "bowl")),
    "DarkestHour": ("test", ("cloud",)),
    "EveningGlow": ("test", (_ANY, "boat", "canoe", "rowing boat", "vehicle", "mountain", "cloud")),
    "FallenLeaf": ("test", _LEAVES),
    "OneStandsOut": ("test", _FLOWERS),
    "Path": ("test", _LEAVES),
    "summer_1am": ("test", ()),
}
"""Division and words by the file's name, or by the folder's where files are named by their size."""

_FOLDERS = (
    "usr/share/backgrounds",
    "usr/share/backgrounds/mate/nature",
    "sklearn/datasets/images",
    "skimage/data",
    "usr/lib/python3/dist-packages/sklearn/datasets/images",
    "usr/lib/python3/dist-packages/skimage/data",
)
_BY_FOLDER = "usr/share/wallpapers"
_OWN = "photos"
_PARTS = (8, 9)  # of ten: own photographs for training, validation, and the rest for tests


def find_photos(starts: Iterable[Path]) -> list[BackgroundPhoto]:
    """Photographs of known packages below the folders, and those of any folder `photos`, in a fixed order.

    The latter are divided by a hash of their names; what they show is not known.
    """
    photos: dict[str, BackgroundPhoto] = {}
    for start in starts:
        # files with known names
        for name in _FOLDERS:
            for path in _image_files(start / name):
                if path.stem in KNOWN_PHOTOS:
                    photos.setdefault(path.stem, BackgroundPhoto(path, *KNOWN_PHOTOS[path.stem]))
        # folders with known names, whose files are sizes of one photograph
        for folder in sorted((start / _BY_FOLDER).glob("*/contents/images")):
            name = folder.parent.parent.name
            images = _image_files(folder)
            if name in KNOWN_PHOTOS and images:
                photos.setdefault(
                    name, BackgroundPhoto(max(images, key=lambda p: (p.stat().st_size, p.name)), *KNOWN_PHOTOS[name])
                )
        # the user's own
        for path in _image_files(start / _OWN):
            photos.setdefault(path.name, BackgroundPhoto(path, _division(path.name)))
    return [photos[name] for name in sorted(photos)]


def _image_files(folder: Path) -> list[Path]:
    return sorted(x for x in folder.glob("*") if x.suffix.lower() in _SUFFIXES) if folder.is_dir() else []


def _division(name: str) -> str:
    part = zlib.crc32(name.encode()) % 10
    return "train" if part < _PARTS[0] else "val" if part < _PARTS[1] else "test"


@lru_cache(maxsize=64)
def _load(path: Path) -> Image.Image:
    with open_image(path, "a background") as file:
        file.draft("RGB", (_SIDE, _SIDE))
        image = file.convert("RGB")
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    return image


def part_of(rng: Rng, photo: BackgroundPhoto, shape: SceneShape) -> SceneBackground:
    """A part of a photograph, scaled, perhaps mirrored; for videos larger than the frame, to be panned over."""
    image = _load(photo.path)
    # size and position of the part: rather a whole photograph than a part that has to be magnified
    margin = 1.2 if shape.num_frames > 1 else 1.0
    height, width = round(shape.height * margin), round(shape.width * margin)
    largest = min(image.height / height, image.width / width)
    scale = largest * float(rng.uniform(0.4, 1.0))
    if scale < 1:
        scale = min(largest, 1.0)
    w, h = width * scale, height * scale
    x, y = float(rng.uniform(0, image.width - w)), float(rng.uniform(0, image.height - h))
    part = image.resize((width, height), Image.Resampling.BILINEAR, (x, y, x + w, y + h), reducing_gap=2.0)
    if rng.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return SceneBackground("photo", 0, np.asarray(part), None, photo.words)
