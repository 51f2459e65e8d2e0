"""What one benchmark's evaluation keeps on disk: the request, and predictions and scores unit by unit.

Every file appears complete or not at all, and unit by unit, so that a run that was stopped goes on where it was, and
several processes, or machines whose folders are copied together, share one folder.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from uniref.core.atomic import foreign_files, remove_written, write_text_atomic
from uniref.core.errors import UniRefError, UsageError
from uniref.core.files import read_text
from uniref.core.json_files import read_json
from uniref.evaluation.benchmark import Benchmark, Case, frame_name
from uniref.evaluation.image_predictions import block_path
from uniref.evaluation.places import find_folder

REQUEST, SUBMISSION = "request.json", "submission.zip"
_LEFTOVER = re.compile(r"(scores|predictions)/(.+/)?\.[^/]+\.(partial-[^/]+|\d+)(/.*)?", re.DOTALL)
"""What killed writers leave (see `atomic_folder` and `write_text_atomic`)."""
_EMPTY = re.compile(r"(scores|predictions)/(.+/)?", re.DOTALL)


@dataclass(frozen=True)
class Store:
    """The files of one benchmark."""

    benchmark: Benchmark
    folder: Path
    foreign: Path | None = None
    """Predictions that another tool wrote; else the model's go below `folder`."""
    keep: bool = False
    """Whether predictions are wanted when all is scored."""

    @property
    def predictions(self) -> Path:
        """Where predictions lie."""
        return self.foreign or self.folder / "predictions"

    def claim(self, request: Mapping[str, Any], overwrite: bool = False) -> list[str]:
        """Begin, or go on with, the evaluation that `request` describes.

        Returns:
            Files that stay although `overwrite` is on, because an evaluation writes no such files; relative, with `/`.

        Raises:
            UsageError: The folder belongs to another one, and `overwrite` is off; or it may not be replaced, because it
                holds the predictions, or no evaluation.
        """
        path = self.folder / REQUEST
        text = json.dumps(request, indent=1, sort_keys=True) + "\n"
        if overwrite and self.foreign is not None and self.folder.resolve() in (self.foreign / "x").resolve().parents:
            raise UsageError(f"{self.folder}: holds the predictions, so it is not replaced; choose another --out")
        # the last look is for another process's request, which comes before its other files
        if not path.exists() and _holds_files(self.folder) and not path.exists():
            raise UsageError(f"{self.folder}: holds files that are no evaluation of uniref; choose another --out")
        if overwrite:
            # all but the request: a folder whose clearing was killed on the way is still known for an evaluation
            left = remove_written(self.folder, self._written()) if path.exists() else []
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text_atomic(path, text)
            return [name for name in left if name != path.name]
        if path.exists():
            if read_text(path) != text:
                raise UsageError(
                    f"{self.folder}: holds another evaluation (see request.json); choose another --out or pass "
                    "--overwrite"
                )
            return []
        write_text_atomic(path, text)
        return []

    def _written(self) -> set[str]:
        """The files in the folder that an evaluation of this split writes, but for the request."""
        whole = replace(self.benchmark, limit=None)  # an earlier one may have had more
        names = {SUBMISSION}
        for unit in range(len(whole.units)):
            names.add(f"scores/{unit:05d}.json")
            if not whole.protocol.is_video:
                names.add(f"predictions/{unit:05d}.jsonl")
                continue
            for case in whole.cases(unit):
                media = whole.index.media(case.sample.media)
                names |= {f"predictions/{case.name}/{frame_name(media, t)}.png" for t in range(media.length)}
        there = foreign_files(self.folder, set())
        return {name for name in there if name in names or _LEFTOVER.fullmatch(name) or _EMPTY.fullmatch(name)}

    def remove_predictions(self) -> list[str]:
        """Delete the model's predictions; returns files in their folder that are not predictions."""
        written = {name.removeprefix("predictions/") for name in self._written() if name.startswith("predictions/")}
        return remove_written(self.predictions, written)

    def is_predicted(self, unit: int) -> bool:
        """Whether the model's predictions of a unit are complete."""
        if not self.benchmark.protocol.is_video:
            return block_path(self.predictions, unit).exists()
        return all(self._last_mask(case).is_file() for case in self.benchmark.cases(unit))

    def _last_mask(self, case: Case) -> Path:
        """The mask of a clip's last frame: a case's folder appears with all of its masks, or without any."""
        media = self.benchmark.index.media(case.sample.media)
        return self.predictions / case.name / f"{frame_name(media, media.length - 1)}.png"

    def state(self, unit: int) -> str:
        """A digest that changes with the files of others (predictions, truth) that a clip's scores depend on."""
        digest = hashlib.sha256()
        roots = [root for root in (self.foreign, self.benchmark.truth) if root is not None]
        if not roots or not self.benchmark.protocol.is_video:
            return ""
        for folder in (find_folder(case, root) for case in self.benchmark.cases(unit) for root in roots):
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                about = path.stat()
                digest.update(f"{path.name} {about.st_size} {about.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def score_path(self, unit: int) -> Path:
        """Where the scores of a unit lie."""
        return self.folder / "scores" / f"{unit:05d}.json"

    def is_scored(self, unit: int) -> bool:
        """Whether a unit's scores are there, and of the predictions as they are now."""
        path = self.score_path(unit)
        return path.exists() and self.read_scores(unit).get("state") == self.state(unit)

    def read_scores(self, unit: int) -> dict[str, Any]:
        """What scoring a unit gave. Raises UniRefError."""
        path = self.score_path(unit)
        scores = read_json(path)
        if not isinstance(scores, dict):
            raise UniRefError(f"{path}: holds no scores; delete it and run again")
        return scores

    def is_done(self, unit: int) -> bool:
        """Whether nothing is left to do for a unit."""
        wanted = self.foreign is None and (self.keep or not self.benchmark.has_truth)
        return (not self.benchmark.has_truth or self.is_scored(unit)) and (not wanted or self.is_predicted(unit))

    @property
    def complete(self) -> bool:
        """Whether every unit is done, by whomever."""
        return all(self.is_done(unit) for unit in range(len(self.benchmark.units)))


def _holds_files(folder: Path) -> bool:
    """Whether there is a file anywhere below that is not hidden (what killed writers leave is)."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return any(not any(part.startswith(".") for part in file.parts) for file in files)
