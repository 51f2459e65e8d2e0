"""Clients that listen, are slow, or vanish: none of them holds up another, or the end of the server."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.labeling.served import Served, make_frames, serve
from uniref.labeling.events import MOST_CLIENTS


def listen_to(served: Served) -> socket.socket:
    connection = served.connect()
    connection.sendall(served.head("GET", "/api/events").replace("\n", "\r\n").encode() + b"\r\n\r\n")
    return connection


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def next_event(connection: socket.socket, before: bytes = b"") -> tuple[dict, bytes]:
    """The next event, and what was read after it."""
    text = before
    while b"data: " not in text or b"\n\n" not in text[text.index(b"data: ") :]:
        more = connection.recv(65536)
        assert more, text
        text += more
    start = text.index(b"data: ") + len(b"data: ")
    end = text.index(b"\n\n", start)
    return json.loads(text[start:end]), text[end:]


def test_changes_are_told_and_the_stream_ends_with_its_client(served: Served) -> None:
    changes = served.server.changes
    with listen_to(served) as connection:
        first, rest = next_event(connection)
        assert set(first) == {"revision", "frame", "job"}
        wait_until(lambda: changes.clients == 1)
        assert served.post("/api/objects").status == 200
        while first["revision"] < served.ask("/api/state").json["revision"]:
            first, rest = next_event(connection, rest)
    wait_until(lambda: changes.clients == 0)


def test_there_are_not_more_listeners_than_allowed(served: Served) -> None:
    connections = [listen_to(served) for _ in range(MOST_CLIENTS)]
    try:
        wait_until(lambda: served.server.changes.clients == MOST_CLIENTS)
        reply = served.ask("/api/events")
        assert reply.status == 409
        assert "close some of them" in reply.error
        assert served.ask("/api/state").status == 200
    finally:
        for connection in connections:
            connection.close()
    wait_until(lambda: served.server.changes.clients == 0)


def test_slow_and_vanished_clients_hold_up_nobody(served: Served) -> None:
    length = "Content-Length: 1000000"
    heads = [
        served.head("POST", "/api/objects/1/mask", length, "Content-Type: application/json"),  # its body never comes
        served.head("POST", "/api/objects/1/example?frame=0", length, "Content-Type: multipart/form-data; boundary=a"),
        served.head("GET", "/api/events"),  # its events are never read
        "GET /api/state HTTP/1.1",  # its headers never end
    ]
    connections = []
    for head in heads * 10:
        connections.append(served.connect())
        end = b"" if head is heads[-1] else b"\r\n\r\n"
        connections[-1].sendall(head.replace("\n", "\r\n").encode() + end)
    # answers that nobody reads
    for _ in range(10):
        connections.append(served.connect())
        ask = served.head("GET", "/api/frames/0.jpg").replace("\n", "\r\n").encode() + b"\r\n\r\n"
        connections[-1].sendall(ask * 50)
    for index in range(3):
        assert served.ask(f"/api/frames/{index}.jpg").status == 200
        assert served.post("/api/objects").status == 200
    for connection in connections[::2]:
        connection.close()
    assert served.ask("/api/state").status == 200
    for connection in connections:
        connection.close()
    wait_until(lambda: served.server.changes.clients == 0)


def test_the_server_ends_while_clients_listen(checkpoint: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    with serve(make_frames(tmp_path / "frames"), project, checkpoint) as served:
        connections = [listen_to(served) for _ in range(3)]
        served.post("/api/objects", {"name": "kept"})
        connections.append(served.connect())
        begun = time.monotonic()
    assert time.monotonic() - begun < 20
    for connection in connections:
        connection.close()
    # what was done is there
    with serve(tmp_path / "frames", project, checkpoint) as served:
        assert [each["name"] for each in served.ask("/api/state").json["objects"]] == ["kept"]


def test_many_at_once(served: Served) -> None:
    statuses: list[int] = []

    def work() -> None:
        for index in range(5):
            statuses.append(served.ask(f"/api/frames/{index}.jpg?width={20 + index}").status)
            statuses.append(served.ask("/api/state").status)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert statuses == [200] * 80


@pytest.mark.parametrize(
    "junk", [b"\0" * 1000, b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\n"]
)
def test_junk(served: Served, junk: bytes) -> None:
    with served.connect() as connection:
        connection.sendall(junk)
        connection.shutdown(socket.SHUT_WR)
        assert b"Traceback" not in connection.recv(65536)
    assert served.ask("/api/state").status == 200
