"""Expressions as the text encoder gets them."""

from __future__ import annotations

_DROPPED = str.maketrans({c: None for c in ".,'!?\"()*#:;"} | {"-": " ", "/": " "})


def clean_text(text: str) -> str:
    """Lower case, punctuation dropped, hyphens and slashes turned into spaces (SPEC section 2)."""
    return text.lower().translate(_DROPPED)
