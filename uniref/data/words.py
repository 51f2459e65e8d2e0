"""What a flip or a crop does to the words of an expression. All texts here are cleaned (uniref/core/text.py)."""

from __future__ import annotations

import re

_ENDINGS = "most|hand|handed|side|er|ward|wards|s"
_SIDES = re.compile(rf"\b(left|right)(?=(?:{_ENDINGS})?\b)")
_SIDES_ANYWHERE = re.compile("left|right")
_ORDINALS = "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth"
_ORDINAL = re.compile(rf"\b(?:{_ORDINALS}|[0-9]+(?:st|nd|rd|th))\b")
_ORDINAL_ANYWHERE = re.compile(_ORDINALS)


def swap_sides(text: str, released: bool = False) -> str:
    """The text that describes the mirrored picture: left and right trade places.

    Args:
        text: Cleaned.
        released: Also inside other words, as the released system does ("bright", "upright").
    """
    pattern = _SIDES_ANYWHERE if released else _SIDES
    return pattern.sub(lambda match: "right" if match[0] == "left" else "left", text)


def has_ordinal(text: str, released: bool = False) -> bool:
    """Whether an object is counted out ("second from the left"): a crop may remove those it is counted against.

    Args:
        text: Cleaned.
        released: Only spelled ordinals, but also inside other words, as the released system does.
    """
    pattern = _ORDINAL_ANYWHERE if released else _ORDINAL
    return pattern.search(text) is not None
