"""JSON from anywhere: bounded in depth, in the size of a record, and in memory."""

import json
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from uniref.core.errors import UniRefError, UsageError
from uniref.core.json_files import MAX_DEPTH, _DepthGuard, outline, parse_json, read_json, read_json_lines, stream_json


def _stream(path: Path) -> Any:
    return list(stream_json(path, "images"))


def _lines(path: Path) -> Any:
    return list(read_json_lines(path))


@pytest.mark.parametrize("read", [read_json, _lines, _stream])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "nested more than 64 deep"),
        (b'{"images": ' + b'[{"a":' * 50_000, "nested more than 64 deep"),
        (b'{"images": [1, 2', "not valid JSON"),
        (b"\xff\xfe\x00", "a.json"),
        (b'{"images": [' + b"1" * 5000 + b"]}", "not valid JSON"),
        (b"", "not valid JSON"),
    ],
)
def test_bad_files_are_one_line_in_little_memory(
    read: Callable[[Path], Any], content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        if not content and read is _lines:
            assert read(path) == []
            return
        with pytest.raises(UniRefError, match=message) as caught:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_record_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uniref.core.json_files._LARGEST_RECORD", 1 << 20)
    path = tmp_path / "a.json"
    path.write_text('{"images": [{"a": "' + "x" * (2 << 20) + '"}]}')
    with pytest.raises(UniRefError, match="one entry has more than"):
        _stream(path)


def test_brackets_in_strings_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    entries = [{"counts": "[[[{{{" * 1000, "quote": '\\"[' * 500, "n": number} for number in range(300)]
    path.write_text(json.dumps({"info": {}, "images": entries}))
    assert _stream(path) == entries == read_json(path)["images"]


def test_depth_is_followed_across_blocks() -> None:
    rng = random.Random(3)  # noqa: S311 - repeatable, not secret
    for _ in range(3000):
        text = bytes(rng.choice(b'[]{}"\\a\n') for _ in range(rng.randrange(60)))
        guard, at = _DepthGuard(), 0
        while at < len(text):
            size = rng.randrange(1, 9)
            guard.feed(text[at : at + size])
            at += size
        assert (guard._depth, guard._in_string) == _slow_depth(text), text


def _slow_depth(text: bytes) -> tuple[int, bool]:
    depth, inside, escaped = 0, False, False
    for code in text:
        if inside:
            escaped, inside = code == 92 and not escaped, escaped or code != 34
        elif code == 34:
            inside = True
        else:
            depth += (code in b"[{") - (code in b"]}")
    return depth, inside


def test_depth_of_the_limit_is_read() -> None:
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH, "x") is not None
    with pytest.raises(UsageError, match=r"^x: is not valid JSON"):
        parse_json("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "x", UsageError)


def test_half_a_surrogate_pair_is_no_character() -> None:
    assert parse_json('"\\ud83d\\ude00"', "x") == "\N{GRINNING FACE}"
    with pytest.raises(UniRefError, match="half a surrogate pair"):
        parse_json('{"text": "\\ud83d"}', "x")


def test_the_outline_of_a_file(tmp_path: Path) -> None:
    def keys(text: str) -> tuple[str, ...]:
        (tmp_path / "a.json").write_text(text)
        return outline(tmp_path / "a.json")

    assert keys('\ufeff{"a": {"x": [1]}, "b\\"{": ["y", {"z": 2}], "c": 3}') == ("a", 'b\\"{', "c")
    assert keys('[{"id": 1, "data": {"image": "[{"}}, {"other": 2}]') == ("[]", "id", "data")
    assert keys('{"images": [{"id": 1}, {"id"') == ("images",)
    assert keys("") == keys("]]]}{") == keys("no") == ()
    with pytest.raises(UniRefError, match="no such file"):
        outline(tmp_path / "none.json")
