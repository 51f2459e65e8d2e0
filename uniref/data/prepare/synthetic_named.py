"""The synthetic data set with named objects: emoji of registry packages, photographs where they are given.

The packages are recognised by what is in them, wherever they were unpacked. Which colours each picture can take is
found once and kept in `<root>/media/synthetic-named/bank-*.json`, which every process then reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from uniref.core.errors import UniRefError
from uniref.data.prepare.job import Job
from uniref.data.prepare.synthetic import DEFAULTS, write_split
from uniref.data.synthetic.named.bank import Picture, survey
from uniref.data.synthetic.named.files import write_bank
from uniref.data.synthetic.named.photos import Photo, find_photos
from uniref.data.synthetic.named.words import Named, code_of, named_nouns, read_emojibase
from uniref.data.synthetic.scene import sprite_side
from uniref.data.synthetic.sets import NAMED_SETS

_VERSION = 1
"""Of what is done to the sources; another one makes other banks."""
_OBJECTS = "@lobehub/fluent-emoji-3d@1.1.0"
_NAMES = "emojibase-data@17.0.0"


def prepare(job: Job) -> None:
    """One split: know the objects, make what scenes are missing, then index them."""
    starts = _starts(job.bases)
    sprites = _folder(starts, ("", "assets", "package/assets"), _is_sprites)
    if sprites is None:
        raise UniRefError(_missing(job, "objects", _OBJECTS))
    names = _folder(starts, ("", "en", "package/en"), _is_emojibase)
    if names is None:
        raise UniRefError(_missing(job, "names", _NAMES))
    job.used(names / "data.json")
    files = {code_of(path.stem): path for path in sorted(sprites.glob("*.webp"))}
    named = named_nouns(read_emojibase(names), frozenset(files))
    if not named:
        raise UniRefError(f"{sprites}: none of its pictures has a name in {names}")
    media = job.root / "media" / job.dataset.name
    photos = find_photos(starts)
    side = sprite_side(int(job.options.get("size") or DEFAULTS["size"]))
    items = [_Item(noun, files[code], side) for noun in named for code in noun.codes]
    bank = media / f"bank-{_mark(named, items, photos)}.json"
    if not bank.exists():
        pictures = {"emoji": _survey(job, items)}
        write_bank(bank, [noun.noun for noun in named], pictures, photos)
    set_name = job.split.partition("-")[0]
    assert set_name in NAMED_SETS
    write_split(job, media / bank.stem, bank)


def _starts(bases: Iterable[Path]) -> list[Path]:
    """Folders that a package may have been unpacked into: each base, and what is in it."""
    found: dict[Path, None] = {}
    for base in bases:
        found[base] = None
        found.update(dict.fromkeys(sorted(x for x in base.iterdir() if x.is_dir() and not x.name.startswith("."))))
    return list(found)


def _folder(starts: Sequence[Path], places: Sequence[str], test: Callable[[Path], bool]) -> Path | None:
    return next((start / place for start in starts for place in places if test(start / place)), None)


def _is_sprites(folder: Path) -> bool:
    return folder.is_dir() and next(folder.glob("[12]*.webp"), None) is not None


def _is_emojibase(folder: Path) -> bool:
    return (folder / "data.json").is_file() and (folder / "messages.json").is_file()


def _missing(job: Job, what: str, package: str) -> str:
    where = ", ".join(str(base) for base in job.bases)
    return (
        f"{job.dataset.name}: found no {what} in {where}: fetch them with `npm pack {package}` and name the .tgz (or "
        f"the folder it is unpacked in) with --source; {job.dataset.page} lists what else can be named"
    )


@dataclass(frozen=True)
class _Item:
    """One picture of a noun."""

    named: Named
    path: Path
    side: int


def _mark(named: Sequence[Named], items: Sequence[_Item], photos: Sequence[Photo]) -> str:
    """Ten digits that change with anything that scenes are made from, but not with where it lies."""
    parts: list[object] = [_VERSION, *named]
    parts += [(item.path.name, item.path.stat().st_size, item.side) for item in items]
    parts += [(photo.path.name, photo.path.stat().st_size, photo.division, photo.words) for photo in photos]
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()[:10]


def _survey(job: Job, items: Sequence[_Item]) -> Mapping[str, Sequence[Picture]]:
    """What colours every picture can take, by noun."""
    found: dict[str, list[Picture]] = {}
    for item, picture in zip(items, job.map(_survey_one, items, "object"), strict=True):
        found.setdefault(item.named.noun.name, []).append(picture)
    return found


def _survey_one(item: _Item) -> Picture:
    return survey(item.path, item.named.glazed, item.named.recolours, item.side)
