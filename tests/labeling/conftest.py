"""A server for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.labeling.browser import browser  # noqa: F401
from tests.labeling.served import Served, make_frames, serve


@pytest.fixture(scope="module")
def served(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of a video of six frames, with one object."""
    folder = tmp_path_factory.mktemp("label")
    with serve(make_frames(folder / "frames"), folder / "project", checkpoint) as server:
        assert server.post("/api/objects", {"name": "square"}).json == {"id": 1}
        yield server
