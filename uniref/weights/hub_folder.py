"""Model folders as the Hugging Face libraries write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from uniref.core.errors import CheckpointError
from uniref.core.json_files import read_json


def weights_file(folder: Path) -> Path:
    """The one file of weights in a Hugging Face folder. Raises CheckpointError without one."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(f"{folder}: has no model.safetensors or pytorch_model.bin; name a folder with a model")


def read_settings(folder: Path) -> dict[str, Any]:
    """`config.json` of a folder with a SAM.

    Raises:
        CheckpointError: It is missing, damaged, or of another model.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{folder}: is a folder, but not one with a model (it has no config.json)")
    settings = read_json(path, CheckpointError)
    kind = settings.get("model_type") if isinstance(settings, dict) else None
    if kind != "sam":
        raise CheckpointError(f"{path}: is a {kind!r:.40} model; of such folders only SAM ('sam') can be converted")
    return dict(settings)
