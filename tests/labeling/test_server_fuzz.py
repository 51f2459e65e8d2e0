"""Whatever a request holds, the answer is one line, and never a fault of the server."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.labeling.served import FRAMES, HEIGHT, WIDTH, Served

EXAMPLES = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NUMBERS = st.one_of(
    st.integers(-3, FRAMES + 3), st.sampled_from([2**31, 2**63, 2**64, -(2**63), 10**300]), st.floats(), st.booleans()
)
PLAIN = st.one_of(st.none(), NUMBERS, st.text(max_size=20))
ANYTHING = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
RLE = st.fixed_dictionaries(
    {
        "size": st.just([HEIGHT, WIDTH]) | ANYTHING,
        "counts": st.lists(st.integers(0, HEIGHT * WIDTH), max_size=6) | st.just([HEIGHT * WIDTH]) | ANYTHING,
    }
)
FIELDS = {
    "frame": st.integers(0, FRAMES - 1) | ANYTHING,
    "text": st.text(max_size=30) | ANYTHING,
    "rle": RLE | ANYTHING,
    "box": st.lists(st.floats(-10, 80), min_size=4, max_size=4) | ANYTHING,
    "points": st.lists(st.tuples(st.floats(-10, 80), st.floats(-10, 80), st.integers(0, 1)), max_size=3) | ANYTHING,
    "direction": st.sampled_from(["both", "forwards"]) | ANYTHING,
    "objects": st.lists(st.integers(0, 3), max_size=3) | ANYTHING,
    "name": ANYTHING,
    "colour": ANYTHING,
    "visible": ANYTHING,
}
BODIES: dict[str, tuple[str, ...]] = {
    "POST /api/objects/1/text": ("frame", "text"),
    "POST /api/objects/1/mask": ("frame", "rle"),
    "POST /api/objects/1/region": ("frame", "box", "points"),
    "PATCH /api/objects/1": ("name", "colour", "visible"),
    "POST /api/run": ("frame", "direction", "objects"),
}


@st.composite
def wrong_requests(draw: Any) -> tuple[str, Any]:
    """An endpoint, and a body that has the right keys or none of them."""
    target = draw(st.sampled_from(sorted(BODIES)))
    fields = {key: FIELDS[key] for key in BODIES[target]}
    return target, draw(st.fixed_dictionaries({}, optional=fields) | ANYTHING)


def check(served: Served, reply: Any) -> None:
    assert reply.status in (200, 400, 403, 404, 405, 409), reply
    if reply.status != 200:
        assert len(reply.error) < 500
    assert served.reports == []


@EXAMPLES
@given(request=wrong_requests())
def test_any_json(served: Served, request: tuple[str, Any]) -> None:
    target, body = request
    method, path = target.split()
    check(served, served.ask(path, method, json.dumps(body).encode()))


@EXAMPLES
@given(body=st.binary(max_size=200), target=st.sampled_from(sorted(BODIES)))
def test_any_bytes(served: Served, body: bytes, target: str) -> None:
    method, path = target.split()
    check(served, served.ask(path, method, body))


@EXAMPLES
@given(
    body=st.binary(max_size=200),
    start=st.sampled_from([b"", b"--f\r\n", b'--f\r\nContent-Disposition: form-data; name="image"']),
)
def test_any_form(served: Served, body: bytes, start: bytes) -> None:
    headers = {"content-type": "multipart/form-data; boundary=f"}
    reply = served.post("/api/objects/1/example?frame=0", start + body, headers=headers)
    assert reply.status == 400
    check(served, reply)


@EXAMPLES
@given(
    start=st.sampled_from(
        ["/", "/api/", "/static/", "/api/frames/", "/api/objects/1/", "/api/timeline?after=", "/?token="]
    ),
    rest=st.text(max_size=30),
)
def test_any_address(served: Served, start: str, rest: str) -> None:
    reply = served.ask(start + quote(rest, errors="replace"))
    assert reply.status in (200, 307, 400, 403, 404, 405)
    assert served.reports == []


@EXAMPLES
@given(
    name=st.sampled_from(["host", "origin", "cookie", "authorization", "sec-fetch-site", "content-type"]),
    value=st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=40),
)
def test_any_header(served: Served, name: str, value: str) -> None:
    reply = served.send(served.head("GET", "/api/state", f"{name.title()}: {value}", "Connection: close"))
    assert reply.status in (200, 400, 403)
    assert served.reports == []
