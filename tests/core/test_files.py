from pathlib import Path

import pytest

from uniref.core.errors import CheckpointError, UniRefError, UsageError
from uniref.core.files import read_text, reading, sha256, writing
from uniref.core.text import printable


def test_known_digest_and_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(UniRefError, match="cannot be read"):
        sha256(tmp_path / "none")


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (FileNotFoundError(2, "No such file"), "^f: no such file$"),
        (PermissionError(13, "Permission denied"), r"^f: cannot be read \(Permission denied\); try again$"),
        (IndexError("list index out of range"), r"^f: is damaged \(IndexError: list index out of range\); try again$"),
        (ZeroDivisionError(), r"^f: is damaged \(ZeroDivisionError\)"),
        (ValueError("one\ntwo"), r"^f: is damaged \(one\); try again$"),
        (MemoryError(), "^f: needs more memory"),
        (RecursionError(), "^f: is nested too deeply"),
        (ValueError("x" * 10_000), r"x{200}\.\.\."),
    ],
)
def test_any_exception_is_one_line(problem: Exception, message: str) -> None:
    with pytest.raises(CheckpointError, match=message), reading("f", CheckpointError, "try again"):
        raise problem


def test_errors_for_users_and_signals_pass() -> None:
    with pytest.raises(UsageError, match=r"^mine$"), reading("f"):
        raise UsageError("mine")
    with pytest.raises(KeyboardInterrupt), reading("f"):
        raise KeyboardInterrupt


def test_a_writer_names_what_it_writes() -> None:
    with pytest.raises(UniRefError, match=r"^w: cannot be written \(No space left on device\)$"), writing(Path("w")):
        raise OSError(28, "No space left on device")
    with pytest.raises(UniRefError, match=r"^w: cannot be written \(enforce fail\)$"), writing(Path("w")):
        raise RuntimeError("enforce fail\nmore")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a\0b", "NUL"), (b"\xff", "not text in UTF-8"), (b"x" * 11, "at most 10 are read")],
)
def test_texts_are_bounded(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(UniRefError, match=message):
        read_text(tmp_path / "t", largest=10)


def test_names_cannot_forge_lines_or_move_the_cursor() -> None:
    assert printable("a\nuniref: done\x1b[2K\r\x9b\u202ez\udc9b\u2028") == (
        "a\\nuniref: done\\x1b[2K\\r\\x9b\\u202ez\\x9b\\u2028"
    )
    assert printable("caf\xe9 \u4f60\u597d \N{GRINNING FACE} \udcff") == "caf\xe9 \u4f60\u597d \N{GRINNING FACE} \udcff"
    assert len(printable("x" * 10**6)) < 5000
