"""Running many inputs: skipping what is done, surviving what fails, stopping when asked."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from uniref.core.atomic import atomic_folder, foreign_files, remove_written, replace_folder
from uniref.core.errors import UniRefError, UsageError
from uniref.core.files import is_folder, sha256
from uniref.core.json_files import read_json
from uniref.inference.predict_source import PredictOptions, predict_source
from uniref.inference.predictor import Predictor
from uniref.inference.prompts import Prompt, resolve
from uniref.media.ffmpeg import kill_children
from uniref.media.source import MediaSource, Selection
from uniref.weights.checkpoint import read_config, weights_of
from uniref.weights.rename import listing
from uniref_cli.console import Console, error
from uniref_cli.inputs import Job, name_outputs
from uniref_cli.shards import Shard, local_device

SUMMARY = "summary.json"
_NUMBERED = re.compile(r"\d{1,18}:")  # a mask of a later frame


@dataclass(frozen=True)
class Settings:
    """What holds for all inputs."""

    prompt: Prompt
    options: PredictOptions
    checkpoint: Path
    out: Path
    overwrite: bool
    device: str
    precision: str
    fast: bool


class Stop:
    """Turns SIGINT and SIGTERM into a wish to stop after the current frame; a second one acts at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells report it."""
        return 128 + (self.signal or 0)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Catch signals inside the block."""
        before: dict[int, Any] = {}

        def note(signum: int, frame: FrameType | None) -> None:
            if self.signal is None:
                self.signal = signum
            elif callable(before[signum]):
                kill_children()  # so that nothing on the way out waits for one
                before[signum](signum, frame)

        try:
            for caught in (signal.SIGINT, signal.SIGTERM):
                with contextlib.suppress(ValueError):  # not in the main thread
                    before[caught] = signal.signal(caught, note)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _StoppedError(Exception):
    """An input was left unfinished because a signal asked for it."""


