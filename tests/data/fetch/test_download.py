"""Downloads from servers that behave badly."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.data.fetch.server import Behaviour, serve
from uniref.core.errors import UniRefError
from uniref.data.fetch.download import RetryPolicy, download

CONTENT = np.random.default_rng(0).bytes(3_000_000)
QUICK = RetryPolicy(retries=3, timeout=0.5, backoff=0.01)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def only_the_file(folder: Path) -> bool:
    return [p.name for p in folder.iterdir() if not p.name.startswith(".")] == ["set.dat"]


def test_plain(tmp_path: Path) -> None:
    with serve(Behaviour(CONTENT)) as url:
        md5 = hashlib.md5(CONTENT).hexdigest()  # noqa: S324 - what publishers give
        path = download(url, tmp_path / "set.dat", size=len(CONTENT), sha256=("0", digest(CONTENT)), md5=md5)
    assert path.read_bytes() == CONTENT
    assert only_the_file(tmp_path)


def test_a_finished_file_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "set.dat").write_bytes(b"here")
    assert download("http://127.0.0.1:9/set.dat", tmp_path / "set.dat").read_bytes() == b"here"


def test_dropped_connections_are_resumed(tmp_path: Path) -> None:
    behaviour = Behaviour(CONTENT, drop_after=[1_000_000, 700_000, 10])
    with serve(behaviour) as url:
        download(url, tmp_path / "set.dat", sha256=(digest(CONTENT),), policy=QUICK)
    assert (tmp_path / "set.dat").read_bytes() == CONTENT
    starts = [int(r["Range"].removeprefix("bytes=").rstrip("-")) for r in behaviour.requests[1:]]
    assert starts == sorted(starts)
    assert starts[0] > 0
    assert len(starts) == 3


def test_resumed_by_a_later_run(tmp_path: Path) -> None:
    behaviour = Behaviour(CONTENT, drop_after=[1_000_000] + [0] * 9)
    with serve(behaviour) as url:
        with pytest.raises(UniRefError, match=r"broke off .*resume from 1,000,000 bytes"):
            download(url, tmp_path / "set.dat", policy=QUICK)
        assert not (tmp_path / "set.dat").exists()
        behaviour.drop_after.clear()
        behaviour.requests.clear()
        download(url, tmp_path / "set.dat", policy=QUICK)
    assert (tmp_path / "set.dat").read_bytes() == CONTENT
    assert behaviour.requests[0]["Range"] == "bytes=1000000-"
    assert only_the_file(tmp_path)


def test_a_server_that_ignores_ranges(tmp_path: Path) -> None:
    with serve(Behaviour(CONTENT, ranges=False, drop_after=[500_000])) as url:
        download(url, tmp_path / "set.dat", policy=QUICK)
    assert (tmp_path / "set.dat").read_bytes() == CONTENT


def test_a_server_that_sends_another_range(tmp_path: Path) -> None:
    with serve(Behaviour(CONTENT, wrong_range=True, drop_after=[500_000])) as url:
        download(url, tmp_path / "set.dat", policy=QUICK)
    assert (tmp_path / "set.dat").read_bytes() == CONTENT


@pytest.mark.slow
def test_a_file_that_changed_in_between_starts_again(tmp_path: Path) -> None:
    behaviour = Behaviour(CONTENT, drop_after=[1_000_000] + [0] * 9)
    other = CONTENT[::-1]
    with serve(behaviour) as url:
        with pytest.raises(UniRefError):
            download(url, tmp_path / "set.dat", policy=QUICK)
        behaviour.content, behaviour.etag = other, '"two"'
        behaviour.drop_after.clear()
        download(url, tmp_path / "set.dat", policy=QUICK)
    assert (tmp_path / "set.dat").read_bytes() == other


def test_a_weak_tag_is_no_reason_to_resume_but_a_date_is(tmp_path: Path) -> None:
    for modified, ranges in (("", 0), ("Tue, 24 Nov 2026 10:00:00 GMT", 1)):
        behaviour = Behaviour(CONTENT, etag='W/"one"', modified=modified, drop_after=[1_000_000])
        with serve(behaviour) as url:
            download(url, tmp_path / f"{ranges}.dat", policy=QUICK)
        assert (tmp_path / f"{ranges}.dat").read_bytes() == CONTENT
        assert sum("Range" in request for request in behaviour.requests) == ranges
        if ranges:
            assert behaviour.requests[1]["If-Range"] == modified


def test_a_checksum_lets_resume_without_any_tag(tmp_path: Path) -> None:
    behaviour = Behaviour(CONTENT, etag="", drop_after=[1_000_000])
    with serve(behaviour) as url:
        download(url, tmp_path / "set.dat", sha256=(digest(CONTENT),), policy=QUICK)
    assert (tmp_path / "set.dat").read_bytes() == CONTENT
    assert "Range" in behaviour.requests[1]
    assert "If-Range" not in behaviour.requests[1]


def test_a_server_that_joins_two_files_is_found_out(tmp_path: Path) -> None:
    """It ignores If-Range, and the file has changed: the joined content is thrown away and fetched anew, once."""
    other = CONTENT[::-1]
    behaviour = Behaviour(CONTENT, ignore_if_range=True, drop_after=[1_000_000] + [0] * 9)
    with serve(behaviour) as url:
        with pytest.raises(UniRefError):
            download(url, tmp_path / "set.dat", sha256=(digest(other),), policy=QUICK)
        behaviour.content, behaviour.etag = other, '"two"'
        behaviour.drop_after.clear()
        behaviour.requests.clear()
        download(url, tmp_path / "set.dat", sha256=(digest(other),), policy=QUICK)
    assert (tmp_path / "set.dat").read_bytes() == other
    assert ["Range" in request for request in behaviour.requests] == [True, False]


def test_a_file_that_grew_is_not_joined(tmp_path: Path) -> None:
    behaviour = Behaviour(CONTENT, ignore_if_range=True, drop_after=[1_000_000] + [0] * 9)
    with serve(behaviour) as url:
        with pytest.raises(UniRefError):
            download(url, tmp_path / "set.dat", policy=QUICK)
        behaviour.content = CONTENT[::-1] + b"more"
        behaviour.drop_after.clear()
        download(url, tmp_path / "set.dat", policy=QUICK)
    assert (tmp_path / "set.dat").read_bytes() == behaviour.content


def test_a_finished_file_of_another_size(tmp_path: Path) -> None:
    (tmp_path / "set.dat").write_bytes(b"here")
    with pytest.raises(UniRefError, match=r"has 4 bytes, expected 9; delete it"):
        download("http://127.0.0.1:9/set.dat", tmp_path / "set.dat", size=9)


def test_stalls_time_out_and_resume(tmp_path: Path) -> None:
    behaviour = Behaviour(CONTENT, stall=[True, False])
    with serve(behaviour) as url:
        download(url, tmp_path / "set.dat", policy=QUICK)
    assert (tmp_path / "set.dat").read_bytes() == CONTENT
    assert "Range" in behaviour.requests[1]


def test_a_wrong_file_is_deleted(tmp_path: Path) -> None:
    with serve(Behaviour(b"<html>please log in</html>")) as url:
        with pytest.raises(UniRefError, match="the server has 26 bytes, expected 3,000,000"):
            download(url, tmp_path / "set.dat", size=3_000_000, policy=QUICK)
        with pytest.raises(UniRefError, match=r"sha256 .* expected abc or def"):
            download(url, tmp_path / "set.dat", sha256=("abc", "def"), policy=QUICK)
    assert not [p for p in tmp_path.iterdir() if not p.name.startswith(".")]


def test_errors_of_the_server(tmp_path: Path) -> None:
    behaviour = Behaviour(CONTENT, status=[503, 500])
    with serve(behaviour) as url:
        download(url, tmp_path / "set.dat", policy=QUICK)
        assert (tmp_path / "set.dat").read_bytes() == CONTENT
        behaviour.status = [404]
        with pytest.raises(UniRefError, match=r"HTTP 404 .*--source"):
            download(url, tmp_path / "b.zip", policy=QUICK)
        behaviour.status = [503] * 9
        with pytest.raises(UniRefError, match="HTTP 503"):
            download(url, tmp_path / "b.zip", policy=QUICK)


def test_redirects(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    behaviour = Behaviour(CONTENT)
    with serve(behaviour) as url, serve(Behaviour(redirect=url)) as other:
        download(other, tmp_path / "set.dat", policy=QUICK)
        assert (tmp_path / "set.dat").read_bytes() == CONTENT
        behaviour.redirect = url
        with pytest.raises(UniRefError):
            download(url, tmp_path / "loop.zip", policy=QUICK)
        behaviour.redirect = secret.as_uri()
        with pytest.raises(UniRefError):
            download(url, tmp_path / "local.zip", policy=QUICK)
    assert not (tmp_path / "local.zip").exists()


def test_only_http(tmp_path: Path) -> None:
    with pytest.raises(UniRefError, match="only http"):
        download((tmp_path / "x").as_uri(), tmp_path / "y")


def test_unreachable(tmp_path: Path) -> None:
    with pytest.raises(UniRefError, match="cannot be reached"):
        download("http://127.0.0.1:9/set.dat", tmp_path / "set.dat", policy=RetryPolicy(1, 0.5, 0.01))


def test_a_target_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with serve(Behaviour(CONTENT)) as url, pytest.raises(UniRefError, match="cannot be written"):
        download(url, tmp_path / "file/set.dat", policy=QUICK)


def test_two_at_once_fetch_one(tmp_path: Path) -> None:
    behaviour = Behaviour(CONTENT)
    with serve(behaviour) as url:
        threads = [threading.Thread(target=download, args=(url, tmp_path / "set.dat")) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (tmp_path / "set.dat").read_bytes() == CONTENT
    assert len(behaviour.requests) == 1
