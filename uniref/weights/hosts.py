"""Addresses that need more than a request: Google Drive, and pages of the Hugging Face hub.

Google Drive asks for a confirmation of large files and refuses files that many users have fetched. The package gdown
handles that, but would be a second downloader with other rules. Only the confirmation page is specific to Drive, some
forty lines here; everything else (resuming, checked redirects, limits, atomic renaming) is done by `uniref.data.fetch`
for every host.
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
    """A request to a host."""

    address: str
    file: str
    """Name of the file in the cache."""
    page: PageReader | None
    """Finds the file's address on a page that the host returns instead of the file; None: no such pages."""


class HubRepository(NamedTuple):
    """A repository of the Hugging Face hub."""

    name: str
    """`owner/name`."""
    revision: str | None
    """Branch, tag or commit; None = main."""

    def __str__(self) -> str:
        return self.name if self.revision is None else f"{self.name}@{self.revision}"


def download_source(text: str) -> DownloadSource:
    """The request for an address as copied from a browser: pages about a file become the file.

    Raises:
        UniRefError: Not a valid address, without a file name, or a folder of Google Drive.
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
    """The file id in an address of Google Drive; None without one."""
    parts = urlsplit(text)
    match = re.search(r"/file/(?:u/\d+/)?d/([^/]+)", parts.path)
    number = match[1] if match else parse_qs(parts.query).get("id", [""])[0]
    return number if _ID.fullmatch(number) else None


def hub_repository(text: str) -> HubRepository | None:
    """The hub repository that a text names: `owner/name`, `owner/name@revision`, or the address of its page.

    None for anything else, such as the address of a single file.
    """
    # an address of a page, or `owner/name@revision`
    revision = None
    if is_address(text):
        try:
            parts = urlsplit(text)
        except ValueError:  # reported when the address is requested
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
    # allowed names and revisions
    word = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
    if not re.fullmatch(f"{word}/{word}", name) or ".." in text:
        return None
    if revision and not re.fullmatch(r"[\w./-]{1,200}", revision):
        return None
    return HubRepository(name, revision)


def drive_page(number: str, address: Address, text: str) -> str:
    """The address that confirms a download, from the page that Google Drive returns instead of a file.

    Args:
        number: Id of the requested file.
        address: Address of the page.
        text: HTML.

    Raises:
        UniRefError: The page refuses (quota exceeded, login required), or is an unknown one.
    """
    # pages without a form
    view = f"https://drive.google.com/file/d/{number}/view"
    by_browser = f"open {view} in a browser, download the file, and hand it over: uniref convert FILE FOLDER"
    if address.host == _LOGIN:
        raise UniRefError(f"{view}: Google Drive requires a login for this file; {by_browser}")
    form = _Form()
    with contextlib.suppress(AssertionError):  # raised by the parser for some broken pages
        form.feed(text)
    if form.action is None:
        if _QUOTA.search(text):
            raise UniRefError(
                f"{view}: Google Drive refuses this file for now, because too many users have fetched it recently (for "
                f"up to 24 hours). Try again later, or, logged in to Google, {by_browser}"
            )
        title = plain(" ".join(form.title.split()), 100)
        raise UniRefError(f"{view}: Google Drive answers with a page instead of the file ({title}); {by_browser}")
    # the form must lead to the same file and stay on Google's hosts
    try:
        target = parse_address(urljoin(address.request, form.action))
    except ValueError:
        raise UniRefError(f"{view}: the address in Google Drive's page is not valid; {by_browser}") from None
    within = target.host == address.host or (target.scheme == "https" and target.host.endswith(_GOOGLE))
    if not within or form.fields.get("id", number) != number:
        raise UniRefError(f"{view}: Google Drive's page leads elsewhere ({target}); {by_browser}")
    return f"{target.request.partition('?')[0]}?{urlencode(form.fields)}"


class _Form(HTMLParser):
    """Parser of the form with which Drive asks to confirm a large file that it has not scanned for viruses."""

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
