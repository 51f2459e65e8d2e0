"""Any mutation of any file ends in success or in one UniRefError that names it, within 10 s and 2 GB.

A few cases of every reader run always. The long run, about 10,000 cases in half an hour:

    UNIREF_FUZZ=200 python -m pytest -q tests/fuzz
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutate import edits, values, with_edits, with_values
from tests.fuzz.readers import READERS, Reader, fresh
from uniref.core.errors import UniRefError

CASES = int(os.environ.get("UNIREF_FUZZ", "8"))
MOST_MEMORY = 2 << 30  # bytes
MOST_SECONDS = 10.0


@pytest.fixture(scope="module", params=READERS, ids=lambda reader: reader.name)
def valid(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Reader, Path, Path]:
    """A reader, a folder with its valid input, and a place to write to."""
    reader: Reader = request.param
    folder = fresh(tmp_path_factory.getbasetemp() / "fuzz-input")
    reader.make(folder)
    return reader, folder, tmp_path_factory.getbasetemp() / "fuzz-output"


def test_the_valid_file_is_read(valid: tuple[Reader, Path, Path]) -> None:
    reader, folder, out = valid
    reader.read(folder, fresh(out))


@pytest.mark.slow
def test_any_mutation_is_read_or_refused(valid: tuple[Reader, Path, Path]) -> None:
    reader, folder, out = valid
    path = folder / reader.file
    intact = path.read_bytes()
    # without shrinking, a case that needs 10 s would be repeated a hundred times
    phases = (Phase.explicit, Phase.reuse, Phase.generate) if CASES > 50 else tuple(Phase)

    @settings(
        max_examples=max(3, CASES // reader.slow),
        deadline=None,
        database=None,
        derandomize="UNIREF_FUZZ" not in os.environ,
        suppress_health_check=list(HealthCheck),
        phases=phases,
    )
    @given(st.data())
    def check(data: st.DataObject) -> None:
        if reader.tree and data.draw(st.booleans()):
            content = with_values(intact.decode(), data.draw(values)).encode("utf-8", "surrogatepass")
        else:
            content = with_edits(intact, data.draw(edits))
        path.write_bytes(content)
        _read(reader, folder, fresh(out))

    try:
        check()
    finally:
        path.write_bytes(intact)


def _read(reader: Reader, folder: Path, out: Path) -> None:
    """Read, and judge how it ended."""
    before, begun = _peak(), time.monotonic()
    try:
        reader.read(folder, out)
    except UniRefError as error:
        message = str(error)
        assert str(folder) in message or str(out) in message or Path(reader.file).name in message, message
    assert time.monotonic() - begun < MOST_SECONDS
    assert _peak() - before < MOST_MEMORY


def _peak() -> int:
    """Bytes of memory that this process has used at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
