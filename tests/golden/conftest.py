"""The released system's outputs, and its checkpoints rebuilt and converted by the command."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from uniref_cli.app import run

Golden = Callable[[str], Mapping[str, Any]]


@pytest.fixture(autouse=True)
def _two_threads(_repeatable: None, request: pytest.FixtureRequest) -> None:
    """With pseudo-random weights a video drifts from one pixel, and sums depend on the number of threads."""
    if request.node.get_closest_marker("golden"):
        torch.set_num_threads(2)


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    value = os.environ.get("UNIREF_GOLDEN")
    if not value:
        pytest.skip("UNIREF_GOLDEN is not set; it names the folder with the released system's outputs")
    folder = Path(value).resolve()
    if not (folder / "ris.npz").is_file():
        pytest.skip(f"UNIREF_GOLDEN={value}: holds no golden results")
    return folder


@pytest.fixture(scope="session")
def golden(golden_folder: Path) -> Golden:
    """Load one golden file by its stem."""

    def load(name: str) -> Mapping[str, Any]:
        with np.load(golden_folder / f"{name}.npz") as archive:
            return {key: archive[key] for key in archive.files}

    return load


@pytest.fixture(scope="session")
def converted(golden_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a variant: its released checkpoint is written, converted by `uniref convert`, and removed."""
    spec = importlib.util.spec_from_file_location("official_weights", golden_folder / "official_weights.py")
    assert spec is not None
    assert spec.loader is not None
    official = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(official)
    done: dict[str, Path] = {}

    def convert(variant: str) -> Path:
        if variant not in done:
            folder = tmp_path_factory.mktemp(variant)
            source = folder / "released.pth"
            tensors = {name: torch.from_numpy(value) for name, value in official.state_dict(variant).items()}
            torch.save({"model": tensors, "iteration": 89999}, source)
            assert run(["convert", str(source), str(folder / "checkpoint"), "--quiet"]) == 0
            source.unlink()
            done[variant] = folder / "checkpoint"
        return done[variant]

    return convert
