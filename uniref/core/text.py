"""Normalising texts for the text encoder, and escaping them for a terminal."""

from __future__ import annotations

from uniref.core.addresses import hide_passwords

_DROPPED = str.maketrans({c: None for c in ".,'!?\"()*#:;"} | {"-": " ", "/": " "})


def clean_text(text: str) -> str:
    """Lower case, punctuation dropped, hyphens and slashes turned into spaces."""
    return text.lower().translate(_DROPPED)


def has_words(text: str) -> bool:
    """Whether the text encoder gets any tokens; a text without words refers to nothing."""
    return bool(clean_text(text).strip())


_LONGEST = 4000  # characters of one printed line
_BREAKS = (0x2028, 0x2029, 0xFEFF)
_DIRECTIONS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_ESCAPED |= {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}
_ESCAPED |= {code: f"\\u{code:04x}" for code in (*_BREAKS, *_DIRECTIONS)}
_ESCAPED |= {0xDC00 + code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}  # such bytes of a file name


def printable(text: str) -> str:
    """One line for a terminal or a list: file names and texts from elsewhere must not forge lines or move the cursor.

    Control characters, line and paragraph separators and changes of the writing direction become escapes (`\\n`,
    `\\x1b`, `\\u202e`); of more than 4,000 characters, the middle is left out. Addresses lose their passwords.
    """
    line = hide_passwords(text).translate(_ESCAPED)
    if len(line) <= _LONGEST:
        return line
    half = _LONGEST // 2
    return f"{line[:half]} [...] {line[-half:]}"
