"""Commands that have their name but not yet their work: they say so and exit with 2."""

from __future__ import annotations

import typer

from uniref.core.errors import UsageError
from uniref.version import __version__

_COMMANDS = {
    "train": "Train by a recipe.",
}


def register(app: typer.Typer) -> None:
    """Add the commands; they accept any arguments."""
    for name, text in _COMMANDS.items():
        settings = {"allow_extra_args": True, "ignore_unknown_options": True}
        app.command(name, help=f"{text} (not built yet)", context_settings=settings)(_refuse(name))


def _refuse(name: str):  # type: ignore[no-untyped-def]
    def refuse() -> None:
        raise UsageError(f"{name}: not built yet in uniref {__version__}; predict, convert, prepare-data and eval are")

    return refuse
