"""Downloads over HTTP that survive interruptions and are checked before they get their name."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from filelock import FileLock

from uniref.core.errors import UniRefError
from uniref.core.files import file_digest

_BLOCK = 1 << 18
_MEGA = 10**6
_RETRIES = 6
_TIMEOUT = 30.0  # seconds without a byte
_BACKOFF = 1.0  # seconds before the first retry, doubled each time
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_AGENT = "uniref (https data set preparation)"


class Progress(Protocol):
    """Shows how far a loop is (`Console.progress`)."""

    def __call__(self, items: Iterable[Any], what: str, total: int | None, unit: str = ...) -> Iterable[Any]:
        """Pass `items` through."""
        ...


@dataclass(frozen=True)
class Policy:
    """How patient a download is."""

    retries: int = _RETRIES
    """Attempts after the first that bring no new byte; any progress starts the count again."""
    timeout: float = _TIMEOUT
    """Seconds without a byte before the connection counts as stalled."""
    backoff: float = _BACKOFF
    """Seconds before the first retry, doubled each time, at most 60."""


class _Retry(Exception):
    """The attempt failed in a way that another may not."""


def download(
    url: str,
    target: Path,
    *,
    size: int | None = None,
    sha256: Sequence[str] = (),
    md5: str | None = None,
    progress: Progress | None = None,
    policy: Policy | None = None,
) -> Path:
    """Fetch a file, resuming what an earlier attempt left in `<target>.partial`.

    A finished target is not fetched again. Two processes may ask for the same file: one fetches, the other waits.

    Args:
        url: http or https; redirects are followed within these.
        target: Where the file goes.
        size: Bytes it must have.
        sha256: Digests of which it must have one.
        md5: Digest it must have.
        progress: Shows megabytes.
        policy: Retries and timeouts.

    Raises:
        UniRefError: Refused by the server, unreachable, or not the expected file; names the address.
    """
    if not url.startswith(("http://", "https://")):
        raise UniRefError(f"{url}: only http and https addresses are fetched")
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if not target.exists():
                _Download(url, target, size, sha256, md5, policy or Policy()).run(progress)
            elif size is not None and target.stat().st_size != size:
                have = target.stat().st_size
                raise UniRefError(f"{target}: has {have:,} bytes, expected are {size:,}; delete it to fetch it again")
    except OSError as error:
        raise UniRefError(f"{target}: cannot be written ({error.strerror or error})") from None
    return target


class _Download:
    def __init__(
        self, url: str, target: Path, size: int | None, sha256: Sequence[str], md5: str | None, policy: Policy
    ) -> None:
        self.url, self.target, self.policy = url, target, policy
        self.size, self.sha256, self.md5 = size, sha256, md5
        self.partial = target.with_name(f"{target.name}.partial")
        self.note = target.with_name(f"{target.name}.partial.json")
        """What identifies the file that the partial content belongs to."""
        self.joined = False
        """Whether the content is of several answers."""

    def run(self, progress: Progress | None) -> None:
        idle = 0
        while True:
            before = self._have()
            try:
                self._attempt(progress)
                break
            except _Retry as problem:
                idle = 0 if self._have() > before else idle + 1
                if idle > self.policy.retries:
                    raise UniRefError(
                        f"{self.url}: {problem}; gave up after {idle} attempts without progress. Run the command again "
                        f"to resume from {self._have():,} bytes"
                    ) from None
                time.sleep(min(60.0, self.policy.backoff * 2 ** max(idle - 1, 0)))
        if (wrong := self._problem()) and self.joined:  # the parts may be of different files
            self._restart()
            self.joined = False
            self.run(progress)
            return
        if wrong:
            self._restart()
            raise UniRefError(f"{self.url}: {wrong}; it is another file, or was damaged on the way, and was deleted")
        os.replace(self.partial, self.target)
        self.note.unlink(missing_ok=True)

    def _have(self) -> int:
        return self.partial.stat().st_size if self.partial.exists() else 0

    def _attempt(self, progress: Progress | None) -> None:
        have = self._have()
        if have and have == self.size:
            return
        request = urllib.request.Request(self.url, headers={"User-Agent": _AGENT, "Accept-Encoding": "identity"})  # noqa: S310 - scheme checked
        validator, total = self._noted()
        if have and (validator or (total and (self.sha256 or self.md5))):
            request.add_header("Range", f"bytes={have}-")
            if validator:
                request.add_header("If-Range", validator)
        elif have:
            self._restart()  # nothing tells whether the rest would belong to it
            have = 0
        try:
            response = urllib.request.build_opener(_HttpOnly).open(request, timeout=self.policy.timeout)
        except urllib.error.HTTPError as error:
            self._judge(error, have)
            return
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            raise _Retry(f"cannot be reached ({getattr(error, 'reason', None) or error})") from None
        with response:
            self._receive(response, have, progress)

    def _judge(self, error: urllib.error.HTTPError, have: int) -> None:
        if error.code == 416 and have:
            total = (error.headers.get("Content-Range") or "").rpartition("/")[2]
            if total.isdecimal() and int(total) == have:
                return  # already complete
            self._restart()
            raise _Retry("the server has another file by now")
        if error.code in _TRANSIENT:
            raise _Retry(f"HTTP {error.code} {error.reason}")
        raise UniRefError(
            f"{self.url}: HTTP {error.code} {error.reason}; the address may be out of date: fetch the file by hand and "
            "name it with --source"
        )

    def _receive(self, response: Any, have: int, progress: Progress | None) -> None:
        length = response.headers.get("Content-Length")
        if have and not _continues(response, have, self._noted()[1]):
            self._restart()
            if response.status == 206:
                raise _Retry("the server sends another part than was asked for")
            have = 0
        self.joined |= have > 0
        total = have + int(length) if length and length.isdecimal() else None
        etag = response.headers.get("ETag") or ""
        # a weak tag may not be used with ranges
        validator = response.headers.get("Last-Modified") or "" if not etag or etag.startswith("W/") else etag
        note = {"url": self.url, "validator": validator, "total": total}
        self.note.write_text(json.dumps(note), encoding="utf-8")
        if self.size is not None and total is not None and total != self.size:
            raise UniRefError(
                f"{self.url}: the server has {total:,} bytes, expected are {self.size:,}; it is another file"
            )
        with self.partial.open("ab") as file:
            megabytes: Iterable[None] = _copy(response, file)
            if progress is not None:
                megabytes = progress(
                    megabytes, self.target.name, None if total is None else (total - have) // _MEGA, "MB"
                )
            for _ in megabytes:
                pass
        goal = total if total is not None else self.size
        if goal is not None and self._have() < goal:
            raise _Retry(f"the connection broke off at {self._have():,} of {goal:,} bytes")

    def _noted(self) -> tuple[str, int | None]:
        """What an earlier answer said: a validator for ranges (or nothing), and the size of the whole file."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            note = json.loads(self.note.read_text(encoding="utf-8"))
            if note.get("url") == self.url:
                total = note.get("total")
                return str(note.get("validator") or ""), total if isinstance(total, int) else None
        return "", None

    def _restart(self) -> None:
        self.partial.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def _problem(self) -> str:
        """What is wrong with the complete content; nothing if it is as expected."""
        have = self._have()
        if self.size is not None and have != self.size:
            return f"has {have:,} bytes, expected are {self.size:,}"
        for name, wanted in (("sha256", tuple(self.sha256)), ("md5", (self.md5,) if self.md5 else ())):
            if wanted and (digest := file_digest(self.partial, name)) not in wanted:
                return f"has {name} {digest}, expected is {' or '.join(wanted)}"
        return ""


class _HttpOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https only (also never to a local file)."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith(("http://", "https://")):
            raise UniRefError(f"{req.full_url}: redirects to {newurl}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _continues(response: Any, have: int, total: int | None) -> bool:
    """Whether the response is the rest from byte `have` on, of a file of as many bytes as before."""
    if response.status != 206:
        return False
    unit, _, span = (response.headers.get("Content-Range") or "").partition(" ")
    size = span.rpartition("/")[2]
    same = total is None or size in ("*", str(total))
    return unit == "bytes" and span.split("-")[0] == str(have) and same


def _copy(response: Any, file: IO[bytes]) -> Iterator[None]:
    """Write what arrives as it arrives, so that a broken connection loses nothing; yields at every megabyte."""
    waiting = 0
    while True:
        try:
            block = response.read1(_BLOCK)
        except (http.client.HTTPException, OSError) as error:
            raise _Retry(f"the connection broke off ({error})") from None
        if not block:
            return
        file.write(block)
        waiting += len(block)
        while waiting >= _MEGA:
            waiting -= _MEGA
            yield
