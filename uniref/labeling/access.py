"""Who may ask the label page's server for what; decided before any other code sees a request.

A request needs the token, must come from the page itself, and has a bounded body. Whatever runs in the same browser
can send requests to this machine, so that the address alone protects nothing: the header `Host` tells a name that was
made to lead here (DNS rebinding), `Origin` and `Sec-Fetch-Site` tell requests of other pages.
"""

from __future__ import annotations

import asyncio
import html
import ipaddress
import json
import re
import secrets
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from uniref.core.errors import UniRefError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_JSON, LARGEST_UPLOAD = 8 << 20, 32 << 20
"""Bytes of a request's body."""
_LINGER = 2.0  # seconds in which the rest of a refused body is read, so that its sender gets to see the answer
_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::\d{1,5})?")
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class BodyTooLarge(UniRefError):
    """A request's body is longer than allowed; the rest of it is not taken."""


@dataclass(frozen=True)
class Access:
    """What a request must bring along."""

    token: str
    cookie: str
    """Name of the cookie that holds the token; of this server alone, since cookies are shared by all ports."""
    hosts: frozenset[str]
    """Names that the server is reached by, as in the header `Host`, without a port."""
    any_address: bool = False
    """Whether it is reached by any IP address too; no foreign page has one for its name."""

    def allows_host(self, host: str) -> bool:
        """Whether a header `Host` is this server's; the port may be that of a tunnel."""
        match = _HOST.fullmatch(host.lower())
        return match is not None and (match[1] in self.hosts or (self.any_address and _is_address(match[1])))

    def is_token(self, value: str) -> bool:
        """Whether this is the token; takes the same time for every wrong one."""
        return secrets.compare_digest(value.encode("utf-8", "replace"), self.token.encode())


