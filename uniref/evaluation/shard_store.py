"""Predictions and scores of a data set's shards on disk, and the request that they answer.

Every file appears complete or not at all, and shard by shard, so that an interrupted run resumes where it stopped, and
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
from uniref.evaluation.dataset import EvalDataset, EvalItem, frame_name
from uniref.evaluation.prediction_files import block_path, find_folder
from uniref.evaluation.truth_files import find_truth

REQUEST, SUBMISSION = "request.json", "submission.zip"
_LEFTOVER = re.compile(r"(scores|predictions)/(.+/)?\.[^/]+\.(partial-[^/]+|\d+)(/.*)?", re.DOTALL)
"""Files that killed writers leave (see `atomic_folder` and `write_text_atomic`)."""
_EMPTY = re.compile(r"(scores|predictions)/(.+/)?", re.DOTALL)


@dataclass(frozen=True)
class ShardStore:
    """Files of one data set's evaluation."""

    dataset: EvalDataset
    folder: Path
    foreign: Path | None = None
    """Predictions of another tool; else the model's are written below `folder`."""
    keep: bool = False
    """Whether predictions are kept when all is scored."""

    @property
    def predictions(self) -> Path:
        """Folder of predictions."""
        return self.foreign or self.folder / "predictions"

    def claim(self, request: Mapping[str, Any], overwrite: bool = False) -> list[str]:
        """Start, or resume, the evaluation that `request` describes.

        Returns:
            Files that stay although `overwrite` is on, because an evaluation writes no such files; relative, with `/`.

        Raises:
            UsageError: The folder belongs to another one, and `overwrite` is off; or it may not be replaced, because it
                holds the predictions, or is not an evaluation.
        """
        path = self.folder / REQUEST
        text = json.dumps(request, indent=1, sort_keys=True) + "\n"
        # refuse folders that are not ours
        if overwrite and self.foreign is not None and self.folder.resolve() in (self.foreign / "x").resolve().parents:
            raise UsageError(f"{self.folder}: holds the predictions, so it is not replaced; choose another --out")
        # the second check is for another process's request, which is written before its other files
        if not path.exists() and _holds_files(self.folder) and not path.exists():
            raise UsageError(f"{self.folder}: holds files that are not an evaluation of uniref; choose another --out")
        if overwrite:
            # all but the request: a folder whose clearing was killed half-way is still recognised as an evaluation
            left = remove_written(self.folder, self._written()) if path.exists() else []
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text_atomic(path, text)
            return [name for name in left if name != path.name]
        # resume the same request, or start
        if not path.exists():
            write_text_atomic(path, text)
        elif read_text(path) != text:
            raise UsageError(
                f"{self.folder}: holds another evaluation (see request.json); choose another --out or pass --overwrite"
            )
        return []

    def _written(self) -> set[str]:
        """The files in the folder that an evaluation of this split writes, except the request."""
        whole = replace(self.dataset, limit=None)  # an earlier one may have had more
        names = {SUBMISSION}
        for shard in range(len(whole.shards)):
            names.add(f"scores/{shard:05d}.json")
            if not whole.protocol.is_video:
                names.add(f"predictions/{shard:05d}.jsonl")
                continue
            for item in whole.items(shard):
                media = whole.index.media(item.sample.media)
                names |= {f"predictions/{item.name}/{frame_name(media, t)}.png" for t in range(media.length)}
        present = foreign_files(self.folder, set())
        return {name for name in present if name in names or _LEFTOVER.fullmatch(name) or _EMPTY.fullmatch(name)}

    def remove_predictions(self) -> list[str]:
        """Delete the model's predictions; returns files in their folder that are not predictions."""
        written = {name.removeprefix("predictions/") for name in self._written() if name.startswith("predictions/")}
        return remove_written(self.predictions, written)

    def is_predicted(self, shard: int) -> bool:
        """Whether the model's predictions of a shard are complete."""
        if not self.dataset.protocol.is_video:
            return block_path(self.predictions, shard).exists()
        return all(self._last_mask(item).is_file() for item in self.dataset.items(shard))

    def _last_mask(self, item: EvalItem) -> Path:
        """The mask of a video's last frame: an item's folder appears with all of its masks, or without any."""
        media = self.dataset.index.media(item.sample.media)
        return self.predictions / item.name / f"{frame_name(media, media.length - 1)}.png"

    def input_digest(self, shard: int) -> str:
        """A digest of the foreign files (predictions, ground truth) that a video's scores depend on, by size and time
        of change; empty where there are none."""
        digest = hashlib.sha256()
        foreign, truth = self.foreign, self.dataset.ground_truth
        if (foreign is None and truth is None) or not self.dataset.protocol.is_video:
            return ""
        items = self.dataset.items(shard)
        folders = [] if foreign is None else [find_folder(item, foreign) for item in items]
        folders += [] if truth is None else [find_truth(self.dataset, item, truth) for item in items]
        for folder in folders:
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                status = path.stat()
                digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def write_scores(self, shard: int, scores: Mapping[str, Any], digest: str) -> None:
        """Write a shard's scores, and the `input_digest` from before they were computed. Raises UniRefError."""
        write_text_atomic(self._score_path(shard), json.dumps({"state": digest, **scores}))

    def read_scores(self, shard: int) -> dict[str, Any]:
        """A shard's scores. Raises UniRefError."""
        path = self._score_path(shard)
        scores = read_json(path)
        if not isinstance(scores, dict):
            raise UniRefError(f"{path}: holds no scores; delete it and run again")
        return scores

    def _score_path(self, shard: int) -> Path:
        return self.folder / "scores" / f"{shard:05d}.json"

    def is_scored(self, shard: int) -> bool:
        """Whether a shard's scores are there, and of the predictions as they are now."""
        return self._score_path(shard).exists() and self.read_scores(shard).get("state") == self.input_digest(shard)

    def is_done(self, shard: int) -> bool:
        """Whether a shard is scored and, where they are kept, predicted."""
        needs_predictions = self.foreign is None and (self.keep or not self.dataset.has_ground_truth)
        scored = not self.dataset.has_ground_truth or self.is_scored(shard)
        return scored and (not needs_predictions or self.is_predicted(shard))

    @property
    def complete(self) -> bool:
        """Whether every shard is done, by any process."""
        return all(self.is_done(shard) for shard in range(len(self.dataset.shards)))


def _holds_files(folder: Path) -> bool:
    """Whether there is a file anywhere below that is not hidden (those that killed writers leave are)."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return any(not any(part.startswith(".") for part in file.parts) for file in files)
