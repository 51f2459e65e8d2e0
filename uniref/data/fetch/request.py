"""HTTP requests for files; every redirect, and every machine that it leads to, is checked."""

from __future__ import annotations

import functools
import http.client
import http.cookiejar
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from uniref.core.addresses import Address, is_private, plain
from uniref.core.errors import UniRefError

_MOST_REDIRECTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_AGENT = "uniref (https data set preparation)"


class UnreachableError(Exception):
    """The server cannot be reached.

    Args:
        reason: Why, in words.
        hopeless: Another attempt would fail too: no network, no such host, nothing that
            listens there, a certificate that is not trusted.
    """

    def __init__(self, reason: str, hopeless: bool = False) -> None:
        super().__init__(reason)
        self.hopeless = hopeless


class StatusError(Exception):
    """The server answers with an error.

    Args:
        address: That answers so.
        code: HTTP status.
        reason: What the server says, on one line.
        headers: Of the answer.
        body: Its first bytes.
    """

    def __init__(self, address: Address, code: int, reason: str, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"HTTP {code} {reason}".rstrip())
        self.address, self.code, self.headers, self.body = address, code, headers, body


class Browser:
    """Sends requests and follows redirects; keeps the cookies that servers set, for one download."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._cookies = http.cookiejar.CookieJar()

    def open(self, address: Address, headers: Mapping[str, str]) -> tuple[Address, Any]:
        """The response to a GET request, and the address that gave it after all redirects.

        Refused are redirects to another scheme than http and https, from https to http, and from a public machine to a
        private one: a server must not lead to what only this machine can reach. User and password are sent only to
        the host that they were given for.

        Raises:
            UniRefError: A redirect that is refused or leads in a circle.
            UnreachableError: No connection, or it broke off.
            StatusError: An HTTP error.
        """
        seen = {address.request}
        public = False
        while True:
            response, at_public = self._ask(address, headers, public)
            if response.status not in _REDIRECTS or not (location := response.headers.get("Location")):
                return address, response
            response.close()
            public |= at_public
            address = address.follow(_readable(location))
            if address.request in seen:
                raise UniRefError(f"{address}: redirects in a circle; fetch the file by hand")
            if len(seen) > _MOST_REDIRECTS:
                raise UniRefError(f"{address}: is the {len(seen)}th redirect in a row; fetch the file by hand")
            seen.add(address.request)

    def _ask(self, address: Address, headers: Mapping[str, str], public: bool) -> tuple[Any, bool]:
        """One response, and whether a public machine gave it.

        Args:
            address, headers: Of the request.
            public: A public machine sent us there.
        """
        # the request; connections are judged by their guard
        sent = {"User-Agent": _AGENT, "Accept-Encoding": "identity", **headers}
        if address.authorisation:
            sent["Authorization"] = address.authorisation
        request = urllib.request.Request(address.request, headers=sent)  # noqa: S310 - scheme checked
        guard = _Guard(address, public)
        opener = urllib.request.build_opener(
            _Plain(guard), _Secure(guard), _NoRedirects, urllib.request.HTTPCookieProcessor(self._cookies)
        )
        # the answer, or why there is none
        try:
            return opener.open(request, timeout=self.timeout), guard.public
        except urllib.error.HTTPError as error:
            if error.code in _REDIRECTS:
                return error, guard.public
            with error:
                body = _start_of(error)
            raise StatusError(address, error.code, plain(str(error.reason), 100), dict(error.headers), body) from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, UniRefError):
                raise error.reason from None
            hopeless = isinstance(error.reason, socket.gaierror | ssl.SSLError | ConnectionRefusedError)
            raise UnreachableError(f"cannot be reached ({_why(error.reason)})", hopeless) from None
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise UnreachableError(f"cannot be reached ({_why(error)})") from None


class _Guard:
    """Makes the connections of one request and checks which machines they lead to."""

    def __init__(self, address: Address, from_public: bool) -> None:
        self.address, self.from_public = address, from_public
        self.public = False
        """Whether the machine that answers is a public one."""

    def connect(self, proxied: bool, address: tuple[str, int], *rest: Any) -> socket.socket:
        """As `socket.create_connection`; judges the connected machine, as names may resolve differently each time."""
        if proxied:  # names are the proxy's to resolve, so that only numbers can be judged
            self._judge(self.address.host)
            return socket.create_connection(address, *rest)
        connection = socket.create_connection(address, *rest)
        try:
            self._judge(connection.getpeername()[0])
        except UniRefError:
            connection.close()
            raise
        return connection

    def _judge(self, ip: str) -> None:
        try:
            private = is_private(ip)
        except ValueError:  # a name, behind a proxy
            private = ip == "localhost" or ip.endswith((".localhost", ".local", ".internal"))
        self.public = not private
        if self.from_public and private:
            raise UniRefError(
                f"{self.address}: a public server redirects there, to a private network, which is not followed"
            )


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, guard: _Guard) -> None:
        super().__init__()
        self._guard = guard

    def http_open(self, req: Any) -> Any:
        return self.do_open(functools.partial(_guarded, http.client.HTTPConnection, self._guard, req.has_proxy()), req)


class _Secure(urllib.request.HTTPSHandler):
    def __init__(self, guard: _Guard) -> None:
        context = ssl.create_default_context()
        super().__init__(context=context)
        self._guard, self._trust = guard, context

    def https_open(self, req: Any) -> Any:
        proxied = bool(req._tunnel_host) or req.has_proxy()
        kind = functools.partial(_guarded, http.client.HTTPSConnection, self._guard, proxied, context=self._trust)
        return self.do_open(kind, req)


def _guarded(kind: Any, guard: _Guard, proxied: bool, host: str, **options: Any) -> Any:
    connection = kind(host, **options)
    connection._create_connection = functools.partial(guard.connect, proxied)
    return connection


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Leaves redirects to `Browser.open`; urllib's own go to ftp, and forget which host a password is for."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> None:
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _readable(location: str) -> str:
    """A header with UTF-8 in it arrives as Latin-1."""
    try:
        return location.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return location


def _start_of(response: Any) -> bytes:
    try:
        return bytes(response.read(1 << 16))
    except (http.client.HTTPException, OSError):
        return b""


def _why(reason: object) -> str:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {plain(reason.verify_message, 200)}"
    if isinstance(reason, socket.gaierror):
        return f"no network, or no such host: {plain(reason.strerror or str(reason), 200)}"
    if isinstance(reason, OSError) and reason.strerror:
        return plain(reason.strerror, 200)
    return plain(str(reason) or type(reason).__name__, 200)
