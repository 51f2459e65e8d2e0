"""What holds for every data set: idempotence, options, checks, previews, exports."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from tests.data.fetch.server import Behaviour, serve
from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare
from uniref.core.atomic import exclusive, replace_folder
from uniref.data.index import Index
from uniref.data.prepare import catalog, run
from uniref.data.prepare.dataset import RemoteFile
from uniref_cli import app

Refused = Callable[..., str]


def quiet(items: Iterable[Any], what: str, total: int | None, unit: str = "") -> Iterable[Any]:
    return items


def content(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def test_a_second_run_keeps_what_is_finished(
    tmp_path: Path, prepare: Prepare, capsys: pytest.CaptureFixture[str]
) -> None:
    build.davis(tmp_path / "d")
    first = prepare("davis17", tmp_path / "d", "val")
    before = {p.name: p.stat().st_mtime_ns for p in first.folder.iterdir()}
    capsys.readouterr()
    prepare("davis17", tmp_path / "d", "val")
    assert "already prepared" in capsys.readouterr().out
    assert {p.name: p.stat().st_mtime_ns for p in first.folder.iterdir()} == before
    prepare("davis17", tmp_path / "d", "val", "--subset", "1")  # another content: made again
    assert len(Index.open(first.folder)) == 1
    prepare("davis17", tmp_path / "d", "val", "--overwrite")
    assert len(Index.open(first.folder)) == 2


@pytest.mark.slow
def test_the_same_bytes_with_any_number_of_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.davis(tmp_path / "d")
    monkeypatch.setattr("uniref.data.prepare.job._FEW", 1)
    for workers in (1, 2):
        request = run.Request(
            "davis17", tmp_path / f"w{workers}", [str(tmp_path / "d")], ["val"], workers, accept_counts=True
        )
        run.prepare(request, quiet)
    one, two = (tmp_path / f"w{n}/index/davis17/val" for n in (1, 2))
    assert content(one) == content(two)


def test_subset_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build.davis(tmp_path / "d")
    arguments = ["prepare-data", "davis17", "--root", str(tmp_path / "x"), "--source", str(tmp_path / "d")]
    assert app.run([*arguments, "--split", "val", "--subset", "1"]) == 0
    assert "only the first 1 images or videos" in capsys.readouterr().err
    assert Index.open(tmp_path / "x/index/davis17/val").manifest.options == {"subset": 1}


def test_published_counts(tmp_path: Path, refused: Refused) -> None:
    build.davis(tmp_path / "d")
    line = refused("davis17", tmp_path / "d", "val")
    assert "davis17/val: has 2 images or videos, published are 30; has 3 objects, published are 61" in line


def test_a_failed_run_keeps_the_old_index(tmp_path: Path, prepare: Prepare) -> None:
    build.davis(tmp_path / "d")
    index = prepare("davis17", tmp_path / "d", "val")
    (tmp_path / "d/DAVIS/JPEGImages/480p/bear/00001.jpg").unlink()
    arguments = ["prepare-data", "davis17", "--root", str(tmp_path / "data"), "--source", str(tmp_path / "d")]
    assert app.run([*arguments, "--split", "val", "--overwrite", "--accept-counts"]) == 1
    assert len(Index.open(index.folder)) == 2


def test_skip_bad_leaves_out_and_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build.davis(tmp_path / "d")
    (tmp_path / "d/DAVIS/JPEGImages/480p/bear/00001.jpg").unlink()
    arguments = ["prepare-data", "davis17", "--root", str(tmp_path / "x"), "--source", str(tmp_path / "d"), "--json"]
    assert app.run([*arguments, "--split", "val", "--skip-bad"]) == 0
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert record["counts"]["samples"] == 1
    assert len(record["bad"]) == 1
    assert record["bad"][0].startswith("bear:")
    assert "left out: bear:" in err


def test_no_absolute_paths(tmp_path: Path, prepare: Prepare) -> None:
    build.davis(tmp_path / "d")
    index = prepare("davis17", tmp_path / "d", "val")
    for path in index.folder.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()


def test_wrong_requests(tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str]) -> None:
    assert "unknown data set; did you mean davis17? there are burst, coco" in refused("davis", tmp_path, "val", code=2)
    assert "davis17 has no split test; it has train, val, test-dev" in refused("davis17", tmp_path, "test", code=2)
    assert "--compat is not for davis17, only for fss-1000" in refused("davis17", tmp_path, "val", "--compat", code=2)
    assert "no such file or folder" in refused("davis17", tmp_path / "none", "val")
    assert app.run(["prepare-data"]) == 2
    assert "--list" in capsys.readouterr().err


def test_missing_files_say_what_to_fetch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["prepare-data", "lvos", "--root", str(tmp_path / "data")]) == 1
    line = capsys.readouterr().err
    assert "the v1 archives of train, val and test" in line
    assert "--source" in line
    assert not (tmp_path / "data/media").exists()


def test_list(tmp_path: Path, prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    build.davis(tmp_path / "d")
    prepare("davis17", tmp_path / "d", "val")
    capsys.readouterr()
    assert app.run(["prepare-data", "--list", "--root", str(tmp_path / "data")]) == 0
    out = capsys.readouterr().out
    for name in catalog.data_sets():
        assert f"{name}: " in out
    assert "prepared   val" in out
    assert app.run(["prepare-data", "--list", "--json", "--root", str(tmp_path / "data")]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert next(r for r in records if r["dataset"] == "davis17")["prepared"] == ["val"]


def zipped(folder: Path, path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path.read_bytes()


def test_archives_and_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.davis(tmp_path / "d")
    whole = zipped(tmp_path / "d", tmp_path / "davis.zip")
    base = ["prepare-data", "davis17", "--split", "val", "--accept-counts", "--quiet"]
    assert app.run([*base, "--root", str(tmp_path / "a"), "--source", str(tmp_path / "davis.zip")]) == 0
    assert Index.open(tmp_path / "a/index/davis17/val").media(0).path.is_dir()
    with serve(Behaviour(whole)) as url:
        assert app.run([*base, "--root", str(tmp_path / "b"), "--source", url]) == 0
        remote = RemoteFile(url, size=len(whole), sha256=(hashlib.sha256(whole).hexdigest(),))
        entry = catalog.data_sets()["davis17"]
        monkeypatch.setitem(catalog.data_sets(), "davis17", replace(entry, downloads=(remote,)))
        assert app.run([*base, "--root", str(tmp_path / "c")]) == 1  # nothing is fetched without being asked for
        assert app.run([*base, "--root", str(tmp_path / "c"), "--download"]) == 0
    assert len(Index.open(tmp_path / "c/index/davis17/val")) == 2


def test_verify(tmp_path: Path, prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    build.davis(tmp_path / "d")
    index = prepare("davis17", tmp_path / "d", "val")
    arguments = ["prepare-data", "davis17", "--root", str(tmp_path / "data"), "--verify"]
    assert app.run(arguments) == 0
    frame = tmp_path / "d/DAVIS/JPEGImages/480p/goat/00002.jpg"
    frame.rename(frame.with_suffix(".away"))
    assert app.run(arguments) == 1
    assert "00002.jpg: no such file" in capsys.readouterr().err
    frame.with_suffix(".away").rename(frame)
    whole = frame.read_bytes()
    frame.write_bytes(whole[: len(whole) // 2])  # its header is intact
    assert app.run(arguments) == 1
    assert "00002.jpg" in capsys.readouterr().err
    frame.write_bytes(whole)
    table = index.folder / "annotations.arrow"
    damaged = bytearray(table.read_bytes())
    damaged[600] ^= 1
    table.write_bytes(bytes(damaged))
    assert app.run(arguments) == 1
    assert "annotations.arrow" in capsys.readouterr().err


@pytest.mark.slow
def test_verify_on_all_cores_and_of_every_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("uniref.data.prepare.check._CHUNK", 2)
    build.coco(tmp_path / "c")
    base = ["--root", str(tmp_path / "data")]
    source = ["--source", str(tmp_path / "c"), "--split", "train", "--accept-counts"]
    assert app.run(["prepare-data", "coco", *base, *source]) == 0
    assert app.run(["prepare-data", "coco", *base, "--verify", "--workers", "2"]) == 0
    build.picture(tmp_path / "c/train2017/000000000030.jpg", 9, 9)
    assert app.run(["prepare-data", "coco", *base, "--verify", "--workers", "2"]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "000000000030.jpg: is 9 x 9, the index says 32 x 24; coco/train needs it" in line
    # several are all named
    other = next(each for each in sorted((tmp_path / "c/train2017").glob("*.jpg")) if each.stem != "000000000030")
    other.write_bytes(other.read_bytes()[:200])
    assert app.run(["prepare-data", "coco", *base, "--verify", "--workers", "2"]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "000000000030.jpg: is 9 x 9" in line
    assert f"{other.name}: " in line
    assert line.endswith("coco/train needs them")


def test_two_at_once(tmp_path: Path, refused: Refused) -> None:
    build.davis(tmp_path / "d")
    with exclusive(tmp_path / "data/index/davis17", "prepared"):
        assert "is being prepared by process" in refused("davis17", tmp_path / "d", "val")


def test_preview(tmp_path: Path, prepare: Prepare) -> None:
    build.davis(tmp_path / "d")
    build.davis_texts(tmp_path / "d")
    prepare("davis17", tmp_path / "d", "val", "--preview", "5")
    with Image.open(tmp_path / "data/index/davis17/val-preview.png") as sheet:
        assert sheet.width > 240
        colours = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
        assert (colours == (235, 52, 52)).all(1).any()  # the outline of the first object


def test_export_coco(tmp_path: Path, prepare: Prepare) -> None:
    """Every image with the data set's own ids, crowds and all: what a detection evaluation needs."""
    build.coco(tmp_path / "coco")
    index = prepare("coco", tmp_path / "coco", "train", "--export", str(tmp_path / "out.json"))
    read = COCO(str(tmp_path / "out.json"))
    assert read.imgs[9]["file_name"] == "train2017/000000000009.jpg"
    assert sorted(read.imgs) == [9, 25, 30]
    dog, crowd = read.loadAnns(read.getAnnIds(9))
    assert (dog["category_id"], dog["bbox"], dog["iscrowd"]) == (18, [3.0, 2.0, 9.0, 8.0], 0)
    assert (crowd["category_id"], crowd["iscrowd"]) == (1, 1)
    np.testing.assert_array_equal(read.annToMask(dog).astype(bool), index.annotations(0).mask(0))


