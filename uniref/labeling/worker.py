"""The background thread of a session: one long job at a time, and short ones between its frames."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from uniref.core.errors import UniRefError

T = TypeVar("T")
_PATIENCE = 120.0  # seconds for the frame at hand to end


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


@dataclass
class _Task:
    work: Callable[[], Any]
    job: Job
    future: Future[Any] = field(default_factory=Future)

    def settle(self) -> None:
        """Do the work; what it returns or raises goes to who waits."""
        try:
            result = self.work()
        except Exception as error:  # noqa: BLE001 - handed to who waits
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class Worker:
    """Runs tasks in a thread in the order in which they come, but short ones before long ones and between their frames.

    Args:
        changed: Called after every change of `job` and `error`.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._short: deque[_Task] = deque()
        self._long: deque[_Task] = deque()
        self._current: _Task | None = None
        self._condition = threading.Condition()
        self._closing = False
        self._stopping: _Task | None = None
        self.error: str | None = None
        """What the last long job failed with."""
        self._thread = threading.Thread(target=self._run, name="uniref-label", daemon=True)
        self._thread.start()

    @property
    def job(self) -> Job | None:
        """What is being done, or waits to be; None = nothing."""
        with self._condition:
            task = self._current or next(iter(self._long), None)
            return None if task is None else task.job

    def call(self, work: Callable[[], T], job: Job) -> T:
        """Do something short in the thread, at the latest after the frame at hand, and wait for its result.

        Raises:
            UniRefError: The session is closed; or whatever the work raises.
        """
        task = _Task(work, job)
        self._put(self._short, task)
        return cast(T, task.future.result())

    def start(self, work: Callable[[], Any], job: Job) -> Future[Any]:
        """Do something long in the thread after what waits; what it raises becomes `error`. Raises UniRefError."""
        task = _Task(work, job)
        self.error = None
        self._put(self._long, task)
        return task.future

    def _put(self, tasks: deque[_Task], task: _Task) -> None:
        with self._condition:
            if self._closing:
                raise UniRefError("the session is closed")
            tasks.append(task)
            self._condition.notify_all()

    def keep_going(self) -> bool:
        """To be asked by long work between frames: does the short work that waits; False = end now."""
        while True:
            with self._condition:
                if self._closing or self._stopping is self._current:
                    return False
                if not self._short:
                    return True
                task = self._short.popleft()
            task.settle()

    def stop(self, kind: str | None = None) -> None:
        """End long work, running or waiting, of a kind (None: of any) and wait until the frame at hand is done."""
        with self._condition:
            waiting = [task for task in self._long if kind in (None, task.job.kind)]
            for task in waiting:
                self._long.remove(task)
            current = self._current
            if current is not None and kind not in (None, current.job.kind):
                current = None
            self._stopping = current
        for task in waiting:
            task.future.cancel()
        if current is not None:
            with contextlib.suppress(TimeoutError, CancelledError):
                current.future.exception(_PATIENCE)

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._closing or self._short or self._long)
                if self._closing:
                    return
                is_short = bool(self._short)
                task = self._current = (self._short if is_short else self._long).popleft()
            self._changed()
            task.settle()
            with self._condition:
                self._current = None
                if not is_short and (problem := task.future.exception()) is not None:
                    self.error = str(problem) or type(problem).__name__
            self._changed()

    def close(self) -> None:
        """End the thread after the frame at hand."""
        with self._condition:
            self._closing = True
            waiting = [*self._short, *self._long]
            self._condition.notify_all()
        self._thread.join(_PATIENCE)
        for task in waiting:
            if not task.future.done():
                task.future.set_exception(UniRefError("the session is closed"))
