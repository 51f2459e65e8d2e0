"""Server-sent events: the page learns of every change of a session, without asking for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from uniref.core.errors import UniRefError

if TYPE_CHECKING:
    from uniref.labeling.session import LabelSession

MOST_CLIENTS = 30
_PAUSE = 0.1  # seconds between two events; changes in between are told together
_HEARTBEAT = 15.0  # seconds without a change after which a comment keeps the connection
_WAIT = 1.0  # seconds


class Changes:
    """Waits for a session's changes in one thread, however many clients want to know.

    Args:
        session: Its revision grows with every change.
    """

    def __init__(self, session: LabelSession) -> None:
        self._session = session
        self._told = asyncio.Condition()
        self._latest: dict[str, Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self.clients = 0
        """Clients that listen now."""

    async def stream(self) -> AsyncIterator[bytes]:
        """The events of one client, the first at once, until it goes or the server ends."""
        if self._task is None:
            self._task = asyncio.create_task(self._watch())
        self.clients += 1
        try:
            yield b"retry: 1000\n\n"
            known = None
            while not self._closed:
                latest = await self._after(known)
                if latest is None:
                    yield b": no change\n\n"
                    continue
                known = latest
                yield f"data: {json.dumps(latest)}\n\n".encode()
                await asyncio.sleep(_PAUSE)
        finally:
            self.clients -= 1

    async def close(self) -> None:
        """End all streams."""
        self._closed = True
        async with self._told:
            self._told.notify_all()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _after(self, known: dict[str, Any] | None) -> dict[str, Any] | None:
        """The latest change, once it is another than `known`; None where there was none for a while, or at the end."""

        async def wait() -> None:
            async with self._told:
                await self._told.wait_for(lambda: self._closed or self._latest is not known)

        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(wait(), _HEARTBEAT)
        return None if self._closed or self._latest is known else self._latest

    async def _watch(self) -> None:
        """Tell the streams about every change."""
        while not self._closed:
            try:
                latest = await asyncio.to_thread(self._next)
            except UniRefError:  # the session is closed
                return
            if latest != self._latest:
                async with self._told:
                    self._latest = latest
                    self._told.notify_all()

    def _next(self) -> dict[str, Any]:
        """Wait for a change and describe it."""
        if self._latest is not None:
            self._session.wait(self._latest["revision"], _WAIT)
        progress = self._session.progress()
        return progress | {"frame": progress["job"]["frame"] if progress["job"] else None}
