"""Running the real command on miniatures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from uniref.data.index import Index
from uniref_cli import app

Prepare = Callable[..., Index]
Refused = Callable[..., str]


@pytest.fixture
def prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Prepare:
    """`prepare("davis17", source, "val", *options)` runs the command and opens the index."""

    def run(dataset: str, source: Path, split: str, *options: str) -> Index:
        arguments = ["prepare-data", dataset, "--root", str(tmp_path / "data"), "--source", str(source)]
        code = app.run([*arguments, "--split", split, "--accept-counts", "--workers", "1", *options])
        assert code == 0, capsys.readouterr().err
        return Index.open(tmp_path / "data/index" / dataset / split)

    return run


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command, which must fail with one line and leave no index; returns the line."""

    def run(dataset: str, source: Path, split: str, *options: str, code: int = 1) -> str:
        arguments = ["prepare-data", dataset, "--root", str(tmp_path / "data"), "--source", str(source)]
        found = app.run([*arguments, "--split", split, "--workers", "1", "--quiet", *options])
        error = capsys.readouterr().err
        assert found == code, error
        lines = [line for line in error.splitlines() if line.startswith("uniref: error:")]
        assert len(lines) == 1, error
        assert "Traceback" not in error
        assert not (tmp_path / "data/index" / dataset / split).exists()
        assert not list((tmp_path / "data/index").glob(f"{dataset}/.*"))
        return lines[0]

    return run
