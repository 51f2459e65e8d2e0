"""Who gets to the label page: the token, the page's own origin, and no file but the page's."""

from __future__ import annotations

import re
import socket

import pytest

from tests.labeling.served import Served
from uniref.core.errors import UniRefError
from uniref.labeling.access import Access
from uniref.labeling.server import USUAL_PORT, listen


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH", "PUT", "OPTIONS"])
@pytest.mark.parametrize("path", ["/api/state", "/api/run", "/static/style.css", "/api/frames/0.jpg", "/nowhere"])
def test_nothing_without_the_token(served: Served, method: str, path: str) -> None:
    for value in ("", "Bearer ", "Bearer wrong", f"Basic {served.token}", f"Bearer {served.token}x"):
        reply = served.ask(path, method, headers={"authorization": value})
        assert reply.status == 403
        assert reply.error == "the token is missing"


def test_the_page_says_how_to_get_in(served: Served) -> None:
    for path in ("/", "/?token=", "/?token=wrong", "/?token=%ff", "/?tok=1"):
        reply = served.ask(path, headers={"authorization": ""})
        assert reply.status == 403
        assert b"Open the whole address that <code>uniref label</code> printed" in reply.body
        assert "set-cookie" not in reply.headers


def test_the_address_sets_a_cookie_that_opens_everything(served: Served) -> None:
    entrance = served.ask(f"/?token={served.token}", headers={"authorization": "", "sec-fetch-site": "cross-site"})
    assert entrance.status == 200
    name, flags = entrance.headers["set-cookie"].split("; ", 1)
    assert name == f"uniref_label_{served.port}={served.token}"
    assert flags == "HttpOnly; SameSite=Strict; Path=/"
    # it goes on by itself, since a redirect would belong to the page where the address was clicked
    assert b'http-equiv="refresh" content="0;url=/"' in entrance.body
    cookie = {"authorization": "", "cookie": f"a=b; {name}; c=d"}
    assert served.ask("/api/state", headers=cookie).status == 200
    assert served.ask("/api/stop", "POST", headers=cookie).status == 200
    assert (
        served.ask("/api/state", headers={"authorization": "", "cookie": f"uniref_label={served.token}"}).status == 403
    )


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:{port}", "127.0.0.1", "[::1]:{port}", "127.0.0.1:9000"])
def test_the_servers_own_names(served: Served, host: str) -> None:
    """With another port, as at the other end of a tunnel, too."""
    assert served.ask("/api/state", headers={"host": host.format(port=served.port)}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "127.0.0.1.evil.example",
        "evil@127.0.0.1",
        "127.0.0.1:99999999",
        "localhost.",
        "192.168.1.2",
        "a b",
    ],
)
def test_a_name_that_leads_here_is_refused(served: Served, host: str) -> None:
    """As in DNS rebinding: the token does not help."""
    reply = served.ask("/api/state", headers={"host": host})
    assert reply.status == 403
    assert reply.error == "this address is not the one that 'uniref label' printed"


def test_old_clients_without_a_host_are_refused(served: Served) -> None:
    assert served.send(f"GET /api/state HTTP/1.0\nAuthorization: Bearer {served.token}").status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "https://127.0.0.1:{port}"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "http://localhost:{port}"},
        {"origin": ""},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/api/undo", "/api/state"])
def test_requests_of_other_pages_are_refused(served: Served, headers: dict[str, str], path: str) -> None:
    sent = {name: value.format(port=served.port) for name, value in headers.items()}
    reply = served.ask(path, "POST" if path == "/api/undo" else "GET", headers=sent)
    assert reply.status == 403
    assert reply.error == "the request comes from another page"


def test_requests_of_the_page_itself(served: Served) -> None:
    own = {"origin": f"http://127.0.0.1:{served.port}", "sec-fetch-site": "same-origin"}
    assert served.post("/api/stop", headers=own).status == 200
    assert served.ask("/api/state", headers={"sec-fetch-site": "none"}).status == 200


def test_every_answer_forbids_foreign_content_and_frames(served: Served) -> None:
    replies = [served.ask("/api/state"), served.ask("/nowhere"), served.ask("/api/state", headers={"host": "evil"})]
    for reply in [*replies, served.ask("/api/frames/0.jpg"), served.post("/api/run", b"{")]:
        policy = reply.headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; ")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in reply.headers
        assert "server" not in reply.headers


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/..%2fserver.py",
        "/static/%2e%2e/server.py",
        "/static/..\\server.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/",
        "/static",
        "/static/%00",
        "/static/" + "a" * 5000,
        "//etc/passwd",
        "/project.db",
        "/api/frames/../../state",
    ],
)
def test_no_file_but_the_pages(served: Served, path: str) -> None:
    reply = served.send(served.head("GET", path, "Connection: close"))
    assert reply.status in (307, 404)
    assert reply.status == 404 or re.fullmatch("http://127.0.0.1:\\d+/static/", reply.headers["location"])
    assert b"import" not in reply.body and b"root:" not in reply.body


def test_a_server_for_other_machines_takes_addresses_but_no_foreign_names() -> None:
    access = Access("t", "c", frozenset({"desk"}), any_address=True)
    assert all(map(access.allows_host, ("desk:80", "10.0.0.7:8765", "[fe80::1]:8765")))
    assert not any(map(access.allows_host, ("evil.example", "10.0.0.7.evil.example", "[::1", "10.0.0", "[]")))


def test_ports() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UniRefError, match=rf"^--port {port}: is in use by another program; choose another one"):
            listen("127.0.0.1", port)
    # without a wish, the usual one or any
    with listen("localhost", None) as first, listen("localhost", None) as second:
        ports = {first.getsockname()[1], second.getsockname()[1]}
        assert len(ports) == 2
        assert USUAL_PORT in ports or _is_taken(USUAL_PORT)


def _is_taken(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid", "", "a" * 300, "1.2.3.4.5"])
def test_hosts_that_are_not_this_machine(host: str) -> None:
    if host:
        with pytest.raises(UniRefError, match=r"^--host .*: is not an address of this machine"):
            listen(host, 0)