class _Refusal(Exception):
    """An answer that the guard gives itself."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Guard:
    """ASGI middleware that lets through what `Access` allows, and answers everything else itself.

    Args:
        app: The application.
        access: What a request must bring along.
        report: Called with a line about an exception that the application did not handle.
    """

    def __init__(self, app: ASGIApp, access: Access, report: Callable[[str], None]) -> None:
        self.app, self.access, self.report = app, access, report

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        assert scope["type"] == "http", "the server is started without web sockets and lifespan"
        headers = _headers(scope)
        answer = _Answer(send, receive, "expect" not in headers)
        body = _BoundedBody(receive, LARGEST_UPLOAD if scope["path"].endswith("/example") else LARGEST_JSON, answer)
        try:
            token = self._check(scope, headers)
            if token is not None:
                await self._welcome(answer, token)
                return
            body.check_length(headers.get("content-length", "0"))
            await self.app(scope, body, answer)
        except _Refusal as refusal:
            await self._refuse(answer, scope["path"], refusal)
        except BodyTooLarge as problem:
            await self._refuse(answer, scope["path"], _Refusal(413, str(problem)))
        except Exception as problem:  # noqa: BLE001 - one request fails, with a line; the server goes on
            if answer.gone:
                return
            self.report(f"{scope['method']} {scope['path']}: {type(problem).__name__}: {problem}")
            await self._refuse(answer, scope["path"], _Refusal(500, "something went wrong in the server"))

    def _check(self, scope: Scope, headers: dict[str, str]) -> str | None:
        """Check where a request comes from; returns the token where it asks to be let in. Raises _Refusal."""
        # sent to this server by its name
        host = headers.get("host", "")
        if not self.access.allows_host(host):
            raise _Refusal(403, "this address is not the one that 'uniref label' printed")
        # sent by the page itself, or by a user who types or clicks the address
        entrance = scope["path"] == "/" and scope["method"] in ("GET", "HEAD")
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{host.lower()}":
            raise _Refusal(403, "the request comes from another page")
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not entrance:
            raise _Refusal(403, "the request comes from another page")
        # with the token
        if entrance:
            for key, value in parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=20):
                if key == "token":
                    if not self.access.is_token(value):
                        raise _Refusal(403, "the token is not, or no longer, valid")
                    return value
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = bearer if scheme.lower() == "bearer" else _cookie(headers.get("cookie", ""), self.access.cookie)
        if not self.access.is_token(given):
            raise _Refusal(403, "the token is missing")
        return None

    async def _welcome(self, answer: _Answer, token: str) -> None:
        """Set the cookie and go on to the page.

        A redirect would belong to the page where the address was clicked, and a strict cookie is not sent along then.
        """
        cookie = f"{self.access.cookie}={token}; HttpOnly; SameSite=Strict; Path=/"
        page = '<!doctype html><meta charset="utf-8"><title>uniref label</title>'
        page += '<link rel="icon" href="/static/icon.svg">'  # else the browser asks for /favicon.ico
        page += '<meta http-equiv="refresh" content="0;url=/"><a href="/">uniref label</a>'
        headers = [(b"set-cookie", cookie.encode()), (b"cache-control", b"no-store")]
        await answer.whole(200, page.encode(), b"text/html; charset=utf-8", headers)

    async def _refuse(self, answer: _Answer, path: str, refusal: _Refusal) -> None:
        if answer.started:
            return
        answer.refused = True
        if path == "/":
            page = f'<!doctype html><meta charset="utf-8"><title>uniref label</title><p>{html.escape(refusal.reason)}.'
            page += "<p>Open the whole address that <code>uniref label</code> printed, with its token."
            await answer.whole(refusal.status, page.encode(), b"text/html; charset=utf-8")
        else:
            await answer.whole(refusal.status, json.dumps({"error": refusal.reason}).encode(), b"application/json")


class _Answer:
    """`send` of a request: adds the headers that all answers have, and closes the connection after a refused body."""

    def __init__(self, send: Send, receive: Receive, lingers: bool) -> None:
        self._send, self._receive, self._lingers = send, receive, lingers
        self.started = False
        self.refused = False
        """Whether the body is not read to its end."""
        self.gone = False
        """Whether the client has closed the connection."""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            close = ((b"connection", b"close"),) if self.refused else ()
            message = {**message, "headers": [*message.get("headers", ()), *_HEADERS, *close]}
        elif self.refused and not message.get("more_body"):
            await self._send({**message, "more_body": True})
            await self._drop_rest()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def whole(
        self, status: int, content: bytes, kind: bytes, headers: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        """Send a short answer."""
        own = [(b"content-type", kind), (b"content-length", b"%d" % len(content)), *(headers or [])]
        await self({"type": "http.response.start", "status": status, "headers": own})
        await self({"type": "http.response.body", "body": content})

    async def _drop_rest(self) -> None:
        """Read on for a moment: a connection that is closed while its client sends would take our answer along."""
        if not self._lingers:
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _LINGER
        while (left := deadline - loop.time()) > 0:
            try:
                message = await asyncio.wait_for(self._receive(), left)
            except asyncio.TimeoutError:
                return
            if not message.get("more_body"):
                return


class _BoundedBody:
    """`receive` of a request: raises BodyTooLarge as soon as more has come than is allowed."""

    def __init__(self, receive: Receive, largest: int, answer: _Answer) -> None:
        self._receive, self._largest, self._answer = receive, largest, answer
        self._taken = 0

    def check_length(self, announced: str) -> None:
        """Raise BodyTooLarge where the header says so, before anything is read."""
        if not announced.isdecimal() or int(announced[:20]) > self._largest:
            self._refuse()

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._answer.gone = True
        self._taken += len(message.get("body", b""))
        if self._taken > self._largest:
            self._refuse()
        return message

    def _refuse(self) -> None:
        self._answer.refused = True
        raise BodyTooLarge(f"the request is larger than {self._largest >> 20} MiB")


def _headers(scope: MutableMapping[str, Any]) -> dict[str, str]:
    """Headers by their lower-case names; of one that is repeated, all values, which is no valid value of any we use."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]}; {text}" if key in headers else text
    return headers


def _cookie(header: str, name: str) -> str:
    """A cookie's value; empty where it is not there."""
    pairs = (pair.strip().partition("=") for pair in header.split(";"))
    return next((value for key, _, value in pairs if key == name), "")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
