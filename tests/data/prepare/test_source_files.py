"""Where published files are looked for: folders, archives, addresses, what is downloaded and what need not be."""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.fetch.server import Behaviour, serve
from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare, Refused
from tests.data.prepare.test_run import zipped
from uniref.data.index import Index
from uniref.data.prepare import catalog
from uniref.data.prepare.catalog import data_sets, other_folders
from uniref.data.prepare.dataset import RemoteFile
from uniref.data.prepare.datasets import fss1000
from uniref_cli import app


def with_remotes(monkeypatch: pytest.MonkeyPatch, name: str, *remotes: RemoteFile) -> None:
    entry = data_sets()[name]
    monkeypatch.setitem(catalog.data_sets(), name, replace(entry, downloads=remotes))


def command(root: Path, dataset: str, *options: str) -> int:
    return app.run(["prepare-data", dataset, "--root", str(root), "--accept-counts", "--workers", "1", *options])


def test_no_two_files_of_a_data_set_share_a_place() -> None:
    """Both splits of Objects365 have a patch0.tar.gz."""
    for entry in data_sets().values():
        places = [(remote.folder, remote.name) for remote in entry.downloads]
        assert len(set(places)) == len(places), entry.name


def test_folders_of_other_data_sets_are_not_searched(tmp_path: Path, prepare: Prepare, refused: Refused) -> None:
    build.lvos(tmp_path / "all/lvos")
    build.mose(tmp_path / "all/a-mose")  # alphabetically before and after
    build.ovis(tmp_path / "all/ovis")
    index = prepare("mose", tmp_path / "all", "train")
    assert index.media(0).name == "0a1b2c3d"
    (tmp_path / "all/a-mose").rename(tmp_path / "away")
    assert "found no train/JPEGImages" in refused("youtube-vos-2019", tmp_path / "all", "train")
    assert "mose" in other_folders("lvos")
    assert "coco" not in other_folders("refcoco")


def test_custom_data_never_takes_what_other_data_sets_have(tmp_path: Path, refused: Refused) -> None:
    build.ovis(tmp_path / "data/media/ovis")
    (tmp_path / "data/media/ovis/annotations_train.json").rename(tmp_path / "data/media/ovis/train.json")
    (tmp_path / "mine").mkdir()
    line = refused("custom", tmp_path / "mine", "train")
    assert "holds no data in a known format (nothing is in it)" in line
    assert str(tmp_path / "mine") in line
    assert "docs/custom-data.md" in line


def test_archives_put_into_the_media_folder_are_unpacked(tmp_path: Path) -> None:
    """As the message says that asks for them."""
    build.mose(tmp_path / "m")
    (tmp_path / "data/media/mose").mkdir(parents=True)
    zipped(tmp_path / "m", tmp_path / "data/media/mose/all.zip")
    assert command(tmp_path / "data", "mose") == 0
    assert len(Index.open(tmp_path / "data/index/mose/train")) == 2


def test_pictures_may_come_from_another_data_set(tmp_path: Path) -> None:
    build.refcoco(tmp_path / "r")
    (tmp_path / "data/media/coco").mkdir(parents=True)
    (tmp_path / "r/coco/train2014").rename(tmp_path / "data/media/coco/train2014")
    assert command(tmp_path / "data", "refcoco", "--source", str(tmp_path / "r"), "--split", "testA") == 0
    index = Index.open(tmp_path / "data/index/refcoco/testA")
    assert index.media(0).path.is_file()
    assert index.manifest.roots == {"coco": "../../../media/coco"}


