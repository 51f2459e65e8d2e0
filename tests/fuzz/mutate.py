"""Mutations of files, as hypothesis draws and shrinks them."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

TOKENS = (
    b"",
    b"\0",
    b"\xff" * 8,
    b"\x7f" * 4,
    b"[" * 2000,
    b"{" * 300,
    b'"',
    b"\\",
    b"\n",
    b"\x1b[2J",
    b"-1",
    b"1" * 5000,
    b"1e308",
    b"4611686018427387904",
    b"NaN",
    b"null",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"../../../etc/passwd",
    b"=cmd()",
    b"%!PS-Adobe-3.0 EPSF-3.0\n",
    b"cos\nsystem\n",
    b"\x80\x05",
    b"PK\x03\x04",
    b"<script>",
    b"&a [*a,*a]",
    b"!!python/x ",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    2**31,
    2**62,
    10**30,
    1e308,
    -1e308,
    math.nan,
    math.inf,
    0.5,
    "",
    "x",
    "\0",
    "\ud800",
    "-1",
    "a" * 5000,
    "../x",
    "/etc/passwd",
    "a\nb\x1b[31m",
    "9" * 5000,
    [],
    {},
    [[]],
    [[[[[[[[]]]]]]]],
    {"a": {"b": {"c": 1}}},
    [None] * 3,
    [-1, -1],
    [2**40] * 4,
    [0.1] * 6,
    [1e300] * 8,
    {"size": [2**31, 2**31], "counts": "0" * 40},
    {"size": [1, 1], "counts": [-5, 6]},
    "gpt2",
    "hf-hub:a/b",
)

_place = st.floats(0, 1, exclude_max=True)
_edit = st.tuples(
    st.sampled_from(("cut", "flip", "flip", "insert", "insert", "delete", "double", "swap", "fill")),
    _place,
    _place,
    st.sampled_from(TOKENS),
    st.integers(0, 255),
)
edits = st.lists(_edit, min_size=1, max_size=4)
"""Changes of bytes."""
values = st.lists(st.tuples(_place, st.sampled_from(VALUES), st.booleans()), min_size=1, max_size=2)
"""Changes of a tree: where, what instead, and whether the key goes altogether."""


def with_edits(data: bytes, changes: list[tuple[str, float, float, bytes, int]]) -> bytes:
    """The bytes after all changes."""
    for kind, where, length, token, byte in changes:
        at = int(where * (len(data) + 1))
        end = min(len(data), at + 1 + int(length**4 * len(data)))
        if kind == "cut":
            data = data[:at]
        elif kind == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << byte % 8)]) + data[at + 1 :]
        elif kind == "insert":
            data = data[:at] + token + data[at:]
        elif kind == "delete":
            data = data[:at] + data[end:]
        elif kind == "double":
            data = data[:end] + data[at:end] + data[end:]
        elif kind == "swap":
            data = data[at:] + data[:at]
        elif kind == "fill":
            data = data[:at] + bytes([byte]) * (end - at) + data[end:]
    return data


def with_values(text: str, changes: list[tuple[float, Any, bool]]) -> str:
    """A JSON document with other values in some places."""
    tree = {"root": json.loads(text)}
    for where, value, drop in changes:
        places = [*_places(tree)]
        parent, key = places[int(where * len(places))]
        if drop and parent is not tree and isinstance(parent, dict):
            del parent[key]
        else:
            parent[key] = copy.deepcopy(value)
    return json.dumps(tree.get("root"))


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key])
