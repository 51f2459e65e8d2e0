"""Finding the weights that a command is given by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from uniref_cli.console import Console

if TYPE_CHECKING:
    from uniref.weights.fetch import Access

DOWNLOAD_HELP = "Fetch the checkpoint where it is named and not here yet: once, into the cache."
CHECKPOINT_HELP = (
    "Checkpoint folder, made by 'uniref convert' or 'uniref train'; a name of 'uniref convert --list'; or owner/name "
    "of the Hugging Face hub."
)


def access(console: Console, download: bool) -> Access:
    """What a command may do to get weights."""
    from uniref.weights.fetch import Access

    return Access(download, console.progress, console.say, quiet=console.quiet)


def checkpoint(console: Console, name: str | Path, download: bool) -> Path:
    """The folder of the checkpoint that a command is given; errors as of `find_checkpoint`."""
    from uniref.weights.locate import find_checkpoint

    return find_checkpoint(name, access(console, download))
