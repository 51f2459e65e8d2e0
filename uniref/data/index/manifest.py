"""The manifest of an index: split-level metadata, sources and checksums, as JSON beside the tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from uniref.core.errors import UniRefError
from uniref.core.json_files import read_json
from uniref.core.tasks import Task
from uniref.data.index.schema import FORMAT
from uniref.recipe.base import Strict

NAME = "manifest.json"


class SourceFile(Strict):
    """A file that the index was made from."""

    name: str
    """File name, or a path relative to the folder the user named."""
    size: int | None = None
    """Bytes."""
    sha256: str | None = None


class TableFile(Strict):
    """One Arrow file of the index."""

    rows: int = Field(ge=0, le=1 << 48)
    size: int = Field(ge=0)
    """Bytes."""
    sha256: str


class Manifest(Strict):
    """Split-level metadata."""

    format: int
    tool: str
    """Version of uniref that wrote the index."""
    dataset: str
    split: str
    task: Task
    roots: dict[str, str]
    """Where media lie, relative to the index folder, with `/`; rows count these in this order."""
    categories: dict[int, str] = Field(default_factory=dict)
    sources: tuple[SourceFile, ...] = ()
    dropped: dict[str, int] = Field(default_factory=dict)
    """How many records were left out, by reason."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What the preparation was asked for, where it changes the content (subset, compat, ...)."""
    notes: tuple[str, ...] = ()
    masks: int = 0
    """Annotations that have a mask."""
    tables: dict[str, TableFile] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """`refcoco/val`."""
        return f"{self.dataset}/{self.split}"

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each table."""
        return {name: table.rows for name, table in self.tables.items()}


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an index folder.

    Raises:
        UniRefError: Missing, damaged, or of another format.
    """
    path = folder / NAME
    if not path.is_file():
        raise UniRefError(
            f"{folder}: is not an index (no {NAME}); make it with: uniref prepare-data {folder.parent.name}"
        )
    raw = read_json(path)
    version = raw.get("format") if isinstance(raw, dict) else None
    if version != FORMAT:
        raise UniRefError(f"{path}: index format {version!r:.20}, this uniref reads {FORMAT}; prepare it again")
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UniRefError(f"{path}: {where}: {first['msg']}; prepare the data set again") from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it; the tables must be complete."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False)
    (folder / NAME).write_text(text + "\n", encoding="utf-8")
