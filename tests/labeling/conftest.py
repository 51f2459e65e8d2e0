"""Sessions on short real videos with the bundled model, and a server for the tests of a module."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.labeling.browser import browser  # noqa: F401
from tests.labeling.clips import Masks, write_clip
from tests.labeling.served import Served, make_frames, serve
from uniref import Predictor
from uniref.labeling.session import LabelSession

FRAMES = 6


@pytest.fixture(scope="session")
def predictor() -> Predictor:
    return Predictor.from_pretrained("small", device="cpu")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of the example video, small."""
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", FRAMES)


@pytest.fixture
def open_session(tmp_path: Path, predictor: Predictor) -> Iterator[Callable[..., LabelSession]]:
    """`open_session(video, folder="project")`: closed in the end."""
    opened: list[LabelSession] = []

    def make(video: Path, folder: str = "project") -> LabelSession:
        opened.append(LabelSession(video, tmp_path / folder, lambda: predictor))
        return opened[-1]

    yield make
    for session in opened:
        session.close()


@pytest.fixture(scope="module")
def served(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of a video of six frames, with one object."""
    folder = tmp_path_factory.mktemp("label")
    with serve(make_frames(folder / "frames"), folder / "project", checkpoint) as server:
        assert server.post("/api/objects", {"name": "square"}).json == {"id": 1}
        yield server


def settle(session: LabelSession) -> LabelSession:
    """Wait until nothing is being done."""
    until = time.monotonic() + 300
    while session.info()["job"] is not None:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert session.info()["error"] is None
    return session


def stored(session: LabelSession) -> Masks:
    """Frame -> object -> the pixels that it has there."""
    return {
        frame: {each.object: each.own_pixels for each in session.store.masks(frame)}
        for frame in range(session.frames.count)
    }


def assert_same(got: Masks, wanted: Masks) -> None:
    """Exactly the same objects in the same frames, with the same pixels."""
    assert {frame: set(masks) for frame, masks in got.items()} == {frame: set(m) for frame, m in wanted.items()}
    for frame, masks in wanted.items():
        for number, mask in masks.items():
            assert np.array_equal(got[frame][number], mask), f"object {number} in frame {frame}"
