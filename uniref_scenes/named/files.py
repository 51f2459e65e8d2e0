"""A named bank as a file, so that every process that makes scenes reads the same one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from uniref.core.files import reading
from uniref.core.json_files import read_json
from uniref_scenes.named.bank import NamedBank, Picture
from uniref_scenes.named.photos import Photo
from uniref_scenes.nouns import Noun

Pictures = Mapping[str, Mapping[str, Sequence[Picture]]]


def write_bank(path: Path, named: Sequence[Noun], pictures: Pictures, photos: Sequence[Photo]) -> None:
    """Write a bank; pictures are named relative to the file's folder."""

    def place(picture: Path) -> str:
        return os.path.relpath(picture.resolve(), path.parent.resolve())

    def row(picture: Picture) -> list[str | bool]:
        return [place(picture.path), picture.glazed, picture.own, *picture.others]

    data = {
        "nouns": [asdict(noun) for noun in named],
        "pictures": {
            kind: {noun: [row(picture) for picture in items] for noun, items in by_noun.items()}
            for kind, by_noun in pictures.items()
        },
        "photos": [[place(photo.path), photo.division, *photo.words] for photo in photos],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(data, ensure_ascii=False, indent=0), encoding="utf-8")
    os.replace(temporary, path)


def read_bank(path: Path) -> NamedBank:
    """The bank of a file.

    Raises:
        UniRefError: Missing or damaged.
    """
    folder = path.parent
    with reading(path, advice="delete it and prepare anew"):
        data = read_json(path)
        named = [_noun(**noun) for noun in data["nouns"]]
        pictures = {
            kind: {
                noun: tuple(Picture(folder / place, glazed, own, tuple(words)) for place, glazed, own, *words in items)
                for noun, items in by_noun.items()
            }
            for kind, by_noun in data["pictures"].items()
        }
        photos = [Photo(folder / place, division, tuple(words)) for place, division, *words in data["photos"]]
    return NamedBank(named, pictures, photos)


def _noun(
    name: str,
    synonyms: list[str],
    hypernyms: list[str],
    maybe: list[str],
    colours: list[str],
    place: str,
    turns: bool,
) -> Noun:
    return Noun(name, tuple(synonyms), tuple(hypernyms), tuple(maybe), tuple(colours), place, turns)
