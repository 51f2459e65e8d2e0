"""Packages that named objects come from: how they are recognised, and the bank that is made of them.

The packages are recognised by their content, wherever they were unpacked. The colours that each image can be
shown in are determined once and kept in a file, which every process that makes scenes reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from uniref_scenes.files import SceneError
from uniref_scenes.language import NOUNS
from uniref_scenes.named.bank import ObjectImage, find_colours, read_bank, write_bank
from uniref_scenes.named.photos import BackgroundPhoto
from uniref_scenes.named.words import NamedNoun, code_of, named_nouns, read_emojibase

_VERSION = 1
"""Version of the processing of images; another one gives the files of banks other names."""
_FONT = "NotoColorEmoji.ttf"
_FONT_SIZE = 109  # pixels per em: the only size of this font's images
_UNASSIGNED = "\U000effff"


@dataclass(frozen=True)
class Package:
    """A package of a registry."""

    contents: str
    fetch: str
    """Command that fetches it."""
    folders: tuple[str, ...]
    """Where its content may lie below the folder that it was unpacked into."""
    is_in: Callable[[Path], bool]
    """Whether a folder holds its content."""


_DEB = "apt-get download {0}` and `dpkg-deb -x {0}*.deb FOLDER"
EMOJI = Package(
    "objects",
    "npm pack @lobehub/fluent-emoji-3d@1.1.0",
    ("", "assets", "package/assets"),
    lambda folder: folder.is_dir() and next(folder.glob("[12]*.webp"), None) is not None,
)
NAMES = Package(
    "names",
    "npm pack emojibase-data@17.0.0",
    ("", "en", "package/en"),
    lambda folder: (folder / "data.json").is_file() and (folder / "messages.json").is_file(),
)
FONT = Package(
    f"font {_FONT}",
    _DEB.format("fonts-noto-color-emoji"),
    ("", "usr/share/fonts/truetype/noto"),
    lambda folder: (folder / _FONT).is_file(),
)
STAMPS = Package(
    "photographed objects",
    _DEB.format("tuxpaint-stamps-default"),
    ("", "stamps", "usr/share/tuxpaint/stamps"),
    lambda folder: bool(read_stamps(folder)),
)


class PackageMissing(SceneError):
    """No folder holds a package that is needed."""

    def __init__(self, package: Package) -> None:
        super().__init__(f"found no {package.contents}: fetch them with `{package.fetch}`")
        self.package = package


def search_folders(bases: Iterable[Path]) -> list[Path]:
    """Folders that a package may have been unpacked into: each base, and the folders in it."""
    folders: dict[Path, None] = {}
    for base in bases:
        folders[base] = None
        folders.update(dict.fromkeys(sorted(x for x in base.iterdir() if x.is_dir() and not x.name.startswith("."))))
    return list(folders)


def find_package(folders: Sequence[Path], package: Package) -> Path:
    """The first folder that holds the package's content. Raises PackageMissing."""
    candidates = (start / folder for start in folders for folder in package.folders)
    for candidate in candidates:
        if package.is_in(candidate):
            return candidate
    raise PackageMissing(package)


@dataclass(frozen=True)
class NounImage:
    """An image of a noun whose colours are not known yet."""

    noun: str
    path: Path
    glazed: bool = False
    """Whether it shows panes."""
    recolours: bool = False
    """Whether it may be shown in other colours than its own."""


@dataclass(frozen=True)
class NamedObjects:
    """What the packages give: nouns, and images that show them."""

    names_file: Path
    """The file of emojibase that the nouns come from."""
    nouns: Sequence[NamedNoun]
    images: Sequence[NounImage]


def find_objects(folders: Sequence[Path], kind: str, media: Path) -> NamedObjects:
    """The named objects of the packages in `folders`.

    Args:
        folders: As of `search_folders`.
        kind: Which images: `emoji`, `style` or `photo`.
        media: Images of the font are drawn into its folder `noto`.

    Raises:
        PackageMissing: A package is needed that is not there.
        SceneError: A package cannot be read.
    """
    # nouns that have both a name and an emoji
    emoji, names = find_package(folders, EMOJI), find_package(folders, NAMES)
    by_code = {code_of(path.stem): path for path in sorted(emoji.glob("*.webp"))}
    nouns = named_nouns(read_emojibase(names), frozenset(by_code))
    if not nouns:
        raise SceneError(f"{emoji}: none of its images has a name in {names}")
    # their images of this kind
    if kind == "photo":
        all_nouns = {*NOUNS, *(named.noun.name for named in nouns)}
        stamps = read_stamps(find_package(folders, STAMPS))
        return NamedObjects(
            names / "data.json", nouns, [NounImage(noun, path) for path, noun in stamps.items() if noun in all_nouns]
        )
    if kind == "style":
        codes = [code for named in nouns for code in named.codes]
        by_code = draw_font(find_package(folders, FONT) / _FONT, codes, media / "noto")
    images = [
        NounImage(named.noun.name, by_code[code], named.glazed, named.recolours)
        for named in nouns
        for code in named.codes
        if code in by_code
    ]
    return NamedObjects(names / "data.json", nouns, images)


