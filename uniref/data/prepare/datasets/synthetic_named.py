"""The synthetic data set with named objects: emoji of registry packages, photographs where they are given.

The packages are recognised by what is in them, wherever they were unpacked. Which colours each picture can take is
found once and kept in `<root>/media/synthetic-named/objects-*.json`; every process reads it from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from uniref.core.errors import UniRefError
from uniref.data.prepare.datasets.synthetic import DEFAULTS, write_split
from uniref.data.prepare.job import ConversionJob
from uniref_scenes.named.bank import Picture, survey
from uniref_scenes.named.files import read_bank, write_bank
from uniref_scenes.named.photos import Photo, find_photos
from uniref_scenes.named.styles import FONT, draw_font, read_stamps
from uniref_scenes.named.words import Named, code_of, named_nouns, read_emojibase
from uniref_scenes.nouns import NOUNS
from uniref_scenes.scene import sprite_side
from uniref_scenes.sets import NAMED_SETS

_VERSION = 1
"""Of what is done to the sources; another one makes other banks."""


def prepare(job: ConversionJob) -> None:
    """One split: know the objects, make what scenes are missing, then index them."""
    scenes = NAMED_SETS[job.split.partition("-")[0]]
    starts = _starts(job.bases)
    sprites = _need(job, starts, _SPRITES)
    names = _need(job, starts, _NAMES)
    job.used(names / "data.json")
    shown = {code_of(path.stem): path for path in sorted(sprites.glob("*.webp"))}
    named = named_nouns(read_emojibase(names), frozenset(shown))
    if not named:
        raise UniRefError(f"{sprites}: none of its pictures has a name in {names}")
    media = job.root / "media" / job.dataset.name
    if scenes.pictures == "photo":
        items = _stamps(_need(job, starts, _STAMPS), named)
    elif scenes.pictures == "style":
        codes = [code for noun in named for code in noun.codes]
        font = _need(job, starts, _FONT) / FONT
        items = _items(named, draw_font(font, codes, media / "noto"))
    else:
        items = _items(named, shown)
    photos = [photo for photo in find_photos(starts) if photo.division == scenes.grounds]
    bank = _bank(job, media, scenes.pictures, named, items, photos)
    write_split(job, media / bank.stem, bank)


@dataclass(frozen=True)
class _Source:
    """A package, and how it is recognised."""

    what: str
    how: str
    """Command that fetches it."""
    places: tuple[str, ...]
    test: Callable[[Path], bool]


_DEB = "apt-get download {0}` and `dpkg-deb -x {0}*.deb FOLDER"
_SPRITES = _Source(
    "objects",
    "npm pack @lobehub/fluent-emoji-3d@1.1.0",
    ("", "assets", "package/assets"),
    lambda folder: folder.is_dir() and next(folder.glob("[12]*.webp"), None) is not None,
)
_NAMES = _Source(
    "names",
    "npm pack emojibase-data@17.0.0",
    ("", "en", "package/en"),
    lambda folder: (folder / "data.json").is_file() and (folder / "messages.json").is_file(),
)
_FONT = _Source(
    f"font {FONT}",
    _DEB.format("fonts-noto-color-emoji"),
    ("", "usr/share/fonts/truetype/noto"),
    lambda folder: (folder / FONT).is_file(),
)
_STAMPS = _Source(
    "photographed objects",
    _DEB.format("tuxpaint-stamps-default"),
    ("", "stamps", "usr/share/tuxpaint/stamps"),
    lambda folder: bool(read_stamps(folder)),
)


def _need(job: ConversionJob, starts: Sequence[Path], source: _Source) -> Path:
    """The folder that has it. Raises UniRefError, which says how to get it."""
    for start in starts:
        for place in source.places:
            if source.test(start / place):
                return start / place
    where = ", ".join(str(base) for base in job.bases)
    raise UniRefError(
        f"{job.dataset.name}/{job.split}: found no {source.what} in {where}: fetch them with `{source.how}`, then name "
        f"the archive or folder with --source ({job.dataset.page})"
    )


def _starts(bases: Iterable[Path]) -> list[Path]:
    """Folders that a package may have been unpacked into: each base, and what is in it."""
    found: dict[Path, None] = {}
    for base in bases:
        found[base] = None
        found.update(dict.fromkeys(sorted(x for x in base.iterdir() if x.is_dir() and not x.name.startswith("."))))
    return list(found)


@dataclass(frozen=True)
class _Item:
    """One picture of a noun."""

    noun: str
    path: Path
    glazed: bool = False
    recolours: bool = False
    side: int = 0


def _items(named: Sequence[Named], pictures: Mapping[str, Path]) -> list[_Item]:
    return [
        _Item(noun.noun.name, pictures[code], noun.glazed, noun.recolours)
        for noun in named
        for code in noun.codes
        if code in pictures
    ]


def _stamps(folder: Path, named: Sequence[Named]) -> list[_Item]:
    nouns = {*NOUNS, *(noun.noun.name for noun in named)}
    return [_Item(noun, path) for path, noun in read_stamps(folder).items() if noun in nouns]


def _bank(
    job: ConversionJob, media: Path, kind: str, named: Sequence[Named], items: Sequence[_Item], photos: Sequence[Photo]
) -> Path:
    """The file of what the split's scenes are made from; pictures are looked at once for all splits."""
    side = sprite_side(int(job.options.get("size") or DEFAULTS["size"]))
    items = [replace(item, side=side) for item in items]
    nouns = [noun.noun for noun in named]
    objects = _mark([_VERSION, kind, side, *named, *((x.noun, x.path.name, x.path.stat().st_size) for x in items)])
    known = media / f"objects-{objects}.json"
    if not known.exists():
        found: dict[str, list[Picture]] = {}
        for item, picture in zip(items, job.map(_survey, items, "object"), strict=True):
            found.setdefault(item.noun, []).append(picture)
        write_bank(known, nouns, {kind: found}, ())
    backs = _mark([(photo.path.name, photo.path.stat().st_size, photo.words) for photo in photos])
    bank = media / f"bank-{objects}-{backs}.json"
    if not bank.exists():
        write_bank(bank, nouns, read_bank(known).pictures, photos)
    return bank


def _mark(parts: Sequence[object]) -> str:
    """Eight digits that change with what is made use of, but not with where it lies."""
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()[:8]


def _survey(item: _Item) -> Picture:
    return survey(item.path, item.glazed, item.recolours, item.side)
