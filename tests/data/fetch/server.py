"""A small HTTP server that misbehaves on purpose."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """One fixed answer."""

    body: str | bytes = ""
    status: int = 200
    kind: str = "text/html; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Behaviour:
    """What the server does; tests change it between requests."""

    content: bytes = b""
    etag: str = '"one"'
    modified: str = ""
    ignore_if_range: bool = False
    ranges: bool = True
    wrong_range: bool = False
    drop_after: list[int] = field(default_factory=list)
    """Bytes after which the connection breaks off, one entry a request."""
    stall: list[bool] = field(default_factory=list)
    """Whether to stop sending in the middle, one entry a request."""
    status: list[int] = field(default_factory=list)
    """Errors to answer with first."""
    redirect: str = ""
    reason: str = ""
    """What errors are called."""
    headers: dict[str, str] = field(default_factory=dict)
    """Sent besides."""
    declared: bool = True
    """Whether the length is declared; else the end of the connection is the end of the file."""
    requests: list[dict[str, str]] = field(default_factory=list)
    """Headers received."""
    paths: list[str] = field(default_factory=list)
    """What was asked for."""
    pages: dict[str, Page] = field(default_factory=dict)
    """Path (without the query) -> what is answered there instead."""


@contextlib.contextmanager
def serve(behaviour: Behaviour, host: str = "127.0.0.1", name: str = "set.zip") -> Iterator[str]:
    """The address of a server with this behaviour."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            behaviour.requests.append(dict(self.headers))
            behaviour.paths.append(self.path)
            self.close_connection = True
            if (page := behaviour.pages.get(self.path.partition("?")[0])) is not None:
                self._send_page(page)
                return
            if behaviour.status:
                self.send_error(behaviour.status.pop(0), behaviour.reason or None)
                return
            if behaviour.redirect:
                self.send_response(302)
                self.send_header("Location", behaviour.redirect)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self._send_content()

        do_HEAD = do_GET

        def _send_page(self, page: Page) -> None:
            body = page.body.encode() if isinstance(page.body, str) else page.body
            self.send_response(page.status)
            self.send_header("Content-Type", page.kind)
            self.send_header("Content-Length", str(len(body)))
            for key, value in page.headers.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def _send_content(self) -> None:
            start = 0
            wanted = self.headers.get("Range", "")
            validators = (None, behaviour.etag, behaviour.modified)
            matches = behaviour.ignore_if_range or self.headers.get("If-Range") in validators
            if wanted and behaviour.ranges and matches:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(behaviour.content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(behaviour.content)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206)
                first = 0 if behaviour.wrong_range else start
                self.send_header(
                    "Content-Range", f"bytes {first}-{len(behaviour.content) - 1}/{len(behaviour.content)}"
                )
                start = first
            else:
                self.send_response(200)
            body = behaviour.content[start:]
            if behaviour.etag:
                self.send_header("ETag", behaviour.etag)
            if behaviour.modified:
                self.send_header("Last-Modified", behaviour.modified)
            for key, value in behaviour.headers.items():
                self.send_header(key, value)
            if behaviour.declared:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if behaviour.drop_after:
                self.wfile.write(body[: behaviour.drop_after.pop(0)])
            elif behaviour.stall and behaviour.stall.pop(0):
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                time.sleep(1.5)
            else:
                self.wfile.write(body)

    server = ThreadingHTTPServer((host, 0), Handler)
    server.handle_error = lambda *_: None  # clients that hang up are what is tested
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}/{name}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
