"""RefCOCO's pickles."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uniref.core.errors import UniRefError
from uniref.data.prepare.datasets.refcoco import read_refs

REFS = [{"ref_id": 7, "sentences": [{"sent": "man in red", "tokens": ["man"]}], "split": "testA"}]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_any_protocol(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "refs.p").write_bytes(pickle.dumps(REFS, protocol))
    assert read_refs(tmp_path / "refs.p") == REFS


def test_python_2_text(tmp_path: Path) -> None:
    (tmp_path / "refs.p").write_bytes(b"(lp0\n(dp1\nS'sent'\np2\nS'caf\\xe9'\np3\nsa.")
    assert read_refs(tmp_path / "refs.p") == [{"sent": "caf\xe9"}]


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, ("touch pwned",))


def test_nothing_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "refs.p").write_bytes(pickle.dumps([Hostile()], protocol))
        with pytest.raises(UniRefError, match=r"refs\.p.*system"):
            read_refs(tmp_path / "refs.p")
    assert not (tmp_path / "pwned").exists()


@given(st.binary(max_size=60))
def test_damage(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.p"
    path.write_bytes(content)
    with pytest.raises(UniRefError, match=r"damaged\.p"):
        if read_refs(path) == []:
            raise UniRefError("damaged.p: an empty list is a valid pickle")


def test_other_content(tmp_path: Path) -> None:
    (tmp_path / "refs.p").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UniRefError, match="does not hold a list"):
        read_refs(tmp_path / "refs.p")
