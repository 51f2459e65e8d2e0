"""A named bank as a file, so that every process that makes scenes reads the same one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from uniref.core.errors import UniRefError
from uniref.data.synthetic.named.bank import NamedBank, Picture
from uniref.data.synthetic.named.photos import Photo
from uniref.data.synthetic.nouns import Noun

Pictures = Mapping[str, Mapping[str, Sequence[Picture]]]


def write_bank(path: Path, named: Sequence[Noun], pictures: Pictures, photos: Sequence[Photo]) -> None:
    """Write a bank; pictures are named relative to the file's folder."""

    def place(picture: Path) -> str:
        return os.path.relpath(picture.resolve(), path.parent.resolve())

    data = {
        "nouns": [asdict(noun) for noun in named],
        "pictures": {
            kind: {
                noun: [[place(x.path), x.glazed, x.own, *x.others] for x in items] for noun, items in by_noun.items()
            }
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
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        named = [
            Noun(**{key: tuple(value) if isinstance(value, list) else value for key, value in noun.items()})
            for noun in data["nouns"]
        ]
        pictures = {
            kind: {
                noun: tuple(
                    Picture(path.parent / place, glazed, own, tuple(others)) for place, glazed, own, *others in items
                )
                for noun, items in by_noun.items()
            }
            for kind, by_noun in data["pictures"].items()
        }
        photos = [Photo(path.parent / place, division, tuple(words)) for place, division, *words in data["photos"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UniRefError(
            f"{path}: cannot be read as a bank of objects ({error}); delete it and prepare anew"
        ) from None
    return NamedBank(named, pictures, photos)
