"""`config.json` of a checkpoint folder, and the names of the files beside it; read without PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from uniref.core.atomic import write_text_atomic
from uniref.core.errors import CheckpointError
from uniref.core.json_files import read_json
from uniref.recipe.base import Strict
from uniref.recipe.language import upgrade_model
from uniref.recipe.model import AnyModelConfig, BackboneConfig, written_path
from uniref.version import __version__

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=32, le=16_384)]
"""A side of a network input in pixels."""
FORMAT_VERSION = 1
WEIGHTS, ADAPTER, CONFIG, TOKENIZER = "model.safetensors", "adapter.safetensors", "config.json", "tokenizer.json"


class AdapterConfig(Strict):
    """The base of an adapter."""

    base: str
    """Checkpoint folder of the frozen parts, relative to the adapter's own."""
    frozen_sha256: str
    """`frozen_digest` of the frozen tensors."""


class PresencePoint(Strict):
    """What a threshold does to the phrases that a presence calibration asked for."""

    threshold: Share
    precision: Share | None
    """Of the phrases that are answered, the share whose object is there; None where none is answered."""
    recall: Share
    """Of the phrases whose object is there, the share that is answered."""
    false_alarms: Share
    """Of the phrases whose object is absent, the share that is answered."""


class Presence(Strict):
    """From which score on an object of a text counts as present, and what that was chosen from."""

    threshold: Share
    """An object whose score is not above it is not there."""
    rule: str
    """How the threshold was chosen."""
    data: str
    """The split, `dataset/split`."""
    present: int = Field(ge=1)
    """Phrases whose object is in the image."""
    absent: int = Field(ge=1)
    """Phrases whose object is not."""
    curve: tuple[PresencePoint, ...]
    """Thresholds in ascending order."""


class CheckpointMetadata(BaseModel):
    """Content of `config.json` of a checkpoint folder."""

    model_config = ConfigDict(extra="forbid")

    model_type: Literal["uniref"] = "uniref"
    format_version: int = Field(FORMAT_VERSION, ge=1)
    uniref_version: str = __version__
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Floating-point type on disk; computation does not depend on it."""
    model: AnyModelConfig | None = None
    backbone: BackboneConfig | None = None
    """Set instead of `model` where the folder holds an initial backbone only."""
    adapter: AdapterConfig | None = None
    """Set where the folder holds the trained tensors only (`adapter.safetensors`), to be loaded over another folder."""
    sides: tuple[Side, Side] | None = None
    """Short side and largest long side of the network input, in pixels, that the model is made for; None = what the
    published protocols use."""
    presence: Presence | None = None
    """Written by `uniref eval --calibrate`."""
    source: dict[str, Any] = {}
    """Origin of the weights: file name, SHA-256, training iteration."""

    @property
    def resize(self) -> tuple[int, int] | None:
        """Short and longest long side of the network input, in pixels, that the model is made for; None = any."""
        return self.sides or (self.model.resize if self.model is not None else None)


def read_config(folder: Path) -> CheckpointMetadata:
    """`config.json` of a checkpoint folder, checked. Raises CheckpointError as `load_checkpoint` does."""
    # the file
    if not folder.exists():
        raise CheckpointError(f"{folder}: no such checkpoint; make one with 'uniref convert'")
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: is a file; convert it first: uniref convert {folder.name} FOLDER")
    path = folder / CONFIG
    if not path.is_file():
        raise CheckpointError(f"{folder}: not a uniref checkpoint (no {CONFIG}); make one with 'uniref convert'")
    # its kind and version
    raw = read_json(path, CheckpointError)
    if not isinstance(raw, dict) or raw.get("model_type") != "uniref":
        raise CheckpointError(f"{path}: not a uniref checkpoint (model_type is not 'uniref')")
    if isinstance(version := raw.get("format_version"), int) and version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: written by a newer uniref (format {version}, this one reads {FORMAT_VERSION}); upgrade uniref"
        )
    # all other settings
    try:
        return CheckpointMetadata.model_validate(raw | {"model": upgrade_model(raw.get("model"))})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in written_path(first["loc"]))
        raise CheckpointError(f"{path}: {key}: {first['msg'].removeprefix('Value error, ')}") from None


def write_config(folder: Path, config: CheckpointMetadata) -> None:
    """Write `config.json` of a checkpoint folder, replacing an older one at once."""
    # None at the top level is left out, but inside the model null says that a part is absent
    content = {key: value for key, value in config.model_dump(mode="json").items() if value is not None}
    write_text_atomic(folder / CONFIG, json.dumps(content, indent=2) + "\n")


def weights_of(folder: Path, config: CheckpointMetadata) -> Path:
    """The file with a checkpoint folder's own tensors."""
    return folder / (WEIGHTS if config.adapter is None else ADAPTER)
