"""The true masks of a clip, from its index or from a folder of PNGs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from uniref.core.errors import UniRefError
from uniref.core.types import BoolMask, LabelMap
from uniref.data.index import Annotations
from uniref.evaluation.benchmark import Benchmark, Case, frame_name
from uniref.evaluation.masks_on_disk import VOID, BadMask, read_values
from uniref.evaluation.places import find_folder


class ClipTruth:
    """True masks of a case's targets, frame by frame.

    Args:
        benchmark: What is evaluated.
        case: One of its cases.
        rows: Object rows of each target: one each, or several of which the union counts.
    """

    def __init__(self, benchmark: Benchmark, case: Case, rows: Sequence[Sequence[int]]) -> None:
        index = benchmark.index
        self._media = index.media(case.sample.media)
        self.size = (self._media.height, self._media.width)
        self._ids = [[index.object(row).source_id for row in group] for group in rows]
        self._folder: Path | None = None
        self._one_mask = benchmark.one_mask
        self._marks_void = benchmark.protocol.summary == "assigned"
        self._tracks: list[list[Annotations]] = []
        self._void: list[Annotations] = []
        if benchmark.truth is not None:
            self._folder = find_folder(case, benchmark.truth)
            self._labels = lru_cache(maxsize=1)(self._read)
        else:
            self._tracks = [[index.annotations(row) for row in group] for group in rows]
            self._void = benchmark.void_of(self._media)

    def masks(self, frame: int) -> list[BoolMask]:
        """One mask a target, bool [H, W]; all False where it is absent.

        Raises:
            UniRefError: A file of the truth is missing or damaged.
        """
        if self._folder is None:
            return [self._union(group, frame) for group in self._tracks]
        labels = self._labels(frame)
        if self._one_mask:
            return [(labels != 0) & (labels != VOID)] if self._several(labels) else [labels != 0]
        return [np.isin(labels, ids) for ids in self._ids]

    def void(self, frame: int) -> BoolMask | None:
        """Pixels that do not count, or None: 255 in a folder's label maps, in the unsupervised protocol alone."""
        if self._folder is not None:
            void = self._labels(frame) == VOID if self._marks_void else None
            return void if void is not None and void.any() else None
        found = self._union(self._void, frame) if self._void else None
        return found if found is not None and found.any() else None

    def _union(self, tracks: Sequence[Annotations], frame: int) -> BoolMask:
        out: BoolMask | None = None
        for track in tracks:
            place = track.at(frame)
            mask = None if place is None else track.mask(place)
            if mask is not None:
                out = mask if out is None else out | mask
        return np.zeros(self.size, np.bool_) if out is None else np.ascontiguousarray(out)

    def _several(self, labels: LabelMap) -> bool:
        """Whether a map of one target also marks void pixels."""
        return bool(((labels != 0) & (labels != VOID)).any())

    def _read(self, frame: int) -> LabelMap:
        assert self._folder is not None
        path = self._folder / f"{frame_name(self._media, frame)}.png"
        try:
            return read_values(path, self.size)
        except BadMask as error:
            raise UniRefError(f"{path}: {error}; it is part of --truth") from None
