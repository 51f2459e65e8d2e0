"""Which checkpoints can be had by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from uniref.weights.bundled import SMALL, checkpoint_folder
from uniref.weights.catalog import CATALOG, Kind
from uniref.weights.locate import here


@dataclass(frozen=True)
class CheckpointInfo:
    """What is known of a checkpoint that has a name."""

    name: str
    """What `Predictor.from_pretrained` and `--checkpoint` take."""
    title: str
    kind: Kind
    """"model": predicts; the others are what training starts from."""
    tasks: tuple[str, ...]
    """Of "text", "mask", "support" and "detection"."""
    size: int
    """Bytes of the file to fetch."""
    exact: bool
    """Whether `size` is published; else it is that of the tensors, and training state makes a file larger."""
    licence: str
    terms: str
    """Of the data it was trained on."""
    page: str
    """Where a person finds it."""
    scores: Mapping[str, tuple[str, float]]
    """Published: data set -> (measure, percent)."""
    path: Path | None
    """Where it is on this machine; None where it would have to be fetched."""


def available_checkpoints(kind: Kind | None = "model") -> list[CheckpointInfo]:
    """All checkpoints that have a name, the bundled one first. Nothing is fetched.

    Args:
        kind: "model" for those that predict, "backbone", "sam", "text" and "file" for what training starts from; None
            for all.
    """
    small = checkpoint_folder(SMALL)
    size = sum(file.stat().st_size for file in small.iterdir())
    found = [
        CheckpointInfo(
            name=SMALL,
            title="the bundled model, trained on drawn scenes alone",
            kind="model",
            tasks=("text", "mask", "support"),
            size=size,
            exact=True,
            licence="Apache-2.0",
            terms="trained on drawn scenes; not for real footage",
            page="docs/small-model.md",
            scores={},
            path=small,
        )
    ]
    for entry in CATALOG.values():
        found.append(
            CheckpointInfo(
                name=entry.name,
                title=entry.title,
                kind=entry.kind,
                tasks=entry.tasks,
                size=entry.size or entry.about,
                exact=entry.size is not None,
                licence=entry.licence,
                terms=entry.terms,
                page=entry.page,
                scores=entry.scores,
                path=here(entry),
            )
        )
    return [info for info in found if kind is None or info.kind == kind]
