"""A label page's server as clients see it: real requests over a socket."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image

from uniref.inference.predictor import Predictor
from uniref.labeling.server import LabelServer, listen
from uniref.labeling.session import LabelSession

FRAMES, HEIGHT, WIDTH = 6, 48, 64


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The one line of an error."""
        assert list(self.json) == ["error"]
        line = self.json["error"]
        assert line and "\n" not in line and "Traceback" not in line
        return line


class Served:
    """A server that runs in a thread."""

    def __init__(self, server: LabelServer, session: LabelSession, reports: list[str]) -> None:
        self.server, self.session, self.reports = server, session, reports
        self.port = server.port
        self.token = parse_qs(urlsplit(server.url).query)["token"][0]
        self.bearer = {"authorization": f"Bearer {self.token}"}

    def ask(
        self, path: str, method: str = "GET", body: Any = None, headers: dict[str, str] | None = None, **more: Any
    ) -> Reply:
        """Send a request with the token; a body that is not bytes becomes JSON."""
        sent = self.bearer | (headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            sent = {"content-type": "application/json"} | sent
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, sent, **more)
            response = connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def post(self, path: str, body: Any = None, **more: Any) -> Reply:
        return self.ask(path, "POST", body, **more)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def send(self, text: str, content: bytes = b"") -> Reply:
        """Send the lines of a request as they are, and read the answer to its end."""
        with self.connect() as connection:
            connection.sendall(text.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + content)
            response = http.client.HTTPResponse(connection)
            response.begin()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def head(self, method: str, path: str, *headers: str) -> str:
        """The lines of a request of the page."""
        usual = (f"Host: 127.0.0.1:{self.port}", f"Authorization: Bearer {self.token}")
        return "\n".join([f"{method} {path} HTTP/1.1", *usual, *headers])


def make_frames(folder: Path) -> Path:
    """A folder of frames: a square that moves."""
    folder.mkdir()
    for index in range(FRAMES):
        frame = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        frame[10:30, 5 + 2 * index : 25 + 2 * index] = (200, 40, 40)
        Image.fromarray(frame).save(folder / f"{index:05d}.png")
    return folder


@contextlib.contextmanager
def serve(video: Path, project: Path, checkpoint: Path, port: int = 0) -> Iterator[Served]:
    """A server on `port` (0 = a free one) until the block ends; fails where a request failed by a fault of ours."""
    reports: list[str] = []
    session = LabelSession(video, project, lambda: Predictor.from_pretrained(checkpoint), "tiny")
    with contextlib.closing(session), contextlib.closing(listen("127.0.0.1", port)) as listener:
        server = LabelServer(session, listener, reports.append)
        thread = threading.Thread(target=server.serve_until_stopped)
        thread.start()
        try:
            yield Served(server, session, reports)
        finally:
            server.stop()
            thread.join(30)
        assert not thread.is_alive()
    assert reports == []
