"""Recognises the split from the name of a file or folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_SPLITS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
_WORDS = {word: split for split, words in _SPLITS.items() for word in words}


def split_of(path: Path | str, base: Path | None = None) -> str | None:
    """The split that a path is named after: `train2017/a.json`, `instances_val.json`, `valid/x`; None where it is not.

    Args:
        path: A file or folder.
        base: Only what comes below this folder counts.
    """
    path = Path(path)
    if base is not None and path.is_relative_to(base):
        path = path.relative_to(base)
    elif path.is_absolute():
        path = Path(path.name)
    for part in reversed(path.parts):
        stem = part.rpartition(".")[0] or part
        found = {_WORDS[word] for word in re.findall(r"[a-z]+", stem.lower()) if word in _WORDS}
        if len(found) == 1:
            return found.pop()
    return None


def in_split_order(by_split: Mapping[str, T]) -> dict[str, T]:
    """Only train, val and test of a mapping by split, in this order."""
    return {split: by_split[split] for split in _SPLITS if split in by_split}