def test_export_keeps_a_category_0(tmp_path: Path, prepare: Prepare) -> None:
    build.picture(tmp_path / "my/images/a.jpg")
    image = {"id": 0, "file_name": "a.jpg", "height": build.H, "width": build.W}
    things = [build.instance(n, 0, n, [build.SQUARE]) for n in (0, 1)]
    names = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    build.write_json(tmp_path / "my/train.json", {"images": [image], "annotations": things, "categories": names})
    prepare("custom", tmp_path / "my", "train", "--task", "detection", "--export", str(tmp_path / "out.json"))
    read = COCO(str(tmp_path / "out.json"))
    assert [thing["category_id"] for thing in read.loadAnns(read.getAnnIds(0))] == [0, 1]


def test_export_youtube_vis_is_read_again(tmp_path: Path, prepare: Prepare) -> None:
    build.youtube_vos(tmp_path / "y")
    index = prepare("youtube-vos-2019", tmp_path / "y", "train", "--export", str(tmp_path / "y/train/train.json"))
    data = json.loads((tmp_path / "y/train/train.json").read_text())
    assert data["videos"][0]["file_names"][0] == "JPEGImages/0a49f5265b/00000.jpg"
    assert data["annotations"][1]["segmentations"][1] is None
    again = prepare("custom", tmp_path / "y/train", "train")
    assert len(again) == 1
    for row in range(2):
        assert again.annotations(row).counts == index.annotations(row).counts
        assert again.annotations(row).frames.tolist() == index.annotations(row).frames.tolist()


