"""The label page's server: a socket, and uvicorn answering on it until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import secrets
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import uvicorn

from uniref.core.errors import UniRefError
from uniref.labeling.access import Access, Guard
from uniref.labeling.events import Changes
from uniref.labeling.routes import LabelApi

if TYPE_CHECKING:
    from uniref.labeling.session import LabelSession

USUAL_PORT = 8765
_BACKLOG = 128
_MOST_CONNECTIONS = 200
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # whoever sent what is not valid gets the reason
_PATIENCE = 2  # seconds that answers have to end when the server stops


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that accepts connections from now on.

    Args:
        host: Name or address of this machine; "0.0.0.0" or "::" for all of its addresses.
        port: 0 for any that is free; None for `USUAL_PORT`, or any that is free where it is in use.

    Raises:
        UniRefError: The port is in use or not allowed, or the host is not this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError):
        raise UniRefError(f"--host {host}: is not an address of this machine") from None
    where = str(address[0])
    try:
        return socket.create_server((where, USUAL_PORT if port is None else port), family=family, backlog=_BACKLOG)
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE and port is None:
            return listen(host, 0)
        if problem.errno == errno.EADDRINUSE:
            raise UniRefError(
                f"--port {port}: is in use by another program; choose another one, or leave --port out"
            ) from None
        if problem.errno == errno.EACCES:
            raise UniRefError(f"--port {port}: this user may not use it; choose one above 1023") from None
        raise UniRefError(f"--host {host}: is not an address of this machine ({problem.strerror})") from None


class LabelServer(uvicorn.Server):
    """Serves the page of one session.

    Args:
        session: The project; closed when the server ends.
        listener: Of `listen`.
        report: Called with a line about a request that failed by a fault of ours.
    """

    def __init__(self, session: LabelSession, listener: socket.socket, report: Callable[[str], None]) -> None:
        self._session, self._listener = session, listener
        address, self.port = listener.getsockname()[:2]
        ip = ipaddress.ip_address(address)
        self.loopback = ip.is_loopback
        """Whether it is reached from this machine alone."""
        name = socket.gethostname().lower()
        self._host = name if ip.is_unspecified else f"[{ip}]" if ip.version == 6 else str(ip)
        hosts = {"localhost", "127.0.0.1", "[::1]", self._host} | (set() if self.loopback else {name, f"{name}.local"})
        token = secrets.token_urlsafe(24)
        self.url = f"http://{self._host}:{self.port}/?token={token}"
        """Address of the page, with its token."""
        self.changes = Changes(session)
        """Who listens."""
        access = Access(token, f"uniref_label_{self.port}", frozenset(hosts), any_address=not self.loopback)
        super().__init__(
            uvicorn.Config(
                Guard(LabelApi(session, self.changes).app(), access, report),
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=_MOST_CONNECTIONS,
                timeout_graceful_shutdown=_PATIENCE,
            )
        )

    def serve_until_stopped(self) -> None:
        """Answer requests until `stop` is called; then close the session."""
        with self._listener:
            asyncio.run(self.serve([self._listener]))

    def stop(self) -> None:
        """End, from a signal's handler or another thread."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams and whatever waits for the session, then the connections."""
        await self.changes.close()
        await asyncio.to_thread(self._session.close)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the command's."""
        yield