def test_download_fetches_what_the_sources_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.refcoco(tmp_path / "r")
    (tmp_path / "r/coco").rename(tmp_path / "coco")
    behaviour = Behaviour(zipped(tmp_path / "r", tmp_path / "refcoco.zip"))
    with serve(behaviour) as url:
        annotations = RemoteFile(url, instead=("refcoco/instances.json",))
        pictures = RemoteFile(f"{url}/train2014.zip", instead=("train2014", "train2017"))
        with_remotes(monkeypatch, "refcoco", annotations, pictures)
        options = ("--source", str(tmp_path / "coco"), "--split", "testA", "--download")
        assert command(tmp_path / "data", "refcoco", *options) == 0
        assert len(behaviour.requests) == 1  # the images are there
        assert command(tmp_path / "data", "refcoco", *options, "--overwrite") == 0
        assert len(behaviour.requests) == 1
        (tmp_path / "data/media/refcoco/downloads/set.zip").unlink()  # to save space
        assert command(tmp_path / "data", "refcoco", *options, "--overwrite") == 0
        assert len(behaviour.requests) == 1
    sources = Index.open(tmp_path / "data/index/refcoco/testA").manifest.sources
    assert {source.name for source in sources} == {"refcoco/refs(unc).p", "refcoco/instances.json"}
    assert all(source.sha256 and source.size for source in sources)


def test_download_where_there_is_no_public_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(tmp_path, "lvos", "--download") == 1
    assert "lvos: has no public address to fetch from. " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("which", "note"),
    [(0, "train.zip is the new release"), (1, "train.zip is the first release"), (2, "train.zip is not the published")],
)
def test_editions_of_an_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], which: int, note: str
) -> None:
    """MOSE's training archive was replaced; which one was seen is told and kept, for an archive of the user's too."""
    build.mose(tmp_path / "m")
    digest = hashlib.sha256(zipped(tmp_path / "m", tmp_path / "train.zip")).hexdigest()
    known = ["0" * 64, "1" * 64]
    known[which : which + 1] = [digest] if which < 2 else []
    remote = RemoteFile("http://x/train.zip", sha256=tuple(known), editions=("the new release", "the first release"))
    with_remotes(monkeypatch, "mose", remote)
    assert command(tmp_path / "data", "mose", "--source", str(tmp_path / "train.zip"), "--split", "train") == 0
    assert note in capsys.readouterr().err
    manifest = Index.open(tmp_path / "data/index/mose/train").manifest
    assert any(note in line for line in manifest.notes)
    assert [(s.name, s.sha256) for s in manifest.sources] == [("train.zip", digest)]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("https://drive.google.com/file/d/16Tg/view", "drive.google.com gives no file to a plain request"),
        ("http://127.0.0.1:9/page", "names no archive"),
        ("http://127.0.0.1:9/", "names no file"),
        ("http://127.0.0.1:9/a/../../x.zip", "names no file"),
        ("file:///etc/passwd.zip", "only http and https"),
        ("ftp://127.0.0.1/x.zip", "only http and https"),
        ("http://127.0.0.1:99999/x.zip", "its port is not valid"),
        ("http://127.0.0.1/a%00.zip", "a percent-encoded control character"),
        ("http://me:secret@127.0.0.1:9/page", "http://127.0.0.1:9/page: names no archive"),
    ],
)
def test_addresses_that_are_no_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, message: str
) -> None:
    assert command(tmp_path / "data", "mose", "--source", source) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_web_page_instead_of_the_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(Behaviour(b"\n<!DOCTYPE html><html>please log in</html>")) as url:
        assert command(tmp_path / "data", "mose", "--source", url) == 1
    assert "answers with a web page" in capsys.readouterr().err
    assert not list((tmp_path / "data/media").rglob("*.zip"))


def test_files_of_one_name_from_two_addresses(tmp_path: Path) -> None:
    """`train.zip` is what many publishers call theirs."""
    build.mose(tmp_path / "m")
    (tmp_path / "m/valid").rename(tmp_path / "valid")
    train = zipped(tmp_path / "m", tmp_path / "a.zip")
    (tmp_path / "m/train").rename(tmp_path / "train")
    (tmp_path / "valid").rename(tmp_path / "m/valid")
    valid = zipped(tmp_path / "m", tmp_path / "b.zip")
    with serve(Behaviour(train)) as one, serve(Behaviour(valid)) as two:
        assert command(tmp_path / "data", "mose", "--source", one, "--source", two) == 0
    assert len(Index.open(tmp_path / "data/index/mose/val")) == 1


