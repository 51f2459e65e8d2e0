"""Hosts that do not simply give a file for its address: Google Drive, and pages of the Hugging Face hub.

Google Drive asks for a confirmation of large files and refuses files that many have fetched. The package gdown knows
that too; it is not used because it would bring a second downloader with other rules. The page with the confirmation is
the only thing that is particular to Drive, some forty lines here, and everything else (resuming, checked redirects,
limits, nothing under its final name before it is whole) is what `uniref.data.fetch` does for every host.
"""

from __future__ import annotations

import contextlib
import functools
import re
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from uniref.core.addresses import Address, is_address, parse_address, plain
from uniref.core.errors import UniRefError
from uniref.data.fetch.download import PageReader

DRIVE = "https://drive.google.com"
_DRIVE_HOSTS = ("drive.google.com", "docs.google.com", "drive.usercontent.google.com")
_GOOGLE = (".google.com", ".googleusercontent.com")
_LOGIN = "accounts.google.com"
_ID = re.compile(r"[A-Za-z0-9_-]{10,100}")
_HUB_HOSTS = ("huggingface.co", "hf.co", "www.huggingface.co")
_QUOTA = re.compile(r"too many users|quota|uc-error-subcaption", re.IGNORECASE)


class DownloadSource(NamedTuple):
    """What to ask a host for."""

    address: str
    file: str
    """What to call the file."""
    page: PageReader | None
    """Finds the way on from the host's pages."""


class HubRepository(NamedTuple):
    """A repository of the Hugging Face hub."""

    name: str
    """`owner/name`."""
    revision: str | None
    """Branch, tag or commit; None = main."""

    def __str__(self) -> str:
        return self.name if self.revision is None else f"{self.name}@{self.revision}"


def download_source(text: str) -> DownloadSource:
    """What to ask for, for an address as people copy it from a browser: pages about a file become the file.

    Raises:
        UniRefError: No address, no file in it, or a folder of Google Drive.
    """
    address = parse_address(text)
    if address.host in _DRIVE_HOSTS:
        number = drive_id(text)
        if number is None:
            raise UniRefError(f"{address}: names no file of Google Drive; share the file itself, not its folder")
        return DownloadSource(
            f"{DRIVE}/uc?{urlencode({'export': 'download', 'id': number})}",
            f"{number}.pth",
            functools.partial(drive_page, number),
        )
    if address.host in _HUB_HOSTS:  # the page of a file leads to the file
        text = re.sub(r"^(https?://[^/]+/[^/]+/[^/]+)/blob/", r"\1/resolve/", text)
    name = parse_address(text).path.rpartition("/")[2]
    if not name or name in (".", ".."):
        raise UniRefError(f"{address}: names no file")
    return DownloadSource(text, name[-100:], None)


def drive_id(text: str) -> str | None:
    """The number of a file in an address of Google Drive; None where there is none."""
    parts = urlsplit(text)
    found = re.search(r"/file/(?:u/\d+/)?d/([^/]+)", parts.path)
    number = found[1] if found else parse_qs(parts.query).get("id", [""])[0]
    return number if _ID.fullmatch(number) else None


def hub_repository(text: str) -> HubRepository | None:
    """The hub's repository that a text names: `owner/name`, `owner/name@revision`, or its page's address.

    None where it is something else, the address of a single file too.
    """
    revision = None
    if is_address(text):
        try:
            parts = urlsplit(text)
        except ValueError:  # told where the address is asked for
            return None
        steps = [step for step in parts.path.split("/") if step]
        if parts.scheme != "https" or parts.hostname not in _HUB_HOSTS or len(steps) not in (2, 4):
            return None
        if len(steps) == 4 and steps[2] != "tree":
            return None
        name, revision = "/".join(steps[:2]), steps[3] if len(steps) == 4 else None
    else:
        name, _, after = text.partition("@")
        revision = after or None
    word = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
    if not re.fullmatch(f"{word}/{word}", name) or ".." in text:
        return None
    if revision and not re.fullmatch(r"[\w./-]{1,200}", revision):
        return None
    return HubRepository(name, revision)


def drive_page(number: str, address: Address, text: str) -> str:
    """The way on from a page of Google Drive that comes instead of a file: its form's answer.

    Args:
        number: Of the file that was asked for.
        address: Of the page.
        text: HTML.

    Raises:
        UniRefError: The page refuses (too many have fetched the file, a login is wanted), or is an unknown one.
    """
    view = f"https://drive.google.com/file/d/{number}/view"
    by_browser = f"open {view} in a browser, download the file, and hand it over: uniref convert FILE FOLDER"
    if address.host == _LOGIN:
        raise UniRefError(f"{view}: Google Drive wants a login for this file; {by_browser}")
    form = _Form()
    with contextlib.suppress(AssertionError):  # how the parser takes some kinds of broken pages
        form.feed(text)
    if form.action is None:
        if _QUOTA.search(text):
            raise UniRefError(
                f"{view}: Google Drive refuses this file for now, because too many users have fetched it lately (for "
                f"up to 24 hours). Try again later, or, logged in to Google, {by_browser}"
            )
        title = plain(" ".join(form.title.split()), 100)
        raise UniRefError(f"{view}: Google Drive answers with a page instead of the file ({title}); {by_browser}")
    # the form must lead to the same file and stay with Google: nothing else is confirmed
    try:
        target = parse_address(urljoin(address.request, form.action))
    except ValueError:
        raise UniRefError(f"{view}: the address in Google Drive's page is not valid; {by_browser}") from None
    within = target.host == address.host or (target.scheme == "https" and target.host.endswith(_GOOGLE))
    if not within or form.fields.get("id", number) != number:
        raise UniRefError(f"{view}: Google Drive's page leads elsewhere ({target}); {by_browser}")
    return f"{target.request.partition('?')[0]}?{urlencode(form.fields)}"


class _Form(HTMLParser):
    """Reads the form with which Drive asks whether a large file is wanted although no scanner has seen it."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.title = ""
        self._inside = self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "form" and values.get("id") == "download-form":
            self.action, self._inside = values.get("action") or "", True
        elif tag == "input" and self._inside and values.get("name"):
            self.fields[values["name"] or ""] = values.get("value") or ""
        self._in_title = tag == "title"

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        self._in_title = False

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
