"""Weights of the catalogue, fetched from servers that behave like their hosts."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import io
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import uniref
from tests.data.fetch.server import Behaviour, Page, serve
from tests.weights.official import official_state, small_config
from tests.weights.test_hosts import ID, QUOTA
from uniref.core.addresses import parse_address
from uniref.core.errors import CheckpointError, UniRefError, UsageError
from uniref.data.fetch.download import RetryPolicy
from uniref.weights import catalog, fetch, hosts
from uniref.weights.catalog import CATALOG
from uniref.weights.fetch import Access
from uniref.weights.locate import find_checkpoint, find_source
from uniref_cli.app import run

NAME = "video-joint-r50"
YES = Access(download=True)


@pytest.fixture(scope="module")
def content() -> bytes:
    file = io.BytesIO()
    torch.save({"model": official_state(small_config())[0]}, file)
    return file.getvalue()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNIREF_HOME", str(tmp_path / "home"))
    module = importlib.import_module("uniref.data.fetch.download")  # the package has a function of this name
    monkeypatch.setattr(
        module, "RetryPolicy", lambda **options: RetryPolicy(retries=1, timeout=1.0, backoff=0.01, **options)
    )
    return tmp_path / "home"


def at(monkeypatch: pytest.MonkeyPatch, url: str, **changes: object) -> None:
    """The entry is at this plain address."""
    entry = dataclasses.replace(CATALOG[NAME], address=url, **changes)  # type: ignore[arg-type]
    monkeypatch.setitem(catalog.CATALOG, NAME, entry)  # type: ignore[arg-type]


@pytest.fixture
def drive(content: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    """A Google Drive: a page with a form, the file behind it."""
    form = (
        f'<form id="download-form" action="/download"><input name="id" value="{ID}">'
        '<input name="confirm" value="t"><input name="uuid" value="1"></form>'
    )
    behaviour = Behaviour(content, pages={"/uc": Page(f"<!DOCTYPE html><html>{form}</html>")}, etag="", modified="now")
    with serve(behaviour) as url:
        monkeypatch.setattr(hosts, "DRIVE", url.removesuffix("/set.zip"))
        yield behaviour


def test_the_catalogue() -> None:
    assert {NAME, "image-joint-swinl", "pretrain-r50", "sam-vit-h", "resnet50", "bert-base-uncased"} <= set(CATALOG)
    for name, entry in CATALOG.items():
        assert entry.name == name
        assert entry.licence and entry.terms and entry.page and entry.title
        assert (entry.size or entry.about) > 10**7
        assert entry.sha256 is None or (len(entry.sha256) == 64 and entry.sha256_from)
        assert parse_address(entry.address).scheme == "https"
        assert entry.kind != "model" or hosts.download_source(entry.address).page is not None
        assert entry.kind == "text" or entry.file
        assert entry.kind != "text" or hosts.hub_repository(entry.address) is not None
    assert len({entry.address for entry in CATALOG.values()}) == len(CATALOG)
    assert CATALOG[NAME].scores["davis17"] == ("J&F", 81.5)


def test_nothing_is_fetched_without_being_asked_for(drive: Behaviour) -> None:
    with pytest.raises(UsageError) as caught:
        find_checkpoint(NAME)
    line = str(caught.value)
    assert "about 768 MB, MIT" in line
    assert "add --download, or run: uniref convert video-joint-r50 checkpoints/video-joint-r50 --download" in line
    with pytest.raises(UsageError, match="pass download=True"):
        uniref.Predictor.from_pretrained(NAME)
    assert drive.paths == []


def test_fetched_converted_and_kept(drive: Behaviour, home: Path, content: bytes) -> None:
    told: list[str] = []
    folder = find_checkpoint(NAME, Access(True, report=told.append))
    assert folder == home / "checkpoints" / NAME
    assert (home / "downloads" / NAME / "video-joint_r50.pth").read_bytes() == content
    assert drive.paths == [f"/uc?export=download&id={ID}", f"/download?id={ID}&confirm=t&uuid=1"]
    digest = hashlib.sha256(content).hexdigest()
    assert any(digest in line and "no checksum is published" in line for line in told)
    assert json.loads((home / "seen.json").read_text())[NAME]["sha256"] == digest
    assert json.loads((folder / "config.json").read_text())["source"]["file"] == "video-joint_r50.pth"
    drive.paths.clear()
    assert find_checkpoint(NAME) == folder
    assert uniref.Predictor.from_pretrained(NAME, device="cpu").classes == 1
    assert drive.paths == []
    [info] = [info for info in uniref.available_checkpoints() if info.name == NAME]
    assert info.path == folder


@pytest.mark.slow
def test_resumed(drive: Behaviour, home: Path, content: bytes) -> None:
    drive.drop_after = [20_000] + [0] * 5
    with pytest.raises(UniRefError, match="resume from 20,000 bytes"):
        find_checkpoint(NAME, YES)
    drive.drop_after.clear()
    drive.requests.clear()
    assert find_checkpoint(NAME, YES).is_dir()
    assert [r.get("Range") for r in drive.requests] == ["bytes=20000-"] * 2
    assert (home / "downloads" / NAME / "video-joint_r50.pth").read_bytes() == content


@pytest.mark.parametrize("status", [200, 403])
def test_too_many_users(drive: Behaviour, home: Path, status: int) -> None:
    drive.pages["/uc"] = Page(QUOTA, status=status)
    with pytest.raises(
        UniRefError, match=r"too many users have fetched it recently.*hand it over: uniref convert FILE"
    ):
        find_checkpoint(NAME, YES)
    assert not list((home / "downloads" / NAME).glob("[!.]*"))


def test_redirects_before_the_page(drive: Behaviour) -> None:
    drive.pages["/page"] = drive.pages["/uc"]
    drive.pages["/uc"] = Page(status=303, headers={"Location": f"/page?id={ID}"})
    assert find_checkpoint(NAME, YES).is_dir()
    assert [path.partition("?")[0] for path in drive.paths] == ["/uc", "/page", "/download"]


def test_a_disk_with_too_little_room(drive: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(UniRefError, match=r"bytes are to be fetched, but the disk has 1,000 left"):
        find_checkpoint(NAME, YES)


def test_pages_without_end(drive: Behaviour) -> None:
    drive.pages["/download"] = drive.pages["/uc"]
    with pytest.raises(UniRefError, match="one web page after another"):
        find_checkpoint(NAME, YES)


def test_another_file_than_the_first_time(drive: Behaviour, home: Path, content: bytes) -> None:
    fetch.check_recorded_digest(NAME, "0" * 64)
    with pytest.raises(CheckpointError, match=r"is another file than the one first fetched on .* was deleted"):
        find_checkpoint(NAME, YES)
    assert not list((home / "downloads" / NAME).glob("[!.]*"))


@pytest.mark.slow
def test_no_checkpoint_at_all(drive: Behaviour, home: Path, content: bytes) -> None:
    drive.content = b"PK\3\4 nothing of the kind"
    for _ in range(2):
        with pytest.raises(UniRefError, match="was deleted"):
            find_checkpoint(NAME, YES)
    drive.content = b"\x80\x02nothing of the kind"
    with pytest.raises(UniRefError, match="fetched file was deleted"):
        find_checkpoint(NAME, YES)
    assert not (home / "seen.json").exists()
    drive.content = content
    assert find_checkpoint(NAME, YES).is_dir()


def test_published_checksums(monkeypatch: pytest.MonkeyPatch, home: Path, content: bytes) -> None:
    with serve(Behaviour(content)) as url:
        at(monkeypatch, url, sha256="0" * 64)
        with pytest.raises(UniRefError, match=r"has sha256 .* expected 0000"):
            find_checkpoint(NAME, YES)
        at(monkeypatch, url, sha256=hashlib.sha256(content).hexdigest(), size=len(content))
        assert find_checkpoint(NAME, YES).is_dir()
        assert not (home / "seen.json").exists()


def test_a_file_that_a_person_put_there(monkeypatch: pytest.MonkeyPatch, home: Path, content: bytes) -> None:
    """After a refusal of the host: it is checked, and never deleted."""
    file = home / "downloads" / NAME / "video-joint_r50.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    assert find_checkpoint(NAME).is_dir()
    at(monkeypatch, "http://127.0.0.1:9/x", sha256="0" * 64)
    (home / "checkpoints").rename(home / "away")
    with pytest.raises(CheckpointError, match="is not video-joint-r50"):
        find_checkpoint(NAME)
    assert file.read_bytes() == content


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x.pth", "http://no-such-host.invalid/x.pth"])
def test_no_network(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    at(monkeypatch, url)
    with pytest.raises(UniRefError, match="cannot be reached"):
        find_checkpoint(NAME, YES)


def test_misspelt_and_unfit_names() -> None:
    with pytest.raises(CheckpointError, match="did you mean video-joint-r50"):
        find_checkpoint("video_joint_r5")
    with pytest.raises(CheckpointError, match="did you mean sam-vit-h"):
        find_source("sam_vit_h", Access())
    with pytest.raises(UsageError, match="resnet50: is not a trained model"):
        find_checkpoint("resnet50")
    assert find_checkpoint("elsewhere") == Path("elsewhere")


def test_a_path_goes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(NAME).mkdir()
    assert find_checkpoint(NAME, YES) == Path(NAME)


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert fetch.home() == tmp_path / "home"
    monkeypatch.delenv("UNIREF_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert fetch.home() == tmp_path / "x/uniref"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch.home() == tmp_path / ".cache/uniref"


def test_a_cache_that_cannot_be_written(drive: Behaviour, home: Path) -> None:
    home.write_text("in the way")
    with pytest.raises(UniRefError) as caught:
        find_checkpoint(NAME, YES)
    assert "\n" not in str(caught.value)


# the command


@pytest.mark.slow
def test_convert_by_name(drive: Behaviour, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["convert", NAME, str(tmp_path / "r50"), "--dtype", "float16"]
    assert run(command) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert run([*command, "--download"]) == 0
    output = capsys.readouterr()
    assert "UniRef++ joint model" in output.out
    assert "MIT" in output.out
    assert json.loads((tmp_path / "r50/config.json").read_text())["dtype"] == "float16"
    drive.paths.clear()
    assert run([*command, "--overwrite"]) == 0  # from the cache
    assert drive.paths == []


@pytest.mark.slow
def test_convert_an_address(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    behaviour = Behaviour(content)
    with serve(behaviour, name="a/video-joint.pth") as url:
        secret = url.replace("//", "//me:geheim@")
        assert run(["convert", secret, str(tmp_path / "r50")]) == 0
        assert behaviour.requests[0]["Authorization"]
        assert run(["convert", f"{secret}.missing", str(tmp_path / "b")]) == 0  # the server gives it for any path
        behaviour.status = [404]
        assert run(["convert", f"{secret}?other", str(tmp_path / "c")]) == 1
        behaviour.content = b"Sorry, try again later"
        for _ in range(2):
            assert run(["convert", f"{secret}?more", str(tmp_path / "c")]) == 1
        behaviour.paths.clear()
        assert run(["convert", secret, str(tmp_path / "r50"), "--overwrite"]) == 0
        assert behaviour.paths == []
    output = capsys.readouterr()
    assert "geheim" not in output.out + output.err
    assert output.err.count("gives no weights") == 2
    assert "was fetched before; to fetch it again, delete" in output.out
    assert "video-joint.pth: UniRef++ joint model" in output.out
    assert "geheim" not in (tmp_path / "r50/config.json").read_text()
    for address in ("https://a.example/", "http://x:y/z.pth", "ftp://a/b.pth"):
        assert run(["convert", address, str(tmp_path / "d")]) == 1
        assert capsys.readouterr().err.count("\n") == 1


def test_convert_list(drive: Behaviour, capsys: pytest.CaptureFixture[str], home: Path) -> None:
    assert run(["convert", "--list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in CATALOG)
    assert "davis17 81.5" in text
    assert run(["convert", "--list", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["name"] for record in records] == ["small", *CATALOG]
    assert records[1]["path"] is None
    assert drive.paths == []
    find_source(NAME, YES)
    assert run(["convert", "--list"]) == 0
    assert str(home / "downloads" / NAME) in capsys.readouterr().out


def test_convert_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert"]) == 2
    assert "name what to convert" in capsys.readouterr().err
    assert run(["convert", "x.pth"]) == 2
    assert "name the folder to write" in capsys.readouterr().err
    assert run(["convert", "x.pth", "y"]) == 1
    assert "x.pth" in capsys.readouterr().err


@pytest.mark.slow
def test_predict_by_name(drive: Behaviour, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = Path(__file__).parents[2] / "examples/table.jpg"
    command = ["predict", str(picture), "--text", "the blue cup", "--out", str(tmp_path / "out"), "--short-side", "64"]
    assert run([*command, "--checkpoint", NAME]) == 2
    assert "add --download" in capsys.readouterr().err
    assert run([*command, "--checkpoint", NAME, "--download"]) == 0
    assert (tmp_path / "out/table/summary.json").exists()
    drive.paths.clear()
    assert run([*command, "--checkpoint", NAME, "--overwrite"]) == 0
    assert drive.paths == []


def test_two_at_once_fetch_and_convert_once(drive: Behaviour) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(find_checkpoint(NAME, YES))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == len(drive.paths) == 2  # one page, one file