class Batch:
    """The work of one `uniref predict`."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self.settings, self.console = settings, console
        self.stop = Stop()
        self._predictor: Predictor | None = None
        self._digest: Future[str] | None = None

    def work(self, jobs: Sequence[Job], shard: Shard) -> int:
        """Do this process's part of the jobs and return the exit code.

        Raises:
            UniRefError: The checkpoint cannot be used, or the only input failed.
        """
        names = name_outputs(jobs)
        mine = [(job, name) for i, (job, name) in enumerate(zip(jobs, names, strict=True)) if shard.owns(i)]
        if shard.count > 1:
            self.console.say(f"part {shard.index + 1} of {shard.count}: {len(mine)} of {len(jobs)} inputs")
        for job, _ in mine:
            if self._prompt(job).empty:
                raise UsageError(f"{job.input}: nothing to look for; give --text, --mask or --support")
        folder = self.settings.checkpoint
        weights = weights_of(folder, read_config(folder))  # a wrong folder is told before anything else happens
        with ThreadPoolExecutor(1) as pool:
            self._digest = pool.submit(sha256, weights)
            with self.stop.listening():
                return self._all(mine, alone=len(jobs) == 1)

    def _all(self, mine: Sequence[tuple[Job, str]], alone: bool) -> int:
        failures: list[str] = []
        for job, name in mine:
            if self.stop():
                break
            try:
                self._one(job, name)
            except UniRefError as problem:
                if alone:
                    raise
                failures.append(f"{job.input}: {problem}" if job.input not in str(problem) else str(problem))
                error(failures[-1])
                self.console.result({"input": job.input, "status": "failed", "error": str(problem)})
        if failures:
            error(f"{len(failures)} of {len(mine)} inputs failed:")
            for line in failures:
                error(f"  {line}")
        if self.stop():
            error("stopped; finished inputs are kept, run the same command again to continue")
            return self.stop.exit_code
        return 1 if failures else 0

    def _one(self, job: Job, name: str) -> None:
        settings = self.settings
        final = settings.out / name
        options = self._options(job)
        source = MediaSource(Path(job.input))
        prompt = self._prompt(job)
        request = self._request(source, prompt, options)
        self._protect(final, source, prompt)
        if self._is_done(final, request):
            self.console.say(f"{job.input}: done already ({final})")
            self.console.result({"input": job.input, "output": str(final), "status": "skipped"})
            return
        self._name_foreign(final)
        objects = resolve(prompt, source, options.selection)
        predictor = self._load()
        with contextlib.suppress(_StoppedError), atomic_folder(final, True, written_files) as work:
            summary = predict_source(
                predictor, source, objects, options, work, self.console.progress, self.console.warn, self.stop
            )
            summary |= {"checkpoint": self._checkpoint(), "request": request}
            _write_summary(work, summary)
            if not summary["complete"]:
                self._set_aside(work, final)
                raise _StoppedError  # so that the folder does not get its final name
        if summary["complete"]:
            self._tell(job, final, summary)

    def _protect(self, final: Path, source: MediaSource, prompt: Prompt) -> None:
        """Refuse an output folder whose replacement would delete what this command did not write.

        Raises:
            UsageError: It is, or holds, an input; or it holds files but no summary of this command.
        """
        files = [Path(part) for pair in prompt.support for part in pair.split("=")]
        files += [Path(entry.partition(":")[2] if _NUMBERED.match(entry) else entry) for entry in prompt.mask]
        for given in (source.path, *files):
            if final.resolve() in (given.resolve(), *given.resolve().parents):
                raise UsageError(f"{final}: results would go there, but it is or holds an input; choose another --out")
        for folder in (final, _partial(final)):
            if folder.is_dir() and any(folder.iterdir()) and _summary(folder) is None:
                raise UsageError(f"{folder}: holds files that are not results of uniref; choose another --out")

    def _name_foreign(self, folder: Path) -> None:
        """Tell which files in a folder of results are somebody else's."""
        if folder.is_dir() and (left := foreign_files(folder, written_files(folder))):
            self.console.warn(f"{folder}: keeps {listing(left)}, which uniref did not write")

    def _set_aside(self, work: Path, final: Path) -> None:
        """Keep what an interrupted run wrote, under a name that nobody takes for a result."""
        partial = _partial(final)
        self._name_foreign(partial)
        replace_folder(work, partial, foreign_files(partial, written_files(partial)) if partial.is_dir() else ())
        self.console.say(f"{final}: interrupted; what there is so far is in {partial}")

    def _tell(self, job: Job, final: Path, summary: dict[str, Any]) -> None:
        own = written_files(_partial(final))
        if own and (left := remove_written(_partial(final), own)):
            self.console.warn(f"{_partial(final)}: keeps {listing(left)}, which uniref did not write")
        frames, seconds = summary["frames"]["written"], summary["seconds"]["total"]
        seen = ", ".join(
            f"{n} ({_describe(about)}): {about['frames_present']} of {frames}"
            for n, about in summary["objects"].items()
        )
        unit = "frames" if frames != 1 else "frame"
        self.console.say(f"{job.input}: {frames} {unit} in {seconds:.1f} s; object {seen}")
        self.console.say(f"  -> {final}")
        self.console.result(
            {"input": job.input, "output": str(final), "status": "done"}
            | {key: summary[key] for key in ("kind", "frames", "objects", "seconds", "outputs")}
        )

    def _prompt(self, job: Job) -> Prompt:
        """A record's own references, or those of the command line."""
        own = Prompt(text=job.text, mask=job.mask, support=job.support)
        return self.settings.prompt if own.empty else own

    def _options(self, job: Job) -> PredictOptions:
        options = self.settings.options
        selection = options.selection
        own = Selection(
            selection.start if job.start is None else job.start,
            selection.end if job.end is None else job.end,
            selection.stride if job.stride is None else job.stride,
        )
        return replace(
            options,
            selection=own,
            propagate=options.propagate if job.propagate is None else job.propagate,
            score_threshold=options.score_threshold if job.score_threshold is None else job.score_threshold,
        )

    def _request(self, source: MediaSource, prompt: Prompt, options: PredictOptions) -> dict[str, Any]:
        """What makes two runs the same: the summary holds it, and a rerun compares it."""
        assert self._digest is not None
        request = {
            "input": str(source.path.resolve()),
            "prompt": prompt.model_dump(),
            "options": asdict(options),
            "checkpoint": self._digest.result(),
            "device": self.settings.device,
            "precision": self.settings.precision,
            "fast": self.settings.fast,
        }
        return dict(json.loads(json.dumps(request)))

    def _is_done(self, final: Path, request: dict[str, Any]) -> bool:
        """Whether `final` holds the result of the same request.

        Raises:
            UsageError: It holds something else, and overwriting was not asked for.
        """
        if self.settings.overwrite or not final.exists() or (final.is_dir() and not any(final.iterdir())):
            return False
        if _summary(final) != request:
            raise UsageError(f"{final}: holds the result of another request; choose another --out or pass --overwrite")
        return True

    def _load(self) -> Predictor:
        if self._predictor is None:
            self._predictor = Predictor.from_pretrained(
                self.settings.checkpoint,
                local_device(self.settings.device, os.environ),
                self.settings.precision,
                self.settings.fast,
            )
        return self._predictor

    def _checkpoint(self) -> dict[str, Any]:
        assert self._digest is not None
        assert self._predictor is not None
        return {
            "path": str(self.settings.checkpoint),
            "sha256": self._digest.result(),
            "source": self._predictor.config.source,
        }


def _partial(final: Path) -> Path:
    """Where an interrupted run's files stay."""
    return final.with_name(final.name + ".partial")


def _summary(folder: Path) -> dict[str, Any] | None:
    """The request that a folder of results answers; None where it holds no results of this command."""
    try:
        content = read_json(folder / SUMMARY)
    except UniRefError:
        return None
    found = content.get("request") if isinstance(content, dict) else None
    return found if isinstance(found, dict) else None


def _write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """`summary.json`, with the names of all files in folders of pictures on one line at its end."""
    files = {
        path.name: sorted(file.name for file in path.iterdir()) for path in sorted(folder.iterdir()) if path.is_dir()
    }
    head = json.dumps(summary, indent=2).removesuffix("\n}")
    (folder / SUMMARY).write_text(f'{head},\n  "files": {json.dumps(files)}\n}}\n', "utf-8")


def written_files(folder: Path) -> set[str]:
    """The files that a folder's summary lists as outputs, relative, with `/`; none where it has no summary."""
    try:
        content = read_json(folder / SUMMARY)
        listed = {str(name) for name in content["outputs"]}
        pictures = {f"{place}/{name}" for place, names in content.get("files", {}).items() for name in names}
    except (UniRefError, KeyError, TypeError, AttributeError):
        return set()
    if "files" not in content:  # of an older version: the masks of a video are called by their numbers
        pictures = {
            path.relative_to(folder).as_posix()
            for name in listed
            for path in (folder / name).glob("*.png")
            if path.stem.isdecimal()
        }
    return {SUMMARY, *pictures, *(name for name in listed if not is_folder(folder / name))}


def _describe(about: dict[str, Any]) -> str:
    return f'"{about["text"]}"' if about["kind"] == "text" else str(about["kind"])
