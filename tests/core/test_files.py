from pathlib import Path

import pytest

from uniref.core.errors import UniRefError
from uniref.core.files import sha256


def test_known_digest_and_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(UniRefError, match="cannot be read"):
        sha256(tmp_path / "none")
