"""Results of an evaluation as files: results.json, per_sequence.csv, report.html and submissions; and as a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from uniref.core.atomic import remove_leftovers, write_text_atomic
from uniref.core.errors import UniRefError, UsageError
from uniref.core.files import exists, reading
from uniref.core.json_files import read_json
from uniref.core.progress import Progress
from uniref.core.text import printable
from uniref.data.protocol import Protocol
from uniref.evaluation.metrics.videos import deviation, jitter, statistics
from uniref.evaluation.prediction_files import unexpected_files
from uniref.evaluation.report import ExampleImages, report_page
from uniref.evaluation.results import DatasetResult, merge_scores, size_of
from uniref.evaluation.score_images import ImageScore
from uniref.evaluation.shard_store import SUBMISSION, ShardStore
from uniref.evaluation.submission import check_submission, pack
from uniref.evaluation.track_scores import TrackScore
from uniref.version import __version__
from uniref.weights.published import PublishedNumber, published

RESULTS, SEQUENCES, REPORT = "results.json", "per_sequence.csv", "report.html"
BAD = "bad-files.txt"
"""Names of bad files, where there are many."""

COLUMNS = (
    "data", "sequence", "target", "text", "group", "seen", "size", "frames", "missing", "J&F", "J", "F", "J recall",
    "J decay", "F recall", "F decay", "V", "jitter", "IoU", "intersection", "union", "box IoU",
)  # fmt: skip
"""Of per_sequence.csv."""

_FORMULA, _BLANKS = ("=", "+", "-", "@", "|"), ("\t", "\r", "\n")
_LISTED = 1000  # names of bad files kept in results.json


class IncompletePredictionsError(UniRefError):
    """Predictions are missing or cannot be used; `lines` names them."""

    def __init__(self, message: str, lines: Sequence[str]) -> None:
        super().__init__(message)
        self.lines = list(lines)


@dataclass(frozen=True)
class EvalJob:
    """One data set of an evaluation."""

    store: ShardStore
    request: Mapping[str, Any]
    """See `request_of`."""
    foreign: Mapping[str, Any] | None = None
    """Predictions of another tool for images, by name."""


@dataclass(frozen=True)
class ResultWriter:
    """Merges the scores of all data sets and writes everything below one folder."""

    out: Path
    about: Mapping[str, str]
    """What was evaluated, for people: name -> value."""
    checkpoint: str | None = None
    """Name of the released checkpoint, where it is one."""
    allow_missing: bool = False
    submission: bool = False
    workers: int = 1
    warn: Callable[[str], None] = print
    """Called with warnings, one line each."""

    def write(self, jobs: Sequence[EvalJob], progress: Progress) -> list[dict[str, Any]]:
        """Write everything, unless another process has already.

        Args:
            jobs: Data sets whose shards are all done.
            progress: Shows progress.

        Returns:
            One record per data set, see `record`.

        Raises:
            IncompletePredictionsError: Predictions are missing (and that is not allowed) or cannot be used.
            UniRefError: A file cannot be written.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        with FileLock(self.out / ".lock"):
            records = self._written(jobs)
            return self._write(jobs, progress) if records is None else records

    def _written(self, jobs: Sequence[EvalJob]) -> list[dict[str, Any]] | None:
        """Records that the same evaluation of a model has written; predictions of other tools may have changed."""
        # everything that is asked for is there
        if any(job.store.foreign is not None for job in jobs):
            return None
        if self.submission and not all((job.store.folder / SUBMISSION).exists() for job in jobs):
            return None
        if not all((self.out / name).exists() for name in (SEQUENCES, REPORT)):
            return None
        # and of the same request
        try:
            results = read_json(self.out / RESULTS)
        except UniRefError:
            return None
        if not isinstance(results, dict) or results.get("requests") != [dict(job.request) for job in jobs]:
            return None
        records = results.get("benchmarks")
        return list(records) if isinstance(records, list) else None

    def _write(self, jobs: Sequence[EvalJob], progress: Progress) -> list[dict[str, Any]]:
        # merge, check, pack
        results = [merge_scores(job.store, _unexpected(job)) for job in jobs]
        self._check(results)
        if self.submission:
            for job in jobs:
                self._pack(job.store, progress)
        # results.json comes last: where it is, everything is
        records = [record(result, self.checkpoint) for result in results]
        examples = [ExampleImages(job.store, job.foreign) for job in jobs]
        content = {
            "uniref": __version__,
            "about": dict(self.about),
            "complete": all(result.complete for result in results),
            "benchmarks": records,
            "requests": [dict(job.request) for job in jobs],
        }
        write_text_atomic(self.out / SEQUENCES, sequences(results))
        write_text_atomic(self.out / REPORT, report_page(results, records, examples, self.about))
        write_text_atomic(self.out / RESULTS, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        # predictions that nobody asked to keep
        for job in jobs:
            store = job.store
            if store.foreign is None and not store.keep and store.dataset.has_ground_truth:
                for name in store.remove_predictions():
                    self.warn(f"{store.predictions / name}: is kept; it is not a prediction of uniref")
        return records

    def _check(self, results: Sequence[DatasetResult]) -> None:
        """Warn of unexpected files; raise IncompletePredictionsError for missing and unusable predictions."""
        bad: list[str] = []
        for result in results:
            name, issues = result.dataset.name, result.issues
            for line in issues.unexpected:
                self.warn(f"{name}: {line}: unexpected file, not used")
            bad += [f"{name}: {line}" for line in issues.problems]
            bad += [] if self.allow_missing else [f"{name}: {line}: is missing" for line in issues.missing]
            if result.dataset.has_ground_truth and not result.numbers and not bad:
                raise UniRefError(f"{name}: nothing to score: no prediction is there")
        if bad:
            hint = "" if self.allow_missing else "; --allow-missing scores what is there"
            message = f"{len(bad)} predictions are missing or cannot be used (see above){hint}"
            raise IncompletePredictionsError(message, bad)

    def _pack(self, store: ShardStore, progress: Progress) -> None:
        if store.foreign is None:
            remove_leftovers(store.predictions)
        if lines := check_submission(store.dataset, store.predictions, self.workers, progress):
            message = f"{store.dataset.data}: {store.predictions} is not a valid submission (see above)"
            raise IncompletePredictionsError(message, lines)
        pack(store.predictions, store.folder / SUBMISSION)


def check_output_folder(out: Path, started: bool) -> None:
    """Refuse an output folder with files of other origin under the names of ours, before anything is computed.

    Args:
        out: The folder.
        started: It already holds an evaluation.

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
        if signs[name] not in head if name in signs else not started:
            raise UsageError(f"{path}: was not written by uniref, and results would replace it; choose another --out")


def _unexpected(job: EvalJob) -> list[str]:
    """Files of another tool that are no prediction of the data set."""
    store = job.store
    if store.foreign is None or store.dataset.limit is not None:
        return []
    if store.dataset.protocol.is_video:
        return unexpected_files(store.dataset, store.foreign)
    names = {item.name for item in store.dataset.all_items()}
    extra = {key: prediction for key, prediction in (job.foreign or {}).items() if key not in names}
    return sorted(f"{key}.png" if isinstance(prediction, Path) else key for key, prediction in extra.items())


def request_of(store: ShardStore, **more: Any) -> dict[str, Any]:
    """Everything that makes two evaluations of a data set the same, as JSON types.

    Args:
        store: The data set and its folder.
        more: What decides a model's predictions.
    """
    dataset = store.dataset
    tables = {name: table.sha256 for name, table in dataset.index.manifest.tables.items()}
    protocol = plain_protocol(dataset.protocol)
    # as it was before there was a choice, so that what is half done can be finished
    for name, usual in (("two_pass", False), ("missing", "stop"), ("other_ids", False)):
        if protocol[name] == usual:
            del protocol[name]
    request = {
        "data": dataset.data,
        "shots": dataset.shots,
        "limit": dataset.limit,
        "index": tables,
        "protocol": protocol,
        "truth": None if dataset.ground_truth is None else str(dataset.ground_truth.resolve()),
        "predictions": None if store.foreign is None else str(store.foreign.resolve()),
        **more,
    }
    return dict(json.loads(json.dumps(request)))  # as it is read back


def plain_protocol(protocol: Protocol) -> dict[str, Any]:
    """A protocol as plain values; of the server only whether there is one."""
    return asdict(protocol) | {"task": protocol.task.value, "server": protocol.server is not None}


# Tables


def record(result: DatasetResult, checkpoint: str | None) -> dict[str, Any]:
    """A result as plain values, for results.json.

    Args:
        result: Merged scores.
        checkpoint: Name of the released checkpoint, where it is one.
    """
    dataset, reference = result.dataset, comparison(result, checkpoint)
    issues = {
        "missing": result.issues.missing,
        "problems": result.issues.problems,
        "strays": result.issues.unexpected,
        "uncounted": result.issues.uncounted,
    }
    return {
        "name": dataset.name,
        "data": dataset.data,
        "shots": dataset.shots,
        "protocol": plain_protocol(dataset.protocol),
        "samples": sum(len(shard) for shard in dataset.shards),
        "scored": len(result.scores),
        "complete": result.complete,
        "numbers": dict(result.numbers),
        "published": None if reference is None else reference.as_dict(),
        "notes": list(result.notes),
        **{kind: {"count": len(lines), "names": lines[:_LISTED]} for kind, lines in issues.items()},
    }


def comparison(result: DatasetResult, checkpoint: str | None) -> PublishedNumber | None:
    """The published number for a result, where the checkpoint is a released one."""
    manifest = result.dataset.index.manifest
    return published(checkpoint, manifest.dataset, manifest.split, result.dataset.shots)


def table(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines for the terminal: every metric in percent, and the published number beside it."""
    rows = [("data", "metric", "%", "published")]
    for each in records:
        reference = each["published"]
        for position, (metric, value) in enumerate(each["numbers"].items()):
            beside = f"{reference['percent']:.1f}" if reference and reference["measure"] == metric else ""
            rows.append((each["name"] if position == 0 else "", metric, f"{100 * value:.2f}", beside))
    # columns of equal width, numbers to the right
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [f"{a:{widths[0]}}  {b:{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}".rstrip() for a, b, c, d in rows]
    if not any(each["numbers"] for each in records):
        lines = []
    # notes and sources
    for each in records:
        lines += [f"{each['name']}: {note}" for note in each["notes"]]
    sources = {(each["published"]["checkpoint"], each["published"]["source"]) for each in records if each["published"]}
    return lines + [f"published: {checkpoint}, {source}" for checkpoint, source in sorted(sources)]


def sequences(results: Sequence[DatasetResult]) -> str:
    """`per_sequence.csv`: one line per scored expression, query or object; values are fractions."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for result in results:
        for row in _rows(result):
            writer.writerow({key: _cell(value) for key, value in {"data": result.dataset.name, **row}.items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    """A text that spreadsheets would take for a formula gets the apostrophe that marks a text."""
    if not isinstance(value, str):
        return value
    risky = value[:1] in _BLANKS or value.lstrip()[:1] in _FORMULA
    return f"'{printable(value)}" if risky else printable(value)


def _rows(result: DatasetResult) -> Iterator[dict[str, Any]]:
    for score in result.images:
        yield _image_row(score)
    for image in result.boxes:
        yield {
            "sequence": image.media,
            "target": f"{len(image.ious)} boxes",
            "frames": 1,
            "missing": 0,
            "box IoU": image.score,
        }
    for track in result.tracks:
        if track.is_main:
            yield _track_row(track)


def _image_row(score: ImageScore) -> dict[str, Any]:
    return {
        "sequence": score.media,
        "target": score.name,
        "text": score.text,
        "size": size_of(score.share) if score.ground_truth_pixels else "",
        "frames": 1,
        "missing": int(score.missing),
        "IoU": score.score,
        "intersection": score.intersection,
        "union": score.union,
        "box IoU": "" if score.box_iou is None else score.box_iou,
    }


def _track_row(track: TrackScore) -> dict[str, Any]:
    row = {
        "sequence": track.media,
        "target": track.key,
        "text": track.text,
        "group": "" if track.group < 0 else track.group,
        "seen": {True: "seen", False: "unseen", None: ""}[track.seen],
        "size": size_of(track.share) if track.share else "",
        "frames": len(track.frames),
        "missing": track.missing,
    }
    if not track.frames:
        return row
    # metrics, of tracks with frames alone
    region, boundary = statistics(track.region), statistics(track.boundary)
    return row | {
        "J&F": track.score,
        "J": region.mean,
        "F": boundary.mean,
        "J recall": region.recall,
        "J decay": region.decay,
        "F recall": boundary.recall,
        "F decay": boundary.decay,
        "V": deviation(track.region, track.boundary),
        "jitter": jitter(track.region, track.boundary),
    }
