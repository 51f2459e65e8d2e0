"""What the label page's server makes of requests, wrong ones above all: one line, and the server goes on."""

from __future__ import annotations

import contextlib
import io
import json
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.labeling.served import FRAMES, HEIGHT, WIDTH, Served

PIXELS = HEIGHT * WIDTH
BOX = (10, 12, 30, 28)


def runs(mask: np.ndarray) -> dict[str, Any]:
    """COCO's plain run lengths."""
    flat = mask.flatten(order="F").astype(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [1 - flat[-1]]])))
    return {"size": list(mask.shape), "counts": np.diff(np.concatenate([[0], edges])).tolist()}


def square() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[12:28, 10:30] = True
    return mask


def form(*parts: tuple[str, bytes], boundary: str = "frontier") -> tuple[bytes, dict[str, str]]:
    """A multipart body of files, and its headers."""
    body = b""
    for name, content in parts:
        disposition = f'Content-Disposition: form-data; name="{name}"; filename="{name}.png"'
        body += f"--{boundary}\r\n{disposition}\r\n\r\n".encode() + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), {"content-type": f"multipart/form-data; boundary={boundary}"}


def png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


# what is shown


def test_the_state(served: Served) -> None:
    state = served.ask("/api/state").json
    assert state["video"] | {"fps": 0} == {
        "name": "frames",
        "frames": FRAMES,
        "fps": 0,
        "width": WIDTH,
        "height": HEIGHT,
    }
    assert [each["name"] for each in state["objects"]] == ["square"]