def test_export_of_several_splits_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build.davis(tmp_path / "d")
    arguments = ["prepare-data", "davis17", "--root", str(tmp_path / "x"), "--source", str(tmp_path / "d")]
    command = [
        *arguments,
        "--accept-counts",
        "--split",
        "val",
        "--split",
        "train",
        "--export",
        str(tmp_path / "o.json"),
    ]
    assert app.run(command) == 2
    assert "choose it with --split" in capsys.readouterr().err
    assert not (tmp_path / "o.json").exists()


def test_replace_folder_puts_the_old_one_back(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old/x").write_text("1")
    with pytest.raises(OSError, match="absent"):
        replace_folder(tmp_path / "absent", tmp_path / "old")
    assert (tmp_path / "old/x").read_text() == "1"


def test_help_stays_light() -> None:
    heavy = ("torch", "pyarrow", "numpy", "pydantic", "ijson")
    code = f"import sys, uniref_cli.app; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_an_export_replaces_only_exports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build.davis(tmp_path / "d")
    out = tmp_path / "out.json"
    request = [
        "prepare-data",
        "davis17",
        "--source",
        str(tmp_path / "d"),
        "--split",
        "val",
        "--accept-counts",
        "--quiet",
    ]
    request += ["--workers", "1", "--export", str(out), "--root"]
    out.write_text("precious")
    assert app.run([*request, str(tmp_path / "one")]) == 2
    assert "out.json: exists and is not an export" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert not (tmp_path / "one").exists()  # told before the work
    out.unlink()
    for root in ("one", "two"):
        assert app.run([*request, str(tmp_path / root)]) == 0, capsys.readouterr().err
    assert out.read_text().startswith('{"info"')
