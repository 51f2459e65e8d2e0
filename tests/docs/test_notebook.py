"""The notebook in examples/: runs from top to bottom, and is stored with small outputs that name no machine."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


def outputs(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def printed(notebook: dict[str, Any]) -> str:
    return "".join("".join(output.get("text", "")) for output in outputs(notebook))


def test_stored_outputs_are_small_and_complete() -> None:
    assert NOTEBOOK.stat().st_size < 1_000_000
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    assert sum("image/png" in output.get("data", {}) for output in outputs(notebook)) == 6
    assert not [output for output in outputs(notebook) if output["output_type"] == "error"]
    assert not re.search(r"(?<!\w)/(root|home|tmp|work|Users)/", printed(notebook))


@pytest.mark.slow
def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="needs the extra 'test'")
    nbclient = pytest.importorskip("nbclient", reason="needs the extra 'test'")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    # the kernel finds this checkout, and the `uniref` of the interpreter that runs the tests
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, sys.path)]))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()  # raises where a cell does
    assert "found in 48 of 48 frames" in printed(notebook)
    assert (tmp_path / "out" / "table" / "overlay.png").exists()
