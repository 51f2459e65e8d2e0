"""A local HTTP server of videos for tests: as most servers are, without seeking, cut off, or silent after a while."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Answer:
    """What the server says to a path."""

    body: bytes = b""
    status: int = 200
    kind: str = "application/octet-stream"
    length: bool = True
    """Whether it says how long the body is."""
    cut: int | None = None
    """Bytes that it sends; None = all."""
    silent: bool = False
    """Whether it then keeps the connection open and sends nothing."""
    authorisation: str = ""
    """What it asks for before it sends anything."""


@dataclass
class VideoServer:
    """A server in a thread of this process."""

    address: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def serve_videos(certificate: Path | None = None) -> Iterator[VideoServer]:
    """The server, for a block; over TLS with a file that holds a certificate and its key."""
    served = VideoServer()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            answer = served.answers.get(self.path.partition("?")[0], Answer(status=404))
            if answer.authorisation and self.headers.get("Authorization") != answer.authorisation:
                answer = Answer(status=401)
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            if answer.status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="videos"')
            if answer.length:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(answer.body[: answer.cut])
                self.wfile.flush()
            if answer.silent:
                served.over.wait(60)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    served.address = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
    try:
        yield served
    finally:
        served.over.set()
        server.shutdown()
        server.server_close()
