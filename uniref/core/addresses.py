"""HTTP addresses: parsed and checked once, and printed without passwords and tokens."""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

from uniref.core.errors import UniRefError

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_LABELS = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")
_PORTS = {"http": 80, "https": 443}
_USER = re.compile(r"^([^/?#]*//)[^/?#]*@")
_ANY_USER = re.compile(r"([a-z][a-z0-9+.-]{1,20}://|https?:/)[^\s/?#]*@", re.IGNORECASE)
"""Also in an address that was taken for a path, which leaves it a single slash."""
_SECRET = re.compile(
    r"([?&](?:[\w.-]*(?:token|secret|password|passwd|signature|credential|api-?_?key)|key|sig|auth)=)[^&#]*",
    re.IGNORECASE,
)
_PATH, _QUERY = "/%:@!$&'()*+,;=~-._", "/%:@!$&'()*+,;=~-._?"
_LONGEST = 8192  # characters; servers refuse longer ones
_TRANSLATORS = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
"""IPv6 networks whose last four bytes are an IPv4 address (NAT64)."""

AnyIP = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Address:
    """An http or https address that is safe to ask for and, by `str`, to show."""

    scheme: str
    """"http" or "https"."""
    host: str
    """In ASCII and lower case; an IPv6 address without its brackets."""
    port: int
    path: str
    """Percent-encoded, from the first slash on."""
    query: str = ""
    """Percent-encoded, without the question mark."""
    authorisation: str = ""
    """Value of the header `Authorization`, where the address names a user; for this very host and port alone."""

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: what a user and a password are valid for."""
        return self.scheme, self.host, self.port

    @property
    def unusual_port(self) -> int:
        """The port, or 0 for the scheme's usual one."""
        return 0 if self.port == _PORTS[self.scheme] else self.port

    @property
    def request(self) -> str:
        """The address to request: percent-encoded, without user, password and fragment."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.unusual_port}" if self.unusual_port else ""
        return f"{self.scheme}://{host}{port}{self.path}" + (f"?{self.query}" if self.query else "")

    def __str__(self) -> str:
        return shown(self.request)

    def follow(self, location: str) -> Address:
        """The address that a redirect leads to.

        Args:
            location: Of the header `Location`: absolute or relative; a user and password in it are not used.

        Raises:
            UniRefError: Not a valid http or https address, or it leads from https back to http.
        """
        try:
            target = parse_address(urljoin(self.request, location))
        except (UniRefError, ValueError) as problem:
            reason = problem if isinstance(problem, UniRefError) else f"{shown(location)}: is not a valid address"
            raise UniRefError(f"{self}: redirects to an address that cannot be fetched ({reason})") from None
        if self.scheme == "https" and target.scheme == "http":
            raise UniRefError(f"{self}: redirects from https to http ({target}), which is not followed")
        keep = self.authorisation if target.origin == self.origin else ""
        return Address(target.scheme, target.host, target.port, target.path, target.query, keep)


def is_address(text: str) -> bool:
    """Whether a text is an address of any scheme rather than a path."""
    return _SCHEME.match(text) is not None


def parse_address(text: str) -> Address:
    """Check an address as a user wrote it, and normalise it for a request.

    Names in other scripts become IDNA, characters that requests cannot hold are percent-encoded.

    Raises:
        UniRefError: Another scheme than http and https, no host or an invalid one, an invalid port, a control
            character (percent-encoded or not), or more than 8,192 characters. The message hides passwords.
    """
    name = shown(text)
    # length and characters
    if len(text) > _LONGEST:
        raise UniRefError(f"{name[:60]}...: is longer than {_LONGEST:,} characters; no server takes such an address")
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text):
        raise UniRefError(f"{name}: holds a control character; write the address without it")
    # scheme and port
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as problem:
        wrong = "its port is not valid" if "port" in str(problem).lower() else "its host is not valid"
        raise UniRefError(f"{name}: is not a valid address: {wrong}") from None
    if parts.scheme not in _PORTS:
        raise UniRefError(f"{name}: only http and https addresses are fetched")
    if port == 0:
        raise UniRefError(f"{name}: is not a valid address: its port is not valid")
    # host, path, query and credentials, each in its normal form
    return Address(
        parts.scheme,
        _host(parts.hostname or "", name),
        port or _PORTS[parts.scheme],
        _encoded(parts.path or "/", _PATH, name),
        _encoded(parts.query, _QUERY, name),
        _authorisation(parts.username, parts.password),
    )


def _host(host: str, name: str) -> str:
    """A host in ASCII. Raises UniRefError where it cannot be one."""
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError:
            raise UniRefError(f"{name}: is not a valid address: its host is not valid") from None
    try:
        ascii_host = host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise UniRefError(f"{name}: is not a valid address: its host is not a valid name (IDNA)") from None
    if not ascii_host:
        raise UniRefError(f"{name}: names no host")
    if len(ascii_host) > 253 or not _LABELS.fullmatch(ascii_host):
        raise UniRefError(f"{name}: is not a valid address: its host is not valid")
    return ascii_host


def _encoded(text: str, safe: str, name: str) -> str:
    try:
        encoded = quote(re.sub(r"%(?![0-9a-fA-F]{2})", "%25", text), safe=safe, errors="surrogateescape")
    except UnicodeError:
        raise UniRefError(f"{name}: holds a character that is not allowed in an address") from None
    if any(byte < 32 or byte == 127 for byte in unquote_to_bytes(encoded)):
        raise UniRefError(f"{name}: holds a percent-encoded control character; write the address without it")
    return encoded


def _authorisation(user: str | None, password: str | None) -> str:
    if user is None and password is None:
        return ""
    both = unquote_to_bytes(user or "") + b":" + unquote_to_bytes(password or "")
    return f"Basic {base64.b64encode(both).decode('ascii')}"


def shown(text: str) -> str:
    """An address for messages and files: on one line, without user, password, tokens and signatures."""
    hidden = _SECRET.sub(r"\1***", _USER.sub(r"\1***@", text))
    return plain(hidden)


def hide_passwords(text: str) -> str:
    """A line of text with the user and password of every address in it hidden."""
    return _ANY_USER.sub(r"\1***@", text)


def plain(text: str, most: int = 2000) -> str:
    """A text from elsewhere (a header, a server's message) as one line: what is not printable is escaped."""
    cut = text if len(text) <= most else f"{text[:most]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)


def is_private(ip: str) -> bool:
    """Whether an IP address is not public (private, loopback, link-local, reserved).

    IPv4 addresses inside IPv6 ones (mapped, 6to4, Teredo, NAT64) are judged as the IPv4 address.

    Raises:
        ValueError: Not a valid IP address.
    """
    number: AnyIP = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(number, ipaddress.IPv6Address):
        inner = number.ipv4_mapped or number.sixtofour or (number.teredo[1] if number.teredo else None)
        if inner is None and any(number in network for network in _TRANSLATORS):
            inner = ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)
        if inner is not None:
            return not inner.is_global
    return not number.is_global
