"""Makes one entry per name of docstrings' `first, second: Meaning.`, for the Python reference of the site."""

from __future__ import annotations

import re
from typing import Any

import griffe

_SHARED = re.compile(r"^    (\w+(?:,\s+\w+)+):(.*(?:\n {8}.*)*)", re.MULTILINE)


class SharedEntries(griffe.Extension):
    """Repeats the text of an entry for each of its names."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Rewrite the docstring of a function."""
        if func.docstring:
            func.docstring.value = _SHARED.sub(_one_each, func.docstring.value)

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Rewrite the docstring of a class, which documents its constructor."""
        if cls.docstring:
            cls.docstring.value = _SHARED.sub(_one_each, cls.docstring.value)


def _one_each(match: re.Match[str]) -> str:
    return "\n".join(f"    {name}:{match[2]}" for name in re.split(r",\s+", match[1]))
