"""Every message that docs/troubleshooting.md quotes exists in the code."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/troubleshooting.md"
_HOLE = "\0"  # a value in an f-string


def template(node: ast.AST) -> str | None:
    """The text of a string expression; values that are put into it are holes. None where it is not a text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) or _HOLE for part in node.values)
    return None


@functools.cache
def messages() -> list[str]:
    """Every text in the code of the package."""
    files = [*(ROOT / "uniref").rglob("*.py"), *(ROOT / "uniref_cli").rglob("*.py")]
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text("utf-8"))))
    return [text for node in nodes if (text := template(node)) is not None and len(text) > 8]


def quoted() -> list[str]:
    """The messages in the first columns of the page."""
    rows = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    return [row for row in rows if row != "message"]


def exists(message: str) -> bool:
    """Whether one text of the code has the parts of a message between `...`, in this order."""
    parts = [part.strip(" :") for part in message.split("...") if part.strip(" :;,.")]
    pattern = re.compile(".*".join(re.escape(part) for part in parts), re.DOTALL)
    return any(pattern.search(text) for text in messages())


def test_there_are_enough_messages() -> None:
    assert len(quoted()) > 70


@pytest.mark.parametrize("message", quoted())
def test_a_message_exists(message: str) -> None:
    assert exists(message)


def test_a_message_that_does_not_exist_is_noticed() -> None:
    assert not exists("...: is a teapot; choose another pot")
    assert not exists("masks are never resized ... the ground truth")  # in the other order
