"""Downloads that must not succeed: what is wrong, incomplete, endless, or leads elsewhere."""

from __future__ import annotations

import errno
import gzip
import io
import json
import pickle
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import py7zr
import pytest

from tests.data.fetch.server import Behaviour, Page, serve
from uniref.core.errors import UniRefError
from uniref.data.fetch import request
from uniref.data.fetch.download import RetryPolicy, discard, download, was_fetched
from uniref.data.fetch.structure import structure_problem

CONTENT = np.random.default_rng(0).bytes(300_000)
QUICK = RetryPolicy(retries=1, timeout=0.5, backoff=0.01)


def refused(url: str, target: Path, **options: Any) -> str:
    with pytest.raises(UniRefError) as caught:
        download(url, target, policy=options.pop("policy", QUICK), **options)
    line = str(caught.value)
    assert line.isprintable()
    assert not target.exists()
    return line


def visible(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def _zip() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("a.bin", CONTENT)
        archive.writestr("b.txt", "b")
    return data.getvalue()


def _tar(mode: str) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:
        for name in ("a.bin", "b.bin"):
            info = tarfile.TarInfo(name)
            info.size = len(CONTENT)
            archive.addfile(info, io.BytesIO(CONTENT))
    return data.getvalue()


def _seven() -> bytes:
    data = io.BytesIO()
    with py7zr.SevenZipFile(data, "w") as archive:
        archive.writestr(CONTENT, "a.bin")
    return data.getvalue()


def _safetensors() -> bytes:
    header = json.dumps({"a": {"dtype": "U8", "shape": [1000], "data_offsets": [0, 1000]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(1000)


KINDS: dict[str, Callable[[], bytes]] = {
    "x.zip": _zip,
    "x.pth": _zip,
    "x.tar": lambda: _tar("w"),
    "x.7z": _seven,
    "x.json": lambda: json.dumps([{"a": 1}] * 1000).encode(),
    "x.p": lambda: pickle.dumps([{"a": 1}] * 1000),
    "x.safetensors": _safetensors,
}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_is_cut_without_a_declared_length(tmp_path: Path, name: str) -> None:
    """It gets no name, and the next run fetches it by itself."""
    content = KINDS[name]()
    behaviour = Behaviour(content[: len(content) * 2 // 3], declared=False)
    with serve(behaviour, name=name) as url:
        line = refused(url, tmp_path / name)
        assert "is cut" in line or "not a complete" in line or "cut or damaged" in line or "is not a valid zip" in line
        assert visible(tmp_path) == []
        behaviour.content = content
        assert download(url, tmp_path / name, policy=QUICK).read_bytes() == content
    assert visible(tmp_path) == [name]


@pytest.mark.parametrize("name", [*KINDS, "x.tar.gz", "x.txt"])
@pytest.mark.parametrize("page", ["<!-- a --> <HTML>log in</HTML>", "\ufeff\n<!doctype html><p>gone"])
def test_a_web_page_never_gets_the_name(tmp_path: Path, name: str, page: str) -> None:
    with serve(Behaviour(page.encode())) as url:
        assert "answers with a web page" in refused(url, tmp_path / name)
    assert visible(tmp_path) == []


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.7z", "x.safetensors", "x.json"])
def test_something_else_never_gets_the_name(tmp_path: Path, name: str) -> None:
    with serve(Behaviour(b"Too many requests, try again later")) as url:
        assert "is not a valid" in refused(url, tmp_path / name)
        assert "is not a valid" in refused(url, tmp_path / name)


def test_nothing_at_all(tmp_path: Path) -> None:
    with serve(Behaviour(b"")) as url:
        assert "is empty" in refused(url, tmp_path / "x.dat")
    with serve(Behaviour(pages={"/set.zip": Page(status=204)})) as url:
        assert "brings no file" in refused(url, tmp_path / "x.dat")


@pytest.mark.slow
def test_whole_archives_pass(tmp_path: Path) -> None:
    for name, make in {**KINDS, "x.tar.gz": lambda: _tar("w:gz"), "x.tar.xz": lambda: _tar("w:xz")}.items():
        content = make()
        with serve(Behaviour(content, declared=False)) as url:
            assert download(url, tmp_path / name, policy=QUICK).read_bytes() == content


def test_an_endless_answer(tmp_path: Path) -> None:
    limited = RetryPolicy(retries=1, timeout=0.5, backoff=0.01, limit=100_000)
    with serve(Behaviour(CONTENT, declared=False)) as url:
        assert "sends more than the 100,000 bytes" in refused(url, tmp_path / "x.dat", policy=limited)
        assert "sends more than the 1,000 bytes that are expected" in refused(url, tmp_path / "x.dat", size=1000)
        assert visible(tmp_path) == []
        download(url, tmp_path / "x.dat", size=len(CONTENT), policy=limited)  # somebody knows how many
    with serve(Behaviour(CONTENT)) as url:
        download(url, tmp_path / "y.dat", policy=limited)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_disk_with_too_little_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 1000))
    with serve(Behaviour(CONTENT)) as url:
        line = refused(url, tmp_path / "x.dat")
        assert "x.dat: 300,000 bytes are to be fetched, but the disk has 1,000 left" in line
        monkeypatch.undo()
        download(url, tmp_path / "x.dat", policy=QUICK)


def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was fetched stays, and the next run goes on from there."""
    original = Path.open

    def full(self: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        file = original(self, mode, *rest, **options)
        if self.suffix != ".partial" or mode != "ab":
            return file

        class Full(io.BufferedWriter):
            def write(self, data: Any) -> int:
                if self.tell() + len(data) > 100_000:
                    super().write(bytes(data)[: 100_000 - self.tell()])
                    raise OSError(errno.ENOSPC, "No space left on device")
                return super().write(data)

        return Full(file.detach())

    monkeypatch.setattr(Path, "open", full)
    behaviour = Behaviour(CONTENT)
    with serve(behaviour) as url:
        assert "the disk is full" in refused(url, tmp_path / "x.dat")
        assert (tmp_path / "x.dat.partial").stat().st_size == 100_000
        assert "the disk is full" in refused(url, tmp_path / "x.dat")
        assert (tmp_path / "x.dat.partial").stat().st_size == 100_000
        monkeypatch.undo()
        assert download(url, tmp_path / "x.dat", policy=QUICK).read_bytes() == CONTENT
    assert behaviour.requests[-1]["Range"] == "bytes=100000-"


def test_a_file_of_another_size_from_an_earlier_download(tmp_path: Path) -> None:
    behaviour = Behaviour(CONTENT[:1000])
    with serve(behaviour) as url:
        download(url, tmp_path / "x.dat", policy=QUICK)
        behaviour.content = CONTENT
        download(url, tmp_path / "x.dat", size=len(CONTENT), policy=QUICK)
        assert (tmp_path / "x.dat").read_bytes() == CONTENT
        assert visible(tmp_path) == ["x.dat"]

        # while the new one is not complete, the old one stays
        behaviour.content, behaviour.drop_after = CONTENT * 2, [10] + [0] * 9
        with pytest.raises(UniRefError):
            download(url, tmp_path / "x.dat", size=2 * len(CONTENT), policy=QUICK)
        assert (tmp_path / "x.dat").read_bytes() == CONTENT


def test_what_a_user_put_there_is_never_lost(tmp_path: Path) -> None:
    target = tmp_path / "x.dat"
    with serve(Behaviour(CONTENT)) as url:
        target.write_bytes(b"mine")
        with pytest.raises(UniRefError, match=r"x\.dat: has 4 bytes, expected 300,000"):
            download(url, target, size=len(CONTENT), policy=QUICK)
        assert not discard(target)
        assert target.read_bytes() == b"mine"
        target.unlink()

        for content in (b"mine", b"mine again"):  # in the place of one that was fetched
            download(url, target, size=len(CONTENT), policy=QUICK)
            assert was_fetched(target)
            target.write_bytes(content)
            assert not was_fetched(target)
            download(url, target, size=len(CONTENT), policy=QUICK)
        assert (tmp_path / "x.dat.old").read_bytes() == b"mine"
        assert (tmp_path / "x.dat.old2").read_bytes() == b"mine again"
        assert target.read_bytes() == CONTENT


def test_words_of_the_server_move_no_cursor(tmp_path: Path) -> None:
    with serve(Behaviour(CONTENT, status=[404], reason="Not\x1b[2J Found\x07")) as url:
        assert "HTTP 404 Not\\x1b[2J Found\\x07" in refused(url, tmp_path / "x.dat")
    with serve(Behaviour(CONTENT, redirect="http://other\x1b[2J.example/")) as url:
        assert "\\x1b" in refused(url, tmp_path / "x.dat")
    with serve(Behaviour(CONTENT, etag='"\x9b2J"')) as url:
        download(url, tmp_path / "x.dat", policy=QUICK)


def test_a_login_that_is_wanted(tmp_path: Path) -> None:
    with serve(Behaviour(CONTENT, status=[401])) as url:
        assert "HTTP 401 Unauthorized; the server wants a login" in refused(url, tmp_path / "x.dat")


def test_users_and_passwords(tmp_path: Path) -> None:
    """They go to their own host, to no other, and into no file and no message."""
    target = Behaviour(CONTENT)
    with serve(target) as other, serve(Behaviour(redirect="/file")) as url:
        behaviour = Behaviour(pages={"/a": Page(status=302, headers={"Location": "/b"})}, redirect=other)
        with serve(behaviour, name="a") as first:
            download(first.replace("//", "//me:geheim@"), tmp_path / "x.dat", policy=QUICK)
        assert [r["Authorization"] for r in behaviour.requests] == ["Basic bWU6Z2VoZWlt"] * 2
        assert "Authorization" not in target.requests[0]
        assert "geheim" not in refused(url.replace("//", "//me:geheim@"), tmp_path / "y.dat")
        target.drop_after = [1000] + [0] * 9
        assert "geheim" not in refused(other.replace("//", "//me:geheim@"), tmp_path / "z.dat")
    written = [p.read_text() for p in tmp_path.rglob("*") if p.suffix in (".json", ".fetched")]
    assert len(written) == 2
    assert not any("geheim" in text for text in written)


def test_circles(tmp_path: Path) -> None:
    with serve(Behaviour(redirect="/set.zip")) as url:
        assert "redirects in a circle" in refused(url, tmp_path / "x.dat")
    pages = {f"/{n}": Page(status=302, headers={"Location": f"/{n + 1}"}) for n in range(30)}
    with serve(Behaviour(CONTENT, pages=pages), name="0") as url:
        assert "redirect in a row" in refused(url, tmp_path / "x.dat")
    with serve(Behaviour(CONTENT, pages={"/0": Page(status=302, headers={"Location": "/1"})}), name="0") as url:
        download(url, tmp_path / "x.dat", policy=QUICK)


def test_a_public_server_sends_nobody_to_a_private_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.2 plays the public machine."""
    private = Behaviour(CONTENT)
    monkeypatch.setattr(request, "is_private", lambda ip: ip != "127.0.0.2")
    with serve(private) as url:
        with serve(Behaviour(redirect=url), host="127.0.0.2") as public:
            assert "to a private network, which is not followed" in refused(public, tmp_path / "x.dat")
            assert not private.requests  # not even asked
            localhost = url.replace("127.0.0.1", "localhost")
            with serve(Behaviour(redirect=localhost), host="127.0.0.2") as by_name:
                assert "to a private network" in refused(by_name, tmp_path / "x.dat")
            with serve(Behaviour(redirect=public), host="127.0.0.1") as within:  # private, public, private
                assert "to a private network" in refused(within, tmp_path / "x.dat")
        with serve(Behaviour(CONTENT), host="127.0.0.2") as public, serve(Behaviour(redirect=public)) as outwards:
            download(outwards, tmp_path / "y.dat", policy=QUICK)


def test_other_schemes(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    for location in ((tmp_path / "secret").as_uri(), "ftp://127.0.0.1/x", "data:,x", "http://127.0.0.1:99999/"):
        with serve(Behaviour(redirect=location)) as url:
            assert "redirects to an address that cannot be fetched" in refused(url, tmp_path / "x.dat")


def test_damaged_gzip_passes_and_is_found_when_unpacked(tmp_path: Path) -> None:
    with serve(Behaviour(gzip.compress(CONTENT)[:1000], declared=False)) as url:
        download(url, tmp_path / "x.tar.gz", policy=QUICK)
    assert discard(tmp_path / "x.tar.gz")
    assert visible(tmp_path) == []


def test_through_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It resolves the names, so that what can be seen of a redirect is judged: numbers and names of this machine."""
    behaviour = Behaviour(CONTENT)
    with serve(behaviour) as proxy:
        monkeypatch.setenv("http_proxy", proxy.removesuffix("/set.zip"))
        monkeypatch.setenv("no_proxy", "")
        download("http://me:geheim@files.example/x.dat", tmp_path / "x.dat", policy=QUICK)
        assert behaviour.paths == ["http://files.example/x.dat"]
        for location in ("http://10.0.0.1/x", "http://[::1]/x", "http://localhost/x", "http://169.254.169.254/x"):
            behaviour.redirect = location
            assert "to a private network" in refused("http://files.example/x.dat", tmp_path / "y.dat")


@pytest.mark.slow
def test_any_file_is_looked_at_without_an_error(tmp_path: Path) -> None:
    """Damaged files of every kind: a problem is found, or none, and nothing is raised."""
    random = np.random.default_rng(1)
    path = tmp_path / "x"
    for name, make in {**KINDS, "x.tar.gz": lambda: _tar("w:gz")}.items():
        content = make()
        for _ in range(150):
            damaged = bytearray(content)
            for place in random.integers(0, len(damaged), 20):
                damaged[place] = random.integers(256)
            for place in random.integers(0, min(600, len(damaged)), 4):
                damaged[place] = random.integers(256)
            path.write_bytes(damaged[: random.integers(len(damaged))] if random.random() < 0.3 else damaged)
            assert isinstance(structure_problem(path, name), str)
