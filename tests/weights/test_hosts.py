"""Addresses as people copy them, and the pages of Google Drive."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from uniref.core.addresses import parse_address
from uniref.core.errors import UniRefError
from uniref.weights.hosts import HubRepository, download_source, drive_page, hub_repository

ID = "190SV9GU6Pd9FMZQnRrCbgw8lqDYF9_-I"
ASKED = parse_address(f"https://drive.google.com/uc?export=download&id={ID}")
CONFIRM = f"""<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
<form action="/search"><input name="q" value="x"></form>
<form id="download-form" action="https://drive.usercontent.google.com/download" method="get">
<input type="submit" value="Download anyway"><input type="hidden" name="id" value="{ID}">
<input type="hidden" name="export" value="download"><input type="hidden" name="confirm" value="t">
<input type="hidden" name="uuid" value="a&amp;b"></form></body></html>"""
QUOTA = """<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>
<p class="uc-error-caption">Sorry, you can't view or download this file at this time.</p>
<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently.</p></body></html>"""


@pytest.mark.parametrize(
    "address",
    [
        f"https://drive.google.com/file/d/{ID}/view?usp=sharing",
        f"https://drive.google.com/file/u/1/d/{ID}/edit",
        f"https://drive.google.com/open?id={ID}",
        f"https://drive.google.com/uc?id={ID}&export=download",
        f"https://drive.usercontent.google.com/download?id={ID}&confirm=t",
        f"https://docs.google.com/uc?export=download&id={ID}",
    ],
)
def test_addresses_of_google_drive(address: str) -> None:
    source = download_source(address)
    assert source.address == f"https://drive.google.com/uc?export=download&id={ID}"
    assert source.page is not None
    assert source.page(ASKED, CONFIRM).startswith("https://drive.usercontent.google.com/download?")


def test_other_addresses() -> None:
    assert download_source("https://example.com/a/b.pth?x=1") == ("https://example.com/a/b.pth?x=1", "b.pth", None)
    page = "https://huggingface.co/me/model/blob/main/a.pth"
    assert download_source(page).address == "https://huggingface.co/me/model/resolve/main/a.pth"
    for wrong in ("https://drive.google.com/drive/folders/1abcdefghijkl", "https://example.com/", "ftp://a/b"):
        with pytest.raises(UniRefError):
            download_source(wrong)


@pytest.mark.parametrize(
    ("text", "repository"),
    [
        ("me/model", ("me/model", None)),
        ("me/model@v1.0", ("me/model", "v1.0")),
        ("https://huggingface.co/me/model", ("me/model", None)),
        ("https://huggingface.co/me/model/tree/refs", ("me/model", "refs")),
        ("https://huggingface.co/me/model/resolve/main/a.pth", None),
        ("https://example.com/me/model", None),
        ("model", None),
        ("./me/model", None),
        ("../model", None),
        ("me/model/more", None),
        ("me/mo del", None),
        ("C:/model", None),
        ("me/.hidden", None),
        ("me/model@../../x", None),
        ("me/model@a b", None),
        ("https://[/me/model", None),
    ],
)
def test_repositories_of_the_hub(text: str, repository: tuple[str, str | None] | None) -> None:
    assert hub_repository(text) == (HubRepository(*repository) if repository else None)


def test_the_confirmation_page() -> None:
    way = drive_page(ID, ASKED, CONFIRM)
    assert way == f"https://drive.usercontent.google.com/download?id={ID}&export=download&confirm=t&uuid=a%26b"


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (QUOTA, "too many users have fetched it recently"),
        ("<html><title>Page\x1b[2J\nNot Found</title>", r"a page instead of the file \(Page\\x1b\[2J Not Found\)"),
        (CONFIRM.replace("drive.usercontent.google.com", "evil.example"), "leads elsewhere"),
        (CONFIRM.replace("drive.usercontent.google.com", "evilgoogle.com"), "leads elsewhere"),
        (CONFIRM.replace("https://drive.user", "http://drive.user"), "leads elsewhere"),
        (CONFIRM.replace(f'value="{ID}"', 'value="another-file-number"'), "leads elsewhere"),
    ],
)
def test_other_pages(page: str, message: str) -> None:
    with pytest.raises(UniRefError, match=message) as caught:
        drive_page(ID, ASKED, page)
    line = str(caught.value)
    assert f"https://drive.google.com/file/d/{ID}/view" in line  # the way with a browser
    assert "uniref convert FILE FOLDER" in line
    assert line.isprintable()


def test_a_login() -> None:
    with pytest.raises(UniRefError, match="requires a login"):
        drive_page(ID, parse_address("https://accounts.google.com/signin?continue=x"), "<html></html>")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40), st.integers(0, len(CONFIRM)), st.integers(0, 30))
@example("[", CONFIRM.index("//") + 2, 0)
@pytest.mark.slow
def test_any_page_leads_to_google_or_is_told_in_one_line(text: str, place: int, cut: int) -> None:
    page = CONFIRM[:place] + text + CONFIRM[place + cut :]
    try:
        way = ASKED.follow(drive_page(ID, ASKED, page))
    except UniRefError as problem:
        assert str(problem).isprintable()
        return
    assert way.host.endswith(".google.com")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["", "https://drive.google.com/", "https://huggingface.co/", "me/"]))
def test_any_source_is_told_in_one_line(text: str, start: str) -> None:
    repository = hub_repository(start + text)
    assert repository is None or str(repository).isprintable()
    try:
        assert download_source(start + text).file
    except UniRefError as problem:
        assert str(problem).isprintable()
