"""Checkpoints of a training: complete or not there, checked when read, the last few kept.

`step-00002000/` holds a checkpoint folder that `uniref predict` accepts, `training.pt` with everything else that the
next step depends on, and `manifest.json` with the checksums of both.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from uniref.core.atomic import atomic_folder, remove_written
from uniref.core.errors import CheckpointError, UniRefError
from uniref.core.files import sha256, writing
from uniref.core.json_files import read_json
from uniref.weights.bundle import ADAPTER, CONFIG, TOKENIZER, WEIGHTS
from uniref.weights.safe_load import read_pickled

MANIFEST, TRAINING = "manifest.json", "training.pt"
WRITTEN = frozenset((WEIGHTS, ADAPTER, CONFIG, TOKENIZER, MANIFEST, TRAINING))
"""Every file that a checkpoint may hold; others in its folder are a user's."""
_LAST = 10**9  # steps
_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True)
class Saved:
    """A checkpoint whose checksums are right."""

    folder: Path
    step: int
    """Optimiser steps done."""
    facts: dict[str, Any]
    """What the manifest says besides: stage, number of processes, counters, decisive part of the recipe."""


def save(
    folder: Path,
    step: int,
    state: Mapping[str, Any],
    facts: Mapping[str, Any],
    write_model: Callable[[Path], None],
) -> Path:
    """Write a checkpoint; its name appears when everything is on the disk.

    Args:
        folder: Of all checkpoints.
        step: Steps done.
        state: Goes into `training.pt`: tensors and plain values only.
        facts: Goes into the manifest: plain values.
        write_model: Writes the model's files into the folder that it is given.
    """
    target = folder / f"step-{step:08d}"
    with atomic_folder(target, True, lambda folder: WRITTEN) as work:
        write_model(work)
        with writing(work / TRAINING):
            torch.save(dict(state), work / TRAINING)
        files = {path.name: sha256(path) for path in sorted(work.iterdir())}
        content = {"step": step, "files": files, **facts}
        (work / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    return target


def steps(folder: Path) -> list[Path]:
    """Checkpoints of a folder, oldest first."""
    found = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)]
    return sorted(found, key=_step_of)


def keep_last(folder: Path, count: int, step: int) -> list[str]:
    """Delete all but the newest `count` checkpoints up to a step, and all after it: they are damaged, or of a course
    that was left by going back to an earlier one. Returns what stays in them because no training wrote it."""
    found = steps(folder)
    kept = [path for path in found if _step_of(path) <= step][-count:]
    left = []
    for path in found:
        if path not in kept:
            left += [f"{path / name}" for name in remove_written(path, WRITTEN)]
    return left


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def check(folder: Path) -> Saved:
    """Read a checkpoint's manifest and compare the checksums.

    Raises:
        CheckpointError: It is none, or it is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise CheckpointError(f"{folder}: not a checkpoint of a training (no {MANIFEST})")
    facts = read_json(path, CheckpointError)
    step, files = (facts.pop("step", None), facts.pop("files", None)) if isinstance(facts, dict) else (None, None)
    if type(step) is not int or not 0 <= step <= _LAST or not isinstance(files, dict):
        raise CheckpointError(f"{path}: damaged (it names no step and files)")
    if _NAME.fullmatch(folder.name) and step != _step_of(folder):
        raise CheckpointError(f"{path}: damaged (it says step {step}, its folder {_step_of(folder)})")
    if not _is_plausible(facts):
        raise CheckpointError(f"{path}: damaged (its numbers of processes or counters are none)")
    for name, digest in files.items():
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder}: damaged: {name} is missing")
        try:
            actual = sha256(folder / name)
        except UniRefError as error:
            raise CheckpointError(str(error)) from None
        if actual != digest:
            raise CheckpointError(f"{folder}: damaged: the checksum of {name} is wrong")
    return Saved(folder, step, facts)


def _is_plausible(facts: Mapping[str, Any]) -> bool:
    """Whether what a manifest says besides is of the kinds that training writes."""
    numbers = [facts.get("processes", 1), facts.get("evaluated", 0)]
    if not all(type(number) is int and 0 <= number <= _LAST for number in numbers):
        return False
    counters = facts.get("counters", [])
    if not isinstance(counters, list) or not all(isinstance(each, dict) for each in counters):
        return False
    values = [value for each in counters for value in each.values()]
    return all(value is None or (isinstance(value, int | float) and math.isfinite(value)) for value in values)


def latest(folder: Path, warn: Callable[[str], None]) -> Saved | None:
    """The newest checkpoint that is intact; a damaged one is told and passed over."""
    for path in reversed(steps(folder)):
        try:
            return check(path)
        except CheckpointError as error:
            warn(f"{error}; using the one before")
    return None


def load(saved: Saved) -> dict[str, Any]:
    """`training.pt` of a checkpoint: tensors on the CPU and plain values; nothing in it is executed.

    Raises:
        CheckpointError: It cannot be read.
    """
    path = saved.folder / TRAINING
    state = read_pickled(path, "delete its folder to continue from the checkpoint before it")
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds no training state")
    return state
