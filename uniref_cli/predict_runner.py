"""Running `uniref predict` on many inputs: skipping finished ones, surviving failures, stopping on request."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from uniref.core.atomic import atomic_folder, exclusive, foreign_files, remove_written, replace_folder
from uniref.core.errors import UniRefError, UsageError
from uniref.core.files import sha256
from uniref.core.json_files import read_json
from uniref.core.signals import StopRequest, stop_on_signals
from uniref.inference.batch_page import FailedInput, write_batch_page
from uniref.inference.merge_coco import MERGED, merge_annotations
from uniref.inference.predict_source import PredictOptions, predict_source
from uniref.inference.predictor import Predictor
from uniref.inference.prompts import PROMPT_OPTIONS, Prompt, resolve
from uniref.inference.recorder import StoppedError
from uniref.inference.result_folders import SUMMARY, result_folders
from uniref.inference.results import SCORE_THRESHOLD
from uniref.inference.sinks import SINKS
from uniref.inference.viewer import Viewer
from uniref.media.ffmpeg import kill_children
from uniref.media.source import MediaSource, Selection, parse_duration
from uniref.media.stream import open_source
from uniref.weights.checkpoint_config import read_config, weights_of
from uniref.weights.rename import listing
from uniref_cli.console import Console, error
from uniref_cli.predict import PredictArguments
from uniref_cli.predict_folders import (
    InputFolders,
    answered_request,
    is_free,
    partial_of,
    plain_request,
    protect,
    write_summary,
    written_files,
)
from uniref_cli.predict_inputs import PredictInput, name_outputs
from uniref_cli.predict_report import absent_objects, object_report
from uniref_cli.process_rank import ProcessRank, local_device

_PATIENCE = 120.0  # seconds to wait for another process that writes the files about all inputs


class PredictRunner:
    """One run of `uniref predict`.

    Args:
        arguments: Of the command line.
        console: Where results are printed.

    Raises:
        UsageError: An option has an invalid value.
    """

    def __init__(self, arguments: PredictArguments, console: Console) -> None:
        self.arguments, self.console = arguments, console
        self.prompt = Prompt(
            text=tuple(arguments.text or ()),
            mask=tuple(arguments.mask or ()),
            support=tuple(arguments.support or ()),
            box=tuple(arguments.box or ()),
            point=tuple(arguments.point or ()),
        )
        self.options = PredictOptions(
            save=_output_kinds(arguments.save),
            selection=Selection(arguments.start, arguments.end, arguments.stride),
            propagate=arguments.propagate,
            two_pass=arguments.two_pass,
            both_ways=arguments.both_ways,
            all_instances=arguments.all_instances,
            short_side="default" if arguments.short_side is None else arguments.short_side or None,
            long_side="default" if arguments.long_side is None else arguments.long_side or None,
            labels=arguments.labels,
            live=arguments.live,
            duration=None if arguments.duration is None else parse_duration("--duration", arguments.duration),
        )
        self._viewer = Viewer("uniref") if arguments.show else None
        self._predictor: Predictor | None = None
        self._last_is_open_ended = False
        self._calibrated: float | None = None
        self._absent: dict[str, list[str]] = {}

    def run(self, inputs: Sequence[PredictInput], checkpoint: Path, rank: ProcessRank) -> int:
        """Process this process's part of the inputs and return the exit code.

        Args:
            inputs: All inputs.
            checkpoint: Folder of the checkpoint.
            rank: Which part this process does.

        Raises:
            UniRefError: The checkpoint cannot be used, or the only input failed.
        """
        # everything that can be wrong with the request is reported before anything else happens
        names = name_outputs(inputs)
        own = [pair for i, pair in enumerate(zip(inputs, names, strict=True)) if rank.owns(i)]
        if rank.world_size > 1:
            self.console.say(f"part {rank.rank + 1} of {rank.world_size}: {len(own)} of {len(inputs)} inputs")
        without = [each for each, _ in own if self._prompt(each).empty]
        for each in without:
            self._record_failure(each, "no prompt given")
        if without:
            raise UsageError(f"{_place(without[0])}: no prompt given; use {PROMPT_OPTIONS}")
        config = read_config(checkpoint)
        weights = weights_of(checkpoint, config)
        self._calibrated = config.presence.threshold if config.presence else None
        failures: list[str] = []
        done = 0
        failed: list[FailedInput] = []
        with ThreadPoolExecutor(1) as pool, stop_on_signals(before_acting=kill_children) as stop:
            digest = pool.submit(sha256, weights)  # while the first input is opened
            for each, name in own:
                if stop.requested:
                    break
                done += 1
                try:
                    self._segment_input(each, InputFolders(self.arguments.out, name, names), checkpoint, digest, stop)
                except UniRefError as problem:
                    self._record_failure(each, str(problem))
                    line = f"{each.origin}: {problem}" if each.origin else str(problem)
                    if len(inputs) == 1:
                        raise type(problem)(line) from problem.__cause__
                    failures.append(line if each.label in line else f"{each.label}: {line}")
                    failed.append(FailedInput(name, each.label, line))
                    error(failures[-1])
        written = self._write_run_files(names, failed)
        # failures again at the end, where they are seen
        if failures:
            error(f"{len(failures)} of {len(own)} inputs failed:")
            for line in failures:
                error(f"  {line}")
        if stop.requested and not (self._last_is_open_ended and done == len(own)):
            error("stopped; finished inputs are kept, run the same command again to continue")
            return stop.exit_code
        absent = self._report_absent(len(own)) if self.arguments.fail_if_absent else False
        return 1 if failures or absent or not written else 0

    def _record_failure(self, each: PredictInput, reason: str) -> None:
        """The line of --json about an input that failed."""
        record = {"input": each.label, "status": "failed", "error": reason}
        self.console.result(record | ({"record": each.origin} if each.origin else {}))

    def _segment_input(
        self, each: PredictInput, folders: InputFolders, checkpoint: Path, digest: Future[str], stop: StopRequest
    ) -> None:
        """Segment one input into its folder, unless its result is there. Raises UniRefError."""
        self._last_is_open_ended = False
        options, prompt = self._options(each), self._prompt(each)
        source = open_source(each.input, options.live, options.duration)
        if not source.seekable and (options.two_pass or options.both_ways):
            option = "--two-pass" if options.two_pass else "--both-ways"
            raise UsageError(f"{source.label}: is read once, as it comes; {option} is for files")
        # skip what is done, protect what is not ours
        request = self._request(source, prompt, options, digest)
        final = folders.of_request(request, bool(each.name), self.arguments.overwrite)
        protect(final, source, prompt)
        if self._is_done(final, request):
            self.console.say(f"{each.label}: already done ({final})")
            earlier = read_json(final / SUMMARY)
            self.console.result(
                {"input": each.label, "output": str(final), "status": "skipped", "objects": earlier["objects"]}
            )
            self._absent[each.label] = list(absent_objects(earlier))
            return
        # segment into a folder that gets its final name when it is complete
        objects = resolve(prompt, source, options.selection)
        predictor = self._load(checkpoint)
        if final != folders.usual and not self.arguments.overwrite:
            self.console.say(f"{each.label}: {folders.usual} holds the result of another request; this goes to {final}")
        self._warn_of_foreign_files(final)
        summary: dict[str, Any] = {"complete": False}
        with contextlib.suppress(StoppedError), atomic_folder(final, True, written_files) as work:
            summary = predict_source(
                predictor,
                source,
                objects,
                options,
                work,
                self.console.progress,
                self.console.warn,
                lambda: stop.requested or (self._is_closed and source.open_ended),
                self._viewer.show if self._viewer else None,
                preview=self.arguments.index,
            )
            summary["checkpoint"] = {
                "path": str(checkpoint),
                "sha256": digest.result(),
                "source": predictor.config.source,
            }
            # another run on what happens later is another request
            summary["request"] = request | ({"session": time.time_ns()} if source.open_ended else {})
            self._last_is_open_ended = source.open_ended
            write_summary(work, summary)
            if not summary["complete"]:
                self._set_aside(each, work, final)
                raise StoppedError  # so that the folder does not get its final name
        if summary["complete"]:
            self._report(each, final, summary)
            self._absent[each.label] = list(absent_objects(summary))

    @property
    def _is_closed(self) -> bool:
        return self._viewer is not None and self._viewer.closed

    def _load(self, checkpoint: Path) -> Predictor:
        """The predictor, loaded for the first input that needs it."""
        if self._predictor is None:
            self._predictor = Predictor.from_pretrained(
                checkpoint,
                local_device(self.arguments.device, os.environ),
                self.arguments.precision,
                self.arguments.fast,
                compiled=self.arguments.compiled,
            )
        return self._predictor

    def _write_run_files(self, names: Sequence[str], failed: Sequence[FailedInput]) -> bool:
        """Write what is about all inputs; of processes that share the work, the last to end has everything.

        Returns:
            False where it could not be written, which is reported.
        """
        out, warn = self.arguments.out, self.console.warn
        if not failed and (not out.is_dir() or next(result_folders(out), None) is None):
            return True
        try:
            with exclusive(out / ".index", "written", wait=_PATIENCE):
                asked = {"coco", "polygons"} & set(self.options.save)
                if out.is_dir() and (asked or any((out / name).is_file() for name in MERGED)):
                    merge_annotations(out, warn)
                page = write_batch_page(out, names, failed, warn) if self.arguments.index else None
        except UniRefError as problem:  # the results themselves are there
            error(str(problem))
            return False
        if page is not None:
            self.console.say(f"overview: {page}")
        return True

    # What an input asks for

    def _prompt(self, each: PredictInput) -> Prompt:
        """A record's own prompt, or that of the command line."""
        own = Prompt(text=each.text, mask=each.mask, support=each.support, box=each.box, point=each.point)
        return self.prompt if own.empty else own

    def _options(self, each: PredictInput) -> PredictOptions:
        """Options of the command line, replaced by those of the record."""
        options = self.options
        selection = options.selection
        own = Selection(
            selection.start if each.start is None else each.start,
            selection.end if each.end is None else each.end,
            selection.stride if each.stride is None else each.stride,
        )
        threshold = self.arguments.score_threshold if each.score_threshold is None else each.score_threshold
        start = self._calibrated if threshold is None else threshold
        return replace(
            options,
            selection=own,
            propagate=options.propagate if each.propagate is None else each.propagate,
            two_pass=options.two_pass if each.two_pass is None else each.two_pass,
            both_ways=options.both_ways if each.both_ways is None else each.both_ways,
            all_instances=options.all_instances if each.all_instances is None else each.all_instances,
            instance_threshold=threshold,
            score_threshold=SCORE_THRESHOLD if threshold is None else threshold,
            start_threshold=SCORE_THRESHOLD if start is None else start,
        )

    def _request(
        self, source: MediaSource, prompt: Prompt, options: PredictOptions, digest: Future[str]
    ) -> dict[str, Any]:
        """Everything that makes two runs the same, as JSON types: the summary holds it, and a rerun compares it."""
        request = {
            "input": str(source.path.resolve()) if source.seekable else source.label,
            "prompt": prompt.model_dump(),
            "options": asdict(options),
            "checkpoint": digest.result(),
            "device": self.arguments.device,
            "precision": self.arguments.precision,
            "fast": self.arguments.fast,
        }
        return plain_request(json.loads(json.dumps(request)))

    # Objects that are not there

    def _report_absent(self, inputs: int) -> bool:
        """Name every input that lacks an object, and the object; returns whether there are any."""
        absent = {name: lines for name, lines in self._absent.items() if lines}
        for name, lines in absent.items():
            for line in lines:
                error(f"{name}: {line}")
        if len(absent) > 1:
            error(f"{len(absent)} of {inputs} inputs lack an object")
        return bool(absent)

    # Folders of results

    def _is_done(self, final: Path, request: dict[str, Any]) -> bool:
        """Whether `final` holds the result of the same request, and it is not to be repeated.

        Raises:
            UsageError: It holds another result, and overwriting was not requested.
        """
        if self.arguments.overwrite or is_free(final):
            return False
        if answered_request(final) != request:
            raise UsageError(
                f"{final}: holds the result of another request; choose another name or --out, or pass --overwrite"
            )
        return True

    def _warn_of_foreign_files(self, folder: Path) -> None:
        if folder.is_dir():
            self._warn_of_kept(folder, foreign_files(folder, written_files(folder)))

    def _warn_of_kept(self, folder: Path, names: Sequence[str]) -> None:
        if names:
            self.console.warn(f"{folder}: keeps {listing(names)}, which uniref did not write")

    def _set_aside(self, each: PredictInput, work: Path, final: Path) -> None:
        """Keep what an interrupted run wrote, under a name that does not look like a result."""
        partial = partial_of(final)
        self._warn_of_foreign_files(partial)
        replace_folder(work, partial, foreign_files(partial, written_files(partial)) if partial.is_dir() else ())
        self.console.say(f"{final}: interrupted; the frames so far are in {partial}")
        self.console.result({"input": each.label, "output": str(partial), "status": "stopped"})

    def _report(self, each: PredictInput, final: Path, summary: dict[str, Any]) -> None:
        """Print what was done, and remove an interrupted run's files."""
        partial = partial_of(final)
        if own := written_files(partial):
            self._warn_of_kept(partial, remove_written(partial, own))
        frames, seconds = summary["frames"]["written"], summary["seconds"]["total"]
        unit = "frames" if frames != 1 else "frame"
        dropped = summary.get("stream", {}).get("dropped")
        less = f" ({dropped} dropped to keep up with the source)" if dropped else ""
        self.console.say(f"{each.label}: {frames} {unit} in {seconds:.1f} s{less}; object {object_report(summary)}")
        self.console.say(f"  -> {final}")
        self.console.result(
            {"input": each.label, "output": str(final), "status": "done"}
            | {
                key: summary[key]
                for key in ("kind", "frames", "objects", "seconds", "outputs", "stream")
                if key in summary
            }
        )


def _place(each: PredictInput) -> str:
    """An input for a message, with the record that names it."""
    return f"{each.origin}: {each.label}" if each.origin else each.label


def _output_kinds(save: str) -> tuple[str, ...]:
    """The kinds of output of `--save`. Raises UsageError."""
    kinds = tuple(dict.fromkeys(kind.strip() for kind in save.split(",") if kind.strip()))
    for kind in kinds:
        if kind not in SINKS:
            raise UsageError(f"--save {kind!r}: unknown; choose from {', '.join(SINKS)}")
    if not kinds:
        raise UsageError(f"--save: is empty; choose from {', '.join(SINKS)}")
    return kinds
