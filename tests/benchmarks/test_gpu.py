"""The script for CUDA cards runs to its end with a tiny model on any machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_section_runs_with_a_tiny_model(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/bash", str(ROOT / "benchmarks" / "gpu.sh"), str(tmp_path / "out"), "--tiny", "--seconds", "500"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env=os.environ | {"PYTHON": sys.executable},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all results are right" in done.stdout
    assert "failed" not in done.stdout
    assert "out of time" not in done.stdout
    results = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))
    assert {"environment", "deformable_attention", "agreement", "prediction", "training"} <= results.keys()
    assert results["agreement"]["float32 VOS"]["equal_pixels"] > 0.999
    assert (tmp_path / "out" / "table.md").read_text("utf-8").count("| ok |") == 8
    for name in ("frame", "step"):
        assert "Self CPU" in (tmp_path / "out" / f"profile-{name}.txt").read_text("utf-8")


@pytest.mark.slow
def test_without_a_card_the_full_run_is_refused_with_the_way_out(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", str(tmp_path), "--device", "cpu"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert "--tiny" in done.stderr