def test_pictures(served: Served) -> None:
    reply = served.ask("/api/frames/3.jpg")
    assert reply.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(reply.body)).size == (WIDTH, HEIGHT)
    assert Image.open(io.BytesIO(served.ask("/api/frames/3.jpg?width=32").body)).size == (32, 24)
    assert Image.open(io.BytesIO(served.ask("/api/thumbnails/3.jpg").body)).height <= 96
    # kept by the browser, which asks whether it is still the same video
    assert reply.headers["cache-control"] == "private, no-cache"
    again = served.ask("/api/frames/3.jpg", headers={"if-none-match": reply.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert served.ask("/api/frames/4.jpg", headers={"if-none-match": reply.headers["etag"]}).status == 200


@pytest.mark.parametrize("path", ["/api/frames/{}.jpg", "/api/thumbnails/{}.jpg", "/api/frames/{}/masks"])
@pytest.mark.parametrize(
    ("index", "status"),
    [
        ("6", 404),
        ("2147483647", 404),
        ("2147483648", 400),
        ("9" * 5000, 400),
        ("-1", 400),
        ("1.5", 400),
        ("%C2%B2", 400),
    ],
    ids=["past the end", "far", "too large", "long", "negative", "a fraction", "another script"],
)
def test_frames_that_are_not_there(served: Served, path: str, index: str, status: int) -> None:
    reply = served.ask(path.format(index))
    assert reply.status == status
    assert reply.error.startswith("frame")


@pytest.mark.parametrize("query", ["width=0", "width=-1", "width=99999", "width=nan", "width="])
def test_widths(served: Served, query: str) -> None:
    assert served.ask(f"/api/frames/0.jpg?{query}").error.startswith("width: ")


def test_the_timeline(served: Served) -> None:
    assert set(served.ask("/api/timeline?after=0").json) == {"revision", "objects", "removed", "full"}
    for after in ("-1", "x", "9" * 17, "1e3"):
        assert served.ask(f"/api/timeline?after={after}").error == "after: expected a revision"


def test_addresses_that_do_not_exist(served: Served) -> None:
    for path in ("/api", "/api/nothing", "/favicon.ico", "/api/objects/1/nothing"):
        assert (reply := served.ask(path)).status == 404
        assert reply.error
    assert served.ask("/api/state", "POST").status == 405
    assert served.ask("/api/run", "GET").error == "Method Not Allowed"


# bodies


WRONG_JSON = [
    b"{",
    b"[]",
    b'"text"',
    b"null",
    b"\xff\xfe",
    b"{}{}",
    b"[" * 100_000,
    b'{"frame": ' + b"9" * 10_000 + b"}",
    b'{"frame": 0, "text": "\\ud800"}',
]


@pytest.mark.parametrize(
    "path", ["/api/objects", "/api/run", "/api/export", "/api/objects/1/text", "/api/objects/1/mask"]
)
@pytest.mark.parametrize("body", WRONG_JSON, ids=lambda body: repr(body[:12]))
def test_bodies_that_are_no_json_object(served: Served, path: str, body: bytes) -> None:
    reply = served.post(path, body)
    assert reply.status == 400
    assert len(reply.error) < 300


def changed(body: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {key: value for key, value in (body | values).items() if value is not ...}


TEXT = {"frame": 0, "text": "a dog"}
MASK = {"frame": 0, "rle": {"size": [HEIGHT, WIDTH], "counts": [PIXELS]}}
REGION = {"frame": 0, "box": [1, 2, 3, 4]}
NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("path", "body", "key"),
    [
        ("text", changed(TEXT, frame=...), "frame"),
        ("text", changed(TEXT, frame="0"), "frame"),
        ("text", changed(TEXT, frame=True), "frame"),
        ("text", changed(TEXT, frame=0.5), "frame"),
        ("text", changed(TEXT, frame=NAN), "frame"),
        ("text", changed(TEXT, frame=-1), "frame"),
        ("text", changed(TEXT, frame=10**30), "frame"),
        ("text", changed(TEXT, frame=None), "frame"),
        ("text", changed(TEXT, text=7), "text"),
        ("text", changed(TEXT, text=" "), "text"),
        ("text", changed(TEXT, text="a" * 501), "text"),
        ("text", changed(TEXT, text="a\nb"), "text"),
        ("text", changed(TEXT, text="a\x00b"), "text"),
        ("text", changed(TEXT, text="\u2028".join("ab")), "text"),
        ("text", changed(TEXT, more=1), "more"),
        ("mask", changed(MASK, rle=None), "rle"),
        ("mask", changed(MASK, rle={"size": [HEIGHT, WIDTH]}), "rle.counts"),
        ("mask", changed(MASK, rle={"size": [WIDTH, HEIGHT], "counts": [PIXELS]}), "rle.size"),
        ("mask", changed(MASK, rle={"size": [HEIGHT, WIDTH, 1], "counts": [PIXELS]}), "rle.size"),
        ("mask", changed(MASK, rle={"size": [1 << 30, 1 << 30], "counts": [1 << 60]}), "rle.counts.0"),
        ("mask", changed(MASK, rle={"size": [HEIGHT, WIDTH], "counts": [PIXELS - 1]}), "rle.counts"),
        ("mask", changed(MASK, rle={"size": [HEIGHT, WIDTH], "counts": []}), "rle.counts"),
        ("mask", changed(MASK, rle={"size": [HEIGHT, WIDTH], "counts": [-1, PIXELS + 1]}), "rle.counts.0"),
        ("mask", changed(MASK, rle={"size": [HEIGHT, WIDTH], "counts": [0] * 10_000 + [PIXELS]}), "rle.counts"),
        ("mask", changed(MASK, rle={"size": [HEIGHT, WIDTH], "counts": ["1"]}), "rle.counts.0"),
        ("mask", changed(MASK, rle={"size": [HEIGHT, WIDTH], "counts": [NAN]}), "rle.counts.0"),
        ("mask", changed(MASK, rle={"size": [HEIGHT, WIDTH], "counts": "PPYo0"}), "rle.counts"),
        ("mask", changed(MASK, rle={"size": [HEIGHT, WIDTH], "counts": [[[[]]]]}), "rle.counts.0"),
        ("region", changed(REGION, box=...), "box, points"),
        ("region", changed(REGION, box=[1, 2, 3]), "box"),
        ("region", changed(REGION, box=[1, 2, 3, NAN]), "box.3"),
        ("region", changed(REGION, box=[1, 2, INFINITE, 4]), "box.2"),
        ("region", changed(REGION, box=[1, 2, 1e300, 4]), "box.2"),
        ("region", changed(REGION, box=[1, 2, 10**400, 4]), "box.2"),
        ("region", changed(REGION, box=["1", 2, 3, 4]), "box.0"),
        ("region", changed(REGION, box=[3, 2, 3, 4]), "box"),
        ("region", changed(REGION, box={"0": 1}), "box"),
        ("region", changed(REGION, points=[]), "points"),
        ("region", changed(REGION, points=[[1, 2]]), "points.0"),
        ("region", changed(REGION, points=[[1, 2, 2]]), "points.0.2"),
        ("region", changed(REGION, points=[[1, NAN, 1]]), "points.0.1"),
        ("region", changed(REGION, points=[[1, 2, 1]] * 101), "points"),
    ],
)
def test_prompts_that_are_not_valid(served: Served, path: str, body: dict[str, Any], key: str) -> None:
    before = served.ask("/api/state").json
    reply = served.post(f"/api/objects/1/{path}", body)
    assert reply.status == 400
    assert reply.error.startswith(f"{key}"), reply.error
    assert len(reply.error) < 200
    assert served.ask("/api/state").json["objects"] == before["objects"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/objects", {"name": "\x1b[2J"}),
        ("POST", "/api/objects", {"name": "a" * 101}),
        ("POST", "/api/objects", {"name": ["a"]}),
        ("PATCH", "/api/objects/1", {"colour": "red; background: url(//evil)"}),
        ("PATCH", "/api/objects/1", {"colour": "#12345g"}),
        ("PATCH", "/api/objects/1", {"visible": "yes"}),
        ("PATCH", "/api/objects/1", {"id": 2}),
        ("POST", "/api/run", {"frame": -1}),
        ("POST", "/api/run", {"direction": "sideways"}),
        ("POST", "/api/run", {"objects": [1] * 1001}),
        ("POST", "/api/run", {"objects": "1"}),
        ("POST", "/api/export", {}),
        ("POST", "/api/export", {"formats": []}),
        ("POST", "/api/export", {"formats": "masks"}),
        ("POST", "/api/export", {"formats": ["../masks"]}),
        ("POST", "/api/export", {"formats": ["masks"] * 51}),
        ("POST", "/api/export", {"formats": ["masks"], "name": "../outside"}),
        ("POST", "/api/export", {"formats": ["masks"], "name": "/etc"}),
        ("POST", "/api/export", {"formats": ["masks"], "name": "a\\b"}),
        ("POST", "/api/export", {"formats": ["masks"], "name": "a\n"}),
        ("POST", "/api/export", {"formats": ["masks"], "name": "."}),
        ("POST", "/api/export", {"formats": ["masks"], "name": ""}),
        ("POST", "/api/export", {"formats": ["masks"], "name": "a" * 61}),
        ("DELETE", "/api/objects/1/mask", None),
        ("DELETE", "/api/objects/1/mask?frame=x", None),
        ("POST", "/api/objects/1/example", None),
    ],
    ids=str,
)
def test_other_requests_that_are_not_valid(served: Served, method: str, path: str, body: Any) -> None:
    reply = served.ask(path, method, body)
    assert reply.status == 400
    assert reply.error


@pytest.mark.parametrize("number", ["2", "0", "255", "2147483647"])
def test_objects_that_are_not_there(served: Served, number: str) -> None:
    for method, path, body in [
        ("PATCH", "", {"name": "a"}),
        ("DELETE", "", None),
        ("POST", "/text", TEXT),
        ("POST", "/mask", MASK),
        ("POST", "/region", REGION),
        ("DELETE", "/mask?frame=0", None),
        ("POST", "/example?frame=0", None),
    ]:
        reply = served.ask(f"/api/objects/{number}{path}", method, body)
        assert (reply.status, reply.error) == (404, f"object {number}: there is none of this id")
    assert served.post("/api/run", {"objects": [int(number)]}).status == 404
    assert served.ask(f"/api/objects/{number}x", "DELETE").status == 400


def test_json_needs_its_type(served: Served) -> None:
    """What a form of another page can send is not taken for JSON."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", ""):
        reply = served.post("/api/objects", b"{}", headers={"content-type": kind})
        assert (reply.status, reply.error) == (400, "content-type: expected application/json")
    reply = served.post("/api/objects/1/text", b"", headers={"content-type": "application/json; charset=utf-8"})
    assert reply.error == "frame: is missing"


# sizes


def test_a_body_that_is_too_large_is_refused_before_it_is_read(served: Served) -> None:
    for path, largest in (("/api/objects/1/mask", 8), ("/api/objects/1/example?frame=0", 32)):
        head = served.head("POST", path, f"Content-Length: {(largest << 20) + 1}", "Content-Type: application/json")
        with served.connect() as connection:
            connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n{")
            answer = b""
            while f"larger than {largest} MiB".encode() not in answer:
                more = connection.recv(65536)
                assert more, answer
                answer += more
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert b"connection: close" in answer


@pytest.mark.parametrize("length", ["99999999999999999999999999", "-1", "1e3", "0x10", "1, 2"])
def test_lengths_that_are_not_valid(served: Served, length: str) -> None:
    reply = served.send(served.head("POST", "/api/objects", f"Content-Length: {length}", "Connection: close"))
    assert reply.status in (400, 413)


def test_a_body_in_chunks_is_refused_when_it_has_become_too_large(served: Served) -> None:
    head = served.head("POST", "/api/objects/1/mask", "Transfer-Encoding: chunked", "Content-Type: application/json")
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    sent = 0
    with served.connect() as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        connection.settimeout(0.01)
        answer = b""
        while b"larger than 8 MiB" not in answer:
            assert sent < 64 << 20
            try:
                connection.settimeout(20)
                connection.sendall(chunk)
                sent += 65536
                connection.settimeout(0.001)
                answer += connection.recv(65536)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert sent > 8 << 20


def test_a_client_that_waits_for_permission_gets_the_refusal_instead(served: Served) -> None:
    head = served.head("POST", "/api/objects/1/mask", f"Content-Length: {9 << 20}", "Expect: 100-continue")
    begun = time.monotonic()
    assert served.send(head).status == 413
    assert time.monotonic() - begun < 1.5


def test_without_the_token_no_body_is_read(served: Served) -> None:
    head = f"POST /api/objects/1/mask HTTP/1.1\nHost: 127.0.0.1:{served.port}\nContent-Length: {7 << 20}"
    with served.connect() as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 403 ")


def test_headers_that_do_not_end(served: Served) -> None:
    sent = 0
    with served.connect() as connection, contextlib.suppress(ConnectionError):
        connection.sendall(served.head("GET", "/api/state", "X: ").replace("\n", "\r\n").encode())
        while sent < 16 << 20:
            connection.sendall(b"a" * 61536)
            sent += 65536
    assert sent < 16 << 20
    assert served.ask("/api/state").status == 200


# what works


def test_an_object_by_its_mask(served: Served) -> None:
    mask = runs(square())
    assert served.post("/api/objects/1/mask", {"frame": 2, "rle": mask}).status == 200
    [stored] = served.ask("/api/frames/2/masks").json["masks"]
    assert (stored["object"], stored["kind"], stored["rle"]) == (1, "given", mask)
    assert served.post("/api/undo").json["undone"]
    assert served.ask("/api/frames/2/masks").json["masks"] == []
    assert served.post("/api/redo").json["redone"]
    assert served.ask("/api/objects/1/mask?frame=2", "DELETE").status == 200
    assert served.ask("/api/frames/2/masks").json["masks"] == []


def test_objects_come_and_go(served: Served) -> None:
    number = served.post("/api/objects").json["id"]
    change = {"name": "  das große Auto 🚗 ", "colour": "#12AbcD", "visible": False}
    assert served.ask(f"/api/objects/{number}", "PATCH", change).status == 200
    found = next(each for each in served.ask("/api/state").json["objects"] if each["id"] == number)
    assert (found["name"], found["colour"].lower(), found["visible"]) == ("das große Auto 🚗", "#12abcd", False)
    assert served.ask(f"/api/objects/{number}", "DELETE").status == 200
    assert all(each["id"] != number for each in served.ask("/api/state").json["objects"])


def test_a_text_a_box_and_points_answer_with_the_frames_masks(served: Served) -> None:
    for path, body in (
        ("text", {"frame": 1, "text": "the red square"}),
        ("region", {"frame": 1, "box": list(BOX), "points": None}),
        ("region", {"frame": 1, "points": [[20, 20, 1], [2, 2, 0]]}),
    ):
        reply = served.post(f"/api/objects/1/{path}", body)
        assert reply.status == 200, reply.body
        assert set(reply.json) == {"masks", "found", "message"}


def test_an_example_is_two_files(served: Served) -> None:
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    picture[square()] = (200, 40, 40)
    mask = png(square().astype(np.uint8) * 255)
    body, headers = form(("image", png(picture)), ("mask", mask))
    reply = served.post("/api/objects/1/example?frame=0", body, headers=headers)
    assert reply.status == 200, reply.body
    assert set(reply.json) == {"masks", "found", "message"}


@pytest.mark.parametrize(
    "parts",
    [
        [("image", b"no image"), ("mask", b"no mask")],
        [("image", b""), ("mask", b"")],
        [("image", b"\x89PNG\r\n\x1a\n" + b"\0" * 100), ("mask", b"GIF89a")],
        [("image", b"a")],
        [("image", b"a"), ("mask", b"b"), ("more", b"c")],
        [],
    ],
    ids=["no images", "empty", "damaged", "one file", "three files", "none"],
)
def test_examples_that_are_not_valid(served: Served, parts: list[tuple[str, bytes]]) -> None:
    body, headers = form(*parts)
    reply = served.post("/api/objects/1/example?frame=0", body, headers=headers)
    assert reply.status == 400
    assert reply.error


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"garbage", "multipart/form-data; boundary=frontier"),
        (b"--frontier\r\n", "multipart/form-data; boundary=frontier"),
        (b"", "multipart/form-data"),
        (b"--f\r\nContent-Disposition: form-data\r\n\r\n\r\n--f--", "multipart/form-data; boundary=f"),
        (
            b'--f\r\nContent-Disposition: form-data; name="image"\r\n\r\ntext\r\n--f--',
            "multipart/form-data; boundary=f",
        ),
        (b"image=a&mask=b", "application/x-www-form-urlencoded"),
        (b"{}", "application/json"),
    ],
)
def test_forms_that_are_not_valid(served: Served, body: bytes, kind: str) -> None:
    reply = served.post("/api/objects/1/example?frame=0", body, headers={"content-type": kind})
    assert reply.status == 400
    assert reply.error


def test_the_session_refuses_in_one_line(served: Served) -> None:
    assert served.post("/api/export", {"formats": ["nothing"]}).status == 400
    assert served.post("/api/run", {"frame": 99}).status == 404
    assert json.loads(served.ask("/api/state").body)["error"] is None
