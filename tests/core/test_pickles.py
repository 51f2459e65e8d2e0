"""Pickles as data: what is plain is read as Python's own reader reads it, anything else is refused."""

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uniref.core.pickles import ForbiddenName, PickleProblem, load_plain

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(-(2**63), 2**63 - 1), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(PLAIN, st.integers(0, 5))
def test_plain_values_come_back(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert load_plain(b"xx" + data + b"more", 2) == (value, 2 + len(data))


def test_byte_strings_of_python_2_are_texts() -> None:
    assert load_plain(b"\x80\x02U\x03caf.")[0] == "caf"
    assert load_plain(b"S'caf\\xe9'\n.")[0] == "café"
    assert load_plain(b"T\x02\0\0\0\xe9!.")[0] == "é!"


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/never",)


EMPTY_TUPLES = b"\x80\x02)q\0" + (b"(" + b"h\0" * 10 + b"tq\0") * 12


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "ends in the middle"),
        (pickle.dumps([1, 2])[:-1], "ends in the middle"),
        (b"\x80\x04\x8e" + b"\xff" * 8 + b".", "ends in the middle"),
        (b"\x80\x04\x96" + struct.pack("<Q", 1 << 60) + b".", "ends in the middle"),
        (EMPTY_TUPLES + b"}h\0Ns.", "a key of a dictionary is a tuple"),
        (EMPTY_TUPLES + b"h\0.", "again and again"),
        (b"\x80\x02]q\0h\0a.", "nested more than"),
        (b"]" * 100 + b"a" * 99 + b".", "nested more than"),
        (pickle.dumps({1, 2}), "a set"),
        (pickle.dumps({1.5: 2}), "is a float"),
        (pickle.dumps({1 << 64: 2}), "is a int"),
        (b"\x80\x02N)R.", "calls an object that is not a function"),
        (b"\x80\x02]}b.", "sets the state"),
        (b"\x80\x02K\x01Q.", "outside of the file"),
        (b"\x80\x02}K\x01a.", "appends to an object that is not a list"),
        (b"I" + b"1" * 5000 + b"\n.", "ValueError"),
        (b"\x80\x02\x85.", "more than there is"),
        (b"\x80\x02h\x05.", "KeyError"),
        (b"(i__builtin__\nprint\n.", "an object of a class"),
    ],
)
def test_what_is_not_plain_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(PickleProblem, match=message):
        load_plain(data)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_called(protocol: int, tmp_path: Path) -> None:
    with pytest.raises(ForbiddenName, match="system"):
        load_plain(pickle.dumps(Evil(), protocol))
    with pytest.raises(ForbiddenName, match=r"numpy\.dtype"):
        load_plain(b"cnumpy\ndtype\n.")
