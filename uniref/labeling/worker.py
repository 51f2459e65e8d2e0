"""The background thread of a session: one long job at a time, and short ones between its frames."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any, TypeVar

from uniref.core.errors import UniRefError

T = TypeVar("T")
_PATIENCE = 60.0  # seconds for the frame at hand to end


@dataclass
class Job:
    """What the thread is doing, for the page."""

    kind: str
    """What it does: run, export, suggest or load."""
    frame: int | None = None
    """The last one that was done."""
    done: int = 0
    """Frames that are done."""
    total: int = 0
    """Frames in all; 0 = unknown."""
    direction: str | None = None
    """Of a run: "forwards" or "backwards"."""

    def as_json(self) -> dict[str, Any]:
        """JSON types."""
        return dict(vars(self))


class Worker:
    """Runs tasks in a thread, in the order in which they come, but short ones first.

    Args:
        changed: Called after every change of `job` and `error`.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._quick: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._long: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._condition = threading.Condition()
        self._closing = self._stopping = False
        self.job: Job | None = None
        self.error: str | None = None
        """What the last long job failed with."""
        self._thread = threading.Thread(target=self._run, name="uniref-label", daemon=True)
        self._thread.start()

    def quick(self, task: Callable[[], T]) -> T:
        """Run a short task in the thread, at the latest after the frame at hand, and wait for its result.

        Raises:
            UniRefError: The session is closed; or whatever the task raises.
        """
        future: Future[T] = Future()
        self._put(self._quick, task, future)
        return future.result()

    def start(self, task: Callable[[], Any]) -> Future[Any]:
        """Run a long task in the thread after those that wait; what it raises becomes `error`."""
        future: Future[Any] = Future()
        self._put(self._long, task, future)
        return future

    def _put(
        self, tasks: deque[tuple[Callable[[], Any], Future[Any]]], task: Callable[[], Any], future: Future[Any]
    ) -> None:
        with self._condition:
            if self._closing:
                raise UniRefError("the session is closed")
            tasks.append((task, future))
            self._condition.notify_all()

    @property
    def busy(self) -> bool:
        """Whether a long task runs or waits."""
        with self._condition:
            return bool(self._long) or (self.job is not None and self.job.kind in ("run", "export"))

    def show(self, job: Job | None) -> None:
        """Set `job`, and tell about it."""
        self.job = job
        self._changed()

    def keep_going(self) -> bool:
        """To be asked by long tasks between frames: does the short ones that wait; False = stop."""
        while True:
            with self._condition:
                if self._stopping or self._closing:
                    return False
                if not self._quick:
                    return True
                task, future = self._quick.popleft()
            _settle(task, future)

    def stop(self) -> None:
        """Stop long tasks, those that wait too, and wait until the frame at hand is done."""
        with self._condition:
            self._stopping = True
            waiting, running = [*self._long], self._current
            self._long.clear()
        for _, future in waiting:
            future.cancel()
        if running is not None and threading.current_thread() is not self._thread:
            _wait(running)
        with self._condition:
            self._stopping = False

    _current: Future[Any] | None = None

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._closing or self._quick or self._long)
                if self._closing:
                    return
                is_quick = bool(self._quick)
                task, future = (self._quick if is_quick else self._long).popleft()
                if not is_quick:
                    self._current, self.error = future, None
            _settle(task, future)
            if not is_quick:
                problem = future.exception()
                with self._condition:
                    self._current, self.job = None, None
                    self.error = None if problem is None else str(problem) or type(problem).__name__
                self._changed()

    def close(self) -> None:
        """End the thread after the frame at hand."""
        with self._condition:
            self._closing = True
            waiting = [*self._quick, *self._long]
            self._condition.notify_all()
        self._thread.join(_PATIENCE)
        for _, future in waiting:
            if not future.done():
                future.set_exception(UniRefError("the session is closed"))


def _settle(task: Callable[[], Any], future: Future[Any]) -> None:
    try:
        result = task()
    except Exception as error:  # noqa: BLE001 - handed to who waits
        future.set_exception(error)
    else:
        future.set_result(result)


def _wait(future: Future[Any]) -> None:
    with contextlib.suppress(TimeoutError, CancelledError):
        future.exception(_PATIENCE)
