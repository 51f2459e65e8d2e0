"""Checkpoints by name: finding those that a command names, and the catalogue of `uniref convert --list`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from uniref_cli.console import Console

if TYPE_CHECKING:
    from uniref.weights.fetch import Access
    from uniref.weights.locate import CheckpointInfo

_KINDS = {
    "model": "Models",
    "sam": "SAM, to train UniFusion in",
    "backbone": "Backbones to train from",
    "text": "Text encoders",
    "file": "Other files that recipes read",
}


def access(console: Console, download: bool) -> Access:
    """Whether a command may download weights, and how it shows that."""
    from uniref.weights.fetch import Access

    return Access(download, console.progress, console.say, quiet=console.quiet)


def find_named_checkpoint(console: Console, name: str | Path, download: bool) -> Path:
    """The folder of a checkpoint that a command names; raises as `find_checkpoint` does."""
    from uniref.weights.locate import find_checkpoint

    return find_checkpoint(name, access(console, download))


def show_catalogue(console: Console) -> None:
    """Print every name with its size, licence, tasks, published scores, and where it is on this machine."""
    from uniref.weights.fetch import home
    from uniref.weights.locate import available_checkpoints

    # a JSON line each
    infos = available_checkpoints(None)
    for info in infos:
        console.result(
            {
                "name": info.name,
                "title": info.title,
                "kind": info.kind,
                "tasks": list(info.tasks),
                "size": info.size,
                "exact": info.exact,
                "licence": info.licence,
                "terms": info.terms,
                "page": info.page,
                "scores": {data: percent for data, (_, percent) in info.scores.items()},
                "path": str(info.path) if info.path else None,
            }
        )
    # a table per kind
    width = max(len(info.name) for info in infos)
    for kind, title in _KINDS.items():
        console.say(f"{title}:")
        for info in infos:
            if info.kind != kind:
                continue
            location = f"here: {info.path}" if info.path else "not fetched"
            console.say(f"  {info.name:{width}}  {_size(info):>8}  {info.licence:12}  {info.title}; {location}")
            if info.scores:
                scores = ", ".join(f"{data} {percent}" for data, (_, percent) in info.scores.items())
                console.say(f"  {'':{width}}  published (%): {scores}")
    # notes
    terms = sorted({info.terms for info in infos if info.kind == "model" and info.name != "small"})
    for line in terms:
        console.say(f"Terms of the released models: {line}.")
    console.say("Sizes with ~ are of the tensors: the file's own is not published.")
    console.say(f"Fetched files are kept in {home()}: uniref convert NAME FOLDER --download")


def _size(info: CheckpointInfo) -> str:
    size = f"{info.size / 1e9:.1f} GB" if info.size >= 10**9 else f"{info.size / 1e6:.0f} MB"
    return size if info.exact else f"~{size}"