def draw_font(font: Path, codes: Sequence[str], folder: Path) -> dict[str, Path]:
    """Images of Noto Color Emoji as PNG files, by code; those of several code points or missing are left out.

    Args:
        font: The font's file.
        codes: Code points as of `words.code_of`.
        folder: Where images go, named by their codes; existing ones stay.

    Raises:
        SceneError: The font cannot be used.
    """
    try:
        face = ImageFont.truetype(str(font), _FONT_SIZE)
    except OSError as error:
        raise SceneError(f"{font}: cannot be used ({error}); it needs Noto Color Emoji with bitmaps") from None
    folder.mkdir(parents=True, exist_ok=True)
    placeholder = _draw_character(face, _UNASSIGNED).tobytes()
    images = {}
    for code in codes:
        if "-" in code:
            continue
        # draw what is not there yet, unless the font has no such character
        path = folder / f"{code}.png"
        if not path.exists():
            image = _draw_character(face, chr(int(code, 16)))
            if image.tobytes() == placeholder or image.getbbox() is None:
                continue
            image.save(path)
        images[code] = path
    return images


def _draw_character(face: ImageFont.FreeTypeFont, character: str) -> Image.Image:
    image = Image.new("RGBA", (160, 160))
    ImageDraw.Draw(image).text((12, 8), character, font=face, embedded_color=True)
    return image


def read_stamps(folder: Path) -> dict[Path, str]:
    """Noun of every reviewed photograph that is below Tux Paint's folder `stamps`."""
    return {folder / name: noun for name, noun in stamp_nouns().items() if (folder / name).is_file()}


def stamp_nouns() -> Mapping[str, str]:
    """The reviewed table `assets/photo-stamps.txt`: nouns by the path of the image."""
    text = (files("uniref_scenes") / "assets/photo-stamps.txt").read_text(encoding="utf-8")
    lines = [line.split(" = ") for line in text.splitlines() if line and not line.startswith("#")]
    return {name: noun for name, noun in lines}


FindColours = Callable[[Sequence[tuple[NounImage, int]]], Iterable[ObjectImage]]


def colours_of(image: tuple[NounImage, int]) -> ObjectImage:
    """The image with the colours that it can be shown in; (image, longest side in pixels)."""
    source, side = image
    return find_colours(source.path, source.glazed, source.recolours, side)


def build_bank(
    media: Path,
    objects: NamedObjects,
    photos: Sequence[BackgroundPhoto],
    kind: str,
    side: int,
    find_all: FindColours = lambda images: map(colours_of, images),
) -> Path:
    """The file of the bank that scenes are made from, written unless it is there (`named.bank.read_bank`).

    Args:
        media: Its folder. The images' colours are kept there in a file of their own, for banks with other photographs.
        objects: Nouns and images.
        photos: Backgrounds.
        kind: Of the images: `emoji`, `style` or `photo`.
        side: Longest side of a sprite, pixels.
        find_all: `colours_of` over images, in order; on several processes where that pays.

    Raises:
        SceneError: An image cannot be used.
    """
    nouns = [named.noun for named in objects.nouns]
    # the images' colours, once for all banks
    rows = [repr((image.noun, image.path.name, image.path.stat().st_size)) for image in objects.images]
    objects_mark = _mark([repr(_VERSION), repr(kind), repr(side), *map(_describe, objects.nouns), *rows])
    surveyed = media / f"objects-{objects_mark}.json"
    if not surveyed.exists():
        by_noun: dict[str, list[ObjectImage]] = {}
        pairs = [(image, side) for image in objects.images]
        for source, image in zip(objects.images, find_all(pairs), strict=True):
            by_noun.setdefault(source.noun, []).append(image)
        write_bank(surveyed, nouns, {kind: by_noun}, ())
    # the same with photographs
    photos_mark = _mark([repr((photo.path.name, photo.path.stat().st_size, photo.words)) for photo in photos])
    bank = media / f"bank-{objects_mark}-{photos_mark}.json"
    if not bank.exists():
        write_bank(bank, nouns, read_bank(surveyed).images, photos)
    return bank


def _mark(parts: Sequence[str]) -> str:
    """Eight digits that change with what a bank is made of, but not with where it lies."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _describe(named: NamedNoun) -> str:
    """A noun in the notation of version 1, which does not follow the names of classes and fields."""
    noun = named.noun
    words = f"name={noun.name!r}, synonyms={noun.synonyms!r}, hypernyms={noun.hypernyms!r}, maybe={noun.maybe!r}"
    rest = f"colours={noun.colours!r}, place={noun.setting!r}, turns={noun.turns!r}"
    return (
        f"Named(noun=Noun({words}, {rest}), codes={named.codes!r}, recolours={named.recolours!r}, "
        f"glazed={named.glazed!r})"
    )
