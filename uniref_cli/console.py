"""What the commands print, and where: results to stdout, everything else to stderr."""

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
        """A line for people, made printable; not with --quiet or --json."""
        if not self.quiet and not self.json_lines:
            _print(printable(line))

    def result(self, record: dict[str, Any]) -> None:
        """A machine-readable line, with --json only."""
        if self.json_lines:
            _print(json.dumps(record))

    def warn(self, line: str) -> None:
        """A warning on stderr; shown always."""
        warning(line)

    def progress(self, items: Iterable[T], description: str, total: int | None, unit: str = "frame") -> Generator[T]:
        """Pass items through, showing how far they are: a bar on a terminal, else a line now and then."""
        description = printable(description)
        if self.quiet:
            yield from items
        elif sys.stderr.isatty():
            from tqdm import tqdm

            yield from tqdm(items, desc=description, total=total, unit=unit, dynamic_ncols=True, file=sys.stderr)
        else:
            yield from _plain_progress(items, description, total, unit)

    def meter(self, what: str, total: int, done: int) -> Meter:
        """How far a training stage is: a bar on a terminal, else the lines that it is given."""
        if self.quiet or self.json_lines:
            return Meter()
        return _Bar(what, total, done) if sys.stderr.isatty() else _Lines()


class Meter:
    """Shows nothing."""

    def show(self, done: int, facts: Mapping[str, str], line: str) -> None:
        """After some steps."""

    def close(self) -> None:
        """It is over."""


class _Lines(Meter):
    def show(self, done: int, facts: Mapping[str, str], line: str) -> None:
        print(printable(line), file=sys.stderr, flush=True)


class _Bar(Meter):
    def __init__(self, what: str, total: int, done: int) -> None:
        from tqdm import tqdm

        self._bar = tqdm(desc=what, total=total, initial=done, unit="step", dynamic_ncols=True, file=sys.stderr)

    def show(self, done: int, facts: Mapping[str, str], line: str) -> None:
        self._bar.set_postfix(dict(facts), refresh=False)
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
    """On stdout. Raises UniRefError where that cannot be written (a full disk behind it)."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise UniRefError(f"standard output: cannot be written ({problem.strerror or problem})") from None


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what libraries print off the terminal inside the block, unless UNIREF_DEBUG is set.

    C libraries (libav, libtiff) write to file descriptor 2 itself. It goes nowhere meanwhile, and Python's own
    messages, which include ours, go to a copy of it.
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
    except (OSError, ValueError, AttributeError):  # somebody put another object in its place
        return False


def tolerate_names() -> None:
    """Let stdout print file names of any bytes: those that are not text in its encoding go out as they are."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")


def warning(line: str) -> None:
    """A line about what was survived."""
    print(f"uniref: warning: {printable(line)}", file=sys.stderr, flush=True)


def error(line: str) -> None:
    """The one line that says why a command failed."""
    print(f"uniref: error: {printable(line)}", file=sys.stderr, flush=True)
