"""The end of an evaluation: results.json, per_sequence.csv, report.html and submissions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from uniref.core.atomic import remove_leftovers, write_text_atomic
from uniref.core.errors import UniRefError, UsageError
from uniref.core.files import exists, reading
from uniref.core.json_files import read_json
from uniref.core.progress import Progress
from uniref.evaluation.outcome import Outcome, gather
from uniref.evaluation.places import strangers
from uniref.evaluation.report.page import page
from uniref.evaluation.report.pictures import Gallery
from uniref.evaluation.store import SUBMISSION, Store
from uniref.evaluation.submission import check_submission, pack
from uniref.evaluation.tables import COLUMNS, record, sequences
from uniref.version import __version__

RESULTS, SEQUENCES, REPORT = "results.json", "per_sequence.csv", "report.html"
BAD = "bad-files.txt"
"""Names of bad files, where there are many."""


class Incomplete(UniRefError):
    """Predictions are missing or cannot be used; `lines` names them."""

    def __init__(self, message: str, lines: Sequence[str]) -> None:
        super().__init__(message)
        self.lines = list(lines)


@dataclass(frozen=True)
class Work:
    """A benchmark whose units are all done."""

    store: Store
    request: Mapping[str, Any]
    given: Mapping[str, Any] | None = None
    """Predictions of another tool for images, by name."""


@dataclass(frozen=True)
class Ending:
    """What to make of it."""

    out: Path
    about: Mapping[str, str]
    """What was evaluated, for people: name -> value."""
    checkpoint: str | None = None
    """Name of the released checkpoint, where it is one."""
    allow_missing: bool = False
    submission: bool = False
    workers: int = 1
    warn: Callable[[str], None] = print
    """Called with lines for people."""

    def finish(self, works: Sequence[Work], progress: Progress) -> list[dict[str, Any]]:
        """Write everything, unless a process before this one has.

        Returns:
            One record a benchmark, see tables.py.

        Raises:
            Incomplete: Predictions are missing (and that is not allowed) or cannot be used.
            UniRefError: A file cannot be written.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        with FileLock(self.out / ".lock"):
            found = self._finished(works)
            return self._write(works, progress) if found is None else found

    def _finished(self, works: Sequence[Work]) -> list[dict[str, Any]] | None:
        """Records of an earlier end of the same evaluation of a model; predictions of others may have changed."""
        if any(each.store.foreign is not None for each in works):
            return None
        if self.submission and not all((each.store.folder / SUBMISSION).exists() for each in works):
            return None
        if not all((self.out / name).exists() for name in (SEQUENCES, REPORT)):
            return None
        try:
            results = read_json(self.out / RESULTS)
        except UniRefError:
            return None
        wanted = [dict(each.request) for each in works]
        same = isinstance(results, dict) and results.get("requests") == wanted
        return list(results["benchmarks"]) if same and isinstance(results.get("benchmarks"), list) else None

    def _write(self, works: Sequence[Work], progress: Progress) -> list[dict[str, Any]]:
        outcomes = [gather(each.store, _strangers(each)) for each in works]
        self._check(outcomes)
        if self.submission:
            for each in works:
                self._pack(each.store, progress)
        records = [record(outcome, self.checkpoint) for outcome in outcomes]
        galleries = [Gallery(each.store, each.given) for each in works]
        results = {
            "uniref": __version__,
            "about": dict(self.about),
            "complete": all(outcome.complete for outcome in outcomes),
            "benchmarks": records,
            "requests": [dict(each.request) for each in works],
        }
        write_text_atomic(self.out / SEQUENCES, sequences(outcomes))
        write_text_atomic(self.out / REPORT, page(outcomes, records, galleries, self.about))
        write_text_atomic(self.out / RESULTS, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        for each in works:
            if each.store.foreign is None and not each.store.keep and each.store.benchmark.has_truth:
                for name in each.store.remove_predictions():
                    self.warn(f"{each.store.predictions / name}: is kept; it is not a prediction of uniref")
        return records

    def _check(self, outcomes: Sequence[Outcome]) -> None:
        bad: list[str] = []
        for outcome in outcomes:
            name, issues = outcome.benchmark.name, outcome.issues
            for line in issues.strays:
                self.warn(f"{name}: {line}: belongs to nothing, not used")
            bad += [f"{name}: {line}" for line in issues.problems]
            bad += [] if self.allow_missing else [f"{name}: {line}: is missing" for line in issues.missing]
            if outcome.benchmark.has_truth and not outcome.numbers and not bad:
                raise UniRefError(f"{name}: nothing to score: no prediction is there")
        if bad:
            hint = "" if self.allow_missing else "; --allow-missing scores what is there"
            raise Incomplete(f"{len(bad)} predictions are missing or cannot be used (see above){hint}", bad)

    def _pack(self, store: Store, progress: Progress) -> None:
        name = store.benchmark.data
        if store.foreign is None:
            remove_leftovers(store.predictions)
        if lines := check_submission(store.benchmark, store.predictions, self.workers, progress):
            raise Incomplete(f"{name}: {store.predictions} is not what the server wants (see above)", lines)
        pack(store.predictions, store.folder / SUBMISSION)


def check_out(out: Path, begun: bool) -> None:
    """Refuse an output folder with files of other origin under the names of ours, before anything is computed.

    Args:
        out: The folder.
        begun: An evaluation lies in it already.

    Raises:
        UsageError: A file there was not written by an evaluation.
    """
    signs = {RESULTS: '"uniref":', SEQUENCES: ",".join(COLUMNS), REPORT: "<title>Evaluation</title>"}
    for name in (*signs, BAD):
        path = out / name
        if not exists(path):
            continue
        with reading(path), path.open("rb") as file:
            head = file.read(1 << 16).decode("utf-8", "replace")
        if signs[name] not in head if name in signs else not begun:
            raise UsageError(f"{path}: was not written by uniref, and results would replace it; choose another --out")


def _strangers(work: Work) -> list[str]:
    """Files of another tool that belong to nothing of the benchmark."""
    store = work.store
    if store.foreign is None or store.benchmark.limit is not None:
        return []
    if store.benchmark.protocol.is_video:
        return strangers(store.benchmark, store.foreign)
    known = {case.name for unit in range(len(store.benchmark.units)) for case in store.benchmark.cases(unit)}
    strange = {key: each for key, each in (work.given or {}).items() if key not in known}
    return sorted(f"{key}.png" if isinstance(each, Path) else key for key, each in strange.items())


def request_of(store: Store, **more: Any) -> dict[str, Any]:
    """What makes two evaluations of a benchmark the same."""
    benchmark = store.benchmark
    tables = {name: table.sha256 for name, table in benchmark.index.manifest.tables.items()}
    request = {
        "data": benchmark.data,
        "shots": benchmark.shots,
        "limit": benchmark.limit,
        "index": tables,
        "protocol": asdict(benchmark.protocol),
        "truth": None if benchmark.truth is None else str(benchmark.truth.resolve()),
        "predictions": None if store.foreign is None else str(store.foreign.resolve()),
        **more,
    }
    return dict(json.loads(json.dumps(request)))  # as it is read back
