"""Downloads over HTTP that survive interruptions and are checked before they get their name."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from filelock import FileLock

from uniref.core.addresses import Address, parse_address, plain
from uniref.core.atomic import write_text_atomic
from uniref.core.errors import UniRefError
from uniref.core.files import file_digest
from uniref.core.json_files import read_json
from uniref.core.progress import Progress
from uniref.data.fetch.request import Browser, StatusError, UnreachableError
from uniref.data.fetch.structure import PAGE, is_page, structure_problem

_BLOCK = 1 << 18
_MEGA = 10**6
_RETRIES = 6
_TIMEOUT = 30.0  # seconds without a byte
_BACKOFF = 1.0  # seconds before the first retry, doubled each time
_LIMIT = 100 * 10**9  # bytes; the largest published archive has 60 GB, and declares it
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_MOST_PAGES = 3
_PAGE_SIZE = 1 << 20  # bytes of a web page that are read
_NOTE = 1 << 16  # bytes of our own notes
_FULL = (errno.ENOSPC, errno.EDQUOT)
_BY_HAND = "fetch the file by hand and name it with --source"

PageReader = Callable[[Address, str], str]
"""What to do with a web page where a file was expected: its address and text -> the address to go on to."""


@dataclass(frozen=True)
class RetryPolicy:
    """Retries, time-outs and the size limit of a download."""

    retries: int = _RETRIES
    """Attempts after the first that bring no new byte; any progress starts the count again."""
    timeout: float = _TIMEOUT
    """Seconds without a byte before the connection counts as stalled."""
    backoff: float = _BACKOFF
    """Seconds before the first retry, doubled each time, at most 60."""
    limit: int = _LIMIT
    """Bytes at most where neither the caller nor the server says how many there are."""


class _Retry(Exception):
    """The attempt failed, and another one may succeed."""


class _TooLong(Exception):
    """More bytes arrived than expected."""


def download(
    url: str,
    target: Path,
    *,
    size: int | None = None,
    sha256: Sequence[str] = (),
    md5: str | None = None,
    progress: Progress | None = None,
    policy: RetryPolicy | None = None,
    by_hand: str = _BY_HAND,
    page: PageReader | None = None,
) -> Path:
    """Fetch a file, resuming what an earlier attempt left in `<target>.partial`.

    A finished target is not fetched again, unless it does not have the expected size: one that was fetched is then
    replaced, one that was fetched and changed since is kept as `<target>.old`. Two processes may ask for the same file:
    one fetches, the other waits. What is no such file as its name says (a web page, an archive that is cut) never gets
    the name.

    Args:
        url: http or https; redirects are followed within these. A user and password in it go to that host alone.
        target: Where the file goes.
        size: Bytes it must have.
        sha256: Digests of which it must have one.
        md5: Digest it must have.
        progress: Shows megabytes.
        policy: Retries, timeouts and the size limit.
        by_hand: What a user may do who cannot fetch it so, for messages.
        page: Finds the way on from a web page that comes instead of the file (a host that asks for a confirmation); it
            may raise UniRefError.

    Raises:
        UniRefError: No such address, refused by the server, unreachable, not the expected file, or too large for the
            disk; names the address, without passwords. Also a target of another size that was not fetched by us.
    """
    address = parse_address(url)
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if not target.exists() or (size is not None and _make_way(target, size, by_hand)):
                expected = _ExpectedContent(size, tuple(sha256), md5)
                _Download(address, target, expected, policy or RetryPolicy(), by_hand, page).run(progress)
    except OSError as error:
        if error.errno in _FULL:
            raise UniRefError(
                f"{target}: the disk is full; what was fetched stays: make room and run the command again to resume"
            ) from None
        raise UniRefError(f"{target}: cannot be written ({error.strerror or error})") from None
    return target


def was_fetched(target: Path) -> bool:
    """Whether a file is what a download left under this name, unchanged since: it may be deleted and fetched again."""
    return _fetched(target) == _state(target) is not None


def discard(target: Path) -> bool:
    """Delete a fetched file that turned out to be damaged, so that the next download fetches it again.

    Returns:
        False where the file was not fetched and so is the user's; it is not deleted.
    """
    if not was_fetched(target):
        return False
    target.unlink(missing_ok=True)
    _fetched_note(target).unlink(missing_ok=True)
    return True


def _make_way(target: Path, size: int, by_hand: str) -> bool:
    """Whether an existing file is to be fetched again because of its size; a user's own file is kept.

    Raises:
        UniRefError: It has another size and was not fetched by this package.
    """
    have = target.stat().st_size
    if have == size:
        return False
    if was_fetched(target):
        return True  # replaced when the new one is complete
    if _fetched(target) is None:
        raise UniRefError(f"{target}: has {have:,} bytes, expected {size:,}; delete it to fetch it again, or {by_hand}")
    number = 1
    while (old := target.with_name(f"{target.name}.old{number if number > 1 else ''}")).exists():
        number += 1
    target.rename(old)
    return True


def _fetched_note(target: Path) -> Path:
    return target.with_name(f".{target.name}.fetched")


def _state(target: Path) -> tuple[int, int] | None:
    try:
        state = target.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns


def _fetched(target: Path) -> tuple[int, int] | None:
    """Size and time of the file that a download left; None where none did."""
    with contextlib.suppress(UniRefError, ValueError, LookupError, TypeError):
        note = read_json(_fetched_note(target), largest=_NOTE)
        return int(note["size"]), int(note["modified"])
    return None


@dataclass(frozen=True)
class _ExpectedContent:
    size: int | None
    sha256: tuple[str, ...]
    md5: str | None

    def problem(self, path: Path, name: str) -> str:
        """What is wrong with complete content that is to get this name; empty if it is as expected."""
        have = path.stat().st_size if path.exists() else 0
        if self.size is not None and have != self.size:
            return f"has {have:,} bytes, expected {self.size:,}"
        for kind, digests in (("sha256", self.sha256), ("md5", (self.md5,) if self.md5 else ())):
            if digests and (digest := file_digest(path, kind)) not in digests:
                return f"has {kind} {digest}, expected {' or '.join(digests)}"
        return "" if self.sha256 or self.md5 else structure_problem(path, name)


class _Download:
    def __init__(
        self,
        address: Address,
        target: Path,
        expected: _ExpectedContent,
        policy: RetryPolicy,
        by_hand: str,
        page: PageReader | None,
    ) -> None:
        self.address, self.target, self.expected, self.policy = address, target, expected, policy
        self.by_hand, self.page = by_hand, page
        self.partial = target.with_name(f"{target.name}.partial")
        self.note = target.with_name(f"{target.name}.partial.json")
        """What identifies the file that the partial content belongs to."""
        self.joined = False
        """Whether the content is of several answers."""

    def run(self, progress: Progress | None) -> None:
        # attempts, until one ends or several bring nothing
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
                        f"{self.address}: {problem}; gave up after {idle} attempts without progress. Run the command "
                        f"again to resume from {self._have():,} bytes"
                    ) from None
                time.sleep(min(60.0, self.policy.backoff * 2 ** max(idle - 1, 0)))
        # the content, checked before it gets its name
        if (wrong := self._problem()) and self.joined:  # the parts may be of different files
            self._restart()
            self.joined = False
            self.run(progress)
            return
        if wrong == PAGE:
            self._restart()
            raise UniRefError(f"{self.address}: answers with a web page, not with the file; {self.by_hand}")
        if wrong:
            self._restart()
            raise UniRefError(
                f"{self.address}: {wrong}; it is another file, or was damaged on the way, and was deleted. Run the "
                f"command again, or {self.by_hand}"
            )
        # the final name, and a note that the file may be replaced
        os.replace(self.partial, self.target)
        self.note.unlink(missing_ok=True)
        self._remember()

    def _remember(self) -> None:
        """Note that this package fetched the file and may replace it; one that differs from the note is the user's."""
        state = _state(self.target)
        assert state is not None
        content = {"address": str(self.address), "size": state[0], "modified": state[1]}
        _fetched_note(self.target).write_text(json.dumps(content), encoding="utf-8")

    def _have(self) -> int:
        return self.partial.stat().st_size if self.partial.exists() else 0

    def _attempt(self, progress: Progress | None) -> None:
        have = self._have()
        if have and have == self.expected.size:
            return
        # the rest of what is there already, where the server can give just that
        headers = {}
        validator, total = self._noted()
        if have and (validator or (total and (self.expected.sha256 or self.expected.md5))):
            headers["Range"] = f"bytes={have}-"
            if validator:
                headers["If-Range"] = validator
        elif have:
            self._restart()  # nothing tells whether the rest would belong to it
            have = 0
        # the answer
        try:
            response = self._open(headers)
        except StatusError as error:
            self._judge(error, have)
            return
        except UnreachableError as error:
            if error.hopeless and not have:  # in the middle of a long download a network may come back
                raise UniRefError(f"{self.address}: {error}; check the network and the address") from None
            raise _Retry(str(error)) from None
        with response:
            self._receive(response, have, progress)

    def _open(self, headers: dict[str, str]) -> Any:
        """The response with the file, after any pages that ask for a confirmation."""
        browser, address = Browser(self.policy.timeout), self.address
        for _ in range(_MOST_PAGES):
            address, response = browser.open(address, headers)
            kind = (response.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
            if self.page is None or kind not in ("text/html", "application/xhtml+xml"):
                return response
            with response:
                try:
                    text = response.read(_PAGE_SIZE).decode("utf-8", errors="replace")
                except (http.client.HTTPException, OSError) as error:
                    raise UnreachableError(f"cannot be reached ({plain(str(error), 200)})") from None
            address = address.follow(self.page(address, text))
        raise UniRefError(f"{self.address}: answers with one web page after another; {self.by_hand}")

    def _judge(self, error: StatusError, have: int) -> None:
        if error.code == 416 and have:
            total = (error.headers.get("Content-Range") or "").rpartition("/")[2]
            if total.isdecimal() and total.isascii() and int(total[:20]) == have:
                return  # already complete
            self._restart()
            raise _Retry("the server has another file by now")
        if self.page is not None and is_page(error.body):
            self.page(error.address, error.body.decode("utf-8", errors="replace"))  # it may know more
        if error.code in _TRANSIENT:
            raise _Retry(str(error))
        if error.code in (401, 403, 407):
            raise UniRefError(
                f"{self.address}: {error}; the server wants a login, or that terms are accepted: {self.by_hand}"
            )
        raise UniRefError(f"{self.address}: {error}; the address may be out of date: {self.by_hand}")

    def _receive(self, response: Any, have: int, progress: Progress | None) -> None:
        # where the answer begins
        if have and not _continues(response, have, self._noted()[1]):
            self._restart()
            if response.status == 206:
                raise _Retry("the server sends another part than was asked for")
            have = 0
        if response.status not in (200, 206):
            raise UniRefError(f"{self.address}: HTTP {response.status} brings no file; {self.by_hand}")
        self.joined |= have > 0
        # how much there is to be
        total = _length(response, have)
        self._write_note(response, total)
        size = self.expected.size
        if size is not None and total is not None and total != size:
            raise UniRefError(f"{self.address}: the server has {total:,} bytes, expected {size:,}; it is another file")
        full_size = total if total is not None else size
        self._check_room(full_size, have)
        # write it
        try:
            with self.partial.open("ab") as file:
                megabytes: Iterable[None] = _copy(response, file, (full_size or self.policy.limit) - have)
                if progress is not None:
                    count = None if total is None else (total - have) // _MEGA
                    megabytes = progress(megabytes, self.target.name, count, "MB")
                for _ in megabytes:
                    pass
        except _TooLong:
            self._restart()
            which = (
                f"{full_size:,} bytes that are expected"
                if full_size
                else f"{self.policy.limit:,} bytes, and not how many"
            )
            raise UniRefError(f"{self.address}: sends more than the {which}; it is not fetched") from None
        if full_size is not None and self._have() < full_size:
            raise _Retry(f"the connection broke off at {self._have():,} of {full_size:,} bytes")

    def _check_room(self, full_size: int | None, have: int) -> None:
        """Whether the disk has room for the rest. Raises UniRefError."""
        free = shutil.disk_usage(self.target.parent).free
        if full_size is not None and full_size - have > free:
            raise UniRefError(
                f"{self.target}: {full_size - have:,} bytes are to be fetched, but the disk has {free:,} left; "
                "make room and run the command again"
            )

    def _write_note(self, response: Any, total: int | None) -> None:
        etag = plain(response.headers.get("ETag") or "", 500)
        # a weak tag may not be used with ranges
        validator = plain(response.headers.get("Last-Modified") or "", 500) if not etag or etag[:2] == "W/" else etag
        content = json.dumps({"url": str(self.address), "validator": validator, "total": total})
        with contextlib.suppress(OSError, ValueError):
            if self.note.read_text(encoding="utf-8") == content:
                return
        write_text_atomic(self.note, content)  # on a full disk the old note must survive

    def _noted(self) -> tuple[str, int | None]:
        """From an earlier response: a validator for ranges (or an empty text), and the size of the whole file."""
        with contextlib.suppress(UniRefError, AttributeError):
            note = read_json(self.note, largest=_NOTE)
            if note.get("url") == str(self.address):
                total = note.get("total")
                return str(note.get("validator") or ""), total if isinstance(total, int) else None
        return "", None

    def _restart(self) -> None:
        self.partial.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def _problem(self) -> str:
        if not self.partial.exists():
            return "is empty"
        return self.expected.problem(self.partial, self.target.name)


def _length(response: Any, have: int) -> int | None:
    """Bytes of the whole file, as a response declares them."""
    length = response.headers.get("Content-Length") or ""
    if response.headers.get("Transfer-Encoding") or not (length.isdecimal() and length.isascii()) or len(length) > 18:
        return None
    return have + int(length)


def _continues(response: Any, have: int, total: int | None) -> bool:
    """Whether the response is the rest from byte `have` on, of a file of as many bytes as before."""
    if response.status != 206:
        return False
    unit, _, span = (response.headers.get("Content-Range") or "").partition(" ")
    size = span.rpartition("/")[2]
    same = total is None or size in ("*", str(total))
    return unit == "bytes" and span.split("-")[0] == str(have) and same


def _copy(response: Any, file: IO[bytes], most: int) -> Iterator[None]:
    """Write blocks as they arrive, so that a broken connection loses nothing; yields once per megabyte."""
    waiting = written = 0
    while True:
        try:
            block = response.read1(_BLOCK)
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise _Retry(f"the connection broke off ({plain(str(error), 200) or type(error).__name__})") from None
        if not block:
            return
        written += len(block)
        if written > most:
            raise _TooLong
        file.write(block)
        waiting += len(block)
        while waiting >= _MEGA:
            waiting -= _MEGA
            yield
