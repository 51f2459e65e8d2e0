"""Output of the commands: results to stdout, warnings, errors and progress to stderr."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from uniref.core.errors import UniRefError
from uniref.core.text import printable

T = TypeVar("T")
_PLAIN_INTERVAL = 10.0  # seconds between progress lines where stderr is not a terminal


@dataclass(frozen=True)
class Console:
    """Output of one command."""

    quiet: bool = False
    json_lines: bool = False

    def say(self, line: str) -> None:
        """A line for people, control characters escaped; not with --quiet or --json."""
        if not self.quiet and not self.json_lines:
            _print(printable(line))

    def result(self, record: dict[str, Any]) -> None:
        """A machine-readable line, with --json only."""
        if self.json_lines:
            _print(json.dumps(record))

    def warn(self, line: str) -> None:
        """A warning on stderr, always shown."""
        warning(line)

    def progress(self, items: Iterable[T], description: str, total: int | None, unit: str = "frame") -> Generator[T]:
        """Pass items through and show progress: a bar on a terminal, else a line every ten seconds."""
        description = printable(description)
        if self.quiet:
            yield from items
        elif sys.stderr.isatty():
            from tqdm import tqdm

            yield from tqdm(items, desc=description, total=total, unit=unit, dynamic_ncols=True, file=sys.stderr)
        else:
            yield from _plain_progress(items, description, total, unit)

    def meter(self, description: str, total: int, done: int, /) -> StepMeter:
        """Progress of a training stage: a bar on a terminal, else the lines that it is given.

        Args:
            description: Text beside the bar.
            total: Steps of the stage.
            done: Steps that are done.
        """
        if self.quiet or self.json_lines:
            return StepMeter()
        return _StepBar(description, total, done) if sys.stderr.isatty() else _StepLines()


class StepMeter:
    """Shows nothing."""

    def show(self, done: int, metrics: Mapping[str, str], line: str, /) -> None:
        """After some steps: the number done, what a bar shows beside itself, and the same as a line."""

    def close(self) -> None:
        """The stage is over."""


class _StepLines(StepMeter):
    def show(self, done: int, metrics: Mapping[str, str], line: str, /) -> None:
        print(printable(line), file=sys.stderr, flush=True)


class _StepBar(StepMeter):
    def __init__(self, description: str, total: int, done: int) -> None:
        from tqdm import tqdm

        self._bar = tqdm(desc=description, total=total, initial=done, unit="step", dynamic_ncols=True, file=sys.stderr)

    def show(self, done: int, metrics: Mapping[str, str], line: str, /) -> None:
        self._bar.set_postfix(dict(metrics), refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        self._bar.close()


def _plain_progress(items: Iterable[T], description: str, total: int | None, unit: str) -> Generator[T]:
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if (now := time.monotonic()) - last >= _PLAIN_INTERVAL:
            last = now
            goal = f"/{total}" if total else ""
            units = unit if unit.isupper() else f"{unit}s"  # MB
            print(
                f"{description}: {done}{goal} {units}, {done / (now - start):.2f} {units}/s",
                file=sys.stderr,
                flush=True,
            )


def _print(line: str) -> None:
    """Print on stdout. Raises UniRefError where it cannot be written (a full disk behind it)."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise UniRefError(f"standard output: cannot be written ({problem.strerror or problem})") from None


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what libraries print off the terminal inside the block, unless UNIREF_DEBUG is set.

    C libraries (libav, libtiff) write to file descriptor 2 itself. It leads to the null device inside the block, and
    Python's own messages, which include ours, go to a copy of it.
    """
    if os.environ.get("UNIREF_DEBUG") or not _is_descriptor(sys.stderr, 2):
        yield
        return
    usual, copy = sys.stderr, os.dup(2)
    with open(copy, "w", buffering=1, encoding=usual.encoding, errors=usual.errors) as ours:
        usual.flush()
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        sys.stderr = ours
        try:
            with warnings.catch_warnings():
                if not sys.warnoptions:
                    warnings.simplefilter("ignore")
                yield
        finally:
            sys.stderr = usual
            ours.flush()
            os.dup2(copy, 2)


def _is_descriptor(stream: Any, number: int) -> bool:
    try:
        return bool(stream.fileno() == number)
    except (OSError, ValueError, AttributeError):  # another object is in its place
        return False


def tolerate_names() -> None:
    """Let stdout print file names of any bytes: those that are not valid in its encoding are written as they are."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")


def warning(line: str) -> None:
    """Print a warning: something went wrong, and the command goes on."""
    print(f"uniref: warning: {printable(line)}", file=sys.stderr, flush=True)


def error(line: str) -> None:
    """Print the line that says why a command failed."""
    print(f"uniref: error: {printable(line)}", file=sys.stderr, flush=True)