def test_something_that_is_no_source(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "movie.rar").write_bytes(b"x")
    assert "movie.rar: is neither a folder, an archive" in refused("mose", tmp_path / "movie.rar", "val")


def test_what_is_there_is_prepared_and_the_rest_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Most people have no test-dev: without --split the others are made, and the command says what was missing."""
    build.davis(tmp_path / "d")
    asked = ["--split", "test-dev", "--split", "val"]
    assert command(tmp_path / "other", "davis17", "--source", str(tmp_path / "d"), "--json", *asked) == 1
    assert len(capsys.readouterr().out.splitlines()) == 1  # val is made all the same
    assert command(tmp_path / "data", "davis17", "--source", str(tmp_path / "d"), "--json") == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["split"] for line in out.splitlines()] == ["train", "val"]
    assert "davis17/test-dev: found no ImageSets/2017/test-dev.txt" in err


def test_bad_records_are_kept_in_a_list(tmp_path: Path, prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    build.davis(tmp_path / "d")
    (tmp_path / "d/DAVIS/JPEGImages/480p/bear/00001.jpg").unlink()
    index = prepare("davis17", tmp_path / "d", "val", "--skip-bad")
    assert index.manifest.dropped == {"bad record": 1}
    assert (index.folder / "skipped.txt").read_text().startswith("bear: ")
    capsys.readouterr()
    prepare("davis17", tmp_path / "d", "val")
    out, err = capsys.readouterr()
    assert "already prepared, kept (--overwrite makes it again)" in out
    assert "left out: 1 x bad record" in out
    assert "has 1 images or videos, published are 30" in err


def test_no_option_leaves_a_path_in_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["thor's_hammer", "band-aid"]
    build.write_text(tmp_path / "lists/test.txt", "\r\n".join(names))
    digest = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
    monkeypatch.setitem(fss1000._DIGESTS, "test", digest)
    build.fss1000(tmp_path / "f", names)
    options = ("--source", str(tmp_path / "f"), "--split", "test", "--splits", str(tmp_path / "lists"))
    assert command(tmp_path / "data", "fss-1000", *options) == 0
    index = Index.open(tmp_path / "data/index/fss-1000/test")
    for path in index.folder.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()


def test_a_fetched_archive_that_is_damaged_is_fetched_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build.mose(tmp_path / "m")
    with tarfile.open(tmp_path / "all.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "m", ".")
    content = (tmp_path / "all.tar.gz").read_bytes()
    behaviour = Behaviour(content[: len(content) * 2 // 3], declared=False)
    with serve(behaviour, name="all.tar.gz") as url:
        for _ in range(2):
            assert command(tmp_path / "data", "mose", "--source", url) == 1
            error = capsys.readouterr().err
            assert "all.tar.gz: is damaged or not complete" in error
            assert "it was deleted; run the command again" in error
        behaviour.content = content
        assert command(tmp_path / "data", "mose", "--source", url) == 0
    mine = tmp_path / "mine.tar.gz"
    mine.write_bytes(content[:-100])
    assert command(tmp_path / "other", "mose", "--source", str(mine)) == 1
    assert mine.exists()


def test_addresses_that_differ_in_their_query_have_places_of_their_own(tmp_path: Path) -> None:
    build.mose(tmp_path / "m")
    behaviour = Behaviour(zipped(tmp_path / "m", tmp_path / "all.zip"))
    with serve(behaviour) as url:
        for query in ("?v=1", "?v=2", "?v=1"):
            assert command(tmp_path / "data", "mose", "--source", url + query, "--overwrite") == 0
    assert behaviour.paths == ["/set.zip?v=1", "/set.zip?v=2"]
